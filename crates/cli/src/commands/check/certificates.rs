//! How long the certificates hold that this configuration names, and those of the servers: one that ends is no
//! connection from then on.

use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;

use super::Finding;
use crate::config::Config;

/// Days before its end from which on a certificate is warned of: time for whoever looks once a month.
const WARN_DAYS: i64 = 30;
/// What is looked at is called.
const WHAT: &str = "certificate";

/// From when to when a certificate holds.
type Held = (OffsetDateTime, OffsetDateTime);

/// Looks at the authority's and this process's.
pub fn findings(config: &Config) -> Vec<Finding> {
    let Some(security) = config.nats("check").map(|nats| nats.security) else { return Vec::new() };
    let now = OffsetDateTime::now_utc();
    let authorities = security.ca_file.map(|file| {
        let advice = "add the next authority's certificate to the file; 'tidings certs --force' makes a new one of both";
        finding("nats.ca_file", &file, now, advice, |all| any(all, now))
    });
    let own = security.cert_file.map(|file| {
        let advice = "renew it: 'tidings certs --out FOLDER --renew' where that made it; processes use the new file by themselves";
        finding("nats.cert_file", &file, now, advice, every)
    });
    authorities.into_iter().chain(own).collect()
}

/// A chain holds while all of it does.
fn every(all: &[Held]) -> Option<Held> {
    all.iter().copied().reduce(|(from, until), (other, end)| (from.max(other), until.min(end)))
}

/// Of authorities one that holds is enough: the one that holds longest, if any does now.
fn any(all: &[Held], now: OffsetDateTime) -> Option<Held> {
    all.iter().copied().max_by_key(|(from, until)| (*from <= now, *until))
}

/// Looks at what a server showed: it is taken now, or there would be no connection.
pub fn of_server(shown: &str, chain: &[Bytes]) -> Option<Finding> {
    let held = |der: &Bytes| Some(validity(&X509Certificate::from_der(der).ok()?.1));
    let all: Vec<Held> = chain.iter().filter_map(held).collect();
    let advice = "renew it, as 'tidings certs --renew' does, and reload the server (SIGHUP); processes stay connected until then";
    Some(judged(shown, every(&all)?, OffsetDateTime::now_utc(), advice))
}

fn finding(
    key: &str,
    file: &Path,
    now: OffsetDateTime,
    advice: &str,
    of: impl Fn(&[Held]) -> Option<Held>,
) -> Finding {
    let shown = format!("'{key}', {}", file.display());
    match read(file).and_then(|all| of(&all).context("there is no certificate in it")) {
        Ok(held) => judged(&shown, held, now, advice),
        Err(error) => Finding::fail(WHAT, format!("{shown}: {error:#}"), "it has to hold certificates (PEM)"),
    }
}

fn judged(shown: &str, (from, until): Held, now: OffsetDateTime, advice: &str) -> Finding {
    if now < from {
        let found = format!("{shown}: holds from {} on", from.date());
        return Finding::fail(WHAT, found, "this machine's clock may be wrong");
    }
    if until <= now {
        return Finding::fail(WHAT, format!("{shown}: ended on {}", until.date()), advice);
    }
    let days = (until - now).whole_days();
    let found = format!("{shown}: holds for {days} days, until {}", until.date());
    if days < WARN_DAYS { Finding::warn(WHAT, found, advice) } else { Finding::ok(WHAT, found) }
}

fn validity(certificate: &X509Certificate<'_>) -> Held {
    let validity = certificate.validity();
    (validity.not_before.to_datetime(), validity.not_after.to_datetime())
}

/// When each certificate of a file holds.
fn read(file: &Path) -> Result<Vec<Held>> {
    let (text, mut all) = (std::fs::read(file)?, Vec::new());
    for pem in Pem::iter_from_buffer(&text) {
        let pem = pem.context("it cannot be read")?;
        if pem.label == "CERTIFICATE" {
            let certificate = pem.parse_x509().context("a certificate cannot be read")?;
            all.push(validity(&certificate));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::certs::pem;
    use crate::commands::check::Verdict;

    #[test]
    fn a_certificate_is_warned_of_before_it_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let key = rcgen::KeyPair::generate().expect("a key");
        let now = OffsetDateTime::from_unix_timestamp(1_795_000_000).expect("a time");
        let make = |from_days: i64, until_days: i64| {
            let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
            params.not_before = now + time::Duration::days(from_days);
            params.not_after = now + time::Duration::days(until_days) + time::Duration::hours(1);
            pem("CERTIFICATE", params.self_signed(&key).expect("signed").der())
        };
        let year = make(-1, 365);
        for (text, verdict, told) in [
            (year.clone(), Verdict::Ok, "holds for 365 days"),
            (make(-1, 29), Verdict::Warn, "holds for 29 days"),
            (make(-9, -2), Verdict::Fail, "ended on"),
            (make(2, 9), Verdict::Fail, "holds from"),
            (year.clone() + &make(-1, 5), Verdict::Warn, "holds for 5 days"),
            ("no certificate".to_owned(), Verdict::Fail, "no certificate"),
            (year.replace("MII", "###"), Verdict::Fail, "cannot be read"),
        ] {
            let finding = finding("nats.cert_file", &write("c.pem", &text), now, "", every);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.found.contains(told), "{finding:?}");
        }
        // Authorities: an old one beside the next does no harm, and one that ends alone does.
        for (text, verdict) in [
            (make(-9, -2) + &year, Verdict::Ok),
            (year.clone() + &make(2, 900), Verdict::Ok),
            (make(-9, -2) + &make(-1, 5), Verdict::Warn),
            (make(-9, -2), Verdict::Fail),
        ] {
            let finding = finding("nats.ca_file", &write("ca.pem", &text), now, "", |all| any(all, now));
            assert_eq!(finding.verdict, verdict, "{finding:?}");
        }
        // A server's chain ends with the first of it that ends.
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let long = Bytes::copy_from_slice(params.clone().self_signed(&key).expect("signed").der());
        let mut soon = params;
        soon.not_after = OffsetDateTime::now_utc() + time::Duration::days(3);
        let soon = Bytes::copy_from_slice(soon.self_signed(&key).expect("signed").der());
        for (chain, verdict) in [(vec![long.clone()], Verdict::Ok), (vec![long, soon], Verdict::Warn)] {
            assert_eq!(of_server("127.0.0.1:4222", &chain).expect("a finding").verdict, verdict);
        }
        assert_eq!(of_server("127.0.0.1:4222", &[]), None, "without TLS");
        let missing = finding("nats.ca_file", &folder.path().join("none"), now, "", every);
        assert_eq!(missing.verdict, Verdict::Fail);
        assert!(missing.found.contains("'nats.ca_file'"), "{missing:?}");
    }
}
