//! Whose page a request comes from.

use hyper::header::{self, HeaderMap};
use hyper::http::uri::{Authority, Uri};

use super::problem::Problem;

/// What `Origin` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// There is none: not a browser, or a request that browsers send without.
    Absent,
    /// This server's own page, or one of the configured list.
    Allowed,
    /// Another page, or nonsense.
    Foreign,
}

/// The origin of a request: its own where it names the host that the request was sent to.
pub fn origin(headers: &HeaderMap, allowed: &[String]) -> Origin {
    let mut values = headers.get_all(header::ORIGIN).iter();
    let Some(value) = values.next() else { return Origin::Absent };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    match value.to_str() {
        Ok(text) if values.next().is_none() && is_allowed(text, host, allowed) => Origin::Allowed,
        _ => Origin::Foreign,
    }
}

/// Refuses a foreign page.
pub fn refuse_foreign(headers: &HeaderMap, allowed: &[String]) -> Result<Origin, Problem> {
    match origin(headers, allowed) {
        Origin::Foreign => Err(Problem::forbidden("Pages of this origin may not use this server.")),
        origin => Ok(origin),
    }
}

fn is_allowed(origin: &str, host: Option<&str>, allowed: &[String]) -> bool {
    let same = |known: &String| known.trim_end_matches('/').eq_ignore_ascii_case(origin);
    allowed.iter().any(same) || host.is_some_and(|host| is_own(origin, host))
}

fn is_own(origin: &str, host: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let default_port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return false,
    };
    let bare = uri.path().is_empty() || (uri.path() == "/" && !origin.ends_with('/'));
    let (Some(page), Ok(host)) = (uri.authority(), host.parse::<Authority>()) else { return false };
    let plain = !page.as_str().contains('@') && !host.as_str().contains('@') && uri.query().is_none();
    let port = |authority: &Authority| authority.port_u16().unwrap_or(default_port);
    bare && plain && page.host().eq_ignore_ascii_case(host.host()) && port(page) == port(&host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn an_origin_is_own_listed_or_foreign() {
        let listed = ["https://play.example".to_owned(), "http://localhost:5173/".to_owned()];
        let cases = [
            ("http://world.example:7777", "world.example:7777", Origin::Allowed),
            ("http://WORLD.example:7777", "world.example:7777", Origin::Allowed),
            ("https://world.example", "world.example", Origin::Allowed),
            ("https://world.example", "world.example:443", Origin::Allowed),
            ("http://[::1]:7777", "[::1]:7777", Origin::Allowed),
            ("https://play.example", "world.example", Origin::Allowed),
            ("http://localhost:5173", "world.example", Origin::Allowed),
            ("http://world.example:7778", "world.example:7777", Origin::Foreign),
            ("https://evil.example", "world.example", Origin::Foreign),
            ("https://play.example.evil.example", "world.example", Origin::Foreign),
            ("https://user@world.example", "world.example", Origin::Foreign),
            ("https://world.example/page", "world.example", Origin::Foreign),
            ("https://world.example?x", "world.example", Origin::Foreign),
            ("null", "world.example", Origin::Foreign),
            ("file://", "world.example", Origin::Foreign),
            ("", "world.example", Origin::Foreign),
        ];
        for (page, host, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_static(page));
            headers.insert(header::HOST, HeaderValue::from_static(host));
            assert_eq!(origin(&headers, &listed), expected, "{page} at {host}");
        }
        assert_eq!(origin(&HeaderMap::new(), &listed), Origin::Absent);
        let mut two = HeaderMap::new();
        two.append(header::ORIGIN, HeaderValue::from_static("https://play.example"));
        two.append(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert_eq!(origin(&two, &listed), Origin::Foreign);
    }
}
