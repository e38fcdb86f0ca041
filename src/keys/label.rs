//! Bytes of Redis as label values.

use std::fmt::Write as _;

/// Longest label value that is made of the name of a key, in bytes. Names that are longer hold data, which no dashboard shows; ten thousand
/// of these are 10 MB.
pub const MAX_LABEL_BYTES: usize = 1024;

/// What stands at the end of a label value that was cut.
const CUT: &str = "…";

/// The text of a name or a value: bytes that are no UTF-8 are written `\xNN`, and what would be longer than [`MAX_LABEL_BYTES`] is cut and
/// ends with `…`.
pub fn shown(bytes: &[u8]) -> String {
    // No byte takes less than one in the text, so that what lies beyond is cut in any case.
    let begin = bytes.get(..MAX_LABEL_BYTES + CUT.len()).unwrap_or(bytes);
    let mut text = String::with_capacity(begin.len());
    for chunk in begin.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if text.len() > MAX_LABEL_BYTES {
        let mut end = MAX_LABEL_BYTES - CUT.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(CUT);
    }
    text
}

/// The label `db` of a database: `db0`, as the peer writes it.
pub fn of_database(database: u32) -> String {
    format!("db{database}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_escaped_and_what_is_long_is_cut() {
        assert_eq!(shown(b"cart:1"), "cart:1");
        assert_eq!(shown("Schlüssel\\".as_bytes()), "Schlüssel\\");
        assert_eq!(shown(b"a\xffb\xc3"), "a\\xffb\\xc3");
        assert_eq!(shown(&[b'x'; MAX_LABEL_BYTES]).len(), MAX_LABEL_BYTES);
        let long = "ü".repeat(MAX_LABEL_BYTES);
        let cut = shown(long.as_bytes());
        assert!(cut.len() <= MAX_LABEL_BYTES && cut.ends_with("ü…"), "{}", cut.len());
        assert!(shown(&[0xff; 100_000]).len() <= MAX_LABEL_BYTES);
        assert_eq!(of_database(15), "db15");
    }
}
