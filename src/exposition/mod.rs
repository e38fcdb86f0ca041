//! From snapshots to text: the two dialects, content negotiation, compression.
//!
//! [`chunk`] renders the lines of a family once per poll. [`catalogue`] knows the order of families and how each may be
//! announced in OpenMetrics. [`encode`] puts the chunks of many instances together, family by family. [`body`] keeps whole
//! bodies while they are valid, and [`gzip`] compresses them. [`own`] encodes the exporter's own
//! metrics. [`negotiate`] reads what the client accepts.

pub mod body;
pub mod catalogue;
pub mod chunk;
pub mod encode;
pub mod gzip;
pub mod negotiate;
pub mod number;
pub mod own;

#[cfg(test)]
pub(crate) mod fixtures;

/// The two text formats that this exporter speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Text,
}

/// What an OpenMetrics body ends with (OpenMetrics 1.0, "Overall Structure": `# EOF` is mandatory).
pub const END_OF_BODY: &str = "# EOF\n";

impl Dialect {
    /// What a body in this dialect must end with.
    pub const fn end(self) -> &'static str {
        match self {
            Self::OpenMetrics => END_OF_BODY,
            Self::Text => "",
        }
    }
}
