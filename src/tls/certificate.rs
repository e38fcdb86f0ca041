//! What certificates say of themselves (X.509, RFC 5280), whether or not anybody trusts them.

/// The time in which a certificate holds (RFC 5280, section 4.1.2.5), in seconds since 1970. Both ends are included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// `notBefore`
    pub not_before: i64,
    /// `notAfter`
    pub not_after: i64,
}

/// The validity of what a server showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainValidity {
    /// Of the server's own certificate.
    pub leaf: Validity,
    /// Of the whole chain that it sent, the leaf included: the latest beginning and the earliest end.
    pub chain: Validity,
}
