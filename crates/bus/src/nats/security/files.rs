//! The files that settings name: read whole within a bound, and looked at for changes.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::nats::security::Security;

/// Largest file: the certificates of every public authority are a quarter of it.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// By what a file is known to be another one, or to have been written.
type Stamp = Option<(u64, u64, i64, i64)>;

/// When the files were written that a connection is made with.
#[derive(PartialEq, Eq)]
pub(super) struct Stamps {
    tls: Vec<Stamp>,
    login: Vec<Stamp>,
}

/// Which of them changed.
pub(super) struct Changed {
    pub(super) tls: bool,
    pub(super) login: bool,
}

impl Stamps {
    pub(super) fn of(settings: &Security) -> Self {
        let stamp = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
        };
        Self {
            tls: settings.tls_files().map(stamp).collect(),
            login: settings.login.files().map(stamp).collect(),
        }
    }

    pub(super) fn replace(&mut self, now: Self) -> Changed {
        let changed = Changed { tls: self.tls != now.tls, login: self.login != now.login };
        *self = now;
        changed
    }
}

/// A setting that cannot hold, by its name.
pub(super) fn refused(setting: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("'nats.{setting}': {why}"))
}

/// What is in the file of a setting.
pub(super) fn read(setting: &str, path: &Path) -> Result<Vec<u8>, Error> {
    let failed = |error: std::io::Error| refused(setting, format!("cannot read {}: {error}", path.display()));
    let mut content = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(setting, format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(content)
}

/// The same, where it is text.
pub(super) fn read_text(setting: &str, path: &Path) -> Result<String, Error> {
    let content = read(setting, path)?;
    // The error of the standard library would hold the bytes.
    String::from_utf8(content).map_err(|_| refused(setting, format!("{} is no text", path.display())))
}
