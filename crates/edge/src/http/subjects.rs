//! Subjects for staff: by what this server's messages go.

use hyper::StatusCode;
use serde_json::json;
use tidings_service::listing::listed;

use super::identity::identify;
use super::problem::Problem;
use super::response::{self, Answer};
use super::routes::Call;

/// Who may look.
const ROLES: [&str; 2] = ["moderator", "admin"];

/// `GET /api/v1/subjects`
pub async fn list(call: &mut Call) -> Result<Answer, Problem> {
    let who = identify(call).await?;
    if !ROLES.contains(&who.role.as_str()) {
        return Err(Problem::forbidden("This is for the role 'moderator'."));
    }
    let subjects = listed(call.http.caller.bus().registry());
    Ok(response::json(StatusCode::OK, &json!({ "subjects": subjects })))
}
