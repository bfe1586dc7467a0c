//! One error for the crate: a kind, by what a caller can do, and a source.

use std::error::Error as StdError;
use std::fmt;

/// What went wrong, by what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The database cannot be reached or opened.
    Connection,
    /// Too much is asked at once: nothing was done, trying again can help.
    Overloaded,
    /// There is one already: a name that is taken, or looks like one that is.
    Conflict,
    /// What was to be changed is not there.
    NotFound,
    /// A bound of the data would be passed: too many characters of an account.
    Limit,
    /// What is stored does not have the expected form; or was made by a newer version.
    Schema,
    /// The database cannot read or write: full, or damaged.
    Storage,
    /// The store is closed.
    Closed,
}

/// An error of the storage. Its texts hold no value of any row.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind` with a sentence that says what was tried.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// The same error, with what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, where it is `Conflict`, saying what is taken.
    #[must_use]
    pub(crate) fn taken(mut self, what: &str) -> Self {
        if self.kind == ErrorKind::Conflict {
            what.clone_into(&mut self.what);
        }
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::Connection | ErrorKind::Overloaded | ErrorKind::Storage)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let (kind, what) = match &error {
            sqlx::Error::PoolTimedOut => (ErrorKind::Overloaded, "the database is busy"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                (ErrorKind::Closed, "the database is closed")
            }
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
                (ErrorKind::Connection, "the database cannot be reached")
            }
            sqlx::Error::RowNotFound => (ErrorKind::NotFound, "there is no such row"),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                (ErrorKind::Schema, "a stored row does not have the expected form")
            }
            sqlx::Error::Database(inner) if inner.is_unique_violation() => {
                (ErrorKind::Conflict, "there is one already")
            }
            sqlx::Error::Database(inner) if inner.is_foreign_key_violation() => {
                (ErrorKind::NotFound, "what it belongs to is not there")
            }
            sqlx::Error::Database(inner) if is_busy(inner.code().as_deref()) => {
                (ErrorKind::Overloaded, "the database is locked by another process")
            }
            _ => (ErrorKind::Storage, "the database failed"),
        };
        Self::new(kind, what).because(error)
    }
}

/// SQLITE_BUSY (5) and SQLITE_LOCKED (6), with their extended codes.
fn is_busy(code: Option<&str>) -> bool {
    code.and_then(|code| code.parse::<i64>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
