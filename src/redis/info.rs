//! The reply of INFO, read without ever failing.
//!
//! INFO is text: `# Section` headers and `name:value` lines. Values may contain colons (`listener0:name=tcp,bind=::1`), so a
//! line is split at its first one. What is not a field is counted, never fatal. Source: Redis `INFO`, all versions.

use std::borrow::Cow;

/// Fields that are kept of one reply. A real server sends at most a few thousand (commandstats and latencystats of every
/// command); a reply with more is hostile or broken, and the rest is counted as dropped.
pub const MAX_FIELDS: usize = 50_000;

/// Longest line that is read, in bytes. Real ones are below 1 KiB (paths, `module:` lines); a longer one counts as malformed.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Most text that is kept of one reply, in bytes: 1,000 times the INFO of a real server. Fields beyond it count as dropped. With
/// [`MAX_FIELDS`] it bounds the memory of a parsed reply to less than 20 MB, whatever came.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// One field of INFO: `name:value`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Section header without `# `, as the server writes it (`Stats`, `Cluster Info`); empty before the first header.
    pub section: &'a str,
    /// Field name.
    pub name: &'a str,
    /// Everything behind the first colon.
    pub value: &'a str,
}

/// A piece of the kept text: start and end in bytes. [`MAX_TEXT_BYTES`] fits well into 32 bits.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    start: u32,
    end: u32,
}

/// Where the parts of a field are.
#[derive(Debug, Clone, Copy)]
struct Place {
    section: Piece,
    name: Piece,
    value: Piece,
}

/// A parsed INFO reply: the text of its fields, and where they are.
#[derive(Debug, Clone, Default)]
pub struct Info {
    text: String,
    /// In the order of the reply.
    fields: Vec<Place>,
    /// Indexes of `fields`, sorted by name and, among equal names, by their order in the reply.
    by_name: Vec<u32>,
    malformed_lines: usize,
    dropped_fields: usize,
}

impl Info {
    /// Reads a reply. Bytes that are not UTF-8 become U+FFFD; lines that are neither header, field nor empty are counted.
    pub fn parse(reply: &[u8]) -> Self {
        let mut info = Self::default();
        // The header above the current line, and where its text is kept once a field needed it.
        let mut header: &[u8] = b"";
        let mut section = Some(Piece::default());
        for line in reply.split(|byte| *byte == b'\n') {
            let line = trim_returns(line);
            if line.is_empty() {
                continue;
            }
            if line.len() > MAX_LINE_BYTES {
                info.malformed_lines += 1;
                continue;
            }
            if let Some(text) = line.strip_prefix(b"#") {
                header = text.trim_ascii();
                section = None;
                continue;
            }
            let colon = line
                .iter()
                .position(|byte| *byte == b':')
                .filter(|position| *position > 0);
            let Some((name, value)) = colon.and_then(|colon| Some((line.get(..colon)?, line.get(colon + 1..)?))) else {
                info.malformed_lines += 1;
                continue;
            };
            if info.keep(header, &mut section, name, value).is_none() {
                info.dropped_fields += 1;
            }
        }
        info.text.shrink_to_fit();
        info.fields.shrink_to_fit();
        info.sort_names();
        info
    }

    /// Keeps a field and, if it is the first of its section, the header; `None` when a limit forbids it.
    fn keep(&mut self, header: &[u8], section: &mut Option<Piece>, name: &[u8], value: &[u8]) -> Option<()> {
        if self.fields.len() >= MAX_FIELDS {
            return None;
        }
        let place = Place {
            section: match *section {
                Some(piece) => piece,
                None => *section.insert(self.push(header)?),
            },
            name: self.push(name)?,
            value: self.push(value)?,
        };
        self.fields.push(place);
        Some(())
    }

    /// Appends text, unless it does not fit any more.
    fn push(&mut self, bytes: &[u8]) -> Option<Piece> {
        let text: Cow<'_, str> = String::from_utf8_lossy(bytes);
        if self.text.len() + text.len() > MAX_TEXT_BYTES {
            return None;
        }
        let start = u32::try_from(self.text.len()).ok()?;
        self.text.push_str(&text);
        let end = u32::try_from(self.text.len()).ok()?;
        Some(Piece { start, end })
    }

    fn sort_names(&mut self) {
        let mut by_name: Vec<u32> = (0_u32..).take(self.fields.len()).collect();
        by_name.sort_by_key(|index| (self.name_of(*index), *index));
        self.by_name = by_name;
    }

    fn name_of(&self, index: u32) -> &str {
        let place = usize::try_from(index).ok().and_then(|index| self.fields.get(index));
        place.and_then(|place| self.text(place.name)).unwrap_or_default()
    }

    fn text(&self, piece: Piece) -> Option<&str> {
        self.text
            .get(usize::try_from(piece.start).ok()?..usize::try_from(piece.end).ok()?)
    }

    /// The value of the first field with this name, in whatever section.
    pub fn get(&self, name: &str) -> Option<&str> {
        let first = self.by_name.partition_point(|index| self.name_of(*index) < name);
        let index = *self.by_name.get(first)?;
        if self.name_of(index) != name {
            return None;
        }
        self.text(self.fields.get(usize::try_from(index).ok()?)?.value)
    }

    /// The value as a finite number. Absent, empty and non-numeric values are `None`.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(parse_number)
    }

    /// All fields in the order of the reply.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().filter_map(|place| {
            Some(Field {
                section: self.text(place.section)?,
                name: self.text(place.name)?,
                value: self.text(place.value)?,
            })
        })
    }

    /// The fields whose name starts with `prefix`, with the rest of the name in place of the name.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.fields()
            .filter_map(move |field| field.name.strip_prefix(prefix).map(|name| Field { name, ..field }))
    }

    /// Lines that were neither header nor field, or longer than [`MAX_LINE_BYTES`].
    pub fn malformed_lines(&self) -> usize {
        self.malformed_lines
    }

    /// Fields beyond [`MAX_FIELDS`] or [`MAX_TEXT_BYTES`].
    pub fn dropped_fields(&self) -> usize {
        self.dropped_fields
    }
}

/// The line without the carriage returns at its end.
fn trim_returns(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_suffix(b"\r") {
        line = rest;
    }
    line
}

/// A decimal number as Redis writes it; `inf` and `nan` of broken servers are refused.
pub fn parse_number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// Commands after which the keys of a database are other ones, none of which publishes an event. Field names of INFO commandstats.
const FLUSHES: [&str; 3] = ["cmdstat_flushall", "cmdstat_flushdb", "cmdstat_swapdb"];

/// How often the server was told to empty or swap databases since its start or CONFIG RESETSTAT, by an INFO with `commandstats`. A
/// command that was never called has no line there, so an INFO without that section says 0.
pub fn flushes(info: &Info) -> u64 {
    let calls = |field: &&str| {
        let (_, calls) = pairs(info.get(field)?).find(|(name, _)| *name == "calls")?;
        calls.parse::<u64>().ok()
    };
    FLUSHES.iter().filter_map(calls).fold(0, u64::saturating_add)
}

/// The `key=value` pairs of a compound value (`keys=1,expires=0`), in order; parts without `=` are left out.
pub fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|part| part.split_once('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Lines of Redis 7.0.15 and Valkey 8.1, with what servers and proxies have been seen to do to INFO.
    const REPLY: &[u8] = b"garbage before\r\n# Server\r\nredis_version:7.0.15\r\nlistener0:name=tcp,bind=::1,port=6379\r\n\
        config_file:\r\nuptime_in_seconds:17\n\r\n# Cluster Info\r\nused:1.5\r\nbad:1.5x\r\nnot_finite:inf\r\n:empty\r\n\
        errorstat_ERR\r\n#Keyspace\r\ndb0:keys=3,expires=1,x,avg_ttl=-1\r\ndb7:keys=\r\r\ndb0:keys=9\r\nna\xffme:va\xfflue";

    #[test]
    fn reads_fields_with_their_sections() {
        let info = Info::parse(REPLY);
        let fields: Vec<(&str, &str, &str)> = info
            .fields()
            .map(|field| (field.section, field.name, field.value))
            .collect();
        assert_eq!(
            fields,
            [
                ("Server", "redis_version", "7.0.15"),
                ("Server", "listener0", "name=tcp,bind=::1,port=6379"),
                ("Server", "config_file", ""),
                ("Server", "uptime_in_seconds", "17"),
                ("Cluster Info", "used", "1.5"),
                ("Cluster Info", "bad", "1.5x"),
                ("Cluster Info", "not_finite", "inf"),
                ("Keyspace", "db0", "keys=3,expires=1,x,avg_ttl=-1"),
                ("Keyspace", "db7", "keys="),
                ("Keyspace", "db0", "keys=9"),
                ("Keyspace", "na\u{fffd}me", "va\u{fffd}lue"),
            ]
        );
        assert_eq!(info.malformed_lines(), 3);
        assert_eq!(info.dropped_fields(), 0);
    }

    #[test]
    fn finds_the_first_field_of_a_name() {
        let info = Info::parse(REPLY);
        assert_eq!(info.get("db0"), Some("keys=3,expires=1,x,avg_ttl=-1"));
        assert_eq!(info.get("db"), None);
        assert_eq!(info.get(""), None);
        assert_eq!(info.get("zzz"), None);
        assert_eq!(info.get("na\u{fffd}me"), Some("va\u{fffd}lue"));
        assert_eq!(
            info.with_prefix("db").map(|field| field.name).collect::<Vec<_>>(),
            ["0", "7", "0"]
        );
    }

    #[test]
    fn what_is_no_number_is_absent() {
        let info = Info::parse(REPLY);
        assert_eq!(info.number("used"), Some(1.5));
        assert_eq!(info.number("uptime_in_seconds"), Some(17.0));
        for name in ["config_file", "bad", "not_finite", "redis_version", "missing"] {
            assert_eq!(info.number(name), None, "{name}");
        }
        assert_eq!(parse_number("1e999"), None);
        assert_eq!(parse_number("NaN"), None);
        assert_eq!(parse_number(" -1 "), Some(-1.0));
    }

    #[test]
    fn flushes_are_counted_by_their_calls() {
        let of = |text: &[u8]| flushes(&Info::parse(text));
        let text = b"# Commandstats\r\ncmdstat_flushall:calls=2,usec=5\r\ncmdstat_get:calls=9,usec=5\r\ncmdstat_swapdb:calls=1,usec=1\r\n";
        assert_eq!(of(text), 3);
        assert_eq!(of(b"# Commandstats\r\n"), 0);
        let endless = format!(
            "cmdstat_flushall:calls={max}\r\ncmdstat_flushdb:calls={max}\r\n",
            max = u64::MAX
        );
        assert_eq!(of(endless.as_bytes()), u64::MAX, "a server that lies ends nothing");
    }

    #[test]
    fn pairs_leave_out_what_is_none() {
        assert_eq!(
            pairs("keys=3,x,a=b=c,=").collect::<Vec<_>>(),
            [("keys", "3"), ("a", "b=c"), ("", "")]
        );
    }

    #[test]
    fn sections_without_fields_cost_nothing() {
        let info = Info::parse(&b"# Section\r\n".repeat(900_000));
        assert_eq!((info.text.capacity(), info.fields.capacity()), (0, 0));
    }

    /// Ten megabytes of every kind of garbage: everything is counted, and what is kept stays within the limits.
    #[test]
    fn large_garbage_is_bounded() {
        let size = 10_000_000;
        let kept = |info: &Info| info.text.capacity() + info.fields.capacity() * size_of::<Place>();

        let endless = Info::parse(&vec![0xff; size]);
        assert_eq!((endless.malformed_lines(), kept(&endless)), (1, 0));
        let lines = Info::parse(&b"x\n".repeat(size / 2));
        assert_eq!((lines.malformed_lines(), kept(&lines)), (size / 2, 0));
        let fields = Info::parse(&b"a:1\n".repeat(size / 4));
        assert_eq!(fields.fields().count(), MAX_FIELDS);
        assert_eq!(fields.dropped_fields(), size / 4 - MAX_FIELDS);
        assert!(kept(&fields) < size);
        let line = [b"n:".as_slice(), &[0xff; 40_000], b"\n"].concat();
        let broken = Info::parse(&line.repeat(size / line.len()));
        assert!(broken.text.capacity() <= MAX_TEXT_BYTES);
        assert_eq!(broken.fields().count() + broken.dropped_fields(), size / line.len());
        assert!(broken.dropped_fields() > 0);
        let long = Info::parse(&[b"n:".as_slice(), &[b'1'; MAX_LINE_BYTES]].concat());
        assert_eq!((long.malformed_lines(), long.fields().count()), (1, 0));
    }

    fn soup() -> impl Strategy<Value = Vec<u8>> {
        let morsel = prop_oneof![
            proptest::sample::select(vec![
                "#",
                "# ",
                ":",
                "\r\n",
                "\n",
                "\r",
                "=",
                ",",
                "db0:keys=1",
                "\u{e9}",
                "\u{85}",
                "1"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..6),
        ];
        proptest::collection::vec(morsel, 0..60).prop_map(|morsels| morsels.concat())
    }

    proptest! {
        #[test]
        fn every_line_is_accounted_for(reply in soup()) {
            let info = Info::parse(&reply);
            let expected = reply
                .split(|byte| *byte == b'\n')
                .filter(|line| !trim_returns(line).is_empty() && !line.starts_with(b"#"))
                .count();
            prop_assert_eq!(info.fields().count() + info.malformed_lines() + info.dropped_fields(), expected);
            for field in info.fields() {
                let first = info.fields().find(|other| other.name == field.name).map(|other| other.value);
                prop_assert_eq!(info.get(field.name), first);
                let _ = (info.number(field.name), pairs(field.value).count());
            }
        }
    }
}
