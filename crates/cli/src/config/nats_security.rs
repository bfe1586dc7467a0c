//! Certificates and credentials for NATS: which settings go together, and who may read the files.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tidings_bus::{Login, Secret, Security};

use super::keys::KEYS;
use super::nats::NatsServer;
use super::{Config, Mistake, Origin};

/// Settings that are of TLS alone.
const OF_TLS: [&str; 4] = ["nats.ca_file", "nats.cert_file", "nats.key_file", "nats.server_name"];
/// Who the process is: one of these ways, each with the settings that say so.
const LOGINS: [&[&str]; 4] = [
    &["nats.credentials_file"],
    &["nats.nkey_file"],
    &["nats.user", "nats.password", "nats.password_file"],
    &["nats.token", "nats.token_file"],
];
/// Files that nobody else should read.
const SECRETS: [&str; 5] =
    ["nats.key_file", "nats.credentials_file", "nats.nkey_file", "nats.password_file", "nats.token_file"];
/// The bits of a file's mode that let in whoever is neither its owner nor of its group.
const ANYBODY: u32 = 0o007;

impl Config {
    fn given(&self, key: &str) -> Option<&str> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    fn file(&self, key: &str) -> Option<PathBuf> {
        self.given(key).map(PathBuf::from)
    }

    fn secret(&self, text: &str, file: &str) -> Option<Secret> {
        self.file(file)
            .map(Secret::File)
            .or_else(|| self.given(text).map(|text| Secret::Text(text.to_owned())))
    }

    /// Certificates and credentials for NATS.
    pub(super) fn nats_security(&self) -> Security {
        let named = |text: &str| Some(self.given(text)?.to_owned());
        let login = if let Some(path) = self.file("nats.credentials_file") {
            Login::Credentials(path)
        } else if let Some(path) = self.file("nats.nkey_file") {
            Login::Nkey(path)
        } else if let Some(token) = self.secret("nats.token", "nats.token_file") {
            Login::Token(token)
        } else if let (Some(user), Some(password)) =
            (named("nats.user"), self.secret("nats.password", "nats.password_file"))
        {
            Login::User { user, password }
        } else {
            Login::None
        };
        Security {
            ca_file: self.file("nats.ca_file"),
            cert_file: self.file("nats.cert_file"),
            key_file: self.file("nats.key_file"),
            server_name: named("nats.server_name"),
            tls_first: self.flag("nats.tls_first"),
            login,
        }
    }

    /// Whether any server is asked for with TLS, and whether any is without.
    fn nats_schemes(&self) -> (bool, bool) {
        let tls = |text: &String| NatsServer::read(text).is_some_and(|server| server.is_tls());
        let servers = self.list("nats.servers");
        (servers.iter().any(tls), !servers.iter().all(tls))
    }

    /// Secrets that anybody on this machine may read: in files of their own, or in the configuration file itself.
    fn open_secrets(&self) -> Vec<OpenSecret> {
        let named = SECRETS.into_iter().filter_map(|key| Some((key, self.file(key)?, false)));
        let written = KEYS.iter().filter(|key| key.secret).filter_map(|key| match self.origin(key.name) {
            Origin::File(path, _) => {
                self.given(key.name)?;
                Some((key.name, path.clone(), true))
            }
            _ => None,
        });
        let open = named.chain(written).map(|(key, path, written)| OpenSecret { key, path, written });
        open.filter(|one| is_anybodys(&one.path)).collect()
    }

    /// A sentence for each secret that is anybody's.
    pub(super) fn open_secret_warnings(&self) -> impl Iterator<Item = String> {
        self.open_secrets().into_iter().map(|one| one.told())
    }
}

/// A secret that anybody may read.
struct OpenSecret {
    key: &'static str,
    path: PathBuf,
    /// It stands in the configuration file.
    written: bool,
}

impl OpenSecret {
    fn told(&self) -> String {
        let Self { key, path, written } = self;
        let path = path.display();
        if *written {
            format!(
                "'{key}' stands in {path}, which anybody on this machine may read: chmod 600 it, or set '{key}_file'"
            )
        } else {
            format!("'{key}': anybody on this machine may read {path}: chmod 600 it")
        }
    }
}

fn is_anybodys(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & ANYBODY != 0)
}

/// What does not go together.
pub fn check(config: &Config, mistakes: &mut Vec<Mistake>) {
    let mut refuse = |key: &str, message: String| {
        mistakes.push(Mistake { origin: config.origin(key).clone(), message: format!("'{key}': {message}") });
    };
    let (tls, plain) = config.nats_schemes();
    if tls && plain {
        refuse(
            "nats.servers",
            "some are nats:// and some tls://: make all of them one or the other".to_owned(),
        );
    }
    let of_tls = OF_TLS.into_iter().filter(|key| config.given(key).is_some());
    let of_tls = of_tls.chain(config.flag("nats.tls_first").then_some("nats.tls_first"));
    if let Some(key) = of_tls.into_iter().next().filter(|_| !tls) {
        refuse(key, "is of TLS, and 'nats.servers' (--nats) names no server by tls://".to_owned());
    }
    for (key, other) in [("nats.cert_file", "nats.key_file"), ("nats.key_file", "nats.cert_file")] {
        if config.given(key).is_some() && config.given(other).is_none() {
            refuse(key, format!("goes with '{other}', which is not set"));
        }
    }
    for (text, file) in [("nats.password", "nats.password_file"), ("nats.token", "nats.token_file")] {
        if config.given(text).is_some() && config.given(file).is_some() {
            refuse(text, format!("'{file}' is set as well: keep one, the file by preference"));
        }
    }
    let password =
        ["nats.password", "nats.password_file"].into_iter().find(|key| config.given(key).is_some());
    match (config.given("nats.user"), password) {
        (Some(_), None) => refuse("nats.user", "goes with 'nats.password_file', which is not set".to_owned()),
        (None, Some(key)) => refuse(key, "goes with 'nats.user', which is not set".to_owned()),
        _ => {}
    }
    let ways = LOGINS.into_iter().filter_map(|way| way.iter().find(|key| config.given(key).is_some()));
    let ways: Vec<&&str> = ways.collect();
    match ways.as_slice() {
        [one, other, ..] => refuse(one, format!("'{other}' is set as well: the process is known in one way")),
        [one] if !config.uses_nats() => {
            refuse(one, "is of NATS, and 'nats.servers' (--nats) names no server".to_owned());
        }
        _ => {}
    }
}

/// What the profile `production` refuses.
pub fn check_production(config: &Config, mistakes: &mut Vec<Mistake>) {
    if config.flag("allow.readable_secrets") {
        return;
    }
    for one in config.open_secrets() {
        let message = format!("profile production: {}, or set allow.readable_secrets = true", one.told());
        mistakes.push(Mistake { origin: config.origin(one.key).clone(), message });
    }
}
