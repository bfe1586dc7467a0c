//! The error of a call: what crosses the wire when there is no answer, and what the bus says of the way there.

use std::fmt;
use std::time::Duration;

use tidings_bus::ErrorKind;
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::Error as WireError;
use tidings_protocol::proto::world::v1::Refusal;

/// When to try again where a queue is full and nobody said more: about as long as a full queue takes to empty.
const RETRY_WHEN_FULL: Duration = Duration::from_millis(250);

/// Why a call has no answer: a code, a sentence for people, and when to try again where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// What went wrong, by what a caller can do about it.
    pub code: ErrorCode,
    /// A sentence.
    pub message: String,
    /// When to try again, where that is known.
    pub retry_after: Option<Duration>,
}

impl CallError {
    /// An error with a sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// A fault of the server. What is said here reaches clients: no secrets, no internals.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }

    /// Nobody answers at the moment.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message)
    }

    /// The same error, saying when to try again.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Whether the same call may succeed later. After `deadline_exceeded` the outcome is not known: whether to
    /// repeat is for a caller who knows the call to be idempotent.
    pub fn is_retryable(&self) -> bool {
        self.code.is_retryable()
    }

    fn retry_after_ms(&self) -> u64 {
        self.retry_after.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
    }

    fn from_parts(code: &str, message: String, retry_after_ms: u64) -> Self {
        let code = ErrorCode::from_name(code).unwrap_or(ErrorCode::Internal);
        let retry_after = (retry_after_ms > 0).then(|| Duration::from_millis(retry_after_ms));
        Self { code, message, retry_after }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code.as_str())
    }
}

impl std::error::Error for CallError {}

impl From<tidings_bus::Error> for CallError {
    fn from(error: tidings_bus::Error) -> Self {
        let (code, message) = match error.kind() {
            ErrorKind::Timeout => (ErrorCode::DeadlineExceeded, "There was no answer in time."),
            ErrorKind::Overloaded => (ErrorCode::ResourceExhausted, "There is too much to do at the moment."),
            ErrorKind::Fenced => (ErrorCode::Aborted, "Somebody else took over in between."),
            ErrorKind::WrongRevision => (ErrorCode::Conflict, "It changed in between."),
            ErrorKind::Subject | ErrorKind::Schema => {
                (ErrorCode::InvalidArgument, "The request does not have a form that can be sent.")
            }
            // Of this process, not of who asks; asking again does not help.
            ErrorKind::Permission => (ErrorCode::Internal, "This server lacks a right on the message bus."),
            _ => (ErrorCode::Unavailable, "Nobody answers at the moment."),
        };
        tracing::debug!(%error, kind = ?error.kind(), "a call failed on the bus");
        let full = error.kind() == ErrorKind::Overloaded;
        let retry_after = error.retry_after().or(full.then_some(RETRY_WHEN_FULL));
        Self { code, message: message.to_owned(), retry_after }
    }
}

impl From<WireError> for CallError {
    fn from(wire: WireError) -> Self {
        Self::from_parts(&wire.code, wire.message, wire.retry_after_ms)
    }
}

impl From<CallError> for WireError {
    fn from(error: CallError) -> Self {
        let retry_after_ms = error.retry_after_ms();
        Self { code: error.code.as_str().to_owned(), message: error.message, retry_after_ms }
    }
}

impl From<Refusal> for CallError {
    fn from(wire: Refusal) -> Self {
        Self::from_parts(&wire.code, wire.message, wire.retry_after_ms)
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let retry_after_ms = error.retry_after_ms();
        Self { code: error.code.as_str().to_owned(), message: error.message, retry_after_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_crosses_the_wire_whole() {
        for code in ErrorCode::ALL {
            let error = CallError::new(*code, "Why.").after(Duration::from_millis(250));
            assert_eq!(CallError::from(WireError::from(error.clone())), error);
            assert_eq!(CallError::from(Refusal::from(error.clone())), error);
        }
        let unknown = WireError { code: "from_a_later_version".into(), ..WireError::default() };
        assert_eq!(CallError::from(unknown).code, ErrorCode::Internal);
    }

    #[test]
    fn what_the_bus_says_becomes_a_code() {
        let code = |kind| CallError::from(tidings_bus::Error::new(kind, "x")).code;
        assert_eq!(code(ErrorKind::NoResponders), ErrorCode::Unavailable);
        assert_eq!(code(ErrorKind::Timeout), ErrorCode::DeadlineExceeded);
        assert_eq!(code(ErrorKind::Overloaded), ErrorCode::ResourceExhausted);
        assert_eq!(code(ErrorKind::Closed), ErrorCode::Unavailable);
    }
}
