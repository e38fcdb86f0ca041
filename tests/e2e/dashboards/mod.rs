//! The dashboards on real data: a scene with everything that they can show, every query of theirs executed against it, and what came back
//! written down for the checks and pictures that Grafana's own libraries make of it.

#![allow(
    clippy::print_stdout,
    reason = "what the run found is printed for whoever looks: `make panels`, `make pictures`"
)]

mod capture;
mod checks;
mod grafana;
mod model;
mod scene;
mod traffic;
mod variables;
