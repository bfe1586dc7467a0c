//! Whose request it is: the socket's address, or what a declared proxy says.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName};

use crate::limits::Network;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What a proxy leaves in a request: one of these from a peer that is no declared proxy says that the peer is not the
/// client.
const TRACES: [HeaderName; 6] = [
    header::FORWARDED,
    header::VIA,
    FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// Whose request it is, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// The client's address, or the nearest to it that is believed.
    pub address: IpAddr,
    /// It came through somebody who is not declared: the address is theirs, and opens nothing to the client.
    pub hidden: bool,
}

impl Client {
    /// `X-Forwarded-For` is read from its end, where the nearest proxy writes, for as long as those who wrote are
    /// trusted; what a stranger claims stays unread.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let values: Vec<&str> =
            headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
        let mut nearest = peer.to_canonical();
        let proxied = TRACES.iter().any(|name| headers.contains_key(name));
        let mut hops = values.iter().rev().flat_map(|value| value.rsplit(',')).peekable();
        if !is_trusted(nearest) || hops.peek().is_none() {
            return Self { address: nearest, hidden: proxied };
        }
        for hop in hops {
            let Some(address) = parse(hop.trim()) else { return Self { address: nearest, hidden: true } };
            nearest = address;
            if !is_trusted(address) {
                break;
            }
        }
        Self { address: nearest, hidden: false }
    }

    /// Whether the request was made on this machine.
    pub fn is_here(self) -> bool {
        self.address.is_loopback() && !self.hidden
    }
}

fn parse(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted: Vec<Network> =
            ["10.0.0.0/8", "fd00::/8"].iter().map(|text| text.parse().expect("a network")).collect();
        let cases: &[(&str, &[&str], &str)] = &[
            ("192.0.2.1", &["198.51.100.1"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["not an address"], "10.0.0.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.9"], "10.0.0.9"),
            ("fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, forwarded, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in *forwarded {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
            }
            let peer = peer.parse().expect("an address");
            assert_eq!(
                Client::of(peer, &headers, &trusted).address.to_string(),
                *expected,
                "{peer} {forwarded:?}"
            );
        }
    }
    #[test]
    fn a_request_through_an_undeclared_proxy_is_not_made_here() {
        let declared: Vec<Network> = vec!["127.0.0.1".parse().expect("a network")];
        type Case<'a> = (&'a [Network], &'a str, &'a [(&'static str, &'a str)], bool);
        let cases: &[Case<'_>] = &[
            (&[], "127.0.0.1", &[], true),
            (&[], "::1", &[], true),
            (&[], "192.0.2.1", &[], false),
            (&[], "127.0.0.1", &[("x-forwarded-for", "198.51.100.1")], false),
            (&[], "127.0.0.1", &[("x-forwarded-for", "127.0.0.1")], false),
            (&[], "127.0.0.1", &[("forwarded", "for=198.51.100.1")], false),
            (&[], "127.0.0.1", &[("via", "1.1 proxy")], false),
            (&[], "127.0.0.1", &[("x-real-ip", "198.51.100.1")], false),
            (&declared, "127.0.0.1", &[], true),
            (&declared, "127.0.0.1", &[("x-forwarded-for", "198.51.100.1")], false),
            (&declared, "127.0.0.1", &[("x-forwarded-for", "127.0.0.1"), ("via", "1.1 proxy")], true),
            (&declared, "127.0.0.1", &[("x-forwarded-for", "unknown")], false),
            (&declared, "127.0.0.1", &[("forwarded", "for=198.51.100.1")], false),
            (&declared, "::1", &[("x-forwarded-for", "127.0.0.1")], false),
        ];
        for (trusted, peer, headers, here) in cases {
            let map = headers.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
            });
            let client = Client::of(peer.parse().expect("an address"), &map.collect(), trusted);
            assert_eq!(client.is_here(), *here, "{peer} {headers:?} {trusted:?}");
        }
    }
}
