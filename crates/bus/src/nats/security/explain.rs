//! Why a connection was not made, in words that name what to set. The client tells of an input/output error for
//! almost everything; what it came from is in its sources.

use std::error::Error as StdError;
use std::time::Duration;

use async_nats::rustls::{self, AlertDescription, CertificateError};
use async_nats::{ConnectError, ConnectErrorKind};

use crate::error::{Error, ErrorKind};
use crate::nats::security::Secured;
use crate::nats::security::scheme::Scheme;

/// What TLS says of it, where it is TLS that failed.
fn of_tls(error: &ConnectError) -> Option<&rustls::Error> {
    let mut at: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(one) = at {
        if let Some(found) = one.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner = one.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        at = match inner {
            Some(inner) => Some(inner),
            None => one.source(),
        };
    }
    None
}

impl Secured {
    /// The client's error, met at these servers, as the bus tells it.
    pub(crate) fn explain(&self, error: &ConnectError, servers: &str) -> Error {
        let tls =
            |why: String| Error::new(ErrorKind::Tls, format!("no connection to NATS at {servers}: {why}"));
        match (error.kind(), of_tls(error)) {
            (_, Some(_)) if self.scheme == Scheme::Plain => {
                tls("a server wants TLS: write tls:// in 'nats.servers', and name its authority in 'nats.ca_file'".into())
            }
            (_, Some(found)) => tls(self.why_tls(found)),
            (ConnectErrorKind::AuthorizationViolation, _) => self.not_let_in(servers),
            (ConnectErrorKind::Authentication, _) => {
                let what = format!("the challenge of NATS at {servers} cannot be answered");
                Error::new(ErrorKind::Authentication, what)
            }
            _ if self.ends_mute(error) => tls(
                "a server ended the connection without a word: one with handshake_first wants TLS from the first byte \
                 on ('nats.tls_first')"
                    .into(),
            ),
            _ if self.ends_after_tls(error) => tls(
                "a server ended the connection right after TLS: the certificate in 'nats.cert_file' may not be one it \
                 takes"
                    .into(),
            ),
            _ => Error::new(ErrorKind::Connection, format!("no connection to NATS at {servers}: {error}")),
        }
    }

    /// Nobody answered in this time.
    pub(crate) fn silent(&self, wait: Duration, servers: &str) -> Error {
        let what = format!("no connection to NATS at {servers}: no answer within {wait:?}");
        Error::new(ErrorKind::Connection, what)
    }

    /// The server neither spoke nor let speak.
    fn ends_mute(&self, error: &ConnectError) -> bool {
        self.scheme == Scheme::Tls
            && !self.settings.tls_first
            && error.to_string().contains("expected INFO, got nothing")
    }

    /// The server's reason was lost with the connection.
    fn ends_after_tls(&self, error: &ConnectError) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
        let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        let cut = source.is_some_and(|io| matches!(io.kind(), BrokenPipe | ConnectionReset | UnexpectedEof));
        self.scheme == Scheme::Tls && (cut || error.to_string().contains("broken pipe"))
    }

    fn not_let_in(&self, servers: &str) -> Error {
        let settings = self.settings.login.settings();
        let why = match self.settings.login {
            crate::nats::security::Login::None => format!("wants to know who this is, and {settings}"),
            _ => format!("does not let in whom {settings} name"),
        };
        Error::new(ErrorKind::Authentication, format!("NATS at {servers} {why}"))
    }

    fn why_tls(&self, error: &rustls::Error) -> String {
        use rustls::Error as Tls;
        match error {
            Tls::InvalidMessage(_) if self.settings.tls_first => {
                "a server does not begin with TLS: it has none, or 'nats.tls_first' is not for it".into()
            }
            Tls::InvalidMessage(_) => {
                "a server has no TLS: write nats:// in 'nats.servers', or set TLS up there".into()
            }
            Tls::InvalidCertificate(why) => self.why_certificate(why),
            Tls::AlertReceived(AlertDescription::CertificateRequired) => self.wants_certificate(),
            Tls::AlertReceived(AlertDescription::BadCertificate) if self.settings.cert_file.is_none() => {
                self.wants_certificate()
            }
            Tls::AlertReceived(AlertDescription::CertificateExpired) => {
                "the server finds the certificate in 'nats.cert_file' expired".into()
            }
            Tls::AlertReceived(AlertDescription::UnknownCA) => {
                "the server does not know the authority of the certificate in 'nats.cert_file'".into()
            }
            Tls::AlertReceived(AlertDescription::BadCertificate) => {
                "the server does not take the certificate in 'nats.cert_file'".into()
            }
            other => format!("TLS failed: {other}"),
        }
    }

    fn wants_certificate(&self) -> String {
        "the server wants a certificate of this process: set 'nats.cert_file' and 'nats.key_file'".into()
    }

    fn why_certificate(&self, why: &CertificateError) -> String {
        match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the server's certificate has expired, or this machine's clock is wrong: {why}")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the server's certificate is not valid yet, or this machine's clock is wrong: {why}")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
                "the server's certificate is for another name: {why}. Use a name it holds in 'nats.servers', or set \
                 'nats.server_name' to one"
            ),
            CertificateError::UnknownIssuer => match &self.settings.ca_file {
                Some(path) => format!(
                    "the server's certificate is from another authority than those in {} ('nats.ca_file')",
                    path.display()
                ),
                None => "the server's certificate is from an authority that this machine does not know: name it in \
                         'nats.ca_file'"
                    .into(),
            },
            other => format!("the server's certificate cannot be used: {other}"),
        }
    }
}
