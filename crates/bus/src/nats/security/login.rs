//! Who this process is to the servers: a token, a user with a password, a key, or a user's credentials.

use std::fmt;
use std::path::{Path, PathBuf};

use async_nats::{Auth, AuthError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;

use crate::clock::now_ms;
use crate::error::{Error, ErrorKind};
use crate::nats::security::files::{read_text, refused};

/// A text that nobody is shown, or the file that holds it; a line break at its end is none of it.
#[derive(Clone)]
pub enum Secret {
    /// The text itself.
    Text(String),
    /// The file it is in.
    File(PathBuf),
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl Secret {
    /// `name` is the setting of the text; that of its file ends in `_file`.
    fn read(&self, name: &str) -> Result<String, Error> {
        let (setting, text) = match self {
            Self::Text(text) => (name.to_owned(), text.clone()),
            Self::File(path) => {
                let setting = format!("{name}_file");
                let text = read_text(&setting, path)?;
                (setting, text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        if text.is_empty() { Err(refused(&setting, "is empty")) } else { Ok(text) }
    }
}

/// Who this process is.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// Nobody in particular, or the one its certificate names.
    #[default]
    None,
    /// Whoever knows the token.
    Token(Secret),
    /// A user with a password.
    User {
        /// Its name.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// A user with a key of its own: the file holds its seed (`SU...`).
    Nkey(PathBuf),
    /// A user whom an account vouches for: a file as `nsc` makes it, with a JWT and the seed.
    Credentials(PathBuf),
}

impl Login {
    /// The settings that say so, for people.
    pub(super) fn settings(&self) -> &'static str {
        match self {
            Self::None => {
                "none of 'nats.credentials_file', 'nats.nkey_file', 'nats.user' and 'nats.token_file' is set"
            }
            Self::Token(_) => "'nats.token_file'",
            Self::User { .. } => "'nats.user' and 'nats.password_file'",
            Self::Nkey(_) => "'nats.nkey_file'",
            Self::Credentials(_) => "'nats.credentials_file'",
        }
    }

    /// The files it is read from.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        match self {
            Self::Token(Secret::File(path))
            | Self::User { password: Secret::File(path), .. }
            | Self::Nkey(path)
            | Self::Credentials(path) => Some(path),
            _ => None,
        }
        .into_iter()
    }

    pub(super) fn read(&self) -> Result<Proof, Error> {
        Ok(match self {
            Self::None => Proof::None,
            Self::Token(token) => Proof::Token(token.read("token")?),
            Self::User { user, password } => Proof::User(user.clone(), password.read("password")?),
            Self::Nkey(path) => read_nkey(path)?,
            Self::Credentials(path) => read_credentials(path)?,
        })
    }
}

/// What is shown to the servers.
#[derive(PartialEq)]
pub(super) enum Proof {
    None,
    Token(String),
    User(String, String),
    /// The seed of a key that signs.
    Nkey(String),
    /// What the account says of the user, and the seed of its key.
    Jwt(String, String),
}

impl Proof {
    /// The answer to a server's challenge.
    pub(super) fn auth(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        match self {
            Self::None => {}
            Self::Token(token) => auth.token = Some(token.clone()),
            Self::User(user, password) => {
                auth.username = Some(user.clone());
                auth.password = Some(password.clone());
            }
            Self::Nkey(seed) => {
                let key = KeyPair::from_seed(seed).map_err(AuthError::new)?;
                auth.nkey = Some(key.public_key());
                auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
            }
            Self::Jwt(jwt, seed) => {
                let key = KeyPair::from_seed(seed).map_err(AuthError::new)?;
                auth.jwt = Some(jwt.clone());
                auth.signature = Some(key.sign(nonce).map_err(AuthError::new)?);
            }
        }
        Ok(auth)
    }
}

/// A user's key, where the text is the seed of one.
fn user_key(seed: &str) -> Option<KeyPair> {
    KeyPair::from_seed(seed).ok().filter(|key| key.key_pair_type() == KeyPairType::User)
}

fn read_nkey(path: &Path) -> Result<Proof, Error> {
    let text = read_text("nkey_file", path)?;
    let seed = text.lines().map(str::trim).find(|line| line.starts_with("SU"));
    match seed.filter(|seed| user_key(seed).is_some()) {
        Some(seed) => Ok(Proof::Nkey(seed.to_owned())),
        None => {
            Err(refused("nkey_file", format!("{} holds no seed of a user's key (SU...)", path.display())))
        }
    }
}

/// What a JWT of a user says, of which this is looked at.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    exp: i64,
}

fn read_credentials(path: &Path) -> Result<Proof, Error> {
    let text = read_text("credentials_file", path)?;
    let wrong = |why: &str| refused("credentials_file", format!("{} {why}", path.display()));
    let jwt = decorated(&text, "NATS USER JWT").ok_or_else(|| wrong("holds no JWT of a user"))?;
    let seed = decorated(&text, "USER NKEY SEED").ok_or_else(|| wrong("holds no seed of a user's key"))?;
    let key = user_key(seed).ok_or_else(|| wrong("holds a seed that is none of a user's key"))?;
    let claims = jwt.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
    let claims = claims.ok_or_else(|| wrong("holds a JWT that cannot be read"))?;
    if claims.sub != key.public_key() {
        return Err(wrong("holds a key that does not fit its JWT"));
    }
    if claims.exp != 0 && claims.exp.saturating_mul(1_000) <= now_ms() {
        let why = format!(
            "'nats.credentials_file': what {} holds is over since {}",
            path.display(),
            date(claims.exp)
        );
        return Err(Error::new(ErrorKind::Authentication, why));
    }
    Ok(Proof::Jwt(jwt.to_owned(), seed.to_owned()))
}

fn date(seconds: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!("{} {:02}:{:02} UTC", time.date(), time.hour(), time.minute())
}

/// The line behind the one that says what begins here.
fn decorated<'a>(text: &'a str, what: &str) -> Option<&'a str> {
    let begin = format!("-BEGIN {what}-");
    let mut lines = text.lines().skip_while(|line| !line.contains(&begin)).skip(1).map(str::trim);
    lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(sub: &str, exp: i64, seed: &str) -> String {
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"sub\":\"{sub}\",\"exp\":{exp}}}"));
        format!(
            "-----BEGIN NATS USER JWT-----\neyJ9.{claims}.c2ln\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }

    #[test]
    fn files_are_read_or_say_what_they_lack() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let key = KeyPair::new_user();
        let (seed, public) = (key.seed().unwrap(), key.public_key());
        let other = KeyPair::new_account().seed().unwrap();
        let far = now_ms() / 1_000 + 3_600;
        let nkey: fn(&Path) -> Result<Proof, Error> = read_nkey;
        for (read, text, expected) in [
            (nkey, format!("# mine\n{seed}\n"), None),
            (nkey, other.clone(), Some("holds no seed")),
            (nkey, String::new(), Some("holds no seed")),
            (read_credentials, credentials(&public, 0, &seed), None),
            (read_credentials, credentials(&public, far, &seed), None),
            (
                read_credentials,
                credentials(&public, 1_000, &seed),
                Some("is over since 1970-01-01 00:16 UTC"),
            ),
            (read_credentials, credentials("UXXX", 0, &seed), Some("holds a key that does not fit its JWT")),
            (read_credentials, credentials(&public, 0, &other), Some("none of a user's key")),
            (read_credentials, seed.clone(), Some("holds no JWT")),
            (read_credentials, credentials(&public, 0, ""), Some("holds no seed")),
        ] {
            std::fs::write(&path, &text).unwrap();
            match (read(&path), expected) {
                (Ok(proof), None) => {
                    let signed = proof.auth(b"nonce").unwrap().signature.unwrap();
                    key.verify(b"nonce", &signed).unwrap();
                }
                (Err(error), Some(part)) => {
                    let told = error.to_string();
                    assert!(told.contains(part) && told.contains("_file'"), "{told}");
                    assert!(!told.contains(&seed) && !told.contains(&other), "{told}");
                }
                (found, expected) => panic!("{expected:?}: {:?}", found.err()),
            }
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let login = Login::User { user: "ann".to_owned(), password: Secret::Text("hidden".to_owned()) };
        assert!(!format!("{login:?}").contains("hidden"));
        assert_eq!(
            Secret::Text(String::new()).read("token").unwrap_err().to_string(),
            "'nats.token': is empty"
        );
    }
}
