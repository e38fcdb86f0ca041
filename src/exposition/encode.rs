//! Puts the chunks of many instances together: family by family, all instances of a family below one header.

use super::Dialect;
use super::catalogue::{Block, Blocks, Catalogue, text_blocks};
use super::chunk::{Chunk, Suffix};
use crate::metric::{Descriptor, MetricKind};
use crate::snapshot::{InstanceSnapshot, Section};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// The name under which `collect[]` and `exclude[]` know the figures about the exporter itself: the sections about polls, and
/// on `/metrics` the process's own section.
pub const EXPORTER: &str = "exporter";

/// What HELP of a gauge histogram says in the text format 0.0.4, where it must be typed `histogram`.
const CAN_FALL: &str = " It shows what exists now, so buckets can fall.";

/// Which collectors a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of them.
    All,
    /// `collect[]`: these and no others.
    Only(BTreeSet<&'static str>),
    /// `exclude[]`: all but these.
    Except(BTreeSet<&'static str>),
}

/// Why a filter is refused. The text never repeats what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Both parameters at once.
    #[error("collect[] and exclude[] cannot be used in one request: use one of them")]
    Both,
    /// A name that no collector has.
    #[error("collect[] or exclude[] names a collector that does not exist")]
    Unknown,
}

impl Filter {
    /// Reads the values of `collect[]` and `exclude[]`. `known` are the names of all collectors; [`EXPORTER`] is known too.
    ///
    /// # Errors
    /// [`FilterError`], which the server answers with 400 (as node_exporter does).
    pub fn from_names<'a>(
        collect: impl IntoIterator<Item = &'a str>,
        exclude: impl IntoIterator<Item = &'a str>,
        known: &[&'static str],
    ) -> Result<Self, FilterError> {
        let resolve = |name: &str| {
            let mut names = known.iter().copied().chain([EXPORTER]);
            names.find(|candidate| *candidate == name).ok_or(FilterError::Unknown)
        };
        let collect = collect.into_iter().map(resolve).collect::<Result<BTreeSet<_>, _>>()?;
        let exclude = exclude.into_iter().map(resolve).collect::<Result<BTreeSet<_>, _>>()?;
        match (collect.is_empty(), exclude.is_empty()) {
            (true, true) => Ok(Self::All),
            (false, true) => Ok(Self::Only(collect)),
            (true, false) => Ok(Self::Except(exclude)),
            (false, false) => Err(FilterError::Both),
        }
    }

    /// Whether the sections of this collector are wanted.
    pub fn admits(&self, collector: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.contains(collector),
            Self::Except(names) => !names.contains(collector),
        }
    }
}

/// Whether lines carry the labels of their instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceLabels {
    /// `/metrics`: every line has them.
    Written,
    /// `/probe`: `/sd` supplies them.
    Omitted,
}

/// The fresh sections of some instances, sorted into families. Owns what it shows, so it may outlive the request.
#[derive(Debug)]
pub struct Plan {
    parts: Vec<Part>,
    families: Vec<PlannedFamily>,
    valid_until: Option<Instant>,
    duplicates: usize,
}

/// A section and the labels of its instance.
#[derive(Debug)]
struct Part {
    label_block: Arc<str>,
    section: Arc<Section>,
}

#[derive(Debug)]
struct PlannedFamily {
    descriptor: &'static Descriptor,
    /// OpenMetrics headers.
    blocks: Blocks,
    /// `(part, chunk of its section)` in the order of the instances.
    chunks: Vec<(usize, usize)>,
    /// Lines that must not be written because an earlier chunk of the same instance has the same labels, as
    /// `(position in chunks, line)`. Nearly always empty.
    skipped: HashSet<(usize, usize)>,
}

/// Where an encoding stands, for bodies that are written piece by piece.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    family: usize,
    block: usize,
    chunk: usize,
    header_written: bool,
}

impl Plan {
    /// Takes the sections that are fresh at `now` and that the filter admits.
    pub fn new(
        instances: &[Arc<InstanceSnapshot>],
        filter: &Filter,
        labels: InstanceLabels,
        catalogue: &Catalogue,
        now: Instant,
    ) -> Self {
        let mut plan = Self {
            parts: Vec::new(),
            families: Vec::new(),
            valid_until: None,
            duplicates: 0,
        };
        let nothing: Arc<str> = Arc::from("");
        // Grouping by address first is cheap: one descriptor is one constant. Equal names are joined below.
        let mut by_address: HashMap<*const Descriptor, usize> = HashMap::new();
        let mut by_name: HashMap<&'static str, usize> = HashMap::new();
        for instance in instances {
            for section in instance.sections.values() {
                if !filter.admits(section.collector) || !section.is_fresh(now) {
                    continue;
                }
                plan.valid_until = match (plan.valid_until, section.expires_at) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                let part = plan.parts.len();
                for (index, chunk) in section.chunks.iter().enumerate() {
                    let descriptor = chunk.descriptor;
                    let family = *by_address.entry(std::ptr::from_ref(descriptor)).or_insert_with(|| {
                        *by_name.entry(descriptor.name).or_insert_with(|| {
                            plan.families.push(PlannedFamily {
                                descriptor,
                                blocks: Arc::from([]),
                                chunks: Vec::new(),
                                skipped: HashSet::new(),
                            });
                            plan.families.len() - 1
                        })
                    });
                    if let Some(family) = plan.families.get_mut(family) {
                        family.chunks.push((part, index));
                    }
                }
                plan.parts.push(Part {
                    label_block: match labels {
                        InstanceLabels::Written => instance.label_block.clone(),
                        InstanceLabels::Omitted => nothing.clone(),
                    },
                    section: section.clone(),
                });
            }
        }
        plan.sort(catalogue);
        plan.find_duplicates();
        plan
    }

    /// Known families in the order of the catalogue, then the others by name.
    fn sort(&mut self, catalogue: &Catalogue) {
        self.families
            .sort_by_cached_key(|family| match catalogue.rank(family.descriptor.name) {
                Some(rank) => (0, rank, ""),
                None => (1, 0, family.descriptor.name),
            });
        let strangers: Vec<&'static Descriptor> = self
            .families
            .iter()
            .map(|family| family.descriptor)
            .filter(|descriptor| catalogue.rank(descriptor.name).is_none())
            .collect();
        let mut of_strangers = catalogue.resolve_unknown(&strangers).into_iter();
        for family in &mut self.families {
            let blocks = catalogue
                .known_blocks(family.descriptor.name)
                .or_else(|| of_strangers.next());
            if let Some(blocks) = blocks {
                family.blocks = blocks;
            }
        }
    }

    /// A chunk never holds two lines with the same labels, but two sections of one instance may hold the same family.
    fn find_duplicates(&mut self) {
        for family in &mut self.families {
            let label_blocks = |position: usize| {
                let (part, _) = family.chunks.get(position)?;
                self.parts.get(*part).map(|part| &part.label_block)
            };
            // Chunks of one instance stand next to each other.
            let several = (1..family.chunks.len())
                .any(|position| label_blocks(position).is_some_and(|it| label_blocks(position - 1) == Some(it)));
            if !several {
                continue;
            }
            let mut seen: HashSet<(&str, Suffix, &str)> = HashSet::new();
            let mut skipped = HashSet::new();
            for (position, (part, index)) in family.chunks.iter().enumerate() {
                let Some((part, chunk)) = chunk_at(&self.parts, *part, *index) else {
                    continue;
                };
                for (number, line) in chunk.lines().enumerate() {
                    if !seen.insert((&part.label_block, line.suffix, line.labels)) {
                        skipped.insert((position, number));
                    }
                }
            }
            self.duplicates += skipped.len();
            family.skipped = skipped;
        }
    }

    /// The moment when the first of the shown sections becomes too old; `None` when none of them does.
    pub fn valid_until(&self) -> Option<Instant> {
        self.valid_until
    }

    /// Lines left out because another section of the same instance has the same series.
    pub fn duplicates(&self) -> usize {
        self.duplicates
    }

    /// Series that are shown.
    pub fn series(&self) -> usize {
        let chunks = self.families.iter().flat_map(|family| &family.chunks);
        let series: usize = chunks
            .filter_map(|(part, index)| chunk_at(&self.parts, *part, *index))
            .map(|(_, chunk)| chunk.series)
            .sum();
        series.saturating_sub(self.duplicates)
    }

    /// No fewer bytes than the encoding in either dialect takes, from the lengths of the parts.
    pub fn upper_bound_bytes(&self) -> usize {
        /// `_bucket`, braces, comma, space, line feed.
        const LINE_OVERHEAD: usize = 7 + 2 + 1 + 1 + 1;
        /// `# TYPE  gaugehistogram`, `# UNIT  seconds`, `# HELP `, three suffixed names, line feeds.
        const HEADER_OVERHEAD: usize = 128;
        let mut bytes = 0_usize;
        for family in &self.families {
            let Descriptor { name, help, .. } = family.descriptor;
            let header = HEADER_OVERHEAD + 3 * name.len() + 2 * help.len() + CAN_FALL.len();
            bytes += header * family.blocks.len().max(1);
            for (part, index) in &family.chunks {
                if let Some((part, chunk)) = chunk_at(&self.parts, *part, *index) {
                    let line = name.len() + LINE_OVERHEAD + part.label_block.len();
                    bytes += chunk.series * line + chunk.text_bytes();
                }
            }
        }
        bytes
    }

    /// The whole encoding without `# EOF`.
    pub fn encode(&self, dialect: Dialect) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.upper_bound_bytes());
        self.encode_some(&mut Cursor::default(), dialect, usize::MAX, &mut out);
        out
    }

    /// Goes on where the cursor stands, until at least `enough` bytes were added. False when the end is reached.
    pub fn encode_some(&self, cursor: &mut Cursor, dialect: Dialect, enough: usize, out: &mut Vec<u8>) -> bool {
        let full = out.len().saturating_add(enough);
        while let Some(family) = self.families.get(cursor.family) {
            let text;
            let blocks: &[Block] = match dialect {
                Dialect::OpenMetrics => &family.blocks,
                Dialect::Text => {
                    text = [text_blocks(family.descriptor)];
                    &text
                }
            };
            while let Some(block) = blocks.get(cursor.block) {
                while let Some((part, index)) = family.chunks.get(cursor.chunk) {
                    if out.len() >= full {
                        return true;
                    }
                    if let Some((part, chunk)) = chunk_at(&self.parts, *part, *index) {
                        let lines = Lines {
                            family,
                            block,
                            position: cursor.chunk,
                            dialect,
                        };
                        lines.write(&part.label_block, chunk, &mut cursor.header_written, out);
                    }
                    cursor.chunk += 1;
                }
                cursor.chunk = 0;
                cursor.block += 1;
                cursor.header_written = false;
            }
            cursor.block = 0;
            cursor.family += 1;
        }
        false
    }
}

/// A chunk with the part that it belongs to.
fn chunk_at(parts: &[Part], part: usize, index: usize) -> Option<(&Part, &Chunk)> {
    let part = parts.get(part)?;
    Some((part, part.section.chunks.get(index)?))
}

/// What is to be written of one chunk.
struct Lines<'a> {
    family: &'a PlannedFamily,
    block: &'a Block,
    /// Position of the chunk within the family.
    position: usize,
    dialect: Dialect,
}

impl Lines<'_> {
    fn write(&self, label_block: &str, chunk: &Chunk, header_written: &mut bool, out: &mut Vec<u8>) {
        let name = self.family.descriptor.name.as_bytes();
        let gauge_histogram = self.family.descriptor.kind == MetricKind::GaugeHistogram;
        for (number, line) in chunk.lines().enumerate() {
            if self.block.only.is_some_and(|only| only != line.suffix) {
                continue;
            }
            if !self.family.skipped.is_empty() && self.family.skipped.contains(&(self.position, number)) {
                continue;
            }
            if !*header_written {
                write_header(self.family.descriptor, self.block, self.dialect, out);
                *header_written = true;
            }
            out.extend_from_slice(name);
            out.extend_from_slice(suffix_text(line.suffix, gauge_histogram, self.dialect));
            match (label_block.is_empty(), line.labels.is_empty()) {
                (true, true) => {}
                (false, true) => surround(out, &[label_block]),
                (true, false) => surround(out, &[line.labels]),
                (false, false) => surround(out, &[label_block, ",", line.labels]),
            }
            out.push(b' ');
            out.extend_from_slice(line.value.as_bytes());
            out.push(b'\n');
        }
    }
}

fn surround(out: &mut Vec<u8>, pieces: &[&str]) {
    out.push(b'{');
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
    out.push(b'}');
}

fn suffix_text(suffix: Suffix, gauge_histogram: bool, dialect: Dialect) -> &'static [u8] {
    match (suffix, gauge_histogram && dialect == Dialect::OpenMetrics) {
        (Suffix::None, _) => b"",
        (Suffix::Bucket, _) => b"_bucket",
        (Suffix::Sum, false) => b"_sum",
        (Suffix::Sum, true) => b"_gsum",
        (Suffix::Count, false) => b"_count",
        (Suffix::Count, true) => b"_gcount",
    }
}

/// Writes the header lines in the order that each format recommends.
fn write_header(descriptor: &Descriptor, block: &Block, dialect: Dialect, out: &mut Vec<u8>) {
    let name = block.name.as_ref();
    match dialect {
        Dialect::OpenMetrics => {
            write_words(out, &["# TYPE ", name, " ", block.word, "\n"]);
            if let Some(unit) = block.unit {
                write_words(out, &["# UNIT ", name, " ", unit, "\n"]);
            }
            write_words(out, &["# HELP ", name, " "]);
            escape_help(descriptor.help, true, out);
            out.push(b'\n');
        }
        Dialect::Text => {
            write_words(out, &["# HELP ", name, " "]);
            escape_help(descriptor.help, false, out);
            if descriptor.kind == MetricKind::GaugeHistogram {
                write_words(out, &[CAN_FALL]);
            }
            write_words(out, &["\n# TYPE ", name, " ", block.word, "\n"]);
        }
    }
}

fn write_words(out: &mut Vec<u8>, words: &[&str]) {
    for word in words {
        out.extend_from_slice(word.as_bytes());
    }
}

/// Escapes HELP: backslash and line feed in both dialects, the quote only in OpenMetrics ("escaped-string").
fn escape_help(help: &str, quotes: bool, out: &mut Vec<u8>) {
    for byte in help.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::fixtures;
    use std::time::Duration;

    fn text(plan: &Plan, dialect: Dialect) -> String {
        String::from_utf8(plan.encode(dialect)).unwrap()
    }

    fn plan(filter: &Filter, labels: InstanceLabels) -> Plan {
        let now = Instant::now();
        let instances = [fixtures::instance("b", now), fixtures::instance("a", now)];
        Plan::new(&instances, filter, labels, &fixtures::catalogue(), now)
    }

    #[test]
    fn openmetrics_is_family_major_with_the_names_unchanged() {
        let expected = "\
# TYPE fixture_hits counter
# HELP fixture_hits Hits \\\"quoted\\\".
fixture_hits_total{environment=\"test\",instance=\"b\"} 5
fixture_hits_total{environment=\"test\",instance=\"a\"} 5
# TYPE fixture_used_bytes gauge
# UNIT fixture_used_bytes bytes
# HELP fixture_used_bytes Bytes\\nin use.
fixture_used_bytes{environment=\"test\",instance=\"b\",db=\"db0\"} 1.5
fixture_used_bytes{environment=\"test\",instance=\"a\",db=\"db0\"} 1.5
# TYPE fixture_percentiles_usec unknown
# HELP fixture_percentiles_usec Percentiles.
fixture_percentiles_usec{environment=\"test\",instance=\"b\",cmd=\"get\",quantile=\"99.9\"} 2
fixture_percentiles_usec{environment=\"test\",instance=\"a\",cmd=\"get\",quantile=\"99.9\"} 2
# TYPE fixture_percentiles_usec_sum unknown
# HELP fixture_percentiles_usec_sum Percentiles.
fixture_percentiles_usec_sum{environment=\"test\",instance=\"b\",cmd=\"get\"} 7
fixture_percentiles_usec_sum{environment=\"test\",instance=\"a\",cmd=\"get\"} 7
# TYPE fixture_percentiles_usec_count unknown
# HELP fixture_percentiles_usec_count Percentiles.
fixture_percentiles_usec_count{environment=\"test\",instance=\"b\",cmd=\"get\"} 3
fixture_percentiles_usec_count{environment=\"test\",instance=\"a\",cmd=\"get\"} 3
# TYPE fixture_size_bytes gaugehistogram
# UNIT fixture_size_bytes bytes
# HELP fixture_size_bytes Sizes.
fixture_size_bytes_bucket{environment=\"test\",instance=\"b\",le=\"1.0\"} 1
fixture_size_bytes_bucket{environment=\"test\",instance=\"b\",le=\"+Inf\"} 2
fixture_size_bytes_gsum{environment=\"test\",instance=\"b\"} 9
fixture_size_bytes_gcount{environment=\"test\",instance=\"b\"} 2
fixture_size_bytes_bucket{environment=\"test\",instance=\"a\",le=\"1.0\"} 1
fixture_size_bytes_bucket{environment=\"test\",instance=\"a\",le=\"+Inf\"} 2
fixture_size_bytes_gsum{environment=\"test\",instance=\"a\"} 9
fixture_size_bytes_gcount{environment=\"test\",instance=\"a\"} 2
";
        assert_eq!(
            text(&plan(&Filter::All, InstanceLabels::Written), Dialect::OpenMetrics),
            expected
        );
    }

    #[test]
    fn text_has_one_header_per_family_and_no_units() {
        let expected = "\
# HELP fixture_hits_total Hits \"quoted\".
# TYPE fixture_hits_total counter
fixture_hits_total 5
# HELP fixture_used_bytes Bytes\\nin use.
# TYPE fixture_used_bytes gauge
fixture_used_bytes{db=\"db0\"} 1.5
# HELP fixture_percentiles_usec Percentiles.
# TYPE fixture_percentiles_usec summary
fixture_percentiles_usec{cmd=\"get\",quantile=\"99.9\"} 2
fixture_percentiles_usec_sum{cmd=\"get\"} 7
fixture_percentiles_usec_count{cmd=\"get\"} 3
# HELP fixture_size_bytes Sizes. It shows what exists now, so buckets can fall.
# TYPE fixture_size_bytes histogram
fixture_size_bytes_bucket{le=\"1.0\"} 1
fixture_size_bytes_bucket{le=\"+Inf\"} 2
fixture_size_bytes_sum 9
fixture_size_bytes_count 2
";
        let now = Instant::now();
        let plan = Plan::new(
            &[fixtures::instance("a", now)],
            &Filter::All,
            InstanceLabels::Omitted,
            &fixtures::catalogue(),
            now,
        );
        assert_eq!(text(&plan, Dialect::Text), expected);
        assert_eq!(plan.series(), 9);
    }

    #[test]
    fn the_upper_bound_holds_and_pieces_make_the_whole() {
        let plan = plan(&Filter::All, InstanceLabels::Written);
        for dialect in [Dialect::OpenMetrics, Dialect::Text] {
            let whole = plan.encode(dialect);
            assert!(whole.len() <= plan.upper_bound_bytes());
            for enough in [1, 100, 1000] {
                let mut cursor = Cursor::default();
                let mut pieces = Vec::new();
                while plan.encode_some(&mut cursor, dialect, enough, &mut pieces) {}
                assert_eq!(pieces, whole);
            }
        }
    }

    #[test]
    fn stale_and_unwanted_sections_are_left_out() {
        let known = ["memory", "stats"];
        let only = Filter::from_names(["memory"], [], &known).unwrap();
        let except = Filter::from_names([], ["memory"], &known).unwrap();
        let only = text(&plan(&only, InstanceLabels::Written), Dialect::Text);
        let except = text(&plan(&except, InstanceLabels::Written), Dialect::Text);
        assert!(only.contains("fixture_used_bytes") && !only.contains("fixture_hits_total"));
        assert!(!except.contains("fixture_used_bytes") && except.contains("fixture_hits_total"));

        let now = Instant::now();
        let instances = [fixtures::instance("a", now)];
        let later = now + fixtures::LIFETIME;
        let catalogue = fixtures::catalogue();
        let before = Plan::new(
            &instances,
            &Filter::All,
            InstanceLabels::Written,
            &catalogue,
            later - Duration::from_millis(1),
        );
        assert_eq!(before.valid_until(), Some(later));
        assert_eq!(before.series(), 9);
        // Counters that the daemon keeps have no end.
        let after = Plan::new(&instances, &Filter::All, InstanceLabels::Written, &catalogue, later);
        assert_eq!(after.valid_until(), None);
        assert_eq!(after.series(), 1);
    }

    #[test]
    fn filters_are_checked() {
        assert_eq!(Filter::from_names([], [], &["memory"]), Ok(Filter::All));
        assert_eq!(
            Filter::from_names(["memory"], ["memory"], &["memory"]),
            Err(FilterError::Both)
        );
        assert_eq!(
            Filter::from_names(["nothing"], [], &["memory"]),
            Err(FilterError::Unknown)
        );
        assert!(
            Filter::from_names([EXPORTER], [], &["memory"])
                .unwrap()
                .admits(EXPORTER)
        );
    }

    #[test]
    fn the_same_series_from_two_sections_is_written_once() {
        let now = Instant::now();
        let instances = [
            fixtures::instance_with_a_duplicate("a", now),
            fixtures::instance("b", now),
        ];
        let plan = Plan::new(
            &instances,
            &Filter::All,
            InstanceLabels::Written,
            &fixtures::catalogue(),
            now,
        );
        assert_eq!(plan.duplicates(), 1);
        let body = text(&plan, Dialect::OpenMetrics);
        let lines: Vec<&str> = body
            .lines()
            .filter(|line| line.starts_with("fixture_hits_total"))
            .collect();
        assert_eq!(lines.len(), 2);
    }
}
