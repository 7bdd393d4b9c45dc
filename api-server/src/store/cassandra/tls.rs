//! Connections to nodes: only the configured authority is believed, and a node's certificate must name its address.

use anyhow::Context as _;
use openssl::ssl::{SslConnector, SslFiletype, SslMethod, SslVersion};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use scylla::client::session::{OpenSsl010Config, TlsContext};

use crate::config::CassandraTls;

/// From the files.
pub(super) fn context(files: &CassandraTls) -> anyhow::Result<TlsContext> {
    let mut builder = SslConnector::builder(SslMethod::tls_client())?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let named = || format!("cassandra.tls.authority {}", files.authority.display());
    let text = std::fs::read(&files.authority).with_context(named)?;
    let authorities = X509::stack_from_pem(&text).with_context(named)?;
    anyhow::ensure!(!authorities.is_empty(), "{} holds no certificate", named());
    // In place of those that this machine trusts.
    let mut store = X509StoreBuilder::new()?;
    for authority in authorities {
        store.add_cert(authority)?;
    }
    builder.set_cert_store(store.build());
    match (&files.certificate, &files.key) {
        (Some(certificate), Some(key)) => {
            let named = || format!("cassandra.tls.certificate {}", certificate.display());
            builder.set_certificate_chain_file(certificate).with_context(named)?;
            let named = || format!("cassandra.tls.key {}", key.display());
            builder.set_private_key_file(key, SslFiletype::PEM).with_context(named)?;
            builder.check_private_key().context("cassandra.tls.key does not belong to cassandra.tls.certificate")?;
        }
        (None, None) => {}
        _ => anyhow::bail!("cassandra.tls: certificate and key belong together"),
    }
    Ok(OpenSsl010Config::new(builder).into())
}
