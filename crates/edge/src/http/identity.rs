//! Who sends a request: whoever a bearer token names, or the browser that the refresh cookie was given to. From
//! nothing else; and where the service cannot say, nobody.

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};
use tidings_protocol::proto::services::v1::{Identity, RefreshRequest, StaffToken, VerifyRequest};

use super::origin::refuse_foreign;
use super::problem::Problem;
use super::routes::Call;
use super::{accounts, cookie};

const CSRF: HeaderName = HeaderName::from_static("x-csrf-token");
/// Longest token taken, in bytes: a signed access token is under a thousand.
const TOKEN_BYTES_MAX: usize = 4096;

/// What a request shows of its sender.
enum Shown {
    AccessToken(String),
    RefreshToken(String),
}

/// The identity of a request. A cookie alone changes nothing without the CSRF token given with it.
pub async fn identify(call: &Call) -> Result<Identity, Problem> {
    match shown(call)? {
        Shown::AccessToken(access_token) => {
            accounts::ask(call, "verify", &VerifyRequest { access_token }).await
        }
        Shown::RefreshToken(token) => by_cookie(call, token).await,
    }
}

/// What a request of staff shows, for a service that verifies it itself. A cookie alone changes nothing here either.
pub async fn staff_token(call: &Call) -> Result<StaffToken, Problem> {
    match shown(call)? {
        Shown::AccessToken(access) => Ok(StaffToken { access, refresh: String::new() }),
        Shown::RefreshToken(refresh) => {
            if changes(call) {
                by_cookie(call, refresh.clone()).await?;
            }
            Ok(StaffToken { access: String::new(), refresh })
        }
    }
}

fn shown(call: &Call) -> Result<Shown, Problem> {
    let headers = call.headers();
    if headers.contains_key(header::AUTHORIZATION) {
        return bearer(headers).map(Shown::AccessToken);
    }
    let cookie = cookie::read(headers, call.http.config.secure_cookies);
    cookie.map(Shown::RefreshToken).ok_or_else(|| Problem::unauthenticated("Please sign in."))
}

fn changes(call: &Call) -> bool {
    !matches!(*call.method(), Method::GET | Method::HEAD)
}

async fn by_cookie(call: &Call, refresh_token: String) -> Result<Identity, Problem> {
    let csrf = if changes(call) { Some(csrf_token(call)?) } else { None };
    let request = RefreshRequest { refresh_token };
    let identity: Identity = accounts::ask(call, "verify-refresh", &request).await?;
    match csrf {
        Some(token) if !is_hash_of(&identity.csrf, token) => {
            Err(Problem::forbidden("The X-CSRF-Token is not the one of this sign-in."))
        }
        _ => Ok(identity),
    }
}

fn bearer(headers: &HeaderMap) -> Result<String, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => "",
    };
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || values.next().is_some() {
        return Err(Problem::unauthenticated("Authorization takes 'Bearer' and an access token."));
    }
    Ok(token.to_owned())
}

fn csrf_token(call: &Call) -> Result<&str, Problem> {
    refuse_foreign(call.headers(), &call.http.config.origins)?;
    let token = call.headers().get(CSRF).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
        let detail = "A change signed in by the cookie alone takes the X-CSRF-Token given with it.";
        return Err(Problem::forbidden(detail));
    }
    Ok(token)
}

/// Compared without telling by the time taken where the two differ. An empty hash is nobody's.
fn is_hash_of(hash: &str, token: &str) -> bool {
    let made: String = Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let differs = made.bytes().zip(hash.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    made.len() == hash.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_by_its_hash() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(is_hash_of(hash, "abc"));
        assert!(!is_hash_of(hash, "abd"));
        assert!(!is_hash_of("", "abc") && !is_hash_of("", "") && !is_hash_of(&hash[..63], "abc"));
    }
}
