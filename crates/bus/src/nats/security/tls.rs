//! TLS with certificates that may be renewed while the process runs: the client keeps one set-up for all its
//! connections, so what is in force is looked up here at each handshake.

use std::fmt;
use std::sync::Arc;

use async_nats::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use async_nats::rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use async_nats::rustls::crypto::{CryptoProvider, ring};
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use async_nats::rustls::sign::CertifiedKey;
use async_nats::rustls::{
    self, ClientConfig, DigitallySignedStruct, InconsistentKeys, RootCertStore, SignatureScheme,
};
use bytes::Bytes;
use parking_lot::RwLock;

use crate::error::{Error, ErrorKind};
use crate::nats::security::Security;
use crate::nats::security::files::{read, refused};
use crate::nats::security::scheme::Scheme;

/// What holds at a handshake.
struct Current {
    /// `None`: no TLS was asked for, and none is taken, though a server wants it.
    servers: Option<Arc<WebPkiServerVerifier>>,
    own: Option<Arc<CertifiedKey>>,
}

/// Judges servers' certificates and has this process's own.
pub(super) struct Tls {
    provider: Arc<CryptoProvider>,
    name: Option<ServerName<'static>>,
    current: RwLock<Current>,
    /// What a server showed last that was taken, its own certificate first.
    shown: RwLock<Vec<CertificateDer<'static>>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn new(settings: &Security, scheme: Scheme) -> Result<Arc<Self>, Error> {
        let provider = Arc::new(ring::default_provider());
        let name = match &settings.server_name {
            Some(name) => Some(ServerName::try_from(name.clone()).map_err(|_| {
                refused("server_name", format!("'{name}' is neither a host's name nor an address"))
            })?),
            None => None,
        };
        let current = match scheme {
            Scheme::Plain => Current { servers: None, own: None },
            Scheme::Tls => load(settings, &provider)?,
        };
        let (current, shown) = (RwLock::new(current), RwLock::default());
        Ok(Arc::new(Self { provider, name, current, shown }))
    }

    /// Uses what the files hold now, where it can be used.
    pub(super) fn reload(&self, settings: &Security) -> Result<(), Error> {
        *self.current.write() = load(settings, &self.provider)?;
        Ok(())
    }

    /// The set-up for the client.
    pub(super) fn client_config(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Tls, "TLS cannot be set up").because(error))?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(self.clone())
            .with_client_cert_resolver(self.clone());
        // A resumed session would ask for no certificate, neither the old nor the new.
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// The certificates that a server showed last, by which it was taken for who it says it is; its own first.
    pub(super) fn shown(&self) -> Vec<Bytes> {
        self.shown.read().iter().map(|one| Bytes::copy_from_slice(one)).collect()
    }

    fn servers(&self) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let none = || rustls::Error::General("TLS was not asked for".to_owned());
        self.current.read().servers.clone().ok_or_else(none)
    }
}

fn load(settings: &Security, provider: &Arc<CryptoProvider>) -> Result<Current, Error> {
    let roots = Arc::new(roots(settings)?);
    let servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| refused("ca_file", error))?;
    let own = match (&settings.cert_file, &settings.key_file) {
        (Some(cert), Some(key)) => Some(Arc::new(own(cert, key, provider)?)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(refused("cert_file", "a certificate needs its key: set 'nats.key_file'"));
        }
        (None, Some(_)) => {
            return Err(refused("key_file", "a key needs its certificate: set 'nats.cert_file'"));
        }
    };
    Ok(Current { servers: Some(servers), own })
}

fn certificates(setting: &str, path: &std::path::Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(refused(setting, format!("{} holds no certificate (PEM)", path.display()))),
        Err(error) => Err(refused(setting, format!("{} cannot be read as PEM: {error}", path.display()))),
    }
}

fn roots(settings: &Security) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &settings.ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let why =
                "is not set, and this machine trusts no authority of its own: name the cluster's (ca.pem)";
            return Err(refused("ca_file", why));
        }
        return Ok(roots);
    };
    for certificate in certificates("ca_file", path)? {
        let added = roots.add(certificate);
        added.map_err(|error| refused("ca_file", format!("{}: {error}", path.display())))?;
    }
    Ok(roots)
}

fn own(
    cert: &std::path::Path,
    key: &std::path::Path,
    provider: &Arc<CryptoProvider>,
) -> Result<CertifiedKey, Error> {
    let chain = certificates("cert_file", cert)?;
    let pem = read("key_file", key)?;
    // The reader's own error could quote what it read.
    let der = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| refused("key_file", format!("{} holds no private key (PEM)", key.display())))?;
    CertifiedKey::from_der(chain, der, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => refused(
            "key_file",
            format!(
                "{} does not fit the certificate in {} ('nats.cert_file')",
                key.display(),
                cert.display()
            ),
        ),
        error => refused("cert_file", format!("{} with its key: {error}", cert.display())),
    })
}

impl ServerCertVerifier for Tls {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let name = self.name.as_ref().unwrap_or(server_name);
        let verified =
            self.servers()?.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)?;
        let all = std::iter::once(end_entity).chain(intermediates);
        *self.shown.write() = all.map(|one| one.clone().into_owned()).collect();
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.servers()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.servers()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for Tls {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current.read().own.clone()
    }

    fn has_certs(&self) -> bool {
        self.current.read().own.is_some()
    }
}
