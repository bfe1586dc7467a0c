//! Certificates for tests: an authority, and what it vouches for, as files.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use time::{Duration, OffsetDateTime};

/// Vouches for others, in a folder.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    pub ca: PathBuf,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What a certificate is for.
pub enum For<'a> {
    /// This address.
    Here,
    Host(&'a str),
    /// This address, but no longer.
    Past,
}

pub fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

impl Authority {
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let ca = folder.join(format!("{name}.pem"));
        std::fs::write(&ca, pem("CERTIFICATE", issuer.as_ref().der())).unwrap();
        Self { issuer, folder: folder.to_owned(), ca }
    }

    /// Makes a pair of files of this name.
    pub fn make(&self, name: &str, to: &For<'_>) -> Pair {
        let mut params = CertificateParams::default();
        let here = || SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - Duration::days(2), now + Duration::days(2));
        params.subject_alt_names = match to {
            For::Here => vec![here()],
            For::Host(host) => vec![SanType::DnsName((*host).try_into().unwrap())],
            For::Past => {
                params.not_after = now - Duration::days(1);
                vec![here()]
            }
        };
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let path = |what: &str| self.folder.join(format!("{name}{what}.pem"));
        let pair = Pair { cert: path(""), key: path("-key") };
        std::fs::write(&pair.cert, pem("CERTIFICATE", cert.der())).unwrap();
        std::fs::write(&pair.key, pem("PRIVATE KEY", key.serialized_der())).unwrap();
        pair
    }
}
