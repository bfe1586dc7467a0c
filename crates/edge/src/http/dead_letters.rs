//! Dead letters for staff: moderators look, admins put back and take out. The service `deadletter` does it, and looks
//! who asks: an edge has no rights on queues, and passes on the token that the request shows.

use hyper::StatusCode;
use serde::Deserialize;
use tidings_protocol::proto::services::v1::StaffToken;
use tidings_service::dead_letters::{self, Ask, Which};

use super::identity::staff_token;
use super::problem::Problem;
use super::query;
use super::response::{self, Answer};
use super::routes::Call;

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
    let staff = staff_token(call).await?;
    answer(call, staff, Ask::Queues {}).await
}

/// `GET /api/v1/dead-letters/{id}`: a page of letters, or with `letter` one of them.
pub async fn list(call: &mut Call) -> Result<Answer, Problem> {
    let (staff, queue) = (staff_token(call).await?, queue(call));
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
    answer(call, staff, ask).await
}

/// `POST /api/v1/dead-letters/{id}/replay`
pub async fn replay(call: &mut Call) -> Result<Answer, Problem> {
    let (staff, queue, change) = change(call).await?;
    let ask = match change {
        Change { id: Some(id), which: None, per_second: None } => Ask::Replay { queue, id },
        Change { id: None, which: Some(which), per_second } => Ask::ReplayMany { queue, which, per_second },
        _ => return Err(one_or_many()),
    };
    answer(call, staff, ask).await
}

/// `POST /api/v1/dead-letters/{id}/purge`
pub async fn purge(call: &mut Call) -> Result<Answer, Problem> {
    let (staff, queue, change) = change(call).await?;
    let ask = match change {
        Change { id: Some(id), which: None, per_second: None } => Ask::Purge { queue, id },
        Change { id: None, which: Some(which), per_second: None } => Ask::PurgeMany { queue, which },
        _ => return Err(one_or_many()),
    };
    answer(call, staff, ask).await
}

fn one_or_many() -> Problem {
    Problem::invalid("The body takes either 'id', a letter's number, or 'which', a description of letters.")
}

fn queue(call: &Call) -> String {
    call.parameter.clone().unwrap_or_default()
}

async fn change(call: &mut Call) -> Result<(StaffToken, String, Change), Problem> {
    let staff = staff_token(call).await?;
    let change = call.json(false).await?;
    Ok((staff, queue(call), change))
}

async fn answer(call: &Call, staff: StaffToken, ask: Ask) -> Result<Answer, Problem> {
    let answer = dead_letters::ask(&call.http.caller, staff, ask).await?;
    Ok(response::json(StatusCode::OK, &answer))
}
