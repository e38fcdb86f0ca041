//! Pre-rendered lines of one family of one instance.
//!
//! Sample lines are the same in both dialects; only headers differ, and the suffixes of gauge histograms. So the numbers and
//! the metric's own labels are rendered once per poll, and the instance's label block is joined when a body is put together.

use crate::metric::Family;

/// The lines of one family, without the instance's labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// What the lines are about.
    pub descriptor: &'static crate::metric::Descriptor,
    /// `suffix TAB labels TAB value LF` for every line. Labels are escaped, so a TAB within one is written as it is but the
    /// fields are split from the right ends: the suffix is before the first TAB, the value behind the last.
    pub lines: Box<str>,
    /// Number of samples (series), for limits and for the self metrics.
    pub series: usize,
}

impl Chunk {
    /// Renders the samples of a family.
    pub fn render(family: &Family) -> Self {
        let _ = family;
        todo!("exposition")
    }
}
