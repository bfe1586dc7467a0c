//! Dead letters for staff: moderators look, admins put back and take out. Whoever may not is refused and noted in the
//! audit log, and nothing is changed that the log does not have. The service `deadletter` does it: an edge has no rights
//! on queues.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use tidings_protocol::ErrorCode;
use tidings_protocol::proto::services::v1::{AuditEntry, Empty, Identity};
use tidings_service::dead_letters::{self, Ask, Which};

use super::identity::identify;
use super::problem::Problem;
use super::query;
use super::response::{self, Answer};
use super::routes::Call;

/// How long a note in the audit log may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// What there are of roles, each with what those before it may.
const ROLES: [&str; 4] = ["player", "builder", "moderator", "admin"];

/// What is to be changed: one letter, or those that are described.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    id: Option<u64>,
    which: Option<Which>,
    per_second: Option<u32>,
}

/// `GET /api/v1/dead-letters`
pub async fn queues(call: &mut Call) -> Result<Answer, Problem> {
    allowed(call, "moderator", "dead-letters.list", "").await?;
    answer(call, Ask::Queues {}).await
}

/// `GET /api/v1/dead-letters/{id}`: a page of letters, or with `letter` one of them.
pub async fn list(call: &mut Call) -> Result<Answer, Problem> {
    let queue = queue(call);
    allowed(call, "moderator", "dead-letters.list", &queue).await?;
    let (mut which, mut one) = (Which::default(), None);
    for (name, value) in query::pairs(call.query())? {
        let wrong = |_| Problem::invalid(format!("'{name}' takes a whole number."));
        match name.as_str() {
            "reason" => which.reason = Some(value),
            "from_ms" => which.from_ms = Some(value.parse().map_err(wrong)?),
            "until_ms" => which.until_ms = Some(value.parse().map_err(wrong)?),
            "after" => which.after = value.parse().map_err(wrong)?,
            "limit" => which.limit = Some(value.parse().map_err(wrong)?),
            "letter" => one = Some(value.parse().map_err(wrong)?),
            _ => {
                let known = "reason, from_ms, until_ms, after, limit, letter";
                return Err(Problem::invalid(format!("The query takes {known}.")));
            }
        }
    }
    let ask = match one {
        Some(id) => Ask::Show { queue, id },
        None => Ask::List { queue, which },
    };
    answer(call, ask).await
}

/// `POST /api/v1/dead-letters/{id}/replay`
pub async fn replay(call: &mut Call) -> Result<Answer, Problem> {
    let (queue, change, who) = change(call, "dead-letters.replay").await?;
    let ask = match change {
        Change { id: Some(id), which: None, per_second: None } => Ask::Replay { queue, id },
        Change { id: None, which: Some(which), per_second } => Ask::ReplayMany { queue, which, per_second },
        _ => return Err(one_or_many()),
    };
    noted(call, &who, "dead-letters.replay", ask).await
}

/// `POST /api/v1/dead-letters/{id}/purge`
pub async fn purge(call: &mut Call) -> Result<Answer, Problem> {
    let (queue, change, who) = change(call, "dead-letters.purge").await?;
    let ask = match change {
        Change { id: Some(id), which: None, per_second: None } => Ask::Purge { queue, id },
        Change { id: None, which: Some(which), per_second: None } => Ask::PurgeMany { queue, which },
        _ => return Err(one_or_many()),
    };
    noted(call, &who, "dead-letters.purge", ask).await
}

fn one_or_many() -> Problem {
    Problem::invalid("The body takes either 'id', a letter's number, or 'which', a description of letters.")
}

fn queue(call: &Call) -> String {
    call.parameter.clone().unwrap_or_default()
}

async fn change(call: &mut Call, action: &str) -> Result<(String, Change, Identity), Problem> {
    let queue = queue(call);
    let who = allowed(call, "admin", action, &queue).await?;
    let change = call.json(false).await?;
    Ok((queue, change, who))
}

/// Who asks, where their role allows it.
async fn allowed(call: &Call, role: &str, action: &str, target: &str) -> Result<Identity, Problem> {
    let who = identify(call).await?;
    let rank = |role: &str| ROLES.iter().position(|known| *known == role);
    if rank(&who.role) >= rank(role) && !who.guest {
        return Ok(who);
    }
    // Refused they are in any case.
    if let Err(problem) = audit(call, &who, action, target, "refused").await {
        tracing::warn!(?problem, account = who.account, action, "a refusal is not in the audit log");
    }
    Err(Problem::forbidden(format!("This is for the role '{role}'.")))
}

async fn audit(call: &Call, who: &Identity, action: &str, target: &str, detail: &str) -> Result<(), Problem> {
    let entry = AuditEntry {
        time_ms: 0,
        account: who.account.clone(),
        name: who.username.clone(),
        action: action.to_owned(),
        target: target.to_owned(),
        detail: detail.to_owned(),
    };
    let Empty {} = call.http.caller.call("moderation", "audit", &entry, DEADLINE).await?;
    Ok(())
}

/// A change is noted before it is made: of one that dies in between it is known who wanted it.
async fn noted(call: &Call, who: &Identity, action: &str, ask: Ask) -> Result<Answer, Problem> {
    let detail = serde_json::to_string(&ask).map_err(|_| Problem::new(ErrorCode::Internal, "No JSON."))?;
    audit(call, who, action, &queue(call), &detail).await?;
    answer(call, ask).await
}

async fn answer(call: &Call, ask: Ask) -> Result<Answer, Problem> {
    let answer = dead_letters::ask(&call.http.caller, ask).await?;
    Ok(response::json(StatusCode::OK, &answer))
}
