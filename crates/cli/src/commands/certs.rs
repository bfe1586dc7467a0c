//! `tidings certs`: an authority of one's own, and what a NATS cluster and the processes of a world need of it.
//!
//! The authority's certificate says who it is by a name and its key, so that later certificates can be made of the key
//! file alone (`--renew`): what was made is written down beside it.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use time::{Duration, OffsetDateTime};

use crate::args::CertsArgs;
use crate::{Outcome, output};

/// How long an authority holds: it is in every process's settings, so it changes seldom.
const AUTHORITY_DAYS: i64 = 3_650;
/// Certificates hold from some time ago: clocks differ.
const BACK: Duration = Duration::hours(1);
/// Characters of a line of PEM.
const PEM_LINE: usize = 64;
/// What was made, for `--renew`.
const RECORD: &str = "certs.json";
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";

/// What was made.
#[derive(Serialize, Deserialize)]
struct Record {
    name: String,
    hosts: Vec<String>,
    days: i64,
}

/// A file that was made, and until when it holds.
struct Made {
    file: String,
    text: String,
    secret: bool,
    until: Option<OffsetDateTime>,
    what: String,
}

/// Makes them and says what they are for.
pub fn run(args: &CertsArgs) -> anyhow::Result<Outcome> {
    let record = match record(args) {
        Ok(record) => record,
        Err(why) => {
            output::complain(&format!("tidings: {why:#}"));
            return Ok(Outcome::WrongUse);
        }
    };
    let made = make(args, &record)?;
    tell(args, &record, &made);
    Ok(Outcome::Done)
}

/// Certificates of a cluster of this machine, in a folder: made, or made anew of the authority there.
pub fn for_this_machine(folder: &Path, name: &str) -> anyhow::Result<()> {
    let renew = folder.join(RECORD).is_file();
    let args = CertsArgs {
        out: folder.to_owned(),
        name: (!renew).then(|| name.to_owned()),
        hosts: Vec::new(),
        days: None,
        renew,
        force: false,
        json: false,
    };
    make(&args, &record(&args)?).map(drop)
}

/// Makes them all, then writes them: nothing is left half done.
fn make(args: &CertsArgs, record: &Record) -> anyhow::Result<Vec<Made>> {
    let folder = &args.out;
    let mut made = Vec::new();
    if args.renew {
        let issuer = Issuer::new(authority(&record.name), read_key(&folder.join(CA_KEY))?);
        leaves(&issuer, record, &mut made)?;
    } else {
        let issuer = CertifiedIssuer::self_signed(authority(&record.name), KeyPair::generate()?)?;
        let until = Some(authority(&record.name).not_after);
        let what = "the authority: nats.ca_file of every process, tls.ca_file of every server".to_owned();
        made.push(Made {
            file: CA.into(),
            text: pem("CERTIFICATE", issuer.as_ref().der()),
            secret: false,
            until,
            what,
        });
        let (text, what) = (key_pem(issuer.key()), "its key: not on any server; kept for --renew".to_owned());
        made.push(Made { file: CA_KEY.into(), text, secret: true, until: None, what });
        leaves(&issuer, record, &mut made)?;
    }
    let (text, what) =
        (serde_json::to_string_pretty(record)? + "\n", "what was made, for --renew".to_owned());
    made.push(Made { file: RECORD.into(), text, secret: false, until: None, what });
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| folder.display().to_string())?;
    if !args.force && !args.renew {
        refuse_to_replace(folder, &made)?;
    }
    for one in &made {
        write(&folder.join(&one.file), one)?;
    }
    Ok(made)
}

/// What is to be made: as it was said, or as it was the last time.
fn record(args: &CertsArgs) -> anyhow::Result<Record> {
    let path = args.out.join(RECORD);
    let record = if args.renew {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("--renew needs {}, written when they were made", path.display()))?;
        let last: Record = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        let hosts = if args.hosts.is_empty() { last.hosts } else { args.hosts.clone() };
        Record { hosts, days: args.days.unwrap_or(last.days), name: last.name }
    } else {
        let name = args.name.clone().context("--name NAME is missing: what the cluster is called")?;
        let mut hosts = args.hosts.clone();
        if hosts.is_empty() {
            hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        }
        Record { name, hosts, days: args.days.unwrap_or(CertsArgs::DAYS) }
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if record.name.is_empty() || record.name.len() > 40 || !record.name.chars().all(plain) {
        bail!("--name takes 1 to 40 letters, digits, - and _");
    }
    for host in &record.hosts {
        subject(host)?;
    }
    Ok(record)
}

/// A host as a certificate names it.
fn subject(host: &str) -> anyhow::Result<SanType> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '*' | '_');
    if host.is_empty() || host.len() > 253 || !host.chars().all(plain) {
        bail!("--host '{}' is neither a host's name nor an address", host.escape_debug());
    }
    Ok(SanType::DnsName(host.try_into()?))
}

fn authority(name: &str) -> CertificateParams {
    let mut params = params(&format!("{name} authority"), AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn params(name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - BACK, now + Duration::days(days));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

/// One certificate for all servers, since each may be asked by any of the names; it vouches for them among each other,
/// too. One for the processes of the world.
fn leaves(issuer: &Issuer<'_, KeyPair>, record: &Record, made: &mut Vec<Made>) -> anyhow::Result<()> {
    use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
    let hosts: Vec<SanType> = record.hosts.iter().map(|host| subject(host)).collect::<Result<_, _>>()?;
    let client = vec![SanType::DnsName("tidings".try_into()?)];
    for (file, subjects, uses, what, key_what) in [
        (
            "server",
            hosts,
            vec![ServerAuth, ClientAuth],
            "tls.cert_file of every server",
            "tls.key_file of every server",
        ),
        (
            "client",
            client,
            vec![ClientAuth],
            "nats.cert_file of every process",
            "nats.key_file of every process",
        ),
    ] {
        let mut params = params(&format!("{} {file}", record.name), record.days);
        params.subject_alt_names = subjects;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = uses;
        let mut serial = [0; 16];
        getrandom::fill(&mut serial).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let (key, until) = (KeyPair::generate()?, Some(params.not_after));
        let text = pem("CERTIFICATE", params.signed_by(&key, issuer)?.der());
        let (file, what) = (file.to_owned(), what.to_owned());
        made.push(Made { file: format!("{file}.pem"), text, secret: false, until, what });
        let (file, text) = (format!("{file}-key.pem"), key_pem(&key));
        made.push(Made { file, text, secret: true, until: None, what: key_what.to_owned() });
    }
    Ok(())
}

/// A DER text as PEM.
pub fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut lines = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(PEM_LINE));
        lines.push_str(line);
        lines.push('\n');
        rest = more;
    }
    lines + &format!("-----END {label}-----\n")
}

fn key_pem(key: &KeyPair) -> String {
    pem("PRIVATE KEY", key.serialized_der())
}

fn read_key(path: &Path) -> anyhow::Result<KeyPair> {
    use base64::Engine;
    let wrong = || format!("{} is no key that this command made", path.display());
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("--renew needs the authority's key, {}", path.display()))?;
    let lines: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(lines).with_context(wrong)?;
    KeyPair::try_from(der).with_context(wrong)
}

fn refuse_to_replace(folder: &Path, made: &[Made]) -> anyhow::Result<()> {
    let there: Vec<&str> =
        made.iter().map(|one| one.file.as_str()).filter(|file| folder.join(file).exists()).collect();
    if there.is_empty() {
        return Ok(());
    }
    bail!(
        "{} has {} already: --renew makes new certificates of the authority that is there, --force replaces all of it",
        folder.display(),
        there.join(", ")
    )
}

/// Written beside its place and moved there: who reads it meanwhile reads all of the old or all of the new.
fn write(path: &Path, one: &Made) -> anyhow::Result<()> {
    let partial = PathBuf::from(format!("{}.new", path.display()));
    let write = || -> std::io::Result<()> {
        let _ = std::fs::remove_file(&partial);
        let mode = if one.secret { 0o600 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
        file.write_all(one.text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().with_context(|| path.display().to_string())
}

fn tell(args: &CertsArgs, record: &Record, made: &[Made]) {
    let until = |one: &Made| one.until.map(|time| time.date().to_string());
    if args.json {
        let files: Vec<_> = made
            .iter()
            .map(|one| json!({"file": args.out.join(&one.file), "for": one.what, "until": until(one), "secret": one.secret}))
            .collect();
        output::json(&json!({"name": record.name, "hosts": record.hosts, "files": files}));
        return;
    }
    output::say(&format!("Certificates of '{}' for {}:", record.name, record.hosts.join(", ")));
    for one in made {
        let until = until(one).map_or_else(String::new, |date| format!(", until {date}"));
        output::say(&format!("  {:<16} {}{until}", one.file, one.what));
    }
    let folder = args.out.display();
    output::say(&format!(
        "\nIn each server's configuration:\n\
         \x20 tls {{ cert_file: \"server.pem\", key_file: \"server-key.pem\", ca_file: \"ca.pem\", verify: true }}\n\
         For each process of the world:\n\
         \x20 nats.servers = tls://..., nats.ca_file = {folder}/ca.pem, nats.cert_file = {folder}/client.pem, \
         nats.key_file = {folder}/client-key.pem\n\
         Before they end: 'tidings certs --out {folder} --renew'. Processes use new files by themselves; servers after \
         'nats-server --signal reload'."
    ));
}
