//! How long the certificates hold that this configuration names: one that ends is no connection from then on.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use time::OffsetDateTime;
use x509_parser::pem::Pem;

use super::Finding;
use crate::config::Config;

/// Days before its end from which on a certificate is warned of: time for whoever looks once a month.
const WARN_DAYS: i64 = 30;
/// What is looked at is called.
const WHAT: &str = "certificate";

/// Looks at the authority's and this process's.
pub fn findings(config: &Config) -> Vec<Finding> {
    let Some(security) = config.nats("check").map(|nats| nats.security) else { return Vec::new() };
    let files = [("nats.ca_file", security.ca_file), ("nats.cert_file", security.cert_file)];
    let named = files.into_iter().filter_map(|(key, file)| Some((key, file?)));
    named.map(|(key, file)| finding(key, &file, OffsetDateTime::now_utc())).collect()
}

fn finding(key: &str, file: &Path, now: OffsetDateTime) -> Finding {
    let shown = format!("'{key}', {}", file.display());
    let (from, until) = match held(file) {
        Ok(held) => held,
        Err(error) => {
            return Finding::fail(WHAT, format!("{shown}: {error:#}"), "it has to hold certificates (PEM)");
        }
    };
    let days = (until - now).whole_days();
    let renew = "renew it: 'tidings certs --out FOLDER --renew' where that made it; processes use the new file by themselves";
    if now < from {
        let found = format!("{shown}: holds from {} on", from.date());
        return Finding::fail(WHAT, found, "this machine's clock may be wrong");
    }
    if until <= now {
        return Finding::fail(WHAT, format!("{shown}: ended on {}", until.date()), renew);
    }
    let found = format!("{shown}: holds for {days} days, until {}", until.date());
    if days < WARN_DAYS { Finding::warn(WHAT, found, renew) } else { Finding::ok(WHAT, found) }
}

/// When all certificates of a file hold.
fn held(file: &Path) -> Result<(OffsetDateTime, OffsetDateTime)> {
    let text = std::fs::read(file)?;
    let mut all: Option<(OffsetDateTime, OffsetDateTime)> = None;
    for pem in Pem::iter_from_buffer(&text) {
        let pem = pem.context("it cannot be read")?;
        if pem.label != "CERTIFICATE" {
            continue;
        }
        let certificate = pem.parse_x509().context("a certificate cannot be read")?;
        let validity = certificate.validity();
        let (from, until) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        all = Some(all.map_or((from, until), |(first, last)| (first.max(from), last.min(until))));
    }
    ensure!(all.is_some(), "there is no certificate in it");
    all.context("there is one")
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
            let finding = finding("nats.cert_file", &write("c.pem", &text), now);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.found.contains(told), "{finding:?}");
        }
        let missing = finding("nats.ca_file", &folder.path().join("none"), now);
        assert_eq!(missing.verdict, Verdict::Fail);
        assert!(missing.found.contains("'nats.ca_file'"), "{missing:?}");
    }
}
