//! The refresh cookie: the only thing this server keeps in a browser that it does not show to scripts.
//!
//! It goes with `/api/v1` alone, never with the page or across sites. Where people come by HTTPS it is `Secure`, and
//! its name says so (`__Secure-`), so that a plaintext neighbour cannot set it. (`__Host-` would take the path away.)

use hyper::header::{self, HeaderMap, HeaderValue};
use tidings_protocol::ErrorCode;

use super::problem::Problem;

/// Where the cookie is sent.
pub const PATH: &str = "/api/v1";
const NAME_SECURE: &str = "__Secure-tidings-refresh";
const NAME_PLAIN: &str = "tidings-refresh";
/// Longest value taken: a token is under a hundred.
const VALUE_BYTES_MAX: usize = 512;

fn name(secure: bool) -> &'static str {
    if secure { NAME_SECURE } else { NAME_PLAIN }
}

/// The refresh token of a request. Two cookies of the name are one too many: somebody planted the other.
pub fn read(headers: &HeaderMap, secure: bool) -> Option<String> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(known, _)| *known == name(secure))
        .map(|(_, value)| value);
    let value = values.next().filter(|value| !value.is_empty() && value.len() <= VALUE_BYTES_MAX)?;
    values.next().is_none().then(|| value.to_owned())
}

/// The header that gives the token to the browser for so long.
pub fn set(token: &str, max_age_seconds: u32, secure: bool) -> Result<HeaderValue, Problem> {
    let plain = token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~+/=".contains(&b));
    let unfit = || Problem::new(ErrorCode::Internal, "The sign-in could not be kept.");
    if !plain || token.is_empty() {
        return Err(unfit());
    }
    HeaderValue::from_str(&line(token, max_age_seconds, secure)).map_err(|_| unfit()).map(|mut value| {
        value.set_sensitive(true);
        value
    })
}

/// The header that takes it away.
pub fn clear(secure: bool) -> HeaderValue {
    HeaderValue::from_str(&line("", 0, secure)).expect("made of constants")
}

fn line(token: &str, max_age_seconds: u32, secure: bool) -> String {
    let name = name(secure);
    let secure = if secure { "; Secure" } else { "" };
    format!("{name}={token}; Path={PATH}; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_read_from_among_others() {
        let cases = [
            ("tidings-refresh=abc", Some("abc")),
            ("theme=dark; tidings-refresh=abc; x=y", Some("abc")),
            ("tidings-refresh=", None),
            ("tidings-refresh=a; tidings-refresh=b", None),
            ("xtidings-refresh=a", None),
            ("__Secure-tidings-refresh=a", None),
            ("", None),
        ];
        for (cookies, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::COOKIE, HeaderValue::from_static(cookies));
            assert_eq!(read(&headers, false).as_deref(), expected, "{cookies}");
        }
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_other_sites_and_plaintext() {
        let plain = set("abc", 60, false).expect("a header");
        assert_eq!(plain, "tidings-refresh=abc; Path=/api/v1; HttpOnly; SameSite=Strict; Max-Age=60");
        let secure = set("abc", 60, true).expect("a header");
        assert_eq!(
            secure,
            "__Secure-tidings-refresh=abc; Path=/api/v1; HttpOnly; SameSite=Strict; Max-Age=60; Secure"
        );
        assert!(set("a; Domain=evil.example", 60, true).is_err());
        assert!(set("a\r\nSet-Cookie: b", 60, true).is_err());
    }
}
