//! Tests of the parser: every limit, every malformed thing, and properties over arbitrary bytes and arbitrary cuts.

use super::*;
use proptest::prelude::*;
use std::time::Instant;

/// Parses a whole text given at once; the replies before an error, and the error.
fn parse(wire: &[u8], limits: Limits) -> (Vec<Reply>, Option<RespError>) {
    parse_in_pieces(&[wire], limits)
}

fn parse_in_pieces(pieces: &[&[u8]], limits: Limits) -> (Vec<Reply>, Option<RespError>) {
    let mut parser = Parser::new(limits);
    let mut replies = Vec::new();
    for piece in pieces {
        parser.read_buffer().extend_from_slice(piece);
        loop {
            match parser.next_reply() {
                Ok(Some(reply)) => replies.push(reply),
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
    }
    (replies, None)
}

fn error_of(wire: &[u8]) -> Option<RespError> {
    parse(wire, Limits::default()).1
}

fn small_limits() -> Limits {
    Limits {
        max_depth: 3,
        max_frame_bytes: 200,
        max_exchange_bytes: 400,
        max_line_bytes: 20,
        max_elements: 12,
    }
}

/// The reply as a server writes it.
fn write_reply(reply: &Reply, wire: &mut Vec<u8>) {
    let line = |wire: &mut Vec<u8>, kind: u8, text: &[u8]| {
        wire.push(kind);
        wire.extend_from_slice(text);
        wire.extend_from_slice(b"\r\n");
    };
    match reply {
        Reply::Simple(text) => line(wire, b'+', text),
        Reply::Error(text) => line(wire, b'-', text),
        Reply::Integer(number) => line(wire, b':', number.to_string().as_bytes()),
        Reply::Null => line(wire, b'$', b"-1"),
        Reply::Bulk(payload) => {
            line(wire, b'$', payload.len().to_string().as_bytes());
            wire.extend_from_slice(payload);
            wire.extend_from_slice(b"\r\n");
        }
        Reply::Array(elements) => {
            line(wire, b'*', elements.len().to_string().as_bytes());
            for element in elements {
                write_reply(element, wire);
            }
        }
    }
}

#[test]
fn reads_every_type() {
    let wire = b"+OK\r\n-ERR no\r\n:-42\r\n:+7\r\n$5\r\nhe\r\nl\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n*1\r\n:1\r\n$1\r\nx\r\n";
    let (replies, error) = parse(wire, Limits::default());
    assert_eq!(error, None);
    assert_eq!(
        replies,
        [
            Reply::Simple(Bytes::from_static(b"OK")),
            Reply::Error(Bytes::from_static(b"ERR no")),
            Reply::Integer(-42),
            Reply::Integer(7),
            Reply::Bulk(Bytes::from_static(b"he\r\nl")),
            Reply::Bulk(Bytes::new()),
            Reply::Null,
            Reply::Null,
            Reply::Array(vec![]),
            Reply::Array(vec![
                Reply::Array(vec![Reply::Integer(1)]),
                Reply::Bulk(Bytes::from_static(b"x"))
            ]),
        ]
    );
}

#[test]
fn names_every_malformed_thing() {
    let table: [(&[u8], RespError); 24] = [
        (b"HTTP/1.1 400", RespError::BadType),
        (b"\x15\x03\x01", RespError::BadType),
        (b"\r\n", RespError::BadType),
        (b"%1\r\n+a\r\n+b\r\n", RespError::BadType),
        (b"_\r\n", RespError::BadType),
        (b"=7\r\ntxt:abc\r\n", RespError::BadType),
        (b">2\r\n", RespError::BadType),
        (b"*1\r\n#t\r\n", RespError::BadType),
        (b"$\r\n", RespError::BadLength),
        (b"$-2\r\n", RespError::BadLength),
        (b"$+5\r\n", RespError::BadLength),
        (b"$5x\r\n", RespError::BadLength),
        (b"$99999999999999999999\r\n", RespError::BadLength),
        (b"*-2\r\n", RespError::BadLength),
        (b"*abc\r\n", RespError::BadLength),
        (b":\r\n", RespError::BadInteger),
        (b":9223372036854775808\r\n", RespError::BadInteger),
        (b":1.5\r\n", RespError::BadInteger),
        (b"+OK\n", RespError::BadEnd),
        (b"+\n", RespError::BadEnd),
        (b"$1\r\nab\r\n", RespError::BadEnd),
        (b"$4294967296\r\nxxxxxxxx", RespError::TooLarge),
        (b"$9223372036854775807\r\n", RespError::TooLarge),
        (b"*1048576\r\n", RespError::TooManyElements),
    ];
    for (wire, expected) in table {
        assert_eq!(error_of(wire), Some(expected), "{}", wire.escape_ascii());
    }
}

#[test]
fn refuses_deep_nesting_without_recursion() {
    assert_eq!(error_of(&b"*1\r\n".repeat(20_000)), Some(RespError::TooDeep));
    let mut deepest = b"*1\r\n".repeat(MAX_DEPTH);
    deepest.extend_from_slice(b":1\r\n");
    assert_eq!(parse(&deepest, Limits::default()).0.len(), 1);
    let mut too_deep = b"*1\r\n".repeat(MAX_DEPTH);
    too_deep.extend_from_slice(b"*0\r\n");
    assert_eq!(error_of(&too_deep), Some(RespError::TooDeep));
}

#[test]
fn refuses_an_endless_line_at_the_limit() {
    let longest = [b"+".as_slice(), &b"a".repeat(MAX_LINE_BYTES), b"\r\n"].concat();
    assert_eq!(parse(&longest, Limits::default()).0.len(), 1);
    let endless = [b"+".as_slice(), &b"a".repeat(MAX_LINE_BYTES + LINE_END_BYTES)].concat();
    assert_eq!(error_of(&endless), Some(RespError::LineTooLong));
}

#[test]
fn bounds_replies_and_exchanges() {
    let limits = small_limits();
    let frame = [b"$188\r\n".as_slice(), &[b'x'; 188], b"\r\n"].concat();
    assert_eq!(frame.len(), 196);
    assert_eq!(parse(&frame, limits).0.len(), 1);
    let large = [b"*2\r\n$188\r\n".as_slice(), &[b'x'; 188], b"\r\n:1\r\n"].concat();
    assert_eq!(parse(&large, limits).1, Some(RespError::TooLarge));
    assert_eq!(
        parse(&frame.repeat(3), limits),
        (parse(&frame.repeat(2), limits).0, Some(RespError::TooLarge))
    );
    assert_eq!(parse(&b":1\r\n".repeat(13), limits).1, Some(RespError::TooManyElements));

    let mut parser = Parser::new(limits);
    for _ in 0..20 {
        parser.start_exchange();
        parser.read_buffer().extend_from_slice(&frame);
        assert!(parser.next_reply().is_ok_and(|reply| reply.is_some()));
    }
}

#[test]
fn repeats_its_error() {
    let mut parser = Parser::new(Limits::default());
    parser.read_buffer().extend_from_slice(b"!");
    assert_eq!(parser.next_reply(), Err(RespError::BadType));
    parser.read_buffer().extend_from_slice(b"+OK\r\n");
    assert_eq!(parser.next_reply(), Err(RespError::BadType));
    assert!(!parser.is_clean());
}

#[test]
fn reserves_no_memory_for_announcements() {
    let mut parser = Parser::new(Limits::default());
    parser
        .read_buffer()
        .extend_from_slice(format!("*1000000\r\n${}\r\nabc", MAX_FRAME_BYTES - 100).as_bytes());
    assert_eq!(parser.next_reply(), Ok(None));
    assert!(parser.open[0].elements.capacity() <= FIRST_ELEMENTS);
    let Expecting::LongString { payload, .. } = &parser.expecting else {
        panic!("expected to be inside of the string: {parser:?}")
    };
    assert!(payload.capacity() < 100);
    assert!(parser.buffer.capacity() <= 2 * READ_CHUNK_BYTES);
}

/// 64 MiB in pieces of 8 KiB: the read buffer stays small, the payload has no spare room, and the time is linear (with a
/// quadratic parser this copies or scans 256 GiB, which the bound of a minute tells apart on any machine).
#[test]
fn reads_a_large_string_in_small_pieces() {
    let length = MAX_FRAME_BYTES - 64;
    let started = Instant::now();
    let mut parser = Parser::new(Limits::default());
    parser
        .read_buffer()
        .extend_from_slice(format!("${length}\r\n").as_bytes());
    let piece = vec![b'\n'; 8 * 1024];
    let mut sent = 0;
    while sent < length {
        let part = piece.len().min(length - sent);
        parser.read_buffer().extend_from_slice(&piece[..part]);
        assert_eq!(parser.next_reply(), Ok(None));
        assert!(parser.buffer.capacity() <= 2 * READ_CHUNK_BYTES);
        sent += part;
    }
    parser.read_buffer().extend_from_slice(b"\r\n");
    let Ok(Some(Reply::Bulk(payload))) = parser.next_reply() else {
        panic!("no reply")
    };
    assert_eq!(payload.len(), length);
    assert!(started.elapsed().as_secs() < 60);
    parser.release();
    assert_eq!(parser.buffer.capacity(), 0);
}

/// An array of many elements of which each read brings a few is not parsed from its start again.
#[test]
fn reads_a_large_array_in_small_pieces() {
    let count = 200_000;
    let started = Instant::now();
    let mut parser = Parser::new(Limits::default());
    parser
        .read_buffer()
        .extend_from_slice(format!("*{count}\r\n").as_bytes());
    let mut reply = None;
    for _ in 0..count {
        assert_eq!(reply, None);
        for piece in [b"$3\r\na".as_slice(), b"bc\r", b"\n"] {
            parser.read_buffer().extend_from_slice(piece);
            reply = parser.next_reply().unwrap();
        }
    }
    assert_eq!(reply.unwrap().as_array().map(<[Reply]>::len), Some(count));
    assert!(started.elapsed().as_secs() < 60);
}

/// A line that comes byte by byte is searched once, not from its start at every byte.
#[test]
fn resumes_the_search_for_the_end_of_a_line() {
    let mut parser = Parser::new(Limits::default());
    parser.read_buffer().extend_from_slice(b"+abc");
    assert_eq!(parser.next_reply(), Ok(None));
    assert!(matches!(parser.expecting, Expecting::Line { scanned: 4 }));
}

#[test]
fn encodes_commands_one_behind_the_other() {
    let batch = [
        Command::new(1, &["PING"]),
        Command::new(2, &["CONFIG", "GET"]).arg(b"a\r\n\0".to_vec()).arg(""),
    ];
    assert_eq!(
        encode(&batch),
        b"*1\r\n$4\r\nPING\r\n*4\r\n$6\r\nCONFIG\r\n$3\r\nGET\r\n$4\r\na\r\n\0\r\n$0\r\n\r\n"
    );
    assert_eq!(encode(&[]), b"");
}

fn line_text() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(
        any::<u8>().prop_filter("no line end", |byte| !b"\r\n".contains(byte)),
        0..40,
    )
    .prop_map(Bytes::from)
}

fn reply() -> impl Strategy<Value = Reply> {
    let leaf = prop_oneof![
        line_text().prop_map(Reply::Simple),
        line_text().prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(|payload| Reply::Bulk(payload.into())),
        (SHARED_STRING_BYTES - 2..SHARED_STRING_BYTES + 3)
            .prop_map(|length| Reply::Bulk(Bytes::from(vec![b'\r'; length]))),
        Just(Reply::Null),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        proptest::collection::vec(inner, 0..6).prop_map(Reply::Array)
    })
}

/// Bytes that look like RESP often enough to reach every branch.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let morsel = prop_oneof![
        proptest::sample::select(vec![
            "+",
            "-",
            ":",
            "$",
            "*",
            "\r\n",
            "\r",
            "\n",
            "-1",
            "0",
            "1",
            "2",
            "17",
            "300",
            "$3\r\nabc\r\n",
            "*2\r\n",
            "*1\r\n",
            "+OK\r\n",
            ":7\r\n",
            "$-1\r\n",
            "*0\r\n",
            "_",
            "%",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    proptest::collection::vec(morsel, 0..40).prop_map(|morsels| morsels.concat())
}

/// Cuts the text at the given places, in whatever order they are.
fn cut<'a>(wire: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(wire.len() + 1)).collect();
    places.sort_unstable();
    places.push(wire.len());
    let mut start = 0;
    places
        .into_iter()
        .map(|end| {
            let piece = &wire[start..end];
            start = end;
            piece
        })
        .collect()
}

proptest! {
    #[test]
    fn cutting_changes_nothing(wire in soup(), places in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        for limits in [Limits::default(), small_limits()] {
            let whole = parse(&wire, limits);
            prop_assert_eq!(&parse_in_pieces(&cut(&wire, &places), limits), &whole);
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            prop_assert_eq!(&parse_in_pieces(&bytes, limits), &whole);
        }
    }

    #[test]
    fn replies_survive_the_wire(
        replies in proptest::collection::vec(reply(), 0..5),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut wire = Vec::new();
        for reply in &replies {
            write_reply(reply, &mut wire);
        }
        let expected = (replies, None);
        prop_assert_eq!(&parse(&wire, Limits::default()), &expected);
        prop_assert_eq!(&parse_in_pieces(&cut(&wire, &places), Limits::default()), &expected);
    }

    #[test]
    fn commands_are_arrays_of_strings(words in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..6)) {
        let command = words.iter().fold(Command::new(1, &["X"]), |command, word| command.arg(word.clone()));
        let (replies, error) = parse(&encode(std::slice::from_ref(&command)), Limits::default());
        prop_assert_eq!(error, None);
        let expected: Vec<Reply> = command.words().iter().map(|word| Reply::Bulk(Bytes::copy_from_slice(word))).collect();
        prop_assert_eq!(replies, vec![Reply::Array(expected)]);
    }
}
