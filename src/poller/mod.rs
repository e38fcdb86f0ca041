//! Pollers: one task per instance, which owns its schedule, its deadlines, its verdicts and its accumulators.

pub mod details;
