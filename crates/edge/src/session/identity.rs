//! Who says hello: by a token, by a ticket from a page, or by the secret of a session that goes on.

use std::time::Instant;

use tidings_protocol::proto::services::v1::{
    OpenSession, OpenSessionRequest, PresentedTicket, ResumeSessionRequest, VerifyRequest,
};
use tidings_protocol::{CloseCode, ErrorCode};
use tidings_service::CallError;

use super::{CALL_DEADLINE, Hello, retry};
use crate::http::ConnInfo;
use crate::shard::Bye;
use crate::shared::Shared;

/// Longest token, ticket, secret or name that is looked at.
const SECRET_BYTES_MAX: usize = 4096;

/// Why nobody joins: what the client is told.
pub struct Refused {
    /// The `error` before it.
    pub error: Option<CallError>,
    /// The last frame.
    pub bye: Bye,
}

impl Refused {
    fn unauthenticated(message: &str) -> Self {
        let error = CallError::new(ErrorCode::Unauthenticated, message);
        Self { error: Some(error), bye: Bye::of(CloseCode::Unauthenticated) }
    }

    /// What a failed call means for a client that signs in.
    pub fn of(error: CallError) -> Self {
        let bye = match error.code {
            ErrorCode::Unauthenticated => Bye::of(CloseCode::Unauthenticated),
            ErrorCode::PermissionDenied => Bye::saying(CloseCode::Banned, &*error.message),
            ErrorCode::InvalidArgument | ErrorCode::NotFound | ErrorCode::FailedPrecondition => {
                Bye::saying(CloseCode::Unauthenticated, &*error.message)
            }
            ErrorCode::Conflict => Bye::of(CloseCode::TakenOver),
            _ => Bye::of(CloseCode::Unavailable),
        };
        Self { error: Some(error), bye }
    }

    /// What a failed call means for a client that resumes.
    fn of_resume(error: CallError) -> Self {
        if error.is_retryable() || matches!(error.code, ErrorCode::Internal | ErrorCode::PermissionDenied) {
            return Self::of(error);
        }
        Self { bye: Bye::of(CloseCode::ResumeRefused), error: Some(error) }
    }
}

/// The session that a hello opens or resumes.
pub async fn open(
    shared: &Shared,
    info: &ConnInfo,
    hello: &Hello,
    deadline: Instant,
) -> Result<OpenSession, Refused> {
    let texts = [&hello.token, &hello.ticket, &hello.csrf, &hello.character];
    if texts.into_iter().flatten().any(|text| text.len() > SECRET_BYTES_MAX) {
        return Err(Refused::unauthenticated("Please sign in."));
    }
    let ways = [hello.token.is_some(), hello.ticket.is_some(), hello.resume.is_some()];
    if ways.into_iter().filter(|way| *way).count() != 1 {
        return Err(Refused::unauthenticated("A hello has a token, or a ticket, or a session to resume."));
    }
    if let Some(resume) = &hello.resume {
        return self::resume(shared, info, &resume.secret, deadline).await;
    }
    let request = OpenSessionRequest {
        identity: None,
        ticket: None,
        character: hello.character.clone().unwrap_or_default(),
        edge: shared.config.edge.clone(),
        address: info.address.to_string(),
    };
    let opened = match (&hello.token, &hello.ticket) {
        (Some(token), _) => by_token(shared, token, request, deadline).await,
        (None, Some(ticket)) => {
            let ticket = presented(info, ticket, hello.csrf.as_ref())?;
            let request = OpenSessionRequest { ticket: Some(ticket), ..request };
            // Not tried twice: a ticket is used once.
            shared.caller.call("session", "open", &request, CALL_DEADLINE).await
        }
        (None, None) => return Err(Refused::unauthenticated("Please sign in.")),
    };
    opened.map_err(Refused::of)
}

/// Who the token belongs to is not asked twice: it fails closed.
async fn by_token(
    shared: &Shared,
    token: &str,
    request: OpenSessionRequest,
    deadline: Instant,
) -> Result<OpenSession, CallError> {
    let verify = VerifyRequest { access_token: token.to_owned() };
    let identity = shared.caller.call("account", "verify", &verify, CALL_DEADLINE).await?;
    let request = OpenSessionRequest { identity: Some(identity), ..request };
    retry::until(deadline, CALL_DEADLINE, |left| shared.caller.call("session", "open", &request, left)).await
}

/// A ticket as a page presents it.
fn presented(info: &ConnInfo, ticket: &str, csrf: Option<&String>) -> Result<PresentedTicket, Refused> {
    let Some(csrf) = csrf else {
        return Err(Refused::unauthenticated("A ticket comes with its CSRF token."));
    };
    if !info.origin_present {
        return Err(Refused::unauthenticated("A ticket is for a page: its Origin is missing."));
    }
    Ok(PresentedTicket { ticket: ticket.to_owned(), csrf_token: csrf.clone() })
}

async fn resume(
    shared: &Shared,
    info: &ConnInfo,
    secret: &str,
    deadline: Instant,
) -> Result<OpenSession, Refused> {
    if secret.len() > SECRET_BYTES_MAX {
        return Err(Refused { error: None, bye: Bye::of(CloseCode::ResumeRefused) });
    }
    let request = ResumeSessionRequest {
        secret: secret.to_owned(),
        edge: shared.config.edge.clone(),
        address: info.address.to_string(),
    };
    retry::until(deadline, CALL_DEADLINE, |left| shared.caller.call("session", "resume", &request, left))
        .await
        .map_err(Refused::of_resume)
}
