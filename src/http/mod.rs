//! The HTTP server: the only importer of hyper. It reads snapshots and never talks to Redis.
