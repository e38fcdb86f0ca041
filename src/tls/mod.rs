//! What TLS takes on both sides: to the Redis servers (`redis::tls`) and from the scrapers (`http::tls`).
//!
//! [`files`] reads PEM, [`certificate`] what certificates say of themselves, [`authorities`] who is trusted.

pub mod authorities;
pub mod certificate;
pub mod files;

use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The cryptography of both sides: ring, which links statically. It is handed over wherever rustls takes it; the default of the process
/// is never set nor asked for, so that no order of calls decides about it.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
