//! From snapshots to text: the two dialects, content negotiation, compression.

pub mod chunk;
