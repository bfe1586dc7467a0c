//! How the servers are known to be the right ones, and how this process proves to them who it is.
//!
//! Start reading at [`Security`], what may be set; `Secured` is what is made of it before a connection is tried, so
//! that a file that cannot be used is told of by its setting. Files are looked at again while the process runs: what
//! they hold when they are good is used from the next connection on (`Secured::watch`).

mod explain;
mod files;
mod login;
mod scheme;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::ConnectOptions;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;

use self::files::Stamps;
use self::login::Proof;
pub use self::login::{Login, Secret};
use self::scheme::Scheme;
use self::tls::Tls;
use crate::error::Error;
use crate::nats::config::NatsConfig;
use crate::nats::connection::jitter;
use crate::nats::member::Member;

/// How often the files are looked at: certificates and credentials are renewed minutes before they end.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Processes that share a file connect anew spread over this time, not all at once.
const RECONNECT_SPREAD: Duration = Duration::from_secs(2);
/// How long what was published before may take to be on its way when the process connects anew.
const FLUSH_WAIT: Duration = Duration::from_secs(1);

/// Certificates and credentials. In errors each is called as in a configuration: `nats.ca_file` is `ca_file`.
///
/// Whether there is TLS is for the addresses to say: `tls://`, or `nats://` without any; all of them alike. With
/// `tls://` nothing is sent before TLS, to servers that the cluster itself names neither.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// The authorities that may vouch for the servers, as PEM. Without it: those this machine trusts.
    pub ca_file: Option<PathBuf>,
    /// The certificate by which this process is known (mTLS), with what leads to its authority, as PEM.
    pub cert_file: Option<PathBuf>,
    /// Its key, as PEM.
    pub key_file: Option<PathBuf>,
    /// The name that the servers' certificates have to hold instead of the host of their address.
    pub server_name: Option<String>,
    /// TLS from the first byte on, as servers with `handshake_first` want it.
    pub tls_first: bool,
    /// Who this process is.
    pub login: Login,
}

impl Security {
    /// Whether anything is set that is of TLS alone.
    fn names_tls(&self) -> Option<&'static str> {
        [
            (self.ca_file.is_some(), "nats.ca_file"),
            (self.cert_file.is_some(), "nats.cert_file"),
            (self.key_file.is_some(), "nats.key_file"),
            (self.server_name.is_some(), "nats.server_name"),
            (self.tls_first, "nats.tls_first"),
        ]
        .into_iter()
        .find_map(|(set, name)| set.then_some(name))
    }

    fn tls_files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca_file, &self.cert_file, &self.key_file].into_iter().flatten()
    }
}

/// What is made of the settings: in use by the connection.
pub(crate) struct Secured {
    settings: Security,
    scheme: Scheme,
    tls: Arc<Tls>,
    proof: RwLock<Arc<Proof>>,
    seen: Mutex<Stamps>,
}

impl Secured {
    /// Reads and checks everything: what is wrong is told before anybody is asked.
    pub(crate) fn load(config: &NatsConfig) -> Result<Arc<Self>, Error> {
        let settings = config.security.clone();
        let scheme = Scheme::of(&config.servers, &settings)?;
        let seen = Stamps::of(&settings);
        let proof = RwLock::new(Arc::new(settings.login.read()?));
        let tls = Tls::new(&settings, scheme)?;
        Ok(Arc::new(Self { settings, scheme, tls, proof, seen: Mutex::new(seen) }))
    }

    /// The certificates that a server showed last, each as DER, its own first; none without TLS.
    pub(crate) fn shown(&self) -> Vec<Bytes> {
        self.tls.shown()
    }

    /// Options for a connection that keeps to it.
    pub(crate) fn options(self: &Arc<Self>) -> Result<ConnectOptions, Error> {
        let options = match self.settings.login {
            Login::None => ConnectOptions::new(),
            _ => {
                let secured = self.clone();
                ConnectOptions::with_auth_callback(move |nonce| {
                    let proof = secured.proof.read().clone();
                    std::future::ready(proof.auth(&nonce))
                })
            }
        };
        let options =
            options.require_tls(self.scheme == Scheme::Tls).tls_client_config(self.tls.client_config()?);
        Ok(if self.settings.tls_first { options.tls_first() } else { options })
    }

    /// Uses what changed in the files, until it is stopped. Certificates count from the next connection on, since a
    /// connection that stands asks for none. Other credentials may be other rights, so the process connects anew.
    pub(crate) async fn watch(self: Arc<Self>, members: Vec<Arc<Member>>, stop: CancellationToken) {
        let watching = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let secured = self.clone();
                let renewed = tokio::task::spawn_blocking(move || secured.refresh()).await;
                if !renewed.unwrap_or(false) {
                    continue;
                }
                tokio::time::sleep(jitter(RECONNECT_SPREAD)).await;
                for client in members.iter().filter_map(|member| member.client()) {
                    let _ = tokio::time::timeout(FLUSH_WAIT, client.flush()).await;
                    // One that has ended is made anew with what there is now.
                    let _ = client.force_reconnect().await;
                }
            }
        };
        stop.run_until_cancelled(watching).await;
    }

    /// Reads what has changed; whether there are other credentials. What cannot be used is told once, and what was
    /// there before stays in use.
    fn refresh(&self) -> bool {
        let now = Stamps::of(&self.settings);
        let changed = self.seen.lock().replace(now);
        if changed.tls {
            told("certificates", self.tls.reload(&self.settings));
        }
        if !changed.login {
            return false;
        }
        let read = self.settings.login.read();
        let renewed = read.as_ref().is_ok_and(|proof| **self.proof.read() != *proof);
        told("credentials", read.map(|proof| *self.proof.write() = Arc::new(proof)));
        renewed
    }
}

fn told(what: &'static str, outcome: Result<(), Error>) {
    let result = match outcome {
        Ok(()) => {
            tracing::info!("the {what} for NATS were read anew");
            "used"
        }
        Err(error) => {
            tracing::warn!(%error, "the {what} for NATS have changed and cannot be used: those of before stay");
            "refused"
        }
    };
    metrics::counter!("tidings_bus_security_reloads_total", "what" => what, "outcome" => result).increment(1);
}
