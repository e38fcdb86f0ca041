//! What our TLS handshakes with a server showed, and how it is said to people.

use crate::redis::{TlsHandshake, TlsReason};
use crate::tls::certificate::{ChainValidity, DAY_SECONDS, shown_date, shown_distance};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// From so few seconds on (14 days) the end of a certificate is something to be looked at: what renews them by itself does so a third of their life
/// before, which is 30 days of the usual 90.
const SOON_SECONDS: i64 = 14 * DAY_SECONDS;

/// Seconds since 1970 by this machine's clock.
pub fn unix_now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
}

/// What the last handshakes showed.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// The last that came as far as TLS. Where it showed no certificates, the dates are those of the last that did.
    pub handshake: TlsHandshake,
    /// When its version, cipher and verdict become too old to be shown. Dates do not.
    pub expires_at: Instant,
}

/// A sentence, and whether it is about something that somebody should mend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// The sentence; empty without TLS.
    pub text: String,
    /// Something should be mended.
    pub is_bad: bool,
}

/// The state of TLS for the status page. `skips_verification` is what the configuration says, `unix_seconds` the time of day.
pub fn in_words(facts: Option<&TlsFacts>, skips_verification: bool, now: Instant, unix_seconds: i64) -> Words {
    let mut pieces = Vec::new();
    let mut is_bad = skips_verification;
    if let Some(facts) = facts {
        if now < facts.expires_at {
            pieces.extend(facts.handshake.version.map(str::to_owned));
            let (verdict, is_refused) = verdict(&facts.handshake);
            pieces.extend(verdict);
            is_bad |= is_refused;
        }
        if let Some(certificates) = facts.handshake.certificates {
            let (sentence, is_soon) = end_in_words(certificates, unix_seconds);
            pieces.push(sentence);
            is_bad |= is_soon;
        }
    } else {
        pieces.push("no handshake yet".to_owned());
    }
    let skipped = skipped_in_words(skips_verification);
    pieces.extend(Some(skipped.text).filter(|text| !text.is_empty()));
    Words {
        text: pieces.join(", "),
        is_bad,
    }
}

/// That nobody verifies, where that is so.
pub fn skipped_in_words(skips_verification: bool) -> Words {
    let text = if skips_verification {
        "verification is switched off"
    } else {
        ""
    };
    Words {
        text: text.to_owned(),
        is_bad: skips_verification,
    }
}

/// What a handshake says of the server's identity, and whether that is bad.
pub fn verdict(handshake: &TlsHandshake) -> (Option<String>, bool) {
    match (handshake.verified, handshake.failure) {
        (Some(true), None) => (Some("verified".to_owned()), false),
        (Some(true), Some(failure)) => (Some(format!("verified, but {}", reason_in_words(failure))), true),
        (Some(false), failure) => {
            let why = failure.map_or("the certificate is refused", reason_in_words);
            (Some(format!("not verified: {why}")), true)
        }
        (None, Some(failure)) => (Some(reason_in_words(failure).to_owned()), true),
        (None, None) => (None, false),
    }
}

/// Why a handshake failed, or would have, as a clause.
fn reason_in_words(reason: TlsReason) -> &'static str {
    match reason {
        TlsReason::Expired => "a certificate has expired",
        TlsReason::NotYetValid => "a certificate does not hold yet",
        TlsReason::UnknownCa => "its authority is not trusted",
        TlsReason::NameMismatch => "the certificate is made out to another name",
        TlsReason::Handshake => "no agreement on TLS",
        TlsReason::ClientCertificate => "the server does not accept our certificate, or we have none that can be used",
        TlsReason::Other => "something else is wrong",
    }
}

/// `certificate ends in 83 days (2026-12-01)`, and whether that is soon or past.
pub fn end_in_words(certificates: ChainValidity, unix_seconds: i64) -> (String, bool) {
    let (leaf, chain) = (certificates.leaf.not_after, certificates.chain.not_after);
    let (what, end) = if chain < leaf {
        ("a certificate of its chain", chain)
    } else {
        ("certificate", leaf)
    };
    let (distance, date) = (shown_distance(end, unix_seconds), shown_date(end));
    let left = end.saturating_sub(unix_seconds);
    if left < 0 {
        (format!("{what} ended {distance} ago ({date})"), true)
    } else {
        (format!("{what} ends in {distance} ({date})"), left < SOON_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::certificate::Validity;
    use std::time::Duration;

    const NOW: i64 = 1_795_170_440;

    fn chain(leaf_days: i64, chain_days: i64) -> ChainValidity {
        let until = |days: i64| Validity {
            not_before: 0,
            not_after: NOW + days * DAY_SECONDS,
        };
        ChainValidity {
            leaf: until(leaf_days),
            chain: until(chain_days),
        }
    }

    fn facts(verified: Option<bool>, failure: Option<TlsReason>, days: i64) -> TlsFacts {
        TlsFacts {
            handshake: TlsHandshake {
                version: Some("TLSv1.3"),
                cipher: Some("TLS_AES_256_GCM_SHA384"),
                certificates: Some(chain(days, days)),
                verified,
                failure,
            },
            expires_at: Instant::now() + Duration::from_secs(60),
        }
    }

    fn words(facts: &TlsFacts, skips: bool) -> (String, bool) {
        let words = in_words(Some(facts), skips, Instant::now(), NOW);
        (words.text, words.is_bad)
    }

    #[test]
    fn the_state_is_said_in_one_sentence() {
        let good = facts(Some(true), None, 83);
        assert_eq!(
            words(&good, false),
            (
                "TLSv1.3, verified, certificate ends in 83 days (2027-02-11)".to_owned(),
                false
            )
        );
        let expired = facts(Some(false), Some(TlsReason::Expired), -2);
        assert_eq!(
            words(&expired, true),
            (
                "TLSv1.3, not verified: a certificate has expired, certificate ended 2 days ago (2026-11-18), verification is switched off"
                    .to_owned(),
                true
            )
        );
        let soon = facts(Some(true), None, 13);
        assert!(words(&soon, false).1);
        assert_eq!(in_words(None, false, Instant::now(), NOW).text, "no handshake yet");
    }

    #[test]
    fn what_is_too_old_goes_and_dates_stay() {
        let mut old = facts(Some(true), None, 1);
        old.expires_at = Instant::now();
        assert_eq!(words(&old, false).0, "certificate ends in 1 day (2026-11-21)");
        let stalled = TlsFacts {
            handshake: TlsHandshake {
                failure: Some(TlsReason::Handshake),
                ..TlsHandshake::default()
            },
            ..facts(None, None, 0)
        };
        assert_eq!(words(&stalled, false), ("no agreement on TLS".to_owned(), true));
    }

    #[test]
    fn the_last_day_is_no_number_of_days() {
        let words = |seconds| end_in_words(chain(0, 0), NOW + seconds);
        assert_eq!(words(-1).0, "certificate ends in less than a day (2026-11-20)");
        assert_eq!(words(1).0, "certificate ended less than a day ago (2026-11-20)");
        assert_eq!(words(DAY_SECONDS).0, "certificate ended 1 day ago (2026-11-20)");
    }

    #[test]
    fn the_first_of_the_chain_to_end_is_named() {
        assert_eq!(
            end_in_words(chain(80, 3), NOW),
            (
                "a certificate of its chain ends in 3 days (2026-11-23)".to_owned(),
                true
            )
        );
        let endless = ChainValidity {
            leaf: Validity {
                not_before: i64::MIN,
                not_after: i64::MAX,
            },
            ..chain(0, 0)
        };
        assert!(
            end_in_words(
                ChainValidity {
                    chain: endless.leaf,
                    ..endless
                },
                NOW
            )
            .0
            .ends_with("(9999-12-31)")
        );
        let ancient = Validity {
            not_before: i64::MIN,
            not_after: i64::MIN,
        };
        let all = ChainValidity {
            leaf: ancient,
            chain: ancient,
        };
        assert!(end_in_words(all, NOW).0.ends_with("(1970-01-01)"));
    }
}
