//! The commands beside `serve`: each does one thing, prints to standard output, and ends with an exit code.

pub mod acl;
pub mod artefacts;
pub mod check;
pub mod healthcheck;
pub mod once;

/// The command did what it was asked for.
pub const EXIT_OK: u8 = 0;
/// It failed while it ran.
pub const EXIT_FAILURE: u8 = 1;
/// It was called in a way that makes no sense.
pub const EXIT_USAGE: u8 = 2;
/// The configuration is invalid (`EX_CONFIG` of sysexits.h).
pub const EXIT_CONFIG: u8 = 78;
