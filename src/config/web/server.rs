//! `tls_server_config` of the web configuration.

use super::super::decode::{Decoder, Field, Fields, Located};
use super::super::names::{Scope, nearest};
use super::super::problem::Place;
use super::super::tls::TlsVersion;
use super::super::tree::Kind;
use super::super::types::Secret;
use super::values::{given, switch, text, text_of, word};
use super::{ClientAuth, PemSource, WebTls, files, suites};
use std::path::Path;

/// Longest path that Linux takes (`PATH_MAX`).
const MAX_PATH_BYTES: usize = 4096;
/// Most items of a list. Every client's names are held against each.
const MAX_ITEMS: usize = 1000;

/// The values of `client_auth_type`; the second name of [`ClientAuth::RequireAny`] is one that the toolkit once documented.
const CLIENT_AUTH_TYPES: [(&str, ClientAuth); 6] = [
    ("NoClientCert", ClientAuth::None),
    ("RequestClientCert", ClientAuth::Request),
    ("RequireAnyClientCert", ClientAuth::RequireAny),
    ("RequireClientCert", ClientAuth::RequireAny),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerify),
];

/// The values of `min_version` and `max_version`; `None` are versions that rustls does not have.
const VERSIONS: [(&str, Option<TlsVersion>); 4] = [
    ("TLS13", Some(TlsVersion::V1_3)),
    ("TLS12", Some(TlsVersion::V1_2)),
    ("TLS11", None),
    ("TLS10", None),
];

/// Decodes the section; `None` when nothing stands in it, or when a problem leaves nothing to serve with.
pub(super) fn decode(
    decoder: &mut Decoder<'_>,
    field: &Field<'_>,
    directory: &Path,
    open_files: bool,
) -> Option<WebTls> {
    let fields = decoder.fields(field, Scope::WebTls);
    // Anything else than a mapping was refused.
    if !matches!(&field.node.kind, Kind::Mapping { entries, .. } if !entries.is_empty()) {
        return None;
    }
    let certificate = pem(decoder, &fields, "cert", "cert_file", directory);
    let key = pem(decoder, &fields, "key", "key_file", directory);
    let authority = pem(decoder, &fields, "client_ca", "client_ca_file", directory);
    if open_files {
        files::check(
            decoder,
            certificate.as_ref().ok().and_then(Option::as_ref),
            key.as_ref().ok().and_then(Option::as_ref),
            authority.as_ref().ok().and_then(Option::as_ref),
        );
    }
    // Plain HTTP because of a name that a template left empty would open a door that somebody wanted shut.
    let missing = match (&certificate, &key) {
        (Ok(None), Ok(None)) => {
            Some("has neither a certificate nor a key; write `cert_file` and `key_file` (or `cert` and `key`)")
        }
        (Ok(None), _) => Some("has no certificate; write `cert_file` (or `cert`)"),
        (_, Ok(None)) => Some("has no key; write `key_file` (or `key`)"),
        _ => None,
    };
    if let Some(missing) = missing {
        let message = format!("{missing}, or remove the whole section to serve plain HTTP");
        decoder.refuse(field, message);
    }
    let (client_auth, client_ca) = client_auth(decoder, &fields, authority);
    let client_allowed_sans = allowed_sans(decoder, &fields, client_auth);
    let chosen = cipher_suites(decoder, &fields);
    let (min_version, max_version) = versions(decoder, &fields, &chosen);
    let tls = WebTls {
        certificate: certificate.ok().flatten()?.value,
        key: key.ok().flatten()?.value,
        client_auth,
        client_ca,
        client_allowed_sans,
        min_version,
        max_version,
        cipher_suites: chosen.tls12,
        prefer_server_cipher_suites: switch(decoder, &fields, "prefer_server_cipher_suites").unwrap_or(true),
        curve_preferences: curves(decoder, &fields),
    };
    Some(tls)
}

/// A problem was noted.
struct Refused;

/// What stands under one of two keys: the text itself, or the path of a file.
fn pem(
    decoder: &mut Decoder<'_>,
    fields: &Fields<'_>,
    inline: &'static str,
    file: &'static str,
    directory: &Path,
) -> Result<Option<Located<PemSource>>, Refused> {
    let mut read = |key| match given(fields, key) {
        None => Ok(None),
        Some(field) if matches!(field.node.kind, Kind::Scalar { .. }) => {
            Ok(text(decoder, field).map(|text| (field, text)))
        }
        Some(field) => {
            let _ = text(decoder, field);
            Err(Refused)
        }
    };
    let (inline_text, path) = (read(inline)?, read(file)?);
    let (field, value) = match (inline_text, path) {
        (None, None) => return Ok(None),
        (Some((field, _)), Some(_)) => {
            decoder.refuse(field, format!("stands beside `{file}`; keep one of the two"));
            return Err(Refused);
        }
        (Some((field, text)), None) => (field, PemSource::Inline(Secret::new(text.as_ref()))),
        (None, Some((field, path))) if path.len() > MAX_PATH_BYTES || path.contains('\0') => {
            let message = format!("is no path: it is longer than {MAX_PATH_BYTES} bytes or holds a NUL; shorten it");
            decoder.refuse(field, message);
            return Err(Refused);
        }
        (None, Some((field, path))) => (field, PemSource::File(directory.join(&*path))),
    };
    Ok(Some(Located {
        value,
        place: Some(field.place),
        path: field.path.clone(),
    }))
}

/// What is asked of clients, and the authority that vouches for them where one has to.
fn client_auth(
    decoder: &mut Decoder<'_>,
    fields: &Fields<'_>,
    authority: Result<Option<Located<PemSource>>, Refused>,
) -> (ClientAuth, Option<PemSource>) {
    // A text that is empty says nothing; any other that is not known was refused, and what it would have meant is not.
    let written = text_of(decoder, fields, "client_auth_type").map(|(field, _)| field);
    let known = word(decoder, fields, "client_auth_type", &CLIENT_AUTH_TYPES);
    let (auth, authority) = match (known, written, authority) {
        (Some(auth), _, Ok(authority)) => (auth, authority),
        (None, None, Ok(authority)) => (ClientAuth::None, authority),
        (auth, _, _) => return (auth.unwrap_or(ClientAuth::RequireAndVerify), None),
    };
    match (auth, &authority) {
        (ClientAuth::None, Some(authority)) => {
            let message = "is of no use while no certificate is asked for; write `client_auth_type: RequireAndVerifyClientCert`, or remove it";
            decoder.problems.add(authority.place, &authority.path, message);
        }
        (ClientAuth::Request | ClientAuth::RequireAny, Some(authority)) => {
            let message = "is not used: `client_auth_type` does not verify certificates, so that one that anybody made opens the door; write \
                `RequireAndVerifyClientCert` there";
            decoder.problems.warn(authority.place, &authority.path, message);
        }
        (ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify, None) => {
            if let Some(field) = written {
                let message = "verifies certificates and has no authority to verify them by; write `client_ca_file` (or `client_ca`)";
                decoder.refuse(field, message);
            }
        }
        _ => {}
    }
    let authority = authority.filter(|_| auth.verifies());
    (auth, authority.map(|located| located.value))
}

fn allowed_sans(decoder: &mut Decoder<'_>, fields: &Fields<'_>, auth: ClientAuth) -> Vec<String> {
    let Some(field) = given(fields, "client_allowed_sans") else {
        return Vec::new();
    };
    let Some(items) = items(decoder, field, "prometheus.example.org") else {
        return Vec::new();
    };
    if items.is_empty() {
        decoder.refuse(
            field,
            "names nobody, so that nobody could connect; name those who may, or remove the key to accept every certificate that verifies",
        );
    }
    if !auth.requires() {
        decoder.refuse(
            field,
            "has no effect on clients without a certificate, which `client_auth_type` lets in; write `client_auth_type: RequireAndVerifyClientCert`",
        );
    } else if !auth.verifies() {
        let message = "protects nothing: `client_auth_type` does not verify certificates, so that anybody can make one with such a name; write \
            `RequireAndVerifyClientCert` there";
        decoder.problems.warn(field.place, &field.path, message);
    }
    items
        .iter()
        .filter_map(|item| match text(decoder, item) {
            Some(name) => Some(name.as_ref().to_owned()),
            None => {
                decoder.refuse(item, "must be a name, an IP address, an e-mail address or a URI");
                None
            }
        })
        .collect()
}

/// The suites that were chosen.
struct Chosen {
    /// Those of TLS 1.2 that rustls has.
    tls12: Vec<String>,
    /// Where the list stands when it names suites of TLS 1.3 alone.
    only_tls13: Option<Place>,
}

fn cipher_suites(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Chosen {
    let nothing = Chosen {
        tls12: Vec::new(),
        only_tls13: None,
    };
    let Some(field) = given(fields, "cipher_suites") else {
        return nothing;
    };
    let Some(items) = items(decoder, field, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256") else {
        return nothing;
    };
    let known = [&suites::TLS12[..], &suites::TLS13[..]].concat();
    let found = names(decoder, &items, &known, &suites::NOT_IN_RUSTLS, "a cipher suite of Go");
    if found.usable.is_empty() && found.left_out > 0 && found.wrong == 0 {
        decoder.refuse(
            field,
            format!(
                "names only cipher suites that this exporter does not have; it has {}",
                suites::TLS12.join(", ")
            ),
        );
    }
    let is_tls12 = |name: &&'static str| suites::TLS12.contains(name);
    let tls12: Vec<String> = found
        .usable
        .iter()
        .copied()
        .filter(is_tls12)
        .map(str::to_owned)
        .collect();
    let only_tls13 = (tls12.is_empty() && !found.usable.is_empty()).then_some(field.place);
    Chosen { tls12, only_tls13 }
}

fn curves(decoder: &mut Decoder<'_>, fields: &Fields<'_>) -> Vec<String> {
    let Some(field) = given(fields, "curve_preferences") else {
        return Vec::new();
    };
    let Some(items) = items(decoder, field, "X25519") else {
        return Vec::new();
    };
    let found = names(
        decoder,
        &items,
        &suites::CURVES,
        &suites::CURVES_NOT_IN_RUSTLS,
        "a curve",
    );
    if found.usable.is_empty() && found.left_out > 0 && found.wrong == 0 {
        let message = format!(
            "names only curves that this exporter does not have; it has {}",
            suites::CURVES.join(", ")
        );
        decoder.refuse(field, message);
    }
    found.usable.into_iter().map(str::to_owned).collect()
}

/// The items of a list that is not too long.
fn items<'n>(decoder: &mut Decoder<'_>, field: &Field<'n>, example: &str) -> Option<Vec<Field<'n>>> {
    let items = decoder.items(field, example)?;
    if items.len() > MAX_ITEMS {
        decoder.refuse(field, format!("has more than {MAX_ITEMS} items; shorten the list"));
        return None;
    }
    Some(items)
}

/// What a list of names came to.
#[derive(Default)]
struct Names {
    /// In the order of the list, each once.
    usable: Vec<&'static str>,
    /// How many the toolkit has and rustls does not.
    left_out: usize,
    /// How many nobody has.
    wrong: usize,
}

fn names(
    decoder: &mut Decoder<'_>,
    items: &[Field<'_>],
    usable: &[&'static str],
    left_out: &[&'static str],
    what: &str,
) -> Names {
    let mut found = Names::default();
    for item in items {
        let written = text(decoder, item).unwrap_or_default();
        if let Some(name) = usable.iter().find(|name| **name == &*written) {
            if !found.usable.contains(name) {
                found.usable.push(name);
            }
        } else if let Some(name) = left_out.iter().find(|name| **name == &*written) {
            found.left_out += 1;
            let message = format!("{name} is not served: this exporter does not have it; remove it");
            decoder.problems.warn(item.place, &item.path, message);
        } else {
            found.wrong += 1;
            let message = match nearest(&written, usable) {
                Some(near) => format!("is not the name of {what}; did you mean {near}?"),
                None => format!("is not the name of {what}; known here: {}", usable.join(", ")),
            };
            decoder.refuse(item, message);
        }
    }
    found
}

fn versions(decoder: &mut Decoder<'_>, fields: &Fields<'_>, chosen: &Chosen) -> (TlsVersion, TlsVersion) {
    let min = match word(decoder, fields, "min_version", &VERSIONS) {
        Some(Some(version)) => version,
        Some(None) => {
            if let Some(field) = given(fields, "min_version") {
                let message =
                    "is older than what this exporter speaks (RFC 8996): clients need TLS 1.2 or later; write `TLS12`";
                decoder.problems.warn(field.place, &field.path, message);
            }
            TlsVersion::V1_2
        }
        None => TlsVersion::V1_2,
    };
    let Some(field) = given(fields, "max_version") else {
        return (raised(min, chosen), TlsVersion::V1_3);
    };
    let max = match word(decoder, fields, "max_version", &VERSIONS) {
        Some(Some(version)) => version,
        Some(None) => {
            let message = "leaves no version of TLS that this exporter speaks (RFC 8996); write `TLS12` or `TLS13`, or remove the key";
            decoder.refuse(field, message);
            return (min, TlsVersion::V1_3);
        }
        None => return (raised(min, chosen), TlsVersion::V1_3),
    };
    if max < min {
        decoder.refuse(
            field,
            "is below `min_version`, which leaves no version of TLS; raise it, or lower the other",
        );
        return (min, TlsVersion::V1_3);
    }
    if let (TlsVersion::V1_2, Some(place)) = (max, chosen.only_tls13) {
        let path = format!("{}.cipher_suites", parent(&field.path));
        let message = "names suites of TLS 1.3 alone, which `max_version` rules out; name one of TLS 1.2, or remove `max_version`";
        decoder.problems.add(place, &path, message);
    }
    (raised(min, chosen), max)
}

/// The path of the mapping that a key stands in.
fn parent(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(parent, _)| parent)
}

/// Without a suite of TLS 1.2 there is no TLS 1.2.
fn raised(min: TlsVersion, chosen: &Chosen) -> TlsVersion {
    if chosen.only_tls13.is_some() {
        TlsVersion::V1_3
    } else {
        min
    }
}
