//! The reply of INFO, read without ever failing.
//!
//! INFO is text: `# Section` headers and `name:value` lines. Values may contain colons (`listener0:name=tcp,bind=::1`), so a
//! line is split at its first one. What is not a field is counted, never fatal. Source: Redis `INFO`, all versions.

use std::collections::HashMap;

/// Fields that are kept of one reply. A real server sends at most a few thousand (commandstats and latencystats of every
/// command); a reply with more is hostile or broken, and the rest is counted as dropped.
pub const MAX_FIELDS: usize = 50_000;

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

/// Byte range of the text.
type Range = std::ops::Range<usize>;

/// A parsed INFO reply: the text, and where its fields are.
#[derive(Debug, Clone, Default)]
pub struct Info {
    text: String,
    /// `(section, name, value)` in the order of the reply.
    fields: Vec<(Range, Range, Range)>,
    /// First field of each name.
    index: HashMap<Box<str>, usize>,
    malformed_lines: usize,
    dropped_fields: usize,
}

impl Info {
    /// Reads a reply. Bytes that are not UTF-8 become U+FFFD; lines that are neither header, field nor empty are counted.
    pub fn parse(reply: &[u8]) -> Self {
        let text = String::from_utf8_lossy(reply).into_owned();
        let mut fields = Vec::new();
        let mut index = HashMap::new();
        let mut malformed_lines = 0;
        let mut dropped_fields = 0;
        let mut section: Range = 0..0;
        let mut start = 0;
        for raw in text.split_inclusive('\n') {
            let line = raw.trim_end_matches(['\n', '\r']);
            let line_start = start;
            start += raw.len();
            if line.is_empty() {
                continue;
            }
            if let Some(header) = line.strip_prefix('#') {
                let name = header.trim();
                let offset = line_start + 1 + (header.len() - header.trim_start().len());
                section = offset..offset + name.len();
                continue;
            }
            let Some(colon) = line.find(':').filter(|position| *position > 0) else {
                malformed_lines += 1;
                continue;
            };
            if fields.len() == MAX_FIELDS {
                dropped_fields += 1;
                continue;
            }
            let name = line_start..line_start + colon;
            let value = line_start + colon + 1..line_start + line.len();
            index.entry(Box::from(&text[name.clone()])).or_insert(fields.len());
            fields.push((section.clone(), name, value));
        }
        Self {
            text,
            fields,
            index,
            malformed_lines,
            dropped_fields,
        }
    }

    /// The value of the first field with this name, in whatever section.
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, _, value) = self.fields.get(*self.index.get(name)?)?;
        self.text.get(value.clone())
    }

    /// The value as a finite number. Absent, empty and non-numeric values are `None`.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name).and_then(parse_number)
    }

    /// All fields in the order of the reply.
    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().filter_map(|(section, name, value)| {
            Some(Field {
                section: self.text.get(section.clone())?,
                name: self.text.get(name.clone())?,
                value: self.text.get(value.clone())?,
            })
        })
    }

    /// The fields whose name starts with `prefix`, with the rest of the name in place of the name.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = Field<'a>> {
        self.fields()
            .filter_map(move |field| field.name.strip_prefix(prefix).map(|name| Field { name, ..field }))
    }

    /// Lines that were neither header nor field.
    pub fn malformed_lines(&self) -> usize {
        self.malformed_lines
    }

    /// Fields beyond [`MAX_FIELDS`].
    pub fn dropped_fields(&self) -> usize {
        self.dropped_fields
    }
}

/// A decimal number as Redis writes it; `inf` and `nan` of broken servers are refused.
pub fn parse_number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
}

/// The `key=value` pairs of a compound value (`keys=1,expires=0`), in order; parts without `=` are left out.
pub fn pairs(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(',').filter_map(|part| part.split_once('='))
}
