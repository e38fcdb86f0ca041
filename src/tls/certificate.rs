//! What certificates say of themselves (X.509, RFC 5280), whether or not anybody trusts them.
//!
//! Everything here reads what a stranger sent: what cannot be read is absent, and nothing panics.

use rustls::pki_types::CertificateDer;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509CertificateParser};
use x509_parser::public_key::PublicKey;

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

impl ChainValidity {
    /// The dates of a chain, its leaf first. `None` when the leaf is missing or cannot be read; others that cannot be read are passed
    /// over.
    pub fn of(certificates: &[CertificateDer<'_>]) -> Option<Self> {
        let (leaf, others) = certificates.split_first()?;
        let leaf = validity(leaf)?;
        let chain = others.iter().filter_map(validity).fold(leaf, |chain, other| Validity {
            not_before: chain.not_before.max(other.not_before),
            not_after: chain.not_after.min(other.not_after),
        });
        Some(Self { leaf, chain })
    }
}

/// When a certificate holds; `None` when it cannot be read.
pub fn validity(certificate: &CertificateDer<'_>) -> Option<Validity> {
    let certificate = shallow(certificate)?;
    let validity = certificate.validity();
    Some(Validity {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

/// One name of the extension `subjectAltName` (RFC 5280, section 4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectAlternativeName {
    /// `dNSName`, as it stands in the certificate: it may begin with `*.`, and nobody has checked its characters.
    Dns(String),
    /// `rfc822Name`: an address of electronic mail.
    Email(String),
    /// `iPAddress`
    Ip(IpAddr),
    /// `uniformResourceIdentifier`
    Uri(String),
}

impl fmt::Display for SubjectAlternativeName {
    /// The name alone, without its kind.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) | Self::Email(name) | Self::Uri(name) => formatter.write_str(name),
            Self::Ip(address) => address.fmt(formatter),
        }
    }
}

/// The names of these four kinds that a certificate is made out to, in its order. Empty when it has none or cannot be read. As many as
/// fit into the certificate, which TLS bounds at 64 KiB; their text is whatever the issuer signed.
pub fn subject_alternative_names(certificate: &CertificateDer<'_>) -> Vec<SubjectAlternativeName> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
        return Vec::new();
    };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(SubjectAlternativeName::Dns((*name).to_owned())),
            GeneralName::RFC822Name(name) => Some(SubjectAlternativeName::Email((*name).to_owned())),
            GeneralName::URI(name) => Some(SubjectAlternativeName::Uri((*name).to_owned())),
            GeneralName::IPAddress(bytes) => ip_address(bytes).map(SubjectAlternativeName::Ip),
            _ => None,
        })
        .collect()
}

/// Four bytes are IPv4, sixteen IPv6 (RFC 5280, section 4.2.1.6).
fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

/// Whether a certificate names itself as its issuer. Nobody has checked its signature.
pub fn is_self_issued(certificate: &CertificateDer<'_>) -> bool {
    shallow(certificate).is_some_and(|certificate| certificate.subject().as_raw() == certificate.issuer().as_raw())
}

/// Shortest RSA key that verifies anything: what NIST SP 800-57 part 1 asks for since 2014, and what rustls takes.
pub const MIN_RSA_BITS: usize = 2048;

/// Whether a certificate's own key is RSA and shorter than [`MIN_RSA_BITS`], so that nothing that it signed is believed.
pub fn has_weak_key(certificate: &CertificateDer<'_>) -> bool {
    let Some(certificate) = shallow(certificate) else {
        return false;
    };
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => key.key_size() < MIN_RSA_BITS,
        _ => false,
    }
}

/// What does not depend on the extensions, which may be broken.
fn shallow<'a>(certificate: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    use x509_parser::nom::Parser as _;
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    parser.parse(certificate).ok().map(|(_, certificate)| certificate)
}

/// Most names of a certificate that a sentence repeats.
const MAX_SHOWN_NAMES: usize = 4;
/// Most characters of one name that a sentence repeats; a host name has at most 253 (RFC 1035), and few have more than sixty.
const MAX_SHOWN_NAME_CHARACTERS: usize = 64;

/// The host names and addresses that a certificate is made out to, for people: at most four, cut, and with nothing but visible ASCII.
/// `None` when there are none.
pub fn shown_host_names(certificate: &CertificateDer<'_>) -> Option<String> {
    let names: Vec<String> = subject_alternative_names(certificate)
        .iter()
        .filter_map(|name| match name {
            SubjectAlternativeName::Dns(_) | SubjectAlternativeName::Ip(_) => Some(shown(&name.to_string())),
            _ => None,
        })
        .collect();
    let (first, rest) = names.split_at(names.len().min(MAX_SHOWN_NAMES));
    let listed = first.join(", ");
    match rest.len() {
        _ if first.is_empty() => None,
        0 => Some(listed),
        more => Some(format!("{listed} and {more} more")),
    }
}

/// What a certificate calls its issuer, for people: the common name, else the organisation, cut and with nothing but visible ASCII.
/// `None` when there is neither or it cannot be read.
pub fn shown_issuer(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = shallow(certificate)?;
    let issuer = certificate.issuer();
    let mut names = issuer.iter_common_name().chain(issuer.iter_organization());
    names.find_map(|name| name.as_str().ok()).map(shown)
}

fn shown(name: &str) -> String {
    let is_visible = |character: char| character.is_ascii_graphic() || character == ' ';
    let visible = |character: char| if is_visible(character) { character } else { '?' };
    let mut shown: String = name.chars().take(MAX_SHOWN_NAME_CHARACTERS).map(visible).collect();
    if name.chars().nth(MAX_SHOWN_NAME_CHARACTERS).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Seconds of a day.
pub const DAY_SECONDS: i64 = 24 * 60 * 60;
/// The last second of the year 9999, which ends what certificates can say (RFC 5280, section 4.1.2.5.2).
const LAST_SECOND: i64 = 253_402_300_799;

/// `2026-11-01`, in UTC, for seconds since 1970. A time outside of 1970 to 9999, when nobody used any certificate, is shown as the first or
/// last day of these.
pub fn shown_date(seconds: i64) -> String {
    let since_1970 = u64::try_from(seconds.clamp(0, LAST_SECOND)).unwrap_or_default();
    let time = UNIX_EPOCH + Duration::from_secs(since_1970);
    let mut text = humantime::format_rfc3339_seconds(time).to_string();
    text.truncate("2026-11-01".len());
    text
}

/// `19 days`, `1 day`, `less than a day` between two times, whichever is the later one.
pub fn shown_distance(one: i64, other: i64) -> String {
    match one.abs_diff(other) / DAY_SECONDS.unsigned_abs() {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests;
