//! bcrypt hashes of passwords, checked and never made.
//!
//! Source: Provos and Mazières, "A Future-Adaptable Password Scheme" (USENIX 1999), and the text form of OpenBSD: `$2b$`, the cost in
//! two digits, `$`, 22 characters of salt and 31 of the hash. The cipher is the crate blowfish's; what stands here is the order in
//! which it is used.

use super::constant_time_equal;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, Engine as _};
use blowfish::Blowfish;

/// Least cost that the text form allows.
const MIN_COST: u32 = 4;

/// Largest cost that is accepted. One step doubles the time: cost 10 takes 0.1 to 0.2 s of a core, 14 two to three, and a scrape
/// that waits for its first check must end within the 10 s that Prometheus grants it.
pub(super) const MAX_COST: u32 = 14;

/// Bytes of a password that count, its closing NUL included; bcrypt never looked at more.
const MAX_PASSWORD_BYTES: usize = 72;

/// Times that each block of the text is enciphered.
const ROUNDS: usize = 64;

/// The text that is enciphered, "OrpheanBeholderScryDoubt", as big-endian words.
const TEXT: [[u32; 2]; 3] = [
    [0x4f72_7068, 0x6561_6e42],
    [0x6568_6f6c, 0x6465_7253],
    [0x6372_7944, 0x6f75_6274],
];

/// Bytes of the hash that are kept: the last of the 24 is not written down.
const HASH_BYTES: usize = 23;

/// The base 64 of bcrypt: an alphabet of its own, no padding, and bits left over in the last character that need not be 0.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &BCRYPT,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// A hash that was read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Hash {
    /// Between [`MIN_COST`] and [`MAX_COST`].
    cost: u32,
    salt: [u8; 16],
    hash: [u8; HASH_BYTES],
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(crate::config::types::SECRET_PLACEHOLDER)
    }
}

impl Hash {
    /// Reads the text form. `None` when it is none, or when its cost is above [`MAX_COST`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|kind| text.strip_prefix(kind))?;
        let (cost, rest) = rest.split_once('$')?;
        let two_digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        let cost = cost.parse().ok().filter(|_| two_digits)?;
        if !(MIN_COST..=MAX_COST).contains(&cost) {
            return None;
        }
        let (salt, hash) = rest.split_at_checked(22)?;
        Some(Self {
            cost,
            salt: BASE64.decode(salt).ok()?.try_into().ok()?,
            hash: BASE64.decode(hash).ok()?.try_into().ok()?,
        })
    }

    /// Whether this is the hash of a password. Takes as long as the cost says, whatever the password is.
    pub(super) fn matches(&self, password: &[u8]) -> bool {
        let mut key = [password, b"\0"].concat();
        key.truncate(MAX_PASSWORD_BYTES);
        let mut cipher = Blowfish::bc_init_state();
        cipher.salted_expand_key(&self.salt, &key);
        for _ in 0..1_u32 << self.cost {
            cipher.bc_expand_key(&key);
            cipher.bc_expand_key(&self.salt);
        }
        let mut found = Vec::new();
        for mut block in TEXT {
            for _ in 0..ROUNDS {
                block = cipher.bc_encrypt(block);
            }
            found.extend(block.iter().flat_map(|word| word.to_be_bytes()));
        }
        found.truncate(HASH_BYTES);
        constant_time_equal(&found, &self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other programs made.
    const KNOWN: [(&str, &str); 5] = [
        // Test vectors of crypt_blowfish and of jBCrypt.
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
        ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
        // crypt(3) of Debian 12 (libxcrypt 4.4).
        ("hunter2", TWO_Y),
        ("pässword", TWO_B),
    ];
    const TWO_Y: &str = "$2y$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm";
    const TWO_B: &str = "$2b$04$9Zg4V0cRrFZ2Xc0dQ1yN4u44jbwI2h92gjMAt6ItFJLTWE/pVhVte";

    #[test]
    fn hashes_of_other_programs_match_their_passwords_alone() {
        for (password, text) in KNOWN {
            let hash = Hash::parse(text).unwrap();
            assert!(hash.matches(password.as_bytes()), "{text}");
            assert!(!hash.matches(format!("{password}x").as_bytes()), "{text}");
            assert!(!hash.matches(b"U*u"), "{text}");
        }
        let changed = TWO_Y.replace("$04$", "$05$");
        assert!(!Hash::parse(&changed).unwrap().matches(b"hunter2"), "the cost counts");
    }

    #[test]
    fn a_password_counts_up_to_72_bytes() {
        // A test vector of crypt_blowfish: 72 bytes and what follows them.
        let text = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
        let long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored";
        let hash = Hash::parse(text).unwrap();
        assert!(hash.matches(long.as_bytes()));
        assert!(hash.matches(&long.as_bytes()[..72]));
        assert!(!hash.matches(&long.as_bytes()[..71]));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let good = KNOWN[0].1;
        assert!(Hash::parse(good).is_some());
        for bad in [
            "",
            "hunter2",
            "$2a$05$",
            &good[..good.len() - 1],
            &format!("{good}."),
            &good.replace("$2a$", "$2x$"),
            &good.replace("$2a$", "$1$"),
            &good.replace("$05$", "$5$"),
            &good.replace("$05$", "$+5$"),
            &good.replace("$05$", "$03$"),
            &good.replace("$05$", "$15$"),
            &good.replace("$05$", "$31$"),
            &good.replace("YPO9", "YP!9"),
            "$2a$05$CCCCCCCCCCCCCCCCCCCCCäE5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ] {
            assert_eq!(Hash::parse(bad), None, "{bad}");
        }
        assert_eq!(format!("{:?}", Hash::parse(good).unwrap()), "<secret>");
    }
}
