//! Names of cipher suites and curves: which the toolkit takes, and which of them rustls has.
//!
//! Sources: `CipherSuites` of Go's crypto/tls, whose names the toolkit compares with; the map of curves of the toolkit; the provider
//! `ring` of rustls 0.23.

/// Suites of TLS 1.2 that rustls has, best first.
pub const TLS12: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Suites of TLS 1.3. Go does not let anybody choose among them, and neither do we.
pub const TLS13: [&str; 3] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];

/// Suites that some version of Go lists and rustls does not have: CBC is open to padding oracles, and a key exchange by RSA gives all
/// recorded traffic away with the key.
pub const NOT_IN_RUSTLS: [&str; 8] = [
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

/// Curves that rustls has, by their names in Go.
pub const CURVES: [&str; 3] = ["X25519", "CurveP256", "CurveP384"];

/// Curves that the toolkit takes and rustls does not have.
pub const CURVES_NOT_IN_RUSTLS: [&str; 1] = ["CurveP521"];
