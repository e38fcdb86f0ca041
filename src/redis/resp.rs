//! Incremental RESP2 parser with limits.
