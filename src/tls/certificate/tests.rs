use super::*;
use proptest::prelude::*;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};

fn made(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.not_before = date_time_ymd(2026, 1, 2);
    params.not_after = date_time_ymd(2027, 3, 4);
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

/// Seconds by `date -u -d 2026-01-02 +%s` and so on.
const JANUARY: i64 = 1_767_312_000;
const MARCH: i64 = 1_804_118_400;

#[test]
fn dates_are_read_and_a_chain_holds_where_all_of_it_does() {
    let leaf = made(|_| ());
    let dates = Validity {
        not_before: JANUARY,
        not_after: MARCH,
    };
    assert_eq!(validity(&leaf), Some(dates));
    let later = made(|params| params.not_before = date_time_ymd(2026, 1, 3));
    let sooner = made(|params| params.not_after = date_time_ymd(2027, 3, 3));
    let broken = CertificateDer::from(vec![1, 2, 3]);
    let chain = ChainValidity::of(&[leaf.clone(), later, broken.clone(), sooner]).unwrap();
    assert_eq!(chain.leaf, dates);
    assert_eq!(chain.chain.not_before, JANUARY + DAY_SECONDS);
    assert_eq!(chain.chain.not_after, MARCH - DAY_SECONDS);
    assert_eq!(ChainValidity::of(&[]), None);
    assert_eq!(ChainValidity::of(&[broken, leaf]), None);
}

/// RFC 5280 gives certificates without an end the last second of 9999.
#[test]
fn dates_far_away_are_read() {
    let endless = made(|params| {
        params.not_before = date_time_ymd(1950, 1, 1);
        params.not_after = date_time_ymd(9999, 12, 31);
    });
    let validity = validity(&endless).unwrap();
    assert_eq!(shown_date(validity.not_after), "9999-12-31");
    assert_eq!(shown_date(validity.not_before), "1970-01-01");
}

#[test]
fn every_kind_of_name_is_read() {
    let certificate = made(|params| {
        params.subject_alt_names = vec![
            SanType::DnsName("*.example.org".try_into().unwrap()),
            SanType::Rfc822Name("a@example.org".try_into().unwrap()),
            SanType::IpAddress([10, 0, 0, 1].into()),
            SanType::IpAddress("fd00::1".parse().unwrap()),
            SanType::URI("spiffe://example.org/scraper".try_into().unwrap()),
        ];
    });
    let names: Vec<String> = subject_alternative_names(&certificate)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        names,
        [
            "*.example.org",
            "a@example.org",
            "10.0.0.1",
            "fd00::1",
            "spiffe://example.org/scraper"
        ]
    );
    assert_eq!(
        shown_host_names(&certificate).as_deref(),
        Some("*.example.org, 10.0.0.1, fd00::1")
    );
    assert_eq!(shown_host_names(&made(|_| ())), None);
}

#[test]
fn what_is_shown_of_names_is_bounded_and_harmless() {
    let certificate = made(|params| {
        params.subject_alt_names = (0..9)
            .map(|number| SanType::DnsName(format!("{number}.example.org").try_into().unwrap()))
            .collect();
    });
    assert_eq!(
        shown_host_names(&certificate).as_deref(),
        Some("0.example.org, 1.example.org, 2.example.org, 3.example.org and 5 more")
    );
    assert_eq!(shown("a\u{1b}[31m\nb\u{e9}"), "a?[31m?b?");
    assert_eq!(shown(&"x".repeat(65)), format!("{}...", "x".repeat(64)));
    assert_eq!(shown(&"x".repeat(64)), "x".repeat(64));
}

#[test]
fn dates_and_distances_are_for_people() {
    assert_eq!(shown_date(JANUARY), "2026-01-02");
    assert_eq!(shown_date(i64::MAX), "9999-12-31");
    assert_eq!(shown_distance(JANUARY, JANUARY + 19 * DAY_SECONDS + 5), "19 days");
    assert_eq!(shown_distance(JANUARY + DAY_SECONDS, JANUARY), "1 day");
    assert_eq!(shown_distance(i64::MIN, i64::MAX), "213503982334601 days");
    assert_eq!(shown_distance(5, 4), "less than a day");
}

#[test]
fn issuers_and_keys_are_looked_at() {
    let certificate = made(|_| ());
    assert!(is_self_issued(&certificate));
    assert!(!has_weak_key(&certificate));
    assert_eq!(shown_issuer(&certificate).as_deref(), Some("rcgen self signed cert"));
    let named = |kind: DnType, name: &str| {
        made(|params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(kind, name);
        })
    };
    let organisation = named(DnType::OrganizationName, "Evil\u{1b}[31m Inc.");
    assert_eq!(shown_issuer(&organisation).as_deref(), Some("Evil?[31m Inc."));
    assert_eq!(shown_issuer(&named(DnType::CountryName, "AQ")), None);
}

fn read_everything(der: Vec<u8>) {
    let certificate = CertificateDer::from(der);
    let _ = ChainValidity::of(std::slice::from_ref(&certificate));
    let _ = subject_alternative_names(&certificate);
    let _ = (shown_host_names(&certificate), shown_issuer(&certificate));
    let _ = (is_self_issued(&certificate), has_weak_key(&certificate));
}

proptest! {
    #[test]
    fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_everything(bytes);
    }

    #[test]
    fn a_damaged_certificate_can_be_looked_at(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut der = made(|params| {
            params.subject_alt_names = vec![SanType::DnsName("a.example".try_into().unwrap())];
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(1));
        })
        .to_vec();
        for (place, byte) in changes {
            let place = place.index(der.len());
            der[place] = byte;
        }
        if let Some(cut) = cut {
            der.truncate(cut.index(der.len()));
        }
        read_everything(der);
    }

    #[test]
    fn any_date_can_be_shown(seconds in any::<i64>(), other in any::<i64>()) {
        prop_assert!(!shown_date(seconds).is_empty() && !shown_distance(seconds, other).is_empty());
    }
}
