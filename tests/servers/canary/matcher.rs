//! The word that planted secrets hold, and the search for it in whatever form.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::io::Read as _;

/// Stands at the beginning and at the end of every planted secret. Nothing else holds it: not a path, not a message.
const WORD: &str = "QZXCANARYXZQ";

/// The first and the last letters of a secret: what is left of one that was cut or masked.
const ENDS: [&str; 2] = ["QZXC", "YXZQ"];

/// What of the output a failure shows around a find.
const SHOWN_BYTES: usize = 120;

/// A secret for a place that takes any text: with what URLs, YAML, JSON, logfmt, HTML and shells treat in their own ways.
pub fn secret(tag: &str) -> String {
    format!("{WORD}{tag}@:/#%\"'\\<ü>&{WORD}")
}

/// A secret of capital letters and digits, for a place that takes nothing else. An error code of Redis looks like this as well.
pub fn plain(tag: &str) -> String {
    format!("{WORD}{}{WORD}", tag.to_ascii_uppercase())
}

/// `text` with every byte as a percent escape.
pub fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The value of `Authorization` for a user and a password (RFC 7617).
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Every place of `output` where a secret shows, with its form and what stands around it.
pub fn finds(output: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    // The search of `str` comes optimised with the standard library, which a search of bytes in an unoptimised test is not.
    let text = String::from_utf8_lossy(output);
    let lower = text.to_ascii_lowercase();
    let decoded = percent_decoded(&text);
    let lower_decoded = decoded.to_ascii_lowercase();
    for (form, needle, is_lower) in forms() {
        let form_of_text = [
            (if *is_lower { &lower } else { text.as_ref() }, ""),
            (if *is_lower { &lower_decoded } else { &decoded }, ", percent-encoded"),
        ];
        for (text, encoding) in form_of_text {
            if let Some(at) = text.find(needle) {
                let around =
                    &text.as_bytes()[at.saturating_sub(SHOWN_BYTES)..(at + needle.len() + SHOWN_BYTES).min(text.len())];
                found.push(format!("{form}{encoding}: …{}…", String::from_utf8_lossy(around)));
                break;
            }
        }
    }
    if output.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        if flate2::read::MultiGzDecoder::new(output)
            .read_to_end(&mut plain)
            .is_ok()
        {
            found.extend(finds(&plain).into_iter().map(|find| format!("gzip, {find}")));
        }
    }
    found
}

/// What the word looks like in every form: its name, its text, and whether capital and small letters are the same in it.
fn forms() -> &'static [(String, String, bool)] {
    static FORMS: std::sync::OnceLock<Vec<(String, String, bool)>> = std::sync::OnceLock::new();
    FORMS.get_or_init(|| {
        let joined =
            |form: &dyn Fn(u8) -> String, between: &str| WORD.bytes().map(form).collect::<Vec<String>>().join(between);
        let mut forms = vec![
            ("in the clear", WORD.to_ascii_lowercase(), true),
            ("hexadecimal", joined(&|byte| format!("{byte:02x}"), ""), true),
            (
                "hexadecimal with spaces",
                joined(&|byte| format!("{byte:02x}"), " "),
                true,
            ),
            ("escapes \\x", joined(&|byte| format!("\\x{byte:02x}"), ""), true),
            ("escapes \\u", joined(&|byte| format!("\\u{byte:04x}"), ""), true),
            ("escapes \\u{}", joined(&|byte| format!("\\u{{{byte:x}}}"), ""), true),
            ("entities", joined(&|byte| format!("&#{byte};"), ""), true),
        ];
        forms.extend(ENDS.map(|end| ("a piece of it", end.to_owned(), false)));
        forms.extend(base64_forms().into_iter().map(|form| ("base64", form, false)));
        forms.extend(
            [", ", ",", " ", ",\n    "]
                .map(|between| ("bytes as numbers", joined(&|byte| byte.to_string(), between), true)),
        );
        forms
            .into_iter()
            .map(|(name, text, is_lower)| (name.to_owned(), text, is_lower))
            .collect()
    })
}

/// What base64 makes of the word wherever it begins: the letters that depend on it alone, in both alphabets.
fn base64_forms() -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3_usize {
        let bytes = [&vec![0; before], WORD.as_bytes()].concat();
        let whole = bytes.len() / 3 * 4;
        let first = (before * 8).div_ceil(6);
        for alphabet in [STANDARD, URL_SAFE] {
            forms.push(alphabet.encode(&bytes)[first..whole].to_owned());
        }
    }
    forms
}

fn percent_decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut decoded = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        match piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                decoded.extend_from_slice(&piece.as_bytes()[2..]);
            }
            None => {
                decoded.push(b'%');
                decoded.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Holds that nothing of `outputs` shows a secret; each comes with where it was seen.
pub fn assert_none(outputs: &[(String, Vec<u8>)]) {
    let leaks: Vec<String> = outputs
        .iter()
        .flat_map(|(place, output)| finds(output).into_iter().map(move |find| format!("{place}: {find}")))
        .collect();
    assert!(
        leaks.is_empty(),
        "{} secrets are shown:\n{}",
        leaks.len(),
        leaks.join("\n")
    );
    assert!(
        outputs.iter().any(|(_, output)| !output.is_empty()),
        "nothing was searched"
    );
}

#[test]
fn every_form_is_found() {
    let secret = secret("t");
    let debug = format!("{secret:?}");
    let json = serde_json::to_string(&secret).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, secret.as_bytes()).unwrap();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
    let forms = [
        ("itself", secret.clone().into_bytes()),
        ("small letters", secret.to_lowercase().into_bytes()),
        ("Debug", debug.clone().into_bytes()),
        ("Debug of Debug", format!("{debug:?}").into_bytes()),
        ("JSON", json.into_bytes()),
        ("escaped", secret.escape_unicode().to_string().into_bytes()),
        ("Debug of bytes", format!("{:?}", secret.as_bytes()).into_bytes()),
        (
            "alternate Debug of bytes",
            format!("{:#?}", secret.as_bytes()).into_bytes(),
        ),
        ("percent-encoded", percent_encoded(&secret).into_bytes()),
        ("a header", basic("u", &secret).into_bytes()),
        ("a header of another length", basic("us", &secret).into_bytes()),
        ("a header of a third length", basic("use", &secret).into_bytes()),
        ("URL-safe base64", URL_SAFE.encode(&secret).into_bytes()),
        ("hexadecimal", hex.into_bytes()),
        ("its beginning", secret.as_bytes()[..5].to_vec()),
        ("its end", secret.as_bytes()[secret.len() - 5..].to_vec()),
        ("compressed", gzip.finish().unwrap()),
        ("capital letters and digits", plain("t").into_bytes()),
    ];
    for (form, output) in forms {
        let around = [b"level=info message=\"".as_slice(), &output, b"\"\n"].concat();
        let text = if output.starts_with(&[0x1f, 0x8b]) {
            &output
        } else {
            &around
        };
        assert!(!finds(text).is_empty(), "{form} is not found");
    }
}

#[test]
fn nothing_else_is_found() {
    let answer =
        "redis_up{instance=\"a\"} 1\nlevel=info message=\"password <secret>\" %41%42 QkFTRTY0 Y2FuYXJ5 canary\n";
    assert_eq!(finds(answer.as_bytes()), Vec::<String>::new());
    assert_eq!(finds(b""), Vec::<String>::new());
}

#[test]
#[should_panic(expected = "secrets are shown")]
fn one_find_fails() {
    let outputs = [
        ("a".to_owned(), b"fine".to_vec()),
        ("b".to_owned(), secret("t").into_bytes()),
    ];
    assert_none(&outputs);
}
