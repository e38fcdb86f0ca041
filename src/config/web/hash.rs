//! The text of bcrypt hashes: which can be used as the password of a user.
//!
//! Source: the text form of OpenBSD's crypt(3): `$2b$`, the cost in two digits, `$`, 22 characters of salt and 31 of the hash.

use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};

/// Least cost that the text form allows.
pub const MIN_COST: u32 = 4;

/// Largest cost that is accepted. One step doubles the time: cost 10 takes 0.1 to 0.2 s of a core, 14 two to three, and a scrape
/// that waits for its first check must end within the 10 s that Prometheus grants it. Cost 31, the largest that exists, would take days.
pub const MAX_COST: u32 = 14;

/// Characters of the salt in base 64.
const SALT_CHARACTERS: usize = 22;
/// Bytes of the salt.
const SALT_BYTES: usize = 16;
/// Bytes of the hash that are written down: the last of 24 is not.
const HASH_BYTES: usize = 23;

/// The base 64 of bcrypt: an alphabet of its own, no padding, and bits left over in the last character that need not be 0.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// Why a text cannot be used as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// It is no bcrypt hash.
    #[error(
        "is no bcrypt hash; it must begin with $2a$, $2b$ or $2y$ and have 60 characters in all; make one with `htpasswd -nBC 10 USER`"
    )]
    Malformed,
    /// It is one, with a cost that cannot be used.
    #[error("is a bcrypt hash with a cost outside of {MIN_COST} to {MAX_COST}; make one with `htpasswd -nBC 10 USER`")]
    Cost,
}

/// A hash that can be used.
#[derive(Clone, PartialEq, Eq)]
pub struct BcryptHash {
    /// The text with the bits that mean nothing set to 0, as libraries want it.
    text: String,
}

impl std::fmt::Debug for BcryptHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(crate::config::types::SECRET_PLACEHOLDER)
    }
}

impl BcryptHash {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`HashError`] when it is none, or when its cost is not between [`MIN_COST`] and [`MAX_COST`].
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let (cost, salt, hash) = parts(text).ok_or(HashError::Malformed)?;
        if !(MIN_COST..=MAX_COST).contains(&cost) {
            return Err(HashError::Cost);
        }
        let (salt, hash) = (BASE64.encode(salt), BASE64.encode(hash));
        // The three kinds differ in mistakes of old programs alone.
        Ok(Self {
            text: format!("$2b${cost:02}${salt}{hash}"),
        })
    }

    /// The text, for nothing but checking a password against it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

fn parts(text: &str) -> Option<(u32, [u8; SALT_BYTES], [u8; HASH_BYTES])> {
    let rest = ["$2a$", "$2b$", "$2y$"]
        .iter()
        .find_map(|kind| text.strip_prefix(kind))?;
    let (cost, rest) = rest.split_once('$')?;
    let two_digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
    let cost = cost.parse().ok().filter(|_| two_digits)?;
    let (salt, hash) = rest.split_at_checked(SALT_CHARACTERS)?;
    Some((
        cost,
        BASE64.decode(salt).ok()?.try_into().ok()?,
        BASE64.decode(hash).ok()?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    #[test]
    fn what_is_no_hash_is_refused() {
        assert_eq!(BcryptHash::parse(GOOD).unwrap().expose(), GOOD.replace("$2a$", "$2b$"));
        for bad in [
            "",
            "hunter2",
            "$2a$05$",
            &GOOD[..GOOD.len() - 1],
            &format!("{GOOD}."),
            &GOOD.replace("$2a$", "$2x$"),
            &GOOD.replace("$2a$", "$1$"),
            &GOOD.replace("$05$", "$5$"),
            &GOOD.replace("$05$", "$+5$"),
            &GOOD.replace("YPO9", "YP!9"),
            "$2a$05$CCCCCCCCCCCCCCCCCCCCCäE5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ] {
            assert_eq!(BcryptHash::parse(bad), Err(HashError::Malformed), "{bad}");
        }
        for cost in ["00", "03", "15", "31", "99"] {
            let bad = GOOD.replace("$05$", &format!("${cost}$"));
            assert_eq!(BcryptHash::parse(&bad), Err(HashError::Cost), "{bad}");
        }
        assert_eq!(format!("{:?}", BcryptHash::parse(GOOD).unwrap()), "<secret>");
    }

    #[test]
    fn bits_that_mean_nothing_are_set_to_zero() {
        // The last character of a salt holds four bits of it and two that are left over.
        let sloppy = GOOD.replace("CCC.E5", "CCC/E5");
        assert_ne!(sloppy, GOOD);
        assert_eq!(BcryptHash::parse(&sloppy), BcryptHash::parse(GOOD));
    }
}
