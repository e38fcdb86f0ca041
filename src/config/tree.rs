//! YAML text becomes a tree that carries positions.
//!
//! The YAML parser's own messages are not passed on: one of them quotes a character of the text. Nothing here implements
//! `Debug` or `Display`, so that no scalar can reach a log by accident.

use super::problem::{Place, Problems};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Largest configuration. Five hundred instances with every key written out take 640 KB (a test makes them); YAML parsers need many
/// times the size of their text.
pub(super) const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Most nodes (scalars, lists, mappings) after aliases are written out. Five hundred instances with every key take
/// 40,000; a file of nested aliases ("billion laughs") asks for as many as it likes.
const MAX_NODES: usize = 100_000;

/// Deepest nesting. The schema needs seven levels.
const MAX_DEPTH: usize = 16;

/// A value with its place.
pub(super) struct Node {
    /// Where it begins; for an alias, where the anchored value begins.
    pub(super) place: Place,
    /// What it is.
    pub(super) kind: Kind,
    /// Number of nodes in it, itself included, with aliases written out.
    weight: usize,
}

/// The three kinds of nodes.
pub(super) enum Kind {
    /// Text. `quoted` tells `""` from nothing.
    Scalar { text: Rc<str>, quoted: bool },
    /// A list.
    Sequence(Vec<Rc<Node>>),
    /// A mapping in the order of the text; of a key written twice only the first is kept, and a problem noted.
    Mapping { entries: Vec<Entry>, flow: bool },
}

/// A key with its value.
pub(super) struct Entry {
    /// The key.
    pub(super) key: Rc<str>,
    /// Where the key stands.
    pub(super) place: Place,
    /// The value.
    pub(super) value: Rc<Node>,
}

impl Node {
    /// Whether the value was left out: nothing, `~` or `null`, unquoted.
    pub(super) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, quoted } => !quoted && matches!(&**text, "" | "~" | "null" | "Null" | "NULL"),
            Kind::Sequence(_) | Kind::Mapping { .. } => false,
        }
    }
}

/// Reads one YAML document. `None` with no problem noted means that the text is empty or holds only comments.
pub(super) fn parse(text: &str, problems: &mut Problems) -> Option<Rc<Node>> {
    if text.len() > MAX_FILE_BYTES {
        problems.add(
            None,
            "",
            format!("is larger than {MAX_FILE_BYTES} bytes; split the instances over several exporters"),
        );
        return None;
    }
    // A byte order mark is what some editors write in front of UTF-8; it is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    let mut builder = Builder {
        problems,
        frames: Vec::new(),
        anchors: BTreeMap::new(),
        root: None,
        nodes: 0,
        documents: 0,
    };
    while let Some(event) = parser.next_event() {
        match event {
            Ok((Event::StreamEnd, _)) => break,
            Ok((event, span)) => {
                if builder.take(event, span).is_err() {
                    return None;
                }
            }
            Err(error) => {
                let place = place_of(error.marker());
                builder.problems.add(place, "", syntax_sentence(&error));
                return None;
            }
        }
    }
    builder.root
}

/// A problem was noted after which the rest of the text is not read.
struct GaveUp;

/// A list or mapping that is not yet complete.
struct Frame {
    place: Place,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Rc<Node>>),
    Mapping {
        entries: Vec<Entry>,
        seen: BTreeSet<Rc<str>>,
        key: Option<PendingKey>,
        flow: bool,
    },
}

/// A key that waits for its value.
enum PendingKey {
    Text(Rc<str>, Place),
    /// Not a plain key; its problem is noted, its value is dropped.
    Refused,
}

struct Builder<'a> {
    problems: &'a mut Problems,
    frames: Vec<Frame>,
    anchors: BTreeMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), GaveUp> {
        let place = place_of(&span.start);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problems.add(
                        place,
                        "",
                        "begins a second document; a configuration is one document, remove the line `---`",
                    );
                    return Err(GaveUp);
                }
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                self.count(1, place)?;
                let node = Rc::new(Node {
                    place,
                    kind: Kind::Scalar {
                        text: Rc::from(text.as_ref()),
                        quoted: style != ScalarStyle::Plain,
                    },
                    weight: 1,
                });
                self.complete(node, anchor);
                Ok(())
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                self.open(place, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.is_some(), place);
                // A mapping between braces begins with a token of its own, an indented one with an empty span.
                let flow = span.end.index() > span.start.index();
                let content = Content::Mapping {
                    entries: Vec::new(),
                    seen: BTreeSet::new(),
                    key: None,
                    flow,
                };
                self.open(place, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.frames.pop() {
                    let anchor = frame.anchor;
                    self.complete(Rc::new(frame.into_node()), anchor);
                }
                Ok(())
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    self.problems.add(
                        place,
                        "",
                        "is an alias inside of the value that it stands for; write the value out",
                    );
                    return Err(GaveUp);
                };
                self.count(node.weight, place)?;
                if let Some(Frame {
                    content: Content::Mapping { key: key @ None, .. },
                    ..
                }) = self.frames.last_mut()
                {
                    // Messages show keys, and the anchored value may be a secret.
                    self.problems
                        .add(place, "", "is an alias where a key belongs; write the key out");
                    *key = Some(PendingKey::Refused);
                    return Ok(());
                }
                self.complete(node, 0);
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn refuse_tag(&mut self, tagged: bool, place: Place) {
        if tagged {
            self.problems.add(
                place,
                "",
                "has a YAML tag (`!...`), which this format does not use; remove the tag",
            );
        }
    }

    fn count(&mut self, nodes: usize, place: Place) -> Result<(), GaveUp> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            self.problems.add(
                place,
                "",
                format!(
                    "takes the file over {MAX_NODES} values, aliases written out; use fewer aliases or split the file"
                ),
            );
            return Err(GaveUp);
        }
        Ok(())
    }

    fn open(&mut self, place: Place, anchor: usize, content: Content) -> Result<(), GaveUp> {
        self.count(1, place)?;
        if self.frames.len() >= MAX_DEPTH {
            self.problems.add(
                place,
                "",
                format!("is nested deeper than {MAX_DEPTH} levels; nothing in this format is"),
            );
            return Err(GaveUp);
        }
        self.frames.push(Frame { place, anchor, content });
        Ok(())
    }

    /// Puts a complete node where it belongs: into the list or mapping around it, or to the root.
    fn complete(&mut self, node: Rc<Node>, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        let Some(frame) = self.frames.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        match &mut frame.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, seen, key, .. } => match key.take() {
                None => *key = Some(self.problems.plain_key(&node)),
                Some(PendingKey::Refused) => {}
                Some(PendingKey::Text(text, place)) => {
                    if seen.insert(Rc::clone(&text)) {
                        entries.push(Entry {
                            key: text,
                            place,
                            value: node,
                        });
                    } else {
                        let first = entries.iter().find(|entry| entry.key == text).map(|entry| entry.place);
                        self.problems.duplicate_key(place, first);
                    }
                }
            },
        }
    }
}

impl Problems {
    fn plain_key(&mut self, node: &Node) -> PendingKey {
        match &node.kind {
            Kind::Scalar { text, .. } => PendingKey::Text(Rc::clone(text), node.place),
            Kind::Sequence(_) | Kind::Mapping { .. } => {
                self.add(
                    node.place,
                    "",
                    "is a list or a mapping where a key belongs; write a name followed by `: `",
                );
                PendingKey::Refused
            }
        }
    }

    fn duplicate_key(&mut self, place: Place, first: Option<Place>) {
        let first = first.map_or_else(String::new, |first| {
            format!(" (first at line {}, column {})", first.line, first.column)
        });
        self.add(
            place,
            "",
            format!("repeats a key of the same mapping{first}; keep one of the two"),
        );
    }
}

impl Frame {
    fn into_node(self) -> Node {
        let (kind, inner) = match self.content {
            Content::Sequence(items) => {
                let inner = items.iter().map(|item| item.weight).fold(0, usize::saturating_add);
                (Kind::Sequence(items), inner)
            }
            Content::Mapping { entries, flow, .. } => {
                let inner = entries
                    .iter()
                    .map(|entry| entry.value.weight.saturating_add(1))
                    .fold(0, usize::saturating_add);
                (Kind::Mapping { entries, flow }, inner)
            }
        };
        Node {
            place: self.place,
            kind,
            weight: inner.saturating_add(1),
        }
    }
}

fn place_of(marker: &saphyr_parser::Marker) -> Place {
    Place {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// Our own sentence for a syntax error. The parser's texts are fixed but for one, which quotes a character of the file; so
/// that no later version quotes more, its text only chooses among sentences of ours.
fn syntax_sentence(error: &ScanError) -> String {
    let info = error.info();
    let hints = [
        (
            "unexpected character",
            "a value cannot begin with this character; put it between quotes",
        ),
        ("tab", "a tab where YAML wants spaces; indent with spaces"),
        ("unprintable", "a control character; remove it"),
        (
            "unknown anchor",
            "an alias (`*name`) without its anchor (`&name`); a value that begins with `*` goes between quotes",
        ),
        (
            "anchor or alias",
            "a value that begins with `*` or `&`; put it between quotes",
        ),
        (
            "quoted scalar",
            "a quoted value that does not end, or holds an unknown escape; close the quote, or double a `\\`",
        ),
        (
            "after double-quoted scalar",
            "text behind the closing quote; remove it, or quote the whole value",
        ),
        (
            "mapping values are not allowed",
            "`: ` inside of a value, or a wrong indentation; put the value between quotes or mend the indentation",
        ),
        (
            "flow",
            "a list or mapping between brackets that does not end; close the bracket or add the missing comma",
        ),
        (
            "did not find expected key",
            "a line that is indented differently from its neighbours; mend the indentation",
        ),
        (
            "did not find expected '-'",
            "a line of a list that does not begin with `- `; mend the indentation",
        ),
        (
            "simple key expected",
            "a line that is neither `key: value` nor `- item`; write `: ` behind the key",
        ),
        (
            "indentation",
            "a wrong indentation; indent lines that belong together by the same number of spaces",
        ),
        (
            "tag",
            "a YAML tag (`!...`), which this format does not use; remove it or put the value between quotes",
        ),
        (
            "directive",
            "a YAML directive (`%...`), which this format does not use; remove the line",
        ),
        (
            "recursion limit",
            "brackets nested too deeply; nothing in this format is",
        ),
    ];
    let hint = hints.iter().find(|(part, _)| info.contains(part)).map_or(
        "something that cannot be read; look at its indentation, quotes and brackets",
        |(_, hint)| hint,
    );
    format!("is not valid YAML: {hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// The tree in one line: mappings in braces, lists in brackets, scalars in quotes, each with its place.
    fn shown(node: &Node) -> String {
        let place = format!("{}:{}", node.place.line, node.place.column);
        match &node.kind {
            Kind::Scalar { text, quoted } => {
                let mark = if *quoted { '"' } else { '\'' };
                format!("{place}{mark}{text}{mark}")
            }
            Kind::Sequence(items) => {
                let items: Vec<String> = items.iter().map(|item| shown(item)).collect();
                format!("{place}[{}]", items.join(" "))
            }
            Kind::Mapping { entries, flow } => {
                let entries: Vec<String> = entries
                    .iter()
                    .map(|entry| {
                        format!(
                            "{}@{}:{}={}",
                            entry.key,
                            entry.place.line,
                            entry.place.column,
                            shown(&entry.value)
                        )
                    })
                    .collect();
                format!("{place}{}{{{}}}", if *flow { "flow" } else { "" }, entries.join(" "))
            }
        }
    }

    fn read(text: &str) -> Result<String, String> {
        let mut problems = Problems::new("f");
        let tree = parse(text, &mut problems);
        problems
            .into_result(Some(()))
            .map(|()| tree.map_or_else(|| "nothing".to_owned(), |tree| shown(&tree)))
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn places_are_those_of_the_text() {
        assert_eq!(
            read("a: 1\nb:\n  - x\n  - \"y\"\nc: {d: e}\n").unwrap(),
            "1:1{a@1:1=1:4'1' b@2:1=3:3[3:5'x' 4:5\"y\"] c@5:1=5:4flow{d@5:5=5:8'e'}}"
        );
        assert_eq!(read("ä: ö").unwrap(), "1:1{ä@1:1=1:4'ö'}");
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", "\n\n", "# only a comment\n", "\u{feff}"] {
            assert_eq!(read(text).unwrap(), "nothing", "{text:?}");
        }
    }

    #[test]
    fn aliases_stand_for_their_anchor() {
        assert_eq!(
            read("a: &x [1]\nb: *x\n").unwrap(),
            "1:1{a@1:1=1:4[1:8'1'] b@2:1=1:4[1:8'1']}"
        );
        assert!(
            read("a: *x\n")
                .unwrap_err()
                .starts_with("f:1:4: is not valid YAML: an alias")
        );
        assert!(read("a: &x [*x]\n").unwrap_err().contains("f:1:8: is an alias inside"));
    }

    #[test]
    fn what_the_format_does_not_use_is_refused_with_its_place() {
        for (text, start) in [
            (
                "a: 1\na: 2\n",
                "f:2:1: repeats a key of the same mapping (first at line 1, column 1)",
            ),
            ("a: !!str 1\n", "f:1:"),
            ("a: &x b\n*x : c\n", "f:2:1: is an alias where a key belongs"),
            ("[a]: 1\n", "f:1:1: is a list or a mapping where a key belongs"),
            ("a: 1\n---\nb: 2\n", "f:2:1: begins a second document"),
            ("a: [1\n", "f:"),
            ("a:\n\t- 1\n", "f:2:"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(start), "{text:?}: {error}");
        }
    }

    #[test]
    fn syntax_errors_quote_nothing() {
        for text in [
            "a: @hunter2\n",
            "a: \"hunter2\n",
            "a: hunter2: b\n",
            "a: *hunter2\n",
            "a: %hunter2\n",
            "a: `hunter2`",
        ] {
            let error = read(text).unwrap_err();
            assert!(!error.contains("hunter2") && !error.contains('@'), "{error}");
        }
    }

    #[test]
    fn bombs_are_refused_quickly() {
        let mut laughs = "a0: &a0 [x]\n".to_owned();
        for level in 1..30 {
            let before = level - 1;
            laughs.push_str(&format!(
                "a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}]\n"
            ));
        }
        let size = MAX_FILE_BYTES - 10;
        let bombs = [
            laughs,
            "[".repeat(size),
            "{".repeat(size),
            "- ".repeat(size / 2),
            "? ".repeat(size / 2),
            "a: ".repeat(size / 3),
            "[a, ".repeat(size / 4),
            "!a ".repeat(size / 3),
            "&a ".repeat(size / 3),
            "x".repeat(size),
            "\n".repeat(size),
            "a\n".repeat(size / 2),
            "\"".repeat(size),
            (0..size / 10).map(|index| format!("k{index}: v\n")).collect::<String>(),
            "- a\n".repeat(size / 4),
            "x".repeat(MAX_FILE_BYTES + 1),
        ];
        for bomb in bombs {
            let start = Instant::now();
            let _ = read(&bomb);
            let took = start.elapsed();
            // Far above what any of them takes (about 0.3 s unoptimised), far below quadratic behaviour (minutes).
            assert!(took < Duration::from_secs(20), "{took:?} for {}", &bomb[..20]);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-c:\\-\\[\\]{},&*!|>'\"%@`#?\\\\ \n\t~0-1]{0,80}") {
            let _ = read(&text);
        }
    }
}
