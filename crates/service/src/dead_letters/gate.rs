//! Who may ask the service `deadletter`: moderators look, admins put back and take out. Whoever may not is refused and
//! noted in the audit log, and nothing is changed that the log does not have. The rule is here, beside the service;
//! tokens and the log are the [`Gate`]'s.

use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{Identity, StaffToken};

use crate::error::CallError;

/// What there are of roles, each with what those before it may.
const ROLES: [&str; 4] = ["player", "builder", "moderator", "admin"];

/// Verifies tokens, and keeps the audit log.
pub trait Gate: Send + Sync + 'static {
    /// Who a token belongs to, with the role that the service of accounts knows. Where that cannot be told, it is an error.
    fn identify(&self, token: StaffToken) -> impl Future<Output = Result<Identity, CallError>> + Send;

    /// Adds to the audit log. What is to be noted is stored when this returns.
    fn note(&self, note: Note) -> impl Future<Output = Result<(), CallError>> + Send;
}

/// An entry of the audit log that has no time yet. Its texts are as long as whoever asked made them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the names say it
pub struct Note {
    pub account: String,
    pub name: String,
    pub action: &'static str,
    pub target: String,
    pub detail: String,
}

/// What can be done to dead letters, and the role it takes.
pub(super) struct Deed {
    action: &'static str,
    role: &'static str,
}

pub(super) const LIST: Deed = Deed { action: "dead-letters.list", role: "moderator" };
pub(super) const REPLAY: Deed = Deed { action: "dead-letters.replay", role: "admin" };
pub(super) const PURGE: Deed = Deed { action: "dead-letters.purge", role: "admin" };

impl Deed {
    pub(super) fn note(&self, who: &Identity, target: &str, detail: String) -> Note {
        let (account, name) = (who.account.clone(), who.username.clone());
        Note { account, name, action: self.action, target: target.to_owned(), detail }
    }

    fn is_for(&self, who: &Identity) -> bool {
        let rank = |role: &str| ROLES.iter().position(|known| *known == role);
        rank(&who.role) >= rank(self.role) && !who.guest
    }
}

/// Who asks, where their role allows it.
pub(super) async fn admit(
    gate: &impl Gate,
    token: Option<StaffToken>,
    deed: &Deed,
    target: &str,
) -> Result<Identity, CallError> {
    let presented = token.filter(|token| !token.access.is_empty() || !token.refresh.is_empty());
    let who = gate.identify(presented.ok_or_else(no_token)?).await?;
    if deed.is_for(&who) {
        return Ok(who);
    }
    // Refused they are in any case.
    if let Err(error) = gate.note(deed.note(&who, target, "refused".to_owned())).await {
        let (account, action) = (&who.account, deed.action);
        tracing::warn!(%error, account, action, "a refusal is not in the audit log");
    }
    Err(CallError::new(ErrorCode::PermissionDenied, format!("This is for the role '{}'.", deed.role)))
}

fn no_token() -> CallError {
    let text = "Dead letters are for staff: the call has to carry an access token.";
    CallError::new(ErrorCode::Unauthenticated, text)
}
