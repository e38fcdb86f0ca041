//! Patterns of Lua 5.1's `string.find`, which users of `redis_exporter` write to group keys (there they run inside Redis, here not).
//!
//! Source: Lua 5.1 reference manual, section 5.4.1, and the behaviour of the Lua 5.1 that Redis and Valkey embed (the frontier `%f`
//! included, which the manual does not name), against which tests/servers holds this matcher. Redis leaves the locale of characters at
//! `C`, so classes are those of ASCII. A pattern may backtrack exponentially; every search is bounded in steps. Pure.

/// Longest pattern. It bounds the depth of the recursion too: each level stands for one repeated item. Patterns that name groups are tens
/// of bytes long.
pub const MAX_PATTERN_BYTES: usize = 512;

/// Most captures of one pattern: `LUA_MAXCAPTURES` of Lua 5.1.
pub const MAX_CAPTURES: usize = 32;

/// A character with which Lua takes a text as a pattern; without any of them `string.find` looks for the text itself.
const SPECIALS: &[u8] = b"^$*+?.([%-";

/// What Lua would refuse in a pattern as soon as it reached that place, in words for the person who wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// More than [`MAX_PATTERN_BYTES`].
    #[error("is longer than {MAX_PATTERN_BYTES} bytes; shorten it")]
    TooLong,
    /// Lua 5.1 ends a pattern at a zero byte.
    #[error("holds a zero byte, where Lua ends a pattern; write `%z`")]
    ZeroByte,
    /// A `%` with nothing behind it.
    #[error("ends with `%`; write `%%` where the character itself is meant")]
    OpenEscape,
    /// A `[` without its `]`.
    #[error("has a `[` that no `]` closes; write `%[` where the character itself is meant")]
    OpenSet,
    /// `%b` without its two characters.
    #[error("has a `%b` without the two characters that it balances; write for example `%b()`")]
    Unbalanced,
    /// `%f` without a set.
    #[error("has a `%f` that no `[` follows; write for example `%f[%w]`")]
    FrontierWithoutSet,
    /// A `)` without its `(`.
    #[error("has a `)` that closes no capture; write `%)` where the character itself is meant")]
    StrayClose,
    /// A `(` without its `)`.
    #[error("has a `(` that no `)` closes; write `%(` where the character itself is meant")]
    OpenCapture,
    /// More than [`MAX_CAPTURES`].
    #[error("has more than {MAX_CAPTURES} captures, the most that Lua allows; write fewer `(` `)`")]
    TooManyCaptures,
    /// `%0`, or `%3` where the third capture is not closed yet.
    #[error("refers by `%` and a digit to a capture that is not closed before it; write `%1` behind the first `)`")]
    NoSuchCapture,
}

/// A search used up its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pattern takes too many steps on this text")]
pub struct OutOfSteps;

/// Steps that a search, or several together, may still take. One step looks at about one byte of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps(u64);

impl Steps {
    /// So many steps.
    pub const fn new(most: u64) -> Self {
        Self(most)
    }

    fn take(&mut self, count: usize) -> Result<(), OutOfSteps> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.0 = self.0.checked_sub(count).ok_or(OutOfSteps)?;
        Ok(())
    }
}

/// What one capture holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture<'s> {
    /// The bytes between `(` and `)`.
    Bytes(&'s [u8]),
    /// `()`: the place, counted from 1 as Lua does.
    Position(usize),
}

/// A match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<'s> {
    /// Where it begins, counted from 0.
    pub start: usize,
    /// Where it ends, not included.
    pub end: usize,
    /// The captures, none for a pattern without parentheses.
    pub captures: Vec<Capture<'s>>,
}

/// A set of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Set([u64; 4]);

impl Set {
    fn of(belongs: impl Fn(u8) -> bool) -> Self {
        let mut set = Self::default();
        (0..=u8::MAX)
            .filter(|byte| belongs(*byte))
            .for_each(|byte| set.add(byte));
        set
    }

    fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn join(&mut self, other: Self) {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
    }

    fn inverse(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    fn has(&self, byte: u8) -> bool {
        self.0
            .get(usize::from(byte >> 6))
            .is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }
}

/// How often a set may match in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Optional,
    /// `*`, and with 1 as the least `+`.
    Longest {
        least: usize,
    },
    /// `-`
    Shortest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Bytes(Set, Repeat),
    Open(usize),
    Position(usize),
    Close(usize),
    Reference(usize),
    Balance(u8, u8),
    Frontier(Set),
    /// `$` at the end of the pattern.
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Program {
    /// A text without special characters, which is looked for as it is.
    Plain(Vec<u8>),
    Items {
        is_anchored: bool,
        items: Vec<Item>,
        captures: usize,
    },
}

/// A pattern that Lua accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LuaPattern {
    program: Program,
}

/// A capture while the match is under way.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    start: usize,
    /// `None` while it is open, and for a position.
    end: Option<usize>,
}

impl LuaPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`PatternError`] for what makes `string.find` fail in Lua, whether or not a text would bring it there: no text shall bring half of
    /// the patterns to an error.
    pub fn new(pattern: &[u8]) -> Result<Self, PatternError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(PatternError::TooLong);
        }
        if pattern.contains(&0) {
            return Err(PatternError::ZeroByte);
        }
        let program = if pattern.iter().any(|byte| SPECIALS.contains(byte)) {
            Reader::default().program(pattern)?
        } else {
            Program::Plain(pattern.to_vec())
        };
        Ok(Self { program })
    }

    /// What `string.find(text, pattern)` finds.
    ///
    /// # Errors
    /// [`OutOfSteps`] when it takes more steps than are left; those are used up then.
    pub fn find<'s>(&self, text: &'s [u8], steps: &mut Steps) -> Result<Option<Found<'s>>, OutOfSteps> {
        let (is_anchored, items, captures) = match &self.program {
            Program::Plain(plain) => return find_plain(plain, text, steps),
            Program::Items {
                is_anchored,
                items,
                captures,
            } => (*is_anchored, items, *captures),
        };
        let mut matcher = Matcher {
            text,
            items,
            slots: [Slot::default(); MAX_CAPTURES],
            steps,
        };
        let last = if is_anchored { 0 } else { text.len() };
        for start in 0..=last {
            if let Some(end) = matcher.run(start, 0)? {
                let slots = matcher.slots.iter().take(captures);
                let captures = slots.map(|slot| match slot.end {
                    Some(end) => Capture::Bytes(text.get(slot.start..end).unwrap_or_default()),
                    None => Capture::Position(slot.start + 1),
                });
                return Ok(Some(Found {
                    start,
                    end,
                    captures: captures.collect(),
                }));
            }
        }
        Ok(None)
    }
}

fn find_plain<'s>(plain: &[u8], text: &'s [u8], steps: &mut Steps) -> Result<Option<Found<'s>>, OutOfSteps> {
    let Some(last) = text.len().checked_sub(plain.len()) else {
        return Ok(None);
    };
    for start in 0..=last {
        steps.take(1)?;
        let is_here = text.get(start..).is_some_and(|rest| rest.starts_with(plain));
        if is_here {
            steps.take(plain.len())?;
            return Ok(Some(Found {
                start,
                end: start + plain.len(),
                captures: Vec::new(),
            }));
        }
    }
    Ok(None)
}

/// Reads a pattern into items.
#[derive(Debug, Default)]
struct Reader {
    items: Vec<Item>,
    /// For each capture whether it is still open.
    captures: Vec<bool>,
}

impl Reader {
    fn program(mut self, pattern: &[u8]) -> Result<Program, PatternError> {
        let (is_anchored, mut rest) = match pattern {
            [b'^', rest @ ..] => (true, rest),
            _ => (false, pattern),
        };
        while !rest.is_empty() {
            rest = self.item(rest)?;
        }
        if self.captures.contains(&true) {
            return Err(PatternError::OpenCapture);
        }
        Ok(Program::Items {
            is_anchored,
            items: self.items,
            captures: self.captures.len(),
        })
    }

    /// Reads one item; gives back what follows it.
    fn item<'p>(&mut self, pattern: &'p [u8]) -> Result<&'p [u8], PatternError> {
        let (item, rest) = match pattern {
            [b'(', b')', rest @ ..] => (Item::Position(self.capture(false)?), rest),
            [b'(', rest @ ..] => (Item::Open(self.capture(true)?), rest),
            [b')', rest @ ..] => {
                let number = self.captures.iter().rposition(|is_open| *is_open);
                let number = number.ok_or(PatternError::StrayClose)?;
                if let Some(is_open) = self.captures.get_mut(number) {
                    *is_open = false;
                }
                (Item::Close(number), rest)
            }
            [b'%', b'b', rest @ ..] => match rest {
                [open, close, rest @ ..] => (Item::Balance(*open, *close), rest),
                _ => return Err(PatternError::Unbalanced),
            },
            [b'%', b'f', rest @ ..] => {
                if !rest.starts_with(b"[") {
                    return Err(PatternError::FrontierWithoutSet);
                }
                let (set, rest) = single(rest)?;
                (Item::Frontier(set), rest)
            }
            [b'%', digit @ b'0'..=b'9', rest @ ..] => {
                let number = usize::from(*digit).checked_sub(usize::from(b'1'));
                let number = number.filter(|number| self.captures.get(*number) == Some(&false));
                (Item::Reference(number.ok_or(PatternError::NoSuchCapture)?), rest)
            }
            [b'$'] => (Item::End, &[][..]),
            _ => {
                let (set, rest) = single(pattern)?;
                let (repeat, rest) = match rest {
                    [b'?', rest @ ..] => (Repeat::Optional, rest),
                    [b'*', rest @ ..] => (Repeat::Longest { least: 0 }, rest),
                    [b'+', rest @ ..] => (Repeat::Longest { least: 1 }, rest),
                    [b'-', rest @ ..] => (Repeat::Shortest, rest),
                    rest => (Repeat::Once, rest),
                };
                (Item::Bytes(set, repeat), rest)
            }
        };
        self.items.push(item);
        Ok(rest)
    }

    fn capture(&mut self, is_open: bool) -> Result<usize, PatternError> {
        let number = self.captures.len();
        if number >= MAX_CAPTURES {
            return Err(PatternError::TooManyCaptures);
        }
        self.captures.push(is_open);
        Ok(number)
    }
}

/// Reads what matches one byte: `.`, `%a`, a set, or a character; gives back what follows it.
fn single(pattern: &[u8]) -> Result<(Set, &[u8]), PatternError> {
    match pattern {
        [b'%', letter, rest @ ..] => Ok((class(*letter), rest)),
        [b'%'] => Err(PatternError::OpenEscape),
        [b'.', rest @ ..] => Ok((Set::default().inverse(), rest)),
        [b'[', inside @ ..] => {
            let (is_inverse, inside) = match inside {
                [b'^', inside @ ..] => (true, inside),
                _ => (false, inside),
            };
            let end = set_end(inside)?;
            let (content, rest) = inside.split_at(end);
            let set = set(content);
            let set = if is_inverse { set.inverse() } else { set };
            Ok((set, rest.get(1..).unwrap_or_default()))
        }
        [byte, rest @ ..] => Ok((Set::of(|other| other == *byte), rest)),
        [] => Ok((Set::default(), pattern)),
    }
}

/// Where the `]` stands that closes a set. The first character never does, nor one behind `%`.
fn set_end(inside: &[u8]) -> Result<usize, PatternError> {
    let mut at = 0;
    loop {
        let byte = inside.get(at).ok_or(PatternError::OpenSet)?;
        at += 1;
        if *byte == b'%' && at < inside.len() {
            at += 1;
        }
        if inside.get(at) == Some(&b']') {
            return Ok(at);
        }
    }
}

/// The members of a set, without its brackets and its `^`.
fn set(mut content: &[u8]) -> Set {
    let mut set = Set::default();
    loop {
        content = match content {
            [] => return set,
            [b'%', letter, rest @ ..] => {
                set.join(class(*letter));
                rest
            }
            [first, b'-', last, rest @ ..] => {
                // Empty when the range is upside down, as in Lua.
                (*first..=*last).for_each(|byte| set.add(byte));
                rest
            }
            [byte, rest @ ..] => {
                set.add(*byte);
                rest
            }
        };
    }
}

/// The class `%letter`. A capital is the inverse, and what is no class is the character itself.
fn class(letter: u8) -> Set {
    let set = match letter.to_ascii_lowercase() {
        b'a' => Set::of(|byte| byte.is_ascii_alphabetic()),
        b'c' => Set::of(|byte| byte.is_ascii_control()),
        b'd' => Set::of(|byte| byte.is_ascii_digit()),
        b'l' => Set::of(|byte| byte.is_ascii_lowercase()),
        b'p' => Set::of(|byte| byte.is_ascii_punctuation()),
        // `isspace` of C, which knows the vertical tab too.
        b's' => Set::of(|byte| matches!(byte, b' ' | b'\t'..=b'\r')),
        b'u' => Set::of(|byte| byte.is_ascii_uppercase()),
        b'w' => Set::of(|byte| byte.is_ascii_alphanumeric()),
        b'x' => Set::of(|byte| byte.is_ascii_hexdigit()),
        b'z' => Set::of(|byte| byte == 0),
        _ => return Set::of(|byte| byte == letter),
    };
    if letter.is_ascii_uppercase() {
        set.inverse()
    } else {
        set
    }
}

/// One attempt. A slot needs no undoing: whatever leads to a reference or to the end passes its opening and its closing again.
struct Matcher<'a> {
    text: &'a [u8],
    items: &'a [Item],
    slots: [Slot; MAX_CAPTURES],
    steps: &'a mut Steps,
}

impl Matcher<'_> {
    /// Matches the items from `item` on at `at`; where the match ends. Recurses once for each repeated item, so never deeper than the
    /// pattern is long.
    fn run(&mut self, mut at: usize, mut item: usize) -> Result<Option<usize>, OutOfSteps> {
        let items = self.items;
        loop {
            self.steps.take(1)?;
            let Some(current) = items.get(item) else {
                return Ok(Some(at));
            };
            item += 1;
            let next = match current {
                Item::Bytes(set, Repeat::Once) => self.is_at(at, set).then(|| at + 1),
                Item::Bytes(set, Repeat::Optional) => {
                    if self.is_at(at, set)
                        && let Some(end) = self.run(at + 1, item)?
                    {
                        return Ok(Some(end));
                    }
                    Some(at)
                }
                Item::Bytes(set, Repeat::Longest { least }) => return self.longest(at, item, set, *least),
                Item::Bytes(set, Repeat::Shortest) => return self.shortest(at, item, set),
                Item::Open(number) | Item::Position(number) => {
                    self.set_slot(*number, at);
                    Some(at)
                }
                Item::Close(number) => {
                    if let Some(slot) = self.slots.get_mut(*number) {
                        slot.end = Some(at);
                    }
                    Some(at)
                }
                Item::Reference(number) => self.reference(at, *number)?,
                Item::Balance(open, close) => self.balance(at, *open, *close)?,
                Item::Frontier(set) => {
                    // Before the first byte and behind the last there is a zero.
                    let before = at.checked_sub(1).and_then(|before| self.text.get(before));
                    let here = self.text.get(at);
                    let is_frontier = !set.has(before.copied().unwrap_or(0)) && set.has(here.copied().unwrap_or(0));
                    is_frontier.then_some(at)
                }
                Item::End => (at == self.text.len()).then_some(at),
            };
            match next {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
    }

    fn is_at(&self, at: usize, set: &Set) -> bool {
        self.text.get(at).is_some_and(|byte| set.has(*byte))
    }

    fn set_slot(&mut self, number: usize, start: usize) {
        if let Some(slot) = self.slots.get_mut(number) {
            *slot = Slot { start, end: None };
        }
    }

    /// As many as there are, then one less each time.
    fn longest(&mut self, at: usize, item: usize, set: &Set, least: usize) -> Result<Option<usize>, OutOfSteps> {
        let rest = self.text.get(at..).unwrap_or_default();
        let most = rest.iter().take_while(|byte| set.has(**byte)).count();
        self.steps.take(most)?;
        if most < least {
            return Ok(None);
        }
        for count in (least..=most).rev() {
            if let Some(end) = self.run(at + count, item)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// As few as possible, then one more each time.
    fn shortest(&mut self, mut at: usize, item: usize, set: &Set) -> Result<Option<usize>, OutOfSteps> {
        loop {
            if let Some(end) = self.run(at, item)? {
                return Ok(Some(end));
            }
            if !self.is_at(at, set) {
                return Ok(None);
            }
            at += 1;
        }
    }

    /// The text of a capture once more. A position is never met again.
    fn reference(&mut self, at: usize, number: usize) -> Result<Option<usize>, OutOfSteps> {
        let slot = self.slots.get(number).copied().unwrap_or_default();
        let wanted = slot.end.and_then(|end| self.text.get(slot.start..end));
        let (Some(wanted), Some(rest)) = (wanted, self.text.get(at..)) else {
            return Ok(None);
        };
        self.steps.take(wanted.len())?;
        Ok(rest.starts_with(wanted).then(|| at + wanted.len()))
    }

    /// From `open` to the `close` that balances it.
    fn balance(&mut self, at: usize, open: u8, close: u8) -> Result<Option<usize>, OutOfSteps> {
        let rest = self.text.get(at..).unwrap_or_default();
        if rest.first() != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for (offset, byte) in rest.iter().enumerate().skip(1) {
            self.steps.take(1)?;
            // The closing character first: it may be the opening one too.
            if *byte == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(at + offset + 1));
                }
            } else if *byte == open {
                depth += 1;
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
