//! How the NATS backend is set up.

use std::fmt;
use std::time::Duration;

use crate::config::BusConfig;
use crate::error::{Error, ErrorKind};
use crate::nats::security::Security;
use crate::registry::Registry;
use crate::settings::{BucketConfig, Keep, Retention};
use crate::subject::matches_text;

/// Connections of a process at most: each costs both sides buffers and a task, and a process has no more cores to gain by.
pub const POOL_MAX: usize = 16;

/// The least that a client keeps for a subscription: what reads that are under way side by side are answered with.
pub const CLIENT_QUEUE_MIN: usize = 16_384;

/// How the NATS backend is set up.
#[derive(Clone)]
pub struct NatsConfig {
    /// Where the servers are: `tls://` or, without TLS, `nats://` and an address, in any number, all alike.
    pub servers: Vec<String>,
    /// Certificates and credentials.
    pub security: Security,
    /// What the subjects begin with that answers come to. With permissions of its own for each user, answers to one are
    /// not heard by another. Answers go nowhere but to what begins like this, or with `_INBOX`.
    pub inbox: String,
    /// Whether this process trims logs to the count they may have. One at least has to, and it needs the right to.
    pub keeps: bool,
    /// Whether this process is a visitor, as a command is: it makes no streams, compares none, trims nothing by itself and
    /// notes no epoch. `Mismatch` where the streams of logs are not there. It uses no buckets.
    pub visits: bool,
    /// The name by which the servers know this process.
    pub name: String,
    /// Connections to the servers, 1 to [`POOL_MAX`](crate::POOL_MAX). A subject stays with one of them.
    pub pool: usize,
    /// Copies of each stream and bucket: 1, 3 or 5.
    pub replicas: usize,
    /// The buckets there are.
    pub buckets: Vec<BucketConfig>,
    /// How long a log that no rule names is kept.
    pub retention: Retention,
    /// What is kept of the logs of a pattern (without the prefix; `*` is any one token): the first that matches
    /// holds. Dead letters are kept 7 days unless a rule says otherwise.
    pub retention_rules: Vec<(String, Retention)>,
    /// Deadlines, retries, breakers, health.
    pub bus: BusConfig,
    /// How often the live copies are compared with the stream, beside every event that may have lost one.
    pub sweep_every: Duration,
    /// How often, on average, the counts of logs are compared with their retention.
    pub maintain_every: Duration,
    /// Whether logs are followed. The servers copy each message for followers as they store it, which is what storing
    /// many costs most (a third of the rate, `docs/benchmarks.md`); where logs are only read back, an audit or a ledger,
    /// this spares it, and `follow` is refused with `Config`. It is how the stream is made: all processes of it say the
    /// same, or are refused with `Mismatch` (but a visitor, which compares nothing).
    pub follow: bool,
    /// Bytes of recent messages kept in memory for followers; a follower further behind reads the stream.
    pub tail_bytes: usize,
    /// Messages that the client keeps for one subscription whose reader is late, beyond which it drops them. Readers move
    /// them on at once, so that this takes a process that stands still; it is counted, and mended from the stream
    /// where they are stored. At least [`CLIENT_QUEUE_MIN`](crate::CLIENT_QUEUE_MIN): answers wait there too.
    pub client_queue: usize,
    /// Atomic batches this process has open at once. A stream takes 50 of all processes together.
    pub open_batches: usize,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            security: Security::default(),
            inbox: "_INBOX".to_owned(),
            keeps: true,
            visits: false,
            name: "tidings".to_owned(),
            pool: 1,
            replicas: 1,
            buckets: Vec::new(),
            retention: Retention::default(),
            retention_rules: Vec::new(),
            bus: BusConfig::default(),
            sweep_every: Duration::from_secs(5),
            maintain_every: Duration::from_secs(60),
            follow: true,
            tail_bytes: 32 * 1024 * 1024,
            client_queue: 65_536,
            // Four such processes fit into what a stream takes; beyond it a refused batch is repeated.
            open_batches: 12,
        }
    }
}

impl fmt::Debug for NatsConfig {
    /// Without what an address may hold that nobody is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsConfig")
            .field("servers", &self.servers_shown())
            .field("security", &self.security)
            .field("name", &self.name)
            .field("pool", &self.pool)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

impl NatsConfig {
    pub(crate) fn check_connection(&self) -> Result<(), Error> {
        let what = if !(1..=POOL_MAX).contains(&self.pool) {
            format!("'nats.pool' is {}: 1 to {POOL_MAX} connections", self.pool)
        } else if self.client_queue < CLIENT_QUEUE_MIN {
            format!("client_queue is {}: at least {CLIENT_QUEUE_MIN}", self.client_queue)
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, what))
    }

    /// The same, at this server.
    #[must_use]
    pub fn server(mut self, address: impl Into<String>) -> Self {
        self.servers = vec![address.into()];
        self
    }

    /// The same, with one more bucket.
    #[must_use]
    pub fn bucket(mut self, name: &str, keep: Keep) -> Self {
        self.buckets.push(BucketConfig::new(name, keep));
        self
    }

    /// The same, with one more rule of retention.
    #[must_use]
    pub fn retain(mut self, pattern: &str, retention: Retention) -> Self {
        self.retention_rules.push((pattern.to_owned(), retention));
        self
    }

    /// The servers as they may be shown: without a user and a password that an address holds.
    pub fn servers_shown(&self) -> String {
        let shown = self.servers.iter().map(|server| {
            let (scheme, rest) = server.split_once("://").unwrap_or(("nats", server));
            let address = rest.rsplit_once('@').map_or(rest, |(_, address)| address);
            format!("{scheme}://{address}")
        });
        shown.collect::<Vec<_>>().join(", ")
    }

    /// What is kept of a log.
    pub(crate) fn retention_of(&self, registry: &Registry, subject: &str) -> Retention {
        let bare = subject.strip_prefix(registry.prefix()).unwrap_or(subject);
        if let Some((_, retention)) =
            self.retention_rules.iter().find(|(pattern, _)| matches_text(pattern, bare))
        {
            return *retention;
        }
        if bare.starts_with("dlq.") {
            return Retention::DEAD_LETTERS;
        }
        self.retention
    }
}
