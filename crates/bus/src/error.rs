//! One error for the crate: a kind, by what a caller can do, and a source.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What went wrong, by what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection to the backend.
    Connection,
    /// A publish, append or commit was not taken.
    Publish,
    /// A subscription could not be made.
    Subscribe,
    /// A subscription could not be ended.
    Unsubscribe,
    /// Nobody serves the subject.
    NoResponders,
    /// No answer within the deadline: the outcome is not known.
    Timeout,
    /// A health check did not come back.
    HealthCheck,
    /// A subject, pattern or registry that is not allowed.
    Subject,
    /// A message that does not have its subject's form or size.
    Schema,
    /// The fence moved: somebody else owns it now.
    Fenced,
    /// A compare-and-set found another revision, or a create found a value.
    WrongRevision,
    /// A bounded queue is full.
    Overloaded,
    /// The breaker of the destination is open.
    CircuitOpen,
    /// The durable store cannot be read or written: full, or damaged at a place that is named.
    Storage,
    /// What is there has another form than was declared, and is not changed; or it was deleted.
    Mismatch,
    /// The servers do not let this process in.
    Authentication,
    /// The servers do not let this process send or hear something; the sentence names it.
    Permission,
    /// There is no TLS with the servers: a certificate, or how TLS begins.
    Tls,
    /// A setting that cannot hold.
    Config,
    /// The bus is drained or closed.
    Closed,
}

impl ErrorKind {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
            Self::NoResponders => "no_responders",
            Self::Timeout => "timeout",
            Self::HealthCheck => "health_check",
            Self::Subject => "subject",
            Self::Schema => "schema",
            Self::Fenced => "fenced",
            Self::WrongRevision => "wrong_revision",
            Self::Overloaded => "overloaded",
            Self::CircuitOpen => "circuit_open",
            Self::Storage => "storage",
            Self::Mismatch => "mismatch",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::Tls => "tls",
            Self::Config => "config",
            Self::Closed => "closed",
        }
    }
}

/// An error of the bus: a pointer, as every outcome has room for one and few carry one.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    what: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a sentence that says what was tried.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, what: what.into(), retry_after: None, source: None }))
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same error, saying when to try again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    pub(crate) fn closed() -> Self {
        Self::new(ErrorKind::Closed, "the bus is closed")
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// When to try again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call may succeed later. A timed-out request may have been received: whether to repeat
    /// it is for a caller who knows that it is idempotent.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Connection
                | ErrorKind::NoResponders
                | ErrorKind::Timeout
                | ErrorKind::HealthCheck
                | ErrorKind::Overloaded
                | ErrorKind::CircuitOpen
                | ErrorKind::Storage
        )
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, what, retry_after, source } = &*self.0;
        f.debug_struct("Error")
            .field("kind", kind)
            .field("what", what)
            .field("retry_after", retry_after)
            .field("source", source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
