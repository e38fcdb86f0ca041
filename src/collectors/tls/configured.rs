//! What servers say of the certificates that they have loaded: Valkey from 9.1 on, Dragonfly.

use crate::redis::Info;
use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

/// Certificates of Valkey's section TLS: its own, the one that it shows to other servers, and the first of its authorities to end.
const NAMES: [&str; 3] = ["server", "client", "ca"];

/// How far a computed end may wander before it is taken for another one: what is left is told in whole seconds, and the reply travels.
const JITTER_SECONDS: f64 = 2.0;

/// Longest serial number that is compared; X.509 allows 20 bytes, which are 40 digits.
const MAX_SERIAL_BYTES: usize = 128;

/// One certificate.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Certificate {
    /// `server`, `client` or `ca`.
    pub(super) name: &'static str,
    /// Its end in seconds since 1970.
    pub(super) not_after: Option<f64>,
    /// Its beginning in seconds since 1970.
    pub(super) not_before: Option<f64>,
}

/// The certificates that were told so far, so that rounding does not make their ends wander from poll to poll.
#[derive(Debug, Default)]
pub(super) struct ConfiguredCertificates {
    /// Serial number and end, by name.
    known: BTreeMap<&'static str, (String, f64)>,
}

impl ConfiguredCertificates {
    /// Reads one INFO reply.
    pub(super) fn read(&mut self, info: &Info, unix_seconds: f64) -> Vec<Certificate> {
        let mut certificates: Vec<Certificate> = Vec::new();
        for name in NAMES {
            if let Some(not_after) = self.end(name, info, unix_seconds.floor()) {
                certificates.push(Certificate {
                    name,
                    not_after: Some(not_after),
                    not_before: None,
                });
            }
        }
        // Dragonfly, which tells its own alone.
        let date = |field: &str| info.get(field).and_then(unix_time);
        let (not_after, not_before) = (date("tls_cert_not_after"), date("tls_cert_not_before"));
        if certificates.is_empty() && (not_after.is_some() || not_before.is_some()) {
            certificates.push(Certificate {
                name: "server",
                not_after,
                not_before,
            });
        }
        certificates
    }

    /// When a certificate of Valkey ends. It writes 0 seconds for one that has ended and for one that is not there; the serial number
    /// (`none`) tells them apart.
    fn end(&mut self, name: &'static str, info: &Info, now: f64) -> Option<f64> {
        let serial = info.get(&format!("tls_{name}_cert_serial")).map(str::trim);
        let serial =
            serial.filter(|serial| !serial.is_empty() && *serial != "none" && serial.len() <= MAX_SERIAL_BYTES);
        let left = info.number(&format!("tls_{name}_cert_expires_in_seconds"));
        let (Some(serial), Some(left)) = (serial, left.filter(|left| left.is_finite() && *left >= 0.0)) else {
            self.known.remove(name);
            return None;
        };
        let known = self.known.get(name).filter(|(known, _)| known == serial);
        let computed = now + left;
        let end = match known {
            Some((_, end)) if left == 0.0 || (end - computed).abs() <= JITTER_SECONDS => *end,
            _ => computed,
        };
        self.known.insert(name, (serial.to_owned(), end));
        Some(end)
    }
}

/// A date as OpenSSL prints it (`Jun  1 12:00:00 2027 GMT`), or as RFC 3339 writes it, in seconds since 1970. `None` for anything else, and
/// for dates before 1970.
fn unix_time(text: &str) -> Option<f64> {
    let text = text.trim();
    let rfc3339 = openssl_to_rfc3339(text).unwrap_or_else(|| text.to_owned());
    let time = humantime::parse_rfc3339_weak(&rfc3339).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs_f64())
}

/// `Jun  1 12:00:00 2027 GMT` as `2027-06-01T12:00:00Z`.
fn openssl_to_rfc3339(text: &str) -> Option<String> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let mut words = text.split_ascii_whitespace();
    let (month, day, time, year) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    let month = MONTHS.iter().position(|known| *known == month)? + 1;
    let (day, year): (u8, u16) = (day.parse().ok()?, year.parse().ok()?);
    Some(format!("{year:04}-{month:02}-{day:02}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: f64 = 1_795_170_440.0;

    fn info(server: &str, client: &str) -> Info {
        Info::parse(
            format!("# TLS\r\n{server}\r\n{client}\r\ntls_ca_cert_serial:none\r\ntls_ca_cert_expires_in_seconds:0\r\n")
                .as_bytes(),
        )
    }

    fn server(serial: &str, left: u64) -> Info {
        info(
            &format!("tls_server_cert_serial:{serial}\r\ntls_server_cert_expires_in_seconds:{left}"),
            "",
        )
    }

    fn ends(certificates: &[Certificate]) -> Vec<(&str, f64)> {
        certificates.iter().map(|it| (it.name, it.not_after.unwrap())).collect()
    }

    #[test]
    fn ends_stand_still_although_seconds_are_rounded() {
        let mut certificates = ConfiguredCertificates::default();
        assert_eq!(
            ends(&certificates.read(&server("0E8C", 1000), NOW + 0.9)),
            [("server", NOW + 1000.0)]
        );
        assert_eq!(
            ends(&certificates.read(&server("0E8C", 998), NOW + 1.1)),
            [("server", NOW + 1000.0)]
        );
        // Another certificate, and a clock that was set.
        assert_eq!(
            ends(&certificates.read(&server("0E8D", 1000), NOW + 1.0)),
            [("server", NOW + 1001.0)]
        );
        assert_eq!(
            ends(&certificates.read(&server("0E8D", 1000), NOW + 90.0)),
            [("server", NOW + 1090.0)]
        );
    }

    #[test]
    fn one_that_has_ended_keeps_its_end_and_one_that_is_not_there_has_none() {
        let mut certificates = ConfiguredCertificates::default();
        certificates.read(&server("0E8C", 5), NOW);
        assert_eq!(
            ends(&certificates.read(&server("0E8C", 0), NOW + 60.0)),
            [("server", NOW + 5.0)]
        );
        assert!(certificates.read(&server("none", 0), NOW + 61.0).is_empty());
        // Nobody looked when it ended: at the latest then, and the value does not move.
        assert_eq!(
            ends(&certificates.read(&server("0E8C", 0), NOW + 70.0)),
            [("server", NOW + 70.0)]
        );
        assert_eq!(
            ends(&certificates.read(&server("0E8C", 0), NOW + 99.0)),
            [("server", NOW + 70.0)]
        );
    }

    #[test]
    fn what_is_not_told_is_not_there() {
        let mut certificates = ConfiguredCertificates::default();
        for text in [
            "",
            "tls_server_cert_serial:0E8C",
            "tls_server_cert_serial:0E8C\r\ntls_server_cert_expires_in_seconds:soon",
            "tls_server_cert_serial:0E8C\r\ntls_server_cert_expires_in_seconds:-1",
        ] {
            assert!(certificates.read(&info(text, ""), NOW).is_empty(), "{text}");
        }
        let both = info(
            "tls_server_cert_serial:1\r\ntls_server_cert_expires_in_seconds:1",
            "tls_client_cert_serial:2\r\ntls_client_cert_expires_in_seconds:2",
        );
        let found = certificates.read(&both, NOW);
        assert_eq!(ends(&found), [("server", NOW + 1.0), ("client", NOW + 2.0)]);
    }

    /// By the sources of Dragonfly (pull request 6434), which is not among the servers of the tests.
    #[test]
    fn dragonfly_writes_dates() {
        let info = Info::parse(
            b"# Server\r\ntls_cert_not_before:Jan  1 00:00:00 2026 GMT\r\ntls_cert_not_after:Jun 11 12:30:05 2027 GMT\r\n",
        );
        let found = ConfiguredCertificates::default().read(&info, NOW);
        let wanted = Certificate {
            name: "server",
            not_after: Some(1_812_717_005.0),
            not_before: Some(1_767_225_600.0),
        };
        assert_eq!(found, [wanted]);
        assert_eq!(unix_time("2027-06-11T12:30:05Z"), Some(1_812_717_005.0));
        assert_eq!(unix_time("2027-06-11 12:30:05"), Some(1_812_717_005.0));
        for bad in [
            "",
            "Juno 1 00:00:00 2026 GMT",
            "Jan 99 00:00:00 2026 GMT",
            "Jan 1 00:00:00 2026 CET",
            "Jan 1",
        ] {
            assert_eq!(unix_time(bad), None, "{bad}");
        }
    }
}
