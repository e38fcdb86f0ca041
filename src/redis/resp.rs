//! RESP2, the protocol of Redis: encoding of commands, and an incremental parser of replies with limits.
//!
//! The parser keeps its place between reads: a byte is looked at once, however the reply is cut into pieces. It does not
//! recurse, and it never reserves memory because of a length that the peer announced, only because of bytes that came.
//! RESP3 types are refused: this program never sends `HELLO 3`. Source: the Redis serialization protocol specification.

use super::reply::{Command, Reply};
use bytes::{Buf, Bytes, BytesMut};

/// Deepest nesting of arrays that is read. `COMMAND`, the deepest reply of a real server, has 6 levels; the product promises 16.
pub const MAX_DEPTH: usize = 16;

/// Most bytes of one reply on the wire, headers included. The product promises 64 MiB: 250,000 clients in `CLIENT LIST`.
pub const MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// Most bytes of all replies of one exchange: room for one reply of the largest size and as much again for the rest. Without
/// it a hostile peer could answer each of a thousand small commands with a reply of the largest size.
pub const MAX_EXCHANGE_BYTES: usize = 2 * MAX_FRAME_BYTES;

/// Most bytes of one line: a simple string, an error, or a length. Redis itself reads lines up to 64 KiB
/// (`PROTO_INLINE_MAX_SIZE`), and its errors are shorter.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Most values, arrays included, in all replies of one exchange. A value costs 40 bytes of memory for as few as 3 on the
/// wire, so bytes alone do not bound memory; one Mi of them is 40 MiB. The largest replies of real servers
/// (`LATENCY HISTOGRAM`, SCAN with COUNT 1000) hold some ten thousand.
pub const MAX_ELEMENTS: usize = 1024 * 1024;

/// Bytes of room that are made for a read. It holds INFO of a quiet server in one read, and it is the most memory that a small
/// slice of a reply can keep alive beside itself.
const READ_CHUNK_BYTES: usize = 16 * 1024;

/// A read gets at least this much room, so that the end of a chunk does not cost a read per few bytes.
const MIN_ROOM_BYTES: usize = 2 * 1024;

/// Strings longer than this get memory of their own, so that no slice keeps more than a chunk of other data alive.
const SHARED_STRING_BYTES: usize = READ_CHUNK_BYTES / 2;

/// Elements that an array makes room for at once: what `Vec` would reserve at the first element anyway.
const FIRST_ELEMENTS: usize = 4;

/// Bytes of `\r\n`.
const LINE_END_BYTES: usize = 2;

/// What a peer may send at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nesting of arrays; an array of scalars has depth 1.
    pub max_depth: usize,
    /// Bytes of one reply on the wire.
    pub max_frame_bytes: usize,
    /// Bytes of all replies between two calls of [`Parser::start_exchange`].
    pub max_exchange_bytes: usize,
    /// Bytes of one line without its end.
    pub max_line_bytes: usize,
    /// Values of all replies between two calls of [`Parser::start_exchange`].
    pub max_elements: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_depth: MAX_DEPTH,
            max_frame_bytes: MAX_FRAME_BYTES,
            max_exchange_bytes: MAX_EXCHANGE_BYTES,
            max_line_bytes: MAX_LINE_BYTES,
            max_elements: MAX_ELEMENTS,
        }
    }
}

/// What is wrong with what the peer sent. It never carries what the peer sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RespError {
    /// The first byte of a value is none of `+-:$*`.
    #[error("a value starts with a byte that is no RESP2 type")]
    BadType,
    /// The length of a string or an array is no number, or negative and not -1.
    #[error("a length is not a number that RESP2 allows")]
    BadLength,
    /// An integer reply is not a signed 64-bit number.
    #[error("an integer is not a signed 64-bit number")]
    BadInteger,
    /// A line or a string does not end with `\r\n`.
    #[error("a line or string does not end with CR LF")]
    BadEnd,
    /// More nested arrays than [`Limits::max_depth`].
    #[error("arrays are nested deeper than the limit")]
    TooDeep,
    /// More bytes than [`Limits::max_frame_bytes`] or [`Limits::max_exchange_bytes`].
    #[error("a reply is larger than the limit")]
    TooLarge,
    /// A line longer than [`Limits::max_line_bytes`].
    #[error("a line is longer than the limit")]
    LineTooLong,
    /// More values than [`Limits::max_elements`].
    #[error("a reply has more elements than the limit")]
    TooManyElements,
}

/// An array that still lacks elements.
#[derive(Debug)]
struct OpenArray {
    missing: usize,
    elements: Vec<Reply>,
}

/// What the next bytes belong to.
#[derive(Debug)]
enum Expecting {
    /// A line with its type byte, of which the first `scanned` bytes are known to hold no line feed.
    Line { scanned: usize },
    /// The payload of a string of `length` bytes and its end, small enough to wait for it in the buffer.
    ShortString { length: usize },
    /// The payload of a long string, moved here as it comes, and its end.
    LongString { length: usize, payload: Vec<u8> },
}

/// A line that holds a number; `None` is the length of null.
enum Header {
    Integer(i64),
    String(Option<usize>),
    Array(Option<usize>),
}

/// One step of parsing.
enum Step {
    /// The buffer ends before the next value does.
    Incomplete,
    /// A header was read; go on.
    Continue,
    /// A value that is not an array with elements.
    Value(Reply),
}

/// Turns bytes into replies. After an error it only repeats that error.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    buffer: BytesMut,
    expecting: Expecting,
    open: Vec<OpenArray>,
    frame_bytes: usize,
    exchange_bytes: usize,
    elements: usize,
    failed: Option<RespError>,
}

impl Parser {
    /// A parser without memory of its own until bytes come.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: BytesMut::new(),
            expecting: Expecting::Line { scanned: 0 },
            open: Vec::new(),
            frame_bytes: 0,
            exchange_bytes: 0,
            elements: 0,
            failed: None,
        }
    }

    /// Where to put the next bytes, with room for a read of useful size. Call [`Parser::next_reply`] after each read, or the
    /// buffer grows.
    pub fn read_buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < MIN_ROOM_BYTES {
            self.buffer.reserve(READ_CHUNK_BYTES);
        }
        &mut self.buffer
    }

    /// Begins to count bytes and elements of an exchange anew.
    pub fn start_exchange(&mut self) {
        self.exchange_bytes = 0;
        self.elements = 0;
    }

    /// Whether nothing is left over: no unread byte, no half reply, no error.
    pub fn is_clean(&self) -> bool {
        self.failed.is_none()
            && self.buffer.is_empty()
            && self.open.is_empty()
            && matches!(self.expecting, Expecting::Line { .. })
    }

    /// Gives the read buffer back, if nothing is left over. Idle connections then cost no buffer.
    pub fn release(&mut self) {
        if self.is_clean() {
            self.buffer = BytesMut::new();
            self.open = Vec::new();
        }
    }

    /// The next whole reply, or `None` when more bytes are needed for it.
    ///
    /// # Errors
    /// [`RespError`] when the peer broke the protocol or a limit. There is no way to find the next reply then.
    pub fn next_reply(&mut self) -> Result<Option<Reply>, RespError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.advance();
        if let Err(error) = result {
            self.failed = Some(error);
            self.buffer = BytesMut::new();
            self.open = Vec::new();
            self.expecting = Expecting::Line { scanned: 0 };
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Reply>, RespError> {
        loop {
            match self.step()? {
                Step::Incomplete => return Ok(None),
                Step::Continue => {}
                Step::Value(value) => {
                    self.expecting = Expecting::Line { scanned: 0 };
                    if let Some(reply) = self.place(value) {
                        self.frame_bytes = 0;
                        return Ok(Some(reply));
                    }
                }
            }
        }
    }

    /// Puts a value into the innermost open array and closes arrays that are full; gives back what is complete outside.
    fn place(&mut self, mut value: Reply) -> Option<Reply> {
        while let Some(mut array) = self.open.pop() {
            array.elements.push(value);
            array.missing = array.missing.saturating_sub(1);
            if array.missing > 0 {
                self.open.push(array);
                return None;
            }
            value = Reply::Array(array.elements);
        }
        Some(value)
    }

    fn step(&mut self) -> Result<Step, RespError> {
        match &mut self.expecting {
            Expecting::Line { scanned } => {
                let scanned = *scanned;
                self.line(scanned)
            }
            Expecting::ShortString { length } => {
                let length = *length;
                if self.buffer.len() < length + LINE_END_BYTES {
                    return Ok(Step::Incomplete);
                }
                let payload = self.buffer.split_to(length).freeze();
                self.string_end()?;
                Ok(Step::Value(Reply::Bulk(payload)))
            }
            Expecting::LongString { length, payload } => {
                let wanted = *length - payload.len();
                let come = wanted.min(self.buffer.len());
                if payload.capacity() - payload.len() < come {
                    // Twice what came, never more than what was announced: linear time without trusting the announcement.
                    let room = payload.len().max(come).min(wanted);
                    payload.reserve_exact(room);
                }
                payload.extend_from_slice(self.buffer.get(..come).unwrap_or_default());
                self.buffer.advance(come);
                if come < wanted || self.buffer.len() < LINE_END_BYTES {
                    return Ok(Step::Incomplete);
                }
                let payload = std::mem::take(payload);
                self.string_end()?;
                Ok(Step::Value(Reply::Bulk(Bytes::from(payload))))
            }
        }
    }

    /// Takes the `\r\n` behind a string, which the caller knows to be long enough.
    fn string_end(&mut self) -> Result<(), RespError> {
        let end = self.buffer.split_to(LINE_END_BYTES.min(self.buffer.len()));
        if end.as_ref() == b"\r\n" {
            Ok(())
        } else {
            Err(RespError::BadEnd)
        }
    }

    /// Takes a line with its type byte.
    fn line(&mut self, scanned: usize) -> Result<Step, RespError> {
        let Some(kind) = self.buffer.first().copied() else {
            return Ok(Step::Incomplete);
        };
        // Checked before the line is whole: a peer that speaks HTTP or TLS is found out at its first byte.
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(RespError::BadType);
        }
        let fresh = self.buffer.get(scanned..).unwrap_or_default();
        let position = fresh
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|found| scanned + found);
        // Type byte, text, carriage return, line feed.
        let longest = self.limits.max_line_bytes + LINE_END_BYTES;
        let Some(position) = position.filter(|position| *position <= longest) else {
            if self.buffer.len() > longest {
                return Err(RespError::LineTooLong);
            }
            self.expecting = Expecting::Line {
                scanned: self.buffer.len(),
            };
            return Ok(Step::Incomplete);
        };
        let end = (position + 1).saturating_sub(LINE_END_BYTES);
        if self.buffer.get(end) != Some(&b'\r') || end == 0 {
            return Err(RespError::BadEnd);
        }
        self.count_bytes(position + 1)?;
        self.elements += 1;
        if self.elements > self.limits.max_elements {
            return Err(RespError::TooManyElements);
        }
        if matches!(kind, b'+' | b'-') {
            let text = self.buffer.split_to(position + 1).freeze().slice(1..end);
            return Ok(Step::Value(if kind == b'+' {
                Reply::Simple(text)
            } else {
                Reply::Error(text)
            }));
        }
        // Numbers are read in place: a shared slice for each header of a long array would cost two atomic counts.
        let text = self.buffer.get(1..end).unwrap_or_default();
        let header = match kind {
            b':' => Header::Integer(parse_integer(text).ok_or(RespError::BadInteger)?),
            b'$' => Header::String(parse_length(text)?),
            _ => Header::Array(parse_length(text)?),
        };
        self.buffer.advance(position + 1);
        match header {
            Header::Integer(number) => Ok(Step::Value(Reply::Integer(number))),
            Header::String(Some(length)) => self.string_header(length),
            Header::Array(Some(length)) => self.array_header(length),
            Header::String(None) | Header::Array(None) => Ok(Step::Value(Reply::Null)),
        }
    }

    fn string_header(&mut self, length: usize) -> Result<Step, RespError> {
        self.count_bytes(length.saturating_add(LINE_END_BYTES))?;
        self.expecting = if length <= SHARED_STRING_BYTES {
            Expecting::ShortString { length }
        } else {
            Expecting::LongString {
                length,
                payload: Vec::new(),
            }
        };
        Ok(Step::Continue)
    }

    fn array_header(&mut self, length: usize) -> Result<Step, RespError> {
        if self.open.len() >= self.limits.max_depth {
            return Err(RespError::TooDeep);
        }
        if length > self.limits.max_elements.saturating_sub(self.elements) {
            return Err(RespError::TooManyElements);
        }
        if length == 0 {
            return Ok(Step::Value(Reply::Array(Vec::new())));
        }
        self.open.push(OpenArray {
            missing: length,
            elements: Vec::with_capacity(length.min(FIRST_ELEMENTS)),
        });
        self.expecting = Expecting::Line { scanned: 0 };
        Ok(Step::Continue)
    }

    fn count_bytes(&mut self, bytes: usize) -> Result<(), RespError> {
        self.frame_bytes = self.frame_bytes.saturating_add(bytes);
        self.exchange_bytes = self.exchange_bytes.saturating_add(bytes);
        if self.frame_bytes > self.limits.max_frame_bytes || self.exchange_bytes > self.limits.max_exchange_bytes {
            return Err(RespError::TooLarge);
        }
        Ok(())
    }
}

/// A signed 64-bit number in decimal; the specification allows a plus sign.
fn parse_integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A length; `None` stands for -1, which means null.
fn parse_length(text: &[u8]) -> Result<Option<usize>, RespError> {
    if text == b"-1" {
        return Ok(None);
    }
    if !text.first().is_some_and(u8::is_ascii_digit) {
        return Err(RespError::BadLength);
    }
    let length = parse_integer(text).ok_or(RespError::BadLength)?;
    usize::try_from(length).map(Some).map_err(|_| RespError::BadLength)
}

/// The commands as they go over the wire: each an array of bulk strings, one behind the other.
pub fn encode(batch: &[Command]) -> Vec<u8> {
    /// Longest header of an array or a string: type byte, 20 digits, line end.
    const HEADER_BYTES: usize = 23;
    let size = batch
        .iter()
        .flat_map(|command| {
            command
                .words()
                .iter()
                .map(|word| word.len() + HEADER_BYTES + LINE_END_BYTES)
        })
        .sum::<usize>()
        + batch.len() * HEADER_BYTES;
    let mut wire = Vec::with_capacity(size);
    for command in batch {
        push_header(&mut wire, b'*', command.words().len());
        for word in command.words() {
            push_header(&mut wire, b'$', word.len());
            wire.extend_from_slice(word);
            wire.extend_from_slice(b"\r\n");
        }
    }
    wire
}

fn push_header(wire: &mut Vec<u8>, kind: u8, length: usize) {
    wire.push(kind);
    wire.extend_from_slice(length.to_string().as_bytes());
    wire.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
