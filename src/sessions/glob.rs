//! Redis' own glob matching, so that one SCAN pass can serve many patterns on our side.
//!
//! Same language as `KEYS` and `SCAN ... MATCH`: `*`, `?`, `[abc]`, `[a-z]`, `[^abc]`, and `\` that takes the next character
//! literally. Matching works on bytes. Source: Redis documentation of KEYS; behaviour held against a real server in `tests/`.

/// A compiled pattern: how every match begins, byte for byte, and what comes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    prefix: Box<[u8]>,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Any run of bytes, also none. Runs of `*` are folded into one.
    Any,
    /// Exactly one byte.
    One,
    /// This byte.
    Byte(u8),
    /// One byte within (or, negated, outside) these inclusive ranges.
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Glob {
    /// Compiles a pattern. Every byte string is a valid pattern for Redis: an unclosed class ends with the pattern.
    pub fn new(pattern: &[u8]) -> Self {
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'*' if tokens.last() == Some(&Token::Any) => {}
                b'*' => tokens.push(Token::Any),
                b'?' => tokens.push(Token::One),
                b'[' => {
                    let (token, after_class) = class(rest);
                    tokens.push(token);
                    rest = after_class;
                }
                b'\\' => match rest.split_first() {
                    Some((&literal, after_literal)) => {
                        tokens.push(Token::Byte(literal));
                        rest = after_literal;
                    }
                    None => tokens.push(Token::Byte(b'\\')),
                },
                literal => tokens.push(Token::Byte(literal)),
            }
        }
        let is_literal = |token: &Token| matches!(token, Token::Byte(_));
        let literals = tokens.iter().take_while(|token| is_literal(token)).count();
        let prefix = tokens
            .drain(..literals)
            .filter_map(|token| match token {
                Token::Byte(literal) => Some(literal),
                _ => None,
            })
            .collect();
        Self { prefix, tokens }
    }

    /// Whether the whole key matches. Linear in key times stars at worst: only the last `*` is ever tried again, which is
    /// enough for globs and keeps a hostile key from costing exponential time.
    ///
    /// Most patterns of sessions are a prefix and a star, and most keys of a scan are held against every pattern: the prefix is
    /// compared at once, and a lone star behind it asks for nothing more.
    pub fn matches(&self, key: &[u8]) -> bool {
        match key.strip_prefix(&*self.prefix) {
            None => false,
            Some(rest) => matches!(self.tokens.as_slice(), [Token::Any]) || self.matches_behind_prefix(rest),
        }
    }

    fn matches_behind_prefix(&self, key: &[u8]) -> bool {
        let mut token = 0;
        let mut position = 0;
        let mut retry: Option<(usize, usize)> = None;
        loop {
            let step = match (self.tokens.get(token), key.get(position)) {
                (Some(Token::Any), _) => {
                    retry = Some((token + 1, position));
                    token += 1;
                    continue;
                }
                (Some(expected), Some(byte)) => expected.accepts(*byte),
                (None, None) => return true,
                (Some(_), None) => return false,
                (None, Some(_)) => false,
            };
            if step {
                token += 1;
                position += 1;
                continue;
            }
            match retry {
                Some((after_star, from)) => {
                    token = after_star;
                    position = from + 1;
                    retry = Some((after_star, from + 1));
                }
                None => return false,
            }
        }
    }
}

impl Token {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Byte(literal) => *literal == byte,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
            }
        }
    }
}

/// Reads a class behind its `[` and returns what follows its `]`.
///
/// Redis' rules: `^` first negates; `\x` is the literal x; `a-z` is a range also when its bounds come in falling order; the
/// class ends at the first unescaped `]` or with the pattern.
fn class(pattern: &[u8]) -> (Token, &[u8]) {
    let (negated, mut rest) = match pattern.split_first() {
        Some((b'^', after)) => (true, after),
        _ => (false, pattern),
    };
    let mut ranges = Vec::new();
    loop {
        match rest {
            [] => break,
            [b'\\', literal, after @ ..] => {
                ranges.push((*literal, *literal));
                rest = after;
            }
            [b']', after @ ..] => {
                rest = after;
                break;
            }
            [low, b'-', high, after @ ..] => {
                ranges.push((*low.min(high), *low.max(high)));
                rest = after;
            }
            [single, after @ ..] => {
                ranges.push((*single, *single));
                rest = after;
            }
        }
    }
    (Token::Class { negated, ranges }, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, key: &str) -> bool {
        Glob::new(pattern.as_bytes()).matches(key.as_bytes())
    }

    #[test]
    fn redis_patterns() {
        for (pattern, key, expected) in [
            ("sess:*", "sess:abc", true),
            ("sess:*", "sess:", true),
            ("sess:*", "session:abc", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hallo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("a[-_]b", "a_b", true),
            ("a[-_]b", "a-b", true),
            ("a[_-]b", "a-b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("{app}:sess:*", "{app}:sess:1", true),
        ] {
            assert_eq!(matches(pattern, key), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn many_stars_stay_cheap() {
        let pattern = "*a".repeat(50);
        assert!(!matches(
            &pattern,
            &"a".repeat(49).replace('a', "ab").repeat(40)[1..1000]
        ));
    }

    proptest! {
        #[test]
        fn never_panics(pattern in proptest::collection::vec(any::<u8>(), 0..40), key in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Glob::new(&pattern).matches(&key);
        }

        #[test]
        fn an_escaped_key_matches_itself_only(key in proptest::collection::vec(any::<u8>(), 0..30), other in proptest::collection::vec(any::<u8>(), 0..30)) {
            let escaped: Vec<u8> = key.iter().flat_map(|byte| [b'\\', *byte]).collect();
            let glob = Glob::new(&escaped);
            prop_assert!(glob.matches(&key));
            prop_assert_eq!(glob.matches(&other), key == other);
        }
    }
}
