//! What TLS takes on both sides: to the Redis servers (`redis::tls`) and from the scrapers (`http::tls`).
//!
//! [`files`] reads PEM, [`certificate`] what certificates say of themselves.

pub mod certificate;
pub mod files;
