//! What the client accepts: `Accept` and `Accept-Encoding`.
//!
//! Source: RFC 9110 sections 12.4 and 12.5, and Prometheus' "Scrape protocol content negotiation". Garbage in these headers
//! never fails a request: what cannot be read is passed over, and the text format 0.0.4 is the last resort.

use super::Dialect;

/// Bytes of a header that are read. Prometheus sends under 400; the rest of a longer one is passed over.
const MAX_HEADER_BYTES: usize = 4096;

/// Entries of a header that are read. Prometheus sends 6, browsers under 10.
const MAX_ENTRIES: usize = 64;

/// A format that can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// How the body is written.
    pub dialect: Dialect,
    /// The header `Content-Type`.
    pub content_type: &'static str,
}

/// OpenMetrics as Prometheus since 2.5 asks for it.
pub const OPENMETRICS_1_0_0: Format = Format {
    dialect: Dialect::OpenMetrics,
    content_type: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/// The draft of OpenMetrics. What we write is legal in both.
pub const OPENMETRICS_0_0_1: Format = Format {
    dialect: Dialect::OpenMetrics,
    content_type: "application/openmetrics-text; version=0.0.1; charset=utf-8",
};

/// The format that everything can read.
pub const TEXT_0_0_4: Format = Format {
    dialect: Dialect::Text,
    content_type: "text/plain; version=0.0.4; charset=utf-8",
};

/// A media type of ours, in the order in which equal wishes are decided.
struct Offer {
    format: Format,
    kind: &'static str,
    subtype: &'static str,
    version: &'static str,
}

const OFFERS: [Offer; 3] = [
    Offer {
        format: OPENMETRICS_1_0_0,
        kind: "application",
        subtype: "openmetrics-text",
        version: "1.0.0",
    },
    Offer {
        format: OPENMETRICS_0_0_1,
        kind: "application",
        subtype: "openmetrics-text",
        version: "0.0.1",
    },
    Offer {
        format: TEXT_0_0_4,
        kind: "text",
        subtype: "plain",
        version: "0.0.4",
    },
];

/// How exactly an entry of `Accept` names an offer; a more exact entry decides over a less exact one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    /// `*/*`
    Anything,
    /// `text/*`
    Kind,
    /// `text/plain`
    Subtype,
    /// `text/plain;version=0.0.4`
    Version,
}

/// A quality in thousandths, as RFC 9110 section 12.4.2 limits it to three decimals.
type Quality = u16;

const BEST_QUALITY: Quality = 1000;

/// The format for the values of the header `Accept`, however many lines it has.
///
/// The highest quality wins; among equals the more exactly named format; then OpenMetrics 1.0.0 before 0.0.1 before text.
/// Without a usable wish, also when everything of ours is refused, it is text 0.0.4.
pub fn format<'a>(accept: impl IntoIterator<Item = &'a str>) -> Format {
    let mut wishes: [Option<(Precision, Quality)>; OFFERS.len()] = [None; OFFERS.len()];
    for entry in entries(accept) {
        let mut parts = entry.split(';');
        let Some((kind, subtype)) = parts.next().and_then(|range| range.trim().split_once('/')) else {
            continue;
        };
        let mut version = None;
        let mut quality = Some(BEST_QUALITY);
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("version") {
                version = Some(value);
            } else if name.trim().eq_ignore_ascii_case("q") {
                quality = parse_quality(value);
            }
        }
        // An entry whose quality cannot be read says nothing that could be honoured.
        let Some(quality) = quality else { continue };
        for (wish, offer) in wishes.iter_mut().zip(&OFFERS) {
            let Some(precision) = offer.precision(kind.trim(), subtype.trim(), version) else {
                continue;
            };
            if wish.is_none_or(|(known, best)| (precision, quality) > (known, best)) {
                *wish = Some((precision, quality));
            }
        }
    }
    let mut best: Option<((Quality, Precision, usize), Format)> = None;
    for (place, (wish, offer)) in wishes.iter().zip(&OFFERS).enumerate() {
        let Some((precision, quality)) = *wish else { continue };
        let preference = match (precision, offer.format.dialect) {
            // Whoever takes anything gets the format that everything can read.
            (Precision::Anything, Dialect::Text) => OFFERS.len(),
            _ => OFFERS.len() - 1 - place,
        };
        let rank = (quality, precision, preference);
        if quality > 0 && best.as_ref().is_none_or(|(best_rank, _)| rank > *best_rank) {
            best = Some((rank, offer.format));
        }
    }
    best.map_or(TEXT_0_0_4, |(_, format)| format)
}

impl Offer {
    fn precision(&self, kind: &str, subtype: &str, version: Option<&str>) -> Option<Precision> {
        if kind == "*" {
            return (subtype == "*").then_some(Precision::Anything);
        }
        if !kind.eq_ignore_ascii_case(self.kind) {
            return None;
        }
        if subtype == "*" {
            return Some(Precision::Kind);
        }
        if !subtype.eq_ignore_ascii_case(self.subtype) {
            return None;
        }
        match version {
            None => Some(Precision::Subtype),
            Some(version) => (version == self.version).then_some(Precision::Version),
        }
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// RFC 1952.
    Gzip,
}

/// The encoding for the values of the header `Accept-Encoding`. Without the header nothing is compressed.
pub fn encoding<'a>(accept_encoding: impl IntoIterator<Item = &'a str>) -> Encoding {
    let mut gzip: Option<Quality> = None;
    let mut identity: Option<Quality> = None;
    let mut anything: Option<Quality> = None;
    for entry in entries(accept_encoding) {
        let mut parts = entry.split(';');
        let coding = parts.next().unwrap_or_default().trim();
        let mut quality = Some(BEST_QUALITY);
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("q")
            {
                quality = parse_quality(value.trim());
            }
        }
        let Some(quality) = quality else { continue };
        if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") {
            gzip = gzip.max(Some(quality));
        } else if coding.eq_ignore_ascii_case("identity") {
            identity = identity.max(Some(quality));
        } else if coding == "*" {
            anything = anything.max(Some(quality));
        }
    }
    match gzip.or(anything) {
        // Not to compress is always allowed (RFC 9110 section 12.5.3), so it needs no wish; a stronger one wins.
        Some(quality) if quality > 0 && identity.is_none_or(|identity| quality >= identity) => Encoding::Gzip,
        _ => Encoding::Identity,
    }
}

/// The entries of all lines of a header, cut to the limits.
fn entries<'a>(lines: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut left = MAX_HEADER_BYTES;
    lines
        .into_iter()
        .flat_map(|line| line.split(','))
        .take(MAX_ENTRIES)
        .take_while(move |entry| match left.checked_sub(entry.len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        })
}

/// `0`, `1`, `0.75`: RFC 9110 section 12.4.2. More than three decimals are cut off; anything else is `None`.
fn parse_quality(text: &str) -> Option<Quality> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut thousandths: Quality = 0;
    for position in 0..3 {
        let digit = decimals.as_bytes().get(position).map_or(0, |byte| byte - b'0');
        thousandths = thousandths * 10 + Quality::from(digit);
    }
    match whole {
        "1" => Some(BEST_QUALITY),
        "0" | "" if !(whole.is_empty() && decimals.is_empty()) => Some(thousandths),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMETHEUS_2_42: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const PROMETHEUS_2_53: &str = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROMETHEUS_3_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[test]
    fn every_prometheus_gets_openmetrics() {
        for header in [PROMETHEUS_2_42, PROMETHEUS_2_53, PROMETHEUS_3, PROMETHEUS_3_NATIVE] {
            assert_eq!(format([header]), OPENMETRICS_1_0_0, "{header}");
        }
    }

    #[test]
    fn other_wishes() {
        let cases = [
            ("", TEXT_0_0_4),
            ("*/*", TEXT_0_0_4),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                TEXT_0_0_4,
            ),
            ("text/plain", TEXT_0_0_4),
            ("text/*", TEXT_0_0_4),
            (
                "text/plain;version=0.0.4;q=0.9, application/openmetrics-text;q=0.5",
                TEXT_0_0_4,
            ),
            ("application/openmetrics-text", OPENMETRICS_1_0_0),
            ("application/openmetrics-text, */*", OPENMETRICS_1_0_0),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OPENMETRICS_1_0_0),
            ("application/openmetrics-text;version=0.0.1", OPENMETRICS_0_0_1),
            (
                "application/openmetrics-text;version=0.0.1,text/plain;q=0.5",
                OPENMETRICS_0_0_1,
            ),
            ("application/openmetrics-text;version=2.0.0", TEXT_0_0_4),
            ("application/openmetrics-text;q=0, */*", TEXT_0_0_4),
            ("text/plain;q=0, */*;q=0.5", OPENMETRICS_1_0_0),
            ("application/json", TEXT_0_0_4),
            ("text/plain;q=0", TEXT_0_0_4),
            ("application/openmetrics-text;q=high", TEXT_0_0_4),
            (";;;,,,//=;q", TEXT_0_0_4),
        ];
        for (header, expected) in cases {
            assert_eq!(format([header]), expected, "{header}");
        }
        assert_eq!(format([]), TEXT_0_0_4);
        assert_eq!(
            format(["text/plain;q=0.1", "application/openmetrics-text;version=1.0.0"]),
            OPENMETRICS_1_0_0
        );
    }

    #[test]
    fn what_stands_behind_the_limits_is_passed_over() {
        let many = format!("{}application/openmetrics-text", "x/y,".repeat(MAX_ENTRIES));
        assert_eq!(format([many.as_str()]), TEXT_0_0_4);
        let long = format!("{},application/openmetrics-text", "x".repeat(MAX_HEADER_BYTES));
        assert_eq!(format([long.as_str()]), TEXT_0_0_4);
    }

    #[test]
    fn gzip_only_when_wanted() {
        let cases = [
            ("gzip", Encoding::Gzip),
            ("GZip, deflate, br", Encoding::Gzip),
            ("x-gzip", Encoding::Gzip),
            ("*", Encoding::Gzip),
            ("gzip;q=0.5", Encoding::Gzip),
            ("gzip;q=0", Encoding::Identity),
            ("gzip;q=0, *", Encoding::Identity),
            ("*;q=0", Encoding::Identity),
            ("identity", Encoding::Identity),
            ("identity;q=1, gzip;q=0.5", Encoding::Identity),
            ("identity;q=0.5, gzip", Encoding::Gzip),
            ("deflate", Encoding::Identity),
            ("gzip;q=no", Encoding::Identity),
            ("", Encoding::Identity),
        ];
        for (header, expected) in cases {
            assert_eq!(encoding([header]), expected, "{header}");
        }
        assert_eq!(encoding([]), Encoding::Identity);
    }

    #[test]
    fn qualities() {
        assert_eq!(parse_quality("0.75"), Some(750));
        assert_eq!(parse_quality("1.000"), Some(1000));
        assert_eq!(parse_quality(".5"), Some(500));
        assert_eq!(parse_quality("0.1239"), Some(123));
        for bad in ["", ".", "2", "-1", "0.x", "1e3"] {
            assert_eq!(parse_quality(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(header in "\\PC*", soup in "[a-z*/;=q0-9.,\" ]{0,200}") {
            let _ = format([header.as_str(), soup.as_str()]);
            let _ = encoding([header.as_str(), soup.as_str()]);
        }
    }
}
