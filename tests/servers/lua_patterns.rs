//! Our matcher of Lua patterns against the Lua inside the server: what `string.find` says there about the same pattern and text.

use crate::support::redis_server::RedisServer;
use crate::support::resp::{Client, Reply};
use redis_session_exporter::config::lua_pattern::{Capture, LuaPattern, OutOfSteps, Steps};

/// Pairs of a pattern and a text that are compared.
const PAIRS: usize = 30_000;

/// Pairs of one call of the script.
const PAIRS_AT_ONCE: usize = 500;

/// A search that takes more steps is not shown to the server, which would stop at nothing.
const MAX_STEPS: u64 = 100_000;

/// Says for each pattern and text of the arguments what `string.find` does: an error, nothing, or where and what.
const SCRIPT: &str = "
local said = {}
for at = 1, #ARGV, 2 do
    local found = {pcall(string.find, ARGV[at + 1], ARGV[at])}
    if not found[1] then
        said[#said + 1] = 'error'
    elseif found[2] == nil then
        said[#said + 1] = 'nothing'
    else
        said[#said + 1] = table.concat(found, '\\1', 2, #found)
    end
end
return said";

/// What one byte of a pattern may be matched by.
const SINGLES: [&[u8]; 44] = [
    b"a",
    b"b",
    b":",
    b".",
    b".",
    b"%a",
    b"%A",
    b"%c",
    b"%C",
    b"%d",
    b"%D",
    b"%l",
    b"%L",
    b"%p",
    b"%P",
    b"%s",
    b"%S",
    b"%u",
    b"%U",
    b"%w",
    b"%W",
    b"%x",
    b"%X",
    b"%z",
    b"%Z",
    b"%g",
    b"%.",
    b"%%",
    b"%:",
    b"[ab]",
    b"[^ab]",
    b"[a-c]",
    b"[%a_]",
    b"[]]",
    b"[^]]",
    b"[a-]",
    b"[%]]",
    b"[^%z]",
    b"[\x80-\xff]",
    b"[z-a]",
    b"[a-%z]",
    b"[%d-x]",
    b"\xff",
    b"[^:]",
];

/// What stands for itself, for no byte or for several.
const OTHERS: [&[u8]; 12] = [
    b"()", b"%b()", b"%bab", b"%baa", b"%f[%w]", b"%f[^%w]", b"%f[%z]", b"%1", b"%2", b"$", b"^", b"]",
];

/// What Lua refuses, at least in most places.
const BROKEN: [&[u8]; 9] = [b"[", b"(", b")", b"%", b"%b", b"%bx", b"%f", b"%0", b"[^"];

const TEXTS: [&[u8]; 22] = [
    b"a",
    b"a",
    b"b",
    b"b",
    b"c",
    b":",
    b":",
    b"_",
    b".",
    b"(",
    b")",
    b"x",
    b"0",
    b"1",
    b" ",
    b"\0",
    b"\xff",
    b"-",
    b"]",
    b"%",
    b"A",
    b"\xc3\xa4",
];

const REPEATS: [&[u8]; 4] = [b"*", b"+", b"-", b"?"];

fn one_of<'p>(random: &mut fastrand::Rng, parts: &[&'p [u8]]) -> &'p [u8] {
    parts[random.usize(..parts.len())]
}

fn pattern(random: &mut fastrand::Rng) -> Vec<u8> {
    let mut pattern = Vec::new();
    if random.u8(..5) == 0 {
        pattern.push(b'^');
    }
    let mut open = 0_usize;
    for _ in 0..random.usize(..9) {
        match random.u8(..20) {
            0..3 => {
                pattern.push(b'(');
                open += 1;
            }
            3..6 if open > 0 => {
                pattern.push(b')');
                open -= 1;
            }
            6..9 => pattern.extend_from_slice(one_of(random, &OTHERS)),
            9 if random.u8(..6) == 0 => pattern.extend_from_slice(one_of(random, &BROKEN)),
            _ => {
                pattern.extend_from_slice(one_of(random, &SINGLES));
                if random.u8(..5) < 2 {
                    pattern.extend_from_slice(one_of(random, &REPEATS));
                }
            }
        }
    }
    pattern.extend(std::iter::repeat_n(b')', open));
    if random.u8(..5) == 0 {
        pattern.push(b'$');
    }
    pattern
}

fn text(random: &mut fastrand::Rng) -> Vec<u8> {
    let parts = random.usize(..16);
    (0..parts).flat_map(|_| one_of(random, &TEXTS).to_vec()).collect()
}

/// In the words of the script; `None` for what takes too long.
fn ours(pattern: &[u8], text: &[u8]) -> Option<Result<Vec<u8>, ()>> {
    let Ok(pattern) = LuaPattern::new(pattern) else {
        return Some(Err(()));
    };
    let found = match pattern.find(text, &mut Steps::new(MAX_STEPS)) {
        Ok(found) => found,
        Err(OutOfSteps) => return None,
    };
    let Some(found) = found else {
        return Some(Ok(b"nothing".to_vec()));
    };
    let mut said = format!("{}\x01{}", found.start + 1, found.end).into_bytes();
    for capture in found.captures {
        said.push(1);
        match capture {
            Capture::Bytes(bytes) => said.extend_from_slice(bytes),
            Capture::Position(place) => said.extend_from_slice(place.to_string().as_bytes()),
        }
    }
    Some(Ok(said))
}

fn theirs(client: &mut Client, pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<Vec<u8>> {
    let mut words: Vec<&[u8]> = vec![b"EVAL", SCRIPT.as_bytes(), b"0"];
    for (pattern, text) in pairs {
        words.extend([pattern.as_slice(), text.as_slice()]);
    }
    let reply = client.bytes(&words);
    let said = reply.array().iter().map(|said| match said {
        Reply::Bulk(bytes) => bytes.clone(),
        other => panic!("{other:?}"),
    });
    said.collect()
}

#[test]
fn our_matcher_says_what_lua_says() {
    let server = RedisServer::start();
    let mut client = server.client();
    let seed = 20_251_120;
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut compared, mut found, mut refused, mut caught) = (0, 0, 0, 0);
    while compared < PAIRS {
        let mut pairs = Vec::new();
        let mut expected = Vec::new();
        while pairs.len() < PAIRS_AT_ONCE {
            let (pattern, text) = (pattern(&mut random), text(&mut random));
            if let Some(said) = ours(&pattern, &text) {
                pairs.push((pattern, text));
                expected.push(said);
            }
        }
        let said = theirs(&mut client, &pairs);
        assert_eq!(said.len(), pairs.len());
        for (((pattern, text), expected), said) in pairs.iter().zip(expected).zip(said) {
            let what = || format!("seed {seed}: {} on {}", pattern.escape_ascii(), text.escape_ascii());
            match expected {
                Ok(expected) => {
                    let (said, expected) = (said.escape_ascii().to_string(), expected.escape_ascii().to_string());
                    assert_eq!(said, expected, "{}", what());
                    found += usize::from(expected != "nothing");
                }
                // Lua errs only when a text brings it to the place, but never comes to a match past it.
                Err(()) => {
                    let said = String::from_utf8_lossy(&said).into_owned();
                    assert!(said == "error" || said == "nothing", "{}: {said}", what());
                    refused += 1;
                    caught += usize::from(said == "error");
                }
            }
        }
        compared += pairs.len();
    }
    // The generator shows all of it, or the comparison says little.
    assert!(found > PAIRS / 8, "{found} found");
    assert!(
        refused > PAIRS / 30 && caught > refused / 3,
        "{refused} refused, {caught} caught by Lua"
    );
}
