//! What can go wrong for a client, by what it can do about it.

use tidings_protocol::frames::{Bye, ErrorFrame};

/// An error of the client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server cannot be reached, or the connection broke: come back with `resume`.
    #[error("the connection to the server failed")]
    Connection(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An HTTP request was refused.
    #[error("{method} {path} was answered with {status}: {detail}")]
    Http {
        /// The method.
        method: String,
        /// The path.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The problem's sentence, or the body.
        detail: String,
        /// The problem's code, where it has one.
        code: Option<String>,
    },
    /// The server refused a frame.
    #[error("the server refused: {}", .0.message)]
    Refused(Box<ErrorFrame>),
    /// The server ended the session.
    #[error("the server said goodbye ({}): {}", .0.code, .0.reason)]
    Bye(Box<Bye>),
    /// What came was not a frame of the protocol.
    #[error("the server sent something that is no frame")]
    Frame(#[from] serde_json::Error),
    /// The connection was closed without a word.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came in time.
    #[error("nothing came within {0:?}")]
    Timeout(std::time::Duration),
}

impl Error {
    pub(crate) fn connection(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Connection(source.into())
    }

    /// Whether to come back with `resume`.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connection(_) | Self::Closed | Self::Timeout(_) => true,
            Self::Bye(bye) => bye.reconnect,
            Self::Refused(error) => error.code.is_retryable(),
            Self::Http { status, .. } => matches!(status, 429 | 503 | 504),
            Self::Frame(_) => false,
        }
    }
}
