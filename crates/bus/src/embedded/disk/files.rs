//! The files under the log, as a trait: the real folder, one in memory, and in tests one that loses power.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

/// Bytes kept ready on a disk, half of them made at a time: a millisecond's work once in two thousand lines. With a
/// quarter of it a busy log makes room four times as often, and gained a twentieth where it gained a third.
const AHEAD_BYTES: u64 = 1024 * 1024;

/// A folder of files. Names are plain file names.
pub trait FileLayer: Send + Sync + 'static {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file to read and write, made where it is missing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Renames a file over another.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns once creations, renames and removals are on disk.
    fn sync_folder(&self) -> io::Result<()>;
    /// Whether reads may wait for a disk.
    fn reads_block(&self) -> bool;
    /// Bytes kept ready beyond the end of the newest segment, as zeros that are on disk; 0 where writing over them is
    /// no cheaper to sync than making the file longer.
    fn ahead(&self) -> u64;
    /// Where it is, for people.
    fn place(&self) -> String;
}

/// A file that is written at places by one writer and read at places by many.
#[allow(clippy::len_without_is_empty, reason = "a length in bytes, not a collection")]
pub trait LogFile: Send + Sync + 'static {
    /// Fills `buffer` from `offset`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `data` at `offset`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Its length.
    fn len(&self) -> io::Result<u64>;
    /// Cuts it off, or fills it up with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Returns once what was written is on disk.
    fn sync(&self) -> io::Result<()>;
}

/// A real folder.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens a folder, made where it is missing.
    pub fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self { path: path.to_owned() })
    }
}

impl FileLayer for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn reads_block(&self) -> bool {
        true
    }

    fn ahead(&self) -> u64 {
        AHEAD_BYTES
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

struct RealFile(File);

impl LogFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Files in memory: what a bus without a data folder writes to.
#[derive(Default)]
pub struct MemoryFiles(Mutex<BTreeMap<String, Arc<MemoryFile>>>);

impl FileLayer for MemoryFiles {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.0.lock().entry(name.to_owned()).or_default().clone())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.0.lock();
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self) -> io::Result<()> {
        Ok(())
    }

    fn reads_block(&self) -> bool {
        false
    }

    fn ahead(&self) -> u64 {
        0
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}

#[derive(Default)]
struct MemoryFile(RwLock<Vec<u8>>);

impl LogFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let data = self.0.read();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(data.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut data = self.0.write();
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start + bytes.len();
        if data.len() < end {
            data.resize(end, 0);
        }
        data[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().len() as u64)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.write().resize(usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
