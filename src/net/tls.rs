//! TLS: whom a server shows itself as, and whom a client believes.
//!
//! Layer: `net`. rustls with ring; TLS 1.2 and 1.3. A client believes the machine's own trust store
//! or the roots that it is given. No list of roots is built in: it would age with the library, and
//! the machine's also has what its owner added. Where a program has no such store that it could
//! read (iOS), roots are given.

use super::socket::Metered;
use super::transport::Transport;
use std::fmt;
use std::sync::Arc;
use tokio_rustls::rustls;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
#[cfg(feature = "server")]
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

#[cfg(feature = "server")]
pub use identity::TlsIdentity;

/// Why certificates or keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(TlsError("there is no certificate in it".to_owned()))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError(format!("not a certificate in PEM: {error}"))),
    }
}

#[cfg(feature = "server")]
mod identity {
    use super::{
        Arc, Metered, PemObject, PrivateKeyDer, TlsError, Transport, certificates, fmt, provider,
        rustls,
    };
    use parking_lot::RwLock;

    /// The certificate of a server. It can be replaced while the server runs; connections that
    /// are open keep theirs.
    pub struct TlsIdentity {
        config: RwLock<Arc<rustls::ServerConfig>>,
    }

    impl TlsIdentity {
        /// Certificate, followed by those that signed it, and private key, in PEM.
        ///
        /// # Errors
        /// They cannot be read, or do not belong together.
        pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Arc<Self>, TlsError> {
            let config = RwLock::new(config(certificate, key)?);
            Ok(Arc::new(TlsIdentity { config }))
        }

        /// Shows another certificate from now on.
        ///
        /// # Errors
        /// As for [`from_pem`](Self::from_pem); then the one before stays.
        pub fn replace(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
            *self.config.write() = config(certificate, key)?;
            Ok(())
        }

        /// Does the server's side of the handshake.
        pub(in crate::net) async fn accept(&self, stream: Metered) -> std::io::Result<Transport> {
            let config = self.config.read().clone();
            let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream);
            Ok(Transport::Tls(Box::new(stream.await?.into())))
        }
    }

    impl fmt::Debug for TlsIdentity {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("TlsIdentity")
        }
    }

    fn config(certificate: &[u8], key: &[u8]) -> Result<Arc<rustls::ServerConfig>, TlsError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError(format!("not a private key in PEM: {error}")))?;
        let refused = |error: rustls::Error| TlsError(error.to_string());
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(refused)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(refused)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Whom a client believes.
#[derive(Clone)]
pub struct TlsRoots {
    config: Arc<rustls::ClientConfig>,
}

impl TlsRoots {
    /// Those in the machine's trust store. Reads files: costs some milliseconds.
    ///
    /// # Errors
    /// There are none.
    pub fn platform() -> Result<Self, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first();
            let why = why.map_or_else(|| "it is empty".to_owned(), ToString::to_string);
            return Err(TlsError(format!("no usable trust store: {why}")));
        }
        Self::new(roots)
    }

    /// Those in a PEM text, and no others.
    ///
    /// # Errors
    /// It holds none, or what is none.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(pem)? {
            let added = roots.add(certificate);
            added.map_err(|error| TlsError(error.to_string()))?;
        }
        Self::new(roots)
    }

    fn new(roots: rustls::RootCertStore) -> Result<Self, TlsError> {
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(TlsRoots {
            config: Arc::new(config),
        })
    }

    /// Does the client's side of the handshake with a host of this name or address.
    pub(super) async fn connect(&self, host: &str, stream: Metered) -> Result<Transport, String> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(self.config.clone());
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(|error| format!("TLS: {error}"))?;
        Ok(Transport::Tls(Box::new(stream.into())))
    }
}

impl fmt::Debug for TlsRoots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsRoots")
    }
}
