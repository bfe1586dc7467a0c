//! The routes of accounts, sign-ins, characters and tickets. They check form, limits and identity; the rest is the
//! service's: names, passwords, tokens, who owns what.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use prost::Message;
use serde::Deserialize;
use serde_json::json;
use tidings_protocol::proto::services::v1::{
    AccountInfo, AccountRequest, CharacterList, CharacterName, CreateCharacterRequest,
    DeleteCharacterRequest, Empty, GuestRequest, IssueTicketRequest, RefreshRequest, RegisterRequest,
    SignInRequest, SignOutRequest, Ticket, Tokens,
};
use tidings_protocol::{CharacterId, ErrorCode};

use super::origin::{Origin, origin, refuse_foreign};
use super::problem::Problem;
use super::response::{self, Answer};
use super::routes::Call;
use super::{cookie, identity::identify};
use crate::limits::Verdict;

/// How long a call may take: a password's hash on a busy machine, twice over.
const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    username: String,
    password: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCharacter {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Asks the service `account`.
pub async fn ask<Req: Message, Rep: Message + Default>(
    call: &Call,
    method: &str,
    request: &Req,
) -> Result<Rep, Problem> {
    Ok(call.http.caller.call("account", method, request, DEADLINE).await?)
}

fn within(verdict: Verdict) -> Result<(), Problem> {
    match verdict {
        Verdict::Ok => Ok(()),
        Verdict::Limited { retry_after } => Err(Problem::limited(retry_after)),
        Verdict::Close => Err(Problem::limited(Duration::from_secs(60))),
    }
}

/// `POST /api/v1/accounts`
pub async fn register(call: &mut Call) -> Result<Answer, Problem> {
    refuse_foreign(call.headers(), &call.http.config.origins)?;
    let Credentials { username, password } = call.json(false).await?;
    within(call.http.limits.check_account(call.client.address))?;
    let request = RegisterRequest { username, password, address: call.client.address.to_string() };
    let account: AccountInfo = ask(call, "register", &request).await?;
    Ok(response::json(StatusCode::CREATED, &json!({ "id": account.id, "username": account.username })))
}

/// `POST /api/v1/session`
pub async fn sign_in(call: &mut Call) -> Result<Answer, Problem> {
    refuse_foreign(call.headers(), &call.http.config.origins)?;
    let Credentials { username, password } = call.json(false).await?;
    within(call.http.limits.check_sign_in(call.client.address))?;
    let request = SignInRequest { username, password, address: call.client.address.to_string() };
    signed_in(call, ask(call, "sign-in", &request).await?)
}

/// `POST /api/v1/guests`
pub async fn guest(call: &mut Call) -> Result<Answer, Problem> {
    refuse_foreign(call.headers(), &call.http.config.origins)?;
    let Nothing {} = call.json(true).await?;
    if !call.http.config.guests {
        return Err(Problem::forbidden("Guests may not enter this world. Please make an account."));
    }
    within(call.http.limits.check_account(call.client.address))?;
    let request = GuestRequest { address: call.client.address.to_string() };
    signed_in(call, ask(call, "guest", &request).await?)
}

/// `POST /api/v1/session/refresh`: a browser's alone, so it has to say which page asks.
pub async fn refresh(call: &mut Call) -> Result<Answer, Problem> {
    if origin(call.headers(), &call.http.config.origins) != Origin::Allowed {
        return Err(Problem::forbidden("A refresh takes the Origin of this server's page."));
    }
    let Nothing {} = call.json(true).await?;
    let secure = call.http.config.secure_cookies;
    let Some(refresh_token) = cookie::read(call.headers(), secure) else {
        return Err(Problem::unauthenticated("Please sign in."));
    };
    match ask(call, "refresh", &RefreshRequest { refresh_token }).await {
        Ok(tokens) => signed_in(call, tokens),
        Err(problem) if problem.code() == ErrorCode::Unauthenticated => {
            Err(problem.with(header::SET_COOKIE, cookie::clear(secure)))
        }
        Err(problem) => Err(problem),
    }
}

/// The refresh token goes into the cookie and nowhere else.
fn signed_in(call: &Call, tokens: Tokens) -> Result<Answer, Problem> {
    let Tokens { access_token, expires_in, csrf_token, refresh_token, refresh_expires_in } = tokens;
    let cookie = cookie::set(&refresh_token, refresh_expires_in, call.http.config.secure_cookies)?;
    let body = json!({ "access_token": access_token, "expires_in": expires_in, "csrf_token": csrf_token });
    let mut answer = response::json(StatusCode::OK, &body);
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// `DELETE /api/v1/session`
pub async fn sign_out(call: &mut Call) -> Result<Answer, Problem> {
    let identity = identify(call).await?;
    let request = SignOutRequest { account: identity.account, family: identity.family };
    let Empty {} = ask(call, "sign-out", &request).await?;
    let mut answer = response::empty(StatusCode::NO_CONTENT);
    let cookie = cookie::clear(call.http.config.secure_cookies);
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// `GET /api/v1/characters`
pub async fn characters(call: &mut Call) -> Result<Answer, Problem> {
    let account = identify(call).await?.account;
    let list: CharacterList = ask(call, "characters", &AccountRequest { account }).await?;
    let named = |one: CharacterName| json!({ "id": one.id, "name": one.name });
    let characters: Vec<_> = list.characters.into_iter().map(named).collect();
    Ok(response::json(StatusCode::OK, &json!({ "characters": characters })))
}

/// `POST /api/v1/characters`
pub async fn create_character(call: &mut Call) -> Result<Answer, Problem> {
    let account = identify(call).await?.account;
    let NewCharacter { name } = call.json(false).await?;
    let request = CreateCharacterRequest { account, name };
    let made: CharacterName = ask(call, "create-character", &request).await?;
    let mut answer = response::json(StatusCode::CREATED, &json!({ "id": made.id, "name": made.name }));
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/characters/{}", made.id)) {
        answer.headers_mut().insert(header::LOCATION, location);
    }
    Ok(answer)
}

/// `DELETE /api/v1/characters/{id}`
pub async fn delete_character(call: &mut Call) -> Result<Answer, Problem> {
    let account = identify(call).await?.account;
    let id = call.parameter.as_deref().and_then(|id| id.parse::<CharacterId>().ok());
    let Some(id) = id else {
        return Err(Problem::new(ErrorCode::NotFound, "There is no such character."));
    };
    let request = DeleteCharacterRequest { account, character: id.to_string() };
    let Empty {} = ask(call, "delete-character", &request).await?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// `POST /api/v1/tickets`
pub async fn ticket(call: &mut Call) -> Result<Answer, Problem> {
    let identity = identify(call).await?;
    let Nothing {} = call.json(true).await?;
    let request = IssueTicketRequest { identity: Some(identity) };
    let ticket: Ticket = ask(call, "issue-ticket", &request).await?;
    let body = json!({ "ticket": ticket.ticket, "expires_in": ticket.expires_in });
    Ok(response::json(StatusCode::CREATED, &body))
}
