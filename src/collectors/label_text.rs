//! Text of a server as a label value, for collectors that show what the compatibility list makes them show: names of clients, addresses.

use super::admission::MAX_LABEL_VALUE_BYTES;

/// What stands at the end of a text that was cut.
const CUT: &str = "...";

/// The text as a label value of at most [`MAX_LABEL_VALUE_BYTES`]: bytes that are no UTF-8 and control characters are written `\xNN`, and
/// what is too long is cut and ends in `...`.
pub fn label_text(bytes: &[u8]) -> String {
    // An escaped byte takes four, so that no more of the text is ever looked at than could be shown.
    let mut text = String::with_capacity(bytes.len().min(MAX_LABEL_VALUE_BYTES));
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut buffer = [0; 4];
            let encoded = character.encode_utf8(&mut buffer);
            let fits = if character.is_control() {
                encoded.bytes().all(|byte| push(&mut text, &format!("\\x{byte:02x}")))
            } else {
                push(&mut text, encoded)
            };
            if !fits {
                return cut(text);
            }
        }
        for byte in chunk.invalid() {
            if !push(&mut text, &format!("\\x{byte:02x}")) {
                return cut(text);
            }
        }
    }
    text
}

/// Appends a piece, if it fits.
fn push(text: &mut String, piece: &str) -> bool {
    let fits = text.len() + piece.len() <= MAX_LABEL_VALUE_BYTES;
    if fits {
        text.push_str(piece);
    }
    fits
}

/// The text with its end replaced.
fn cut(mut text: String) -> String {
    while text.len() + CUT.len() > MAX_LABEL_VALUE_BYTES {
        text.pop();
    }
    text.push_str(CUT);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_text_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(label_text("täglich".as_bytes()), "täglich");
        assert_eq!(label_text(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(label_text(b"a\nb\x00"), "a\\x0ab\\x00");
        assert_eq!(label_text(b""), "");
        let fits = "x".repeat(MAX_LABEL_VALUE_BYTES);
        assert_eq!(label_text(fits.as_bytes()), fits);
        let long = label_text("é".repeat(MAX_LABEL_VALUE_BYTES).as_bytes());
        assert!(long.ends_with("é...") && long.len() <= MAX_LABEL_VALUE_BYTES, "{long}");
    }

    proptest! {
        #[test]
        fn any_bytes_become_a_bounded_text(bytes in prop::collection::vec(any::<u8>(), 0..1000)) {
            let text = label_text(&bytes);
            prop_assert!(text.len() <= MAX_LABEL_VALUE_BYTES && !text.chars().any(char::is_control));
        }
    }
}
