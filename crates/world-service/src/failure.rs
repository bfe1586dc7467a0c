//! What a failure of the storage is to a caller of a service.

use tidings_protocol::ErrorCode;
use tidings_service::CallError;
use tidings_storage::ErrorKind;

/// The storage's error for callers; its chain is logged here, once. No text of the storage holds a value.
pub(crate) fn stored(error: tidings_storage::Error) -> CallError {
    match error.kind() {
        ErrorKind::Conflict => CallError::new(ErrorCode::Conflict, capital(&error.to_string())),
        ErrorKind::NotFound => CallError::new(ErrorCode::NotFound, capital(&error.to_string())),
        ErrorKind::Limit => CallError::new(ErrorCode::FailedPrecondition, capital(&error.to_string())),
        kind => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, ?kind, source, "the storage failed");
            match kind {
                ErrorKind::Schema => CallError::internal("What is stored cannot be read."),
                _ => CallError::unavailable("The storage does not answer at the moment."),
            }
        }
    }
}

/// A sentence of a lower-case clause.
fn capital(clause: &str) -> String {
    let mut chars = clause.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", chars.as_str())
}

/// An id that came in a request.
pub(crate) fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, CallError> {
    text.parse()
        .map_err(|_| CallError::new(ErrorCode::InvalidArgument, format!("That is not the id of {what}.")))
}
