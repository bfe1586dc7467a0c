//! With TLS or without: what the addresses say, of all servers alike.

use crate::error::Error;
use crate::nats::security::Security;
use crate::nats::security::files::refused;

/// Whether there is TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// `nats://`: none.
    Plain,
    /// `tls://`: always.
    Tls,
}

impl Scheme {
    /// Of these addresses; nothing is quoted that may hold a password.
    pub(super) fn of(servers: &[String], settings: &Security) -> Result<Self, Error> {
        let mut found = None;
        for server in servers {
            let scheme = match server.split_once("://") {
                Some((_, rest)) if rest.contains('@') => {
                    return Err(refused(
                        "servers",
                        "an address holds a user or a password, and addresses are shown and logged: use 'nats.user' \
                         with 'nats.password_file', or 'nats.token_file', instead",
                    ));
                }
                Some(("nats", rest)) if !rest.is_empty() => Self::Plain,
                Some(("tls", rest)) if !rest.is_empty() => Self::Tls,
                _ => {
                    return Err(refused(
                        "servers",
                        "takes addresses as in nats://10.0.0.1:4222 or tls://nats.example",
                    ));
                }
            };
            if found.is_some_and(|found| found != scheme) {
                let why = "some are nats:// and some tls://: what is said to one would be told to whoever listens to \
                           the way to another. Make all of them tls://, or all nats://";
                return Err(refused("servers", why));
            }
            found = Some(scheme);
        }
        let scheme = found.ok_or_else(|| refused("servers", "names no server"))?;
        match settings.names_tls() {
            Some(setting) if scheme == Self::Plain => Err(refused(
                "servers",
                format!("nats:// is without TLS, and '{setting}' is of TLS: write tls://, or leave it out"),
            )),
            _ => Ok(scheme),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn addresses_say_whether_there_is_tls() {
        let ca = Security { ca_file: Some(PathBuf::from("ca.pem")), ..Security::default() };
        let none = Security::default();
        for (servers, settings, expected) in [
            (&["nats://a"][..], &none, Ok(Scheme::Plain)),
            (&["tls://a", "tls://b:4222"], &ca, Ok(Scheme::Tls)),
            (&["nats://a"], &ca, Err("'nats.ca_file' is of TLS")),
            (&["tls://a", "nats://b"], &none, Err("some are nats:// and some tls://")),
            (&["nats://ann:hidden@a"], &none, Err("'nats.password_file'")),
            (&["tls://hidden@a"], &none, Err("'nats.token_file'")),
            (&["a:4222"], &none, Err("takes addresses")),
            (&["ws://a"], &none, Err("takes addresses")),
            (&["tls://"], &none, Err("takes addresses")),
            (&[], &none, Err("names no server")),
        ] {
            let servers: Vec<String> = servers.iter().map(|server| (*server).to_owned()).collect();
            match (Scheme::of(&servers, settings), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{servers:?}"),
                (Err(error), Err(part)) => {
                    let told = error.to_string();
                    assert!(
                        told.starts_with("'nats.servers': ") && told.contains(part),
                        "{servers:?}: {told}"
                    );
                    assert!(!told.contains("hidden"), "{told}");
                }
                (found, expected) => panic!("{servers:?}: {found:?}, not {expected:?}"),
            }
        }
    }
}
