//! The subcommands with their arguments.

use super::listen::parse_single_address;
use crate::commands::acl::{Format, ServerChoice};
use crate::commands::artefacts::{DashboardFormat, RuleFormat};
use clap::Subcommand;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Run the daemon (the default)
    Serve,
    /// Poll every instance once, print the metrics, and exit
    Once {
        /// Scan as fast as the server answers, whatever scan.redis_share says
        #[arg(long)]
        unpaced: bool,
    },
    /// Validate the configuration, connect to every instance, and say what works
    Check,
    /// Print the line that makes the least-privilege Redis user for this configuration, for every instance
    Acl {
        /// For this server instead of asking: redis-6.2, redis-7, valkey-8.1, keydb, dragonfly, sentinel or the like; `all` for the common ones
        #[arg(long, value_name = "SERVER")]
        server: Option<ServerChoice>,
        /// For the prompt of redis-cli, or for the server's file of users
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
        format: Format,
    },
    /// Print every metric that this program can emit
    Catalogue {
        /// As the document docs/metrics.md
        #[arg(long)]
        markdown: bool,
    },
    /// Write the alert and recording rules that fit these metrics, with your thresholds
    Rules {
        /// File of values: thresholds, selectors, capacities, what is different about single alerts; --print-values prints one
        #[arg(long, value_name = "FILE")]
        values: Option<PathBuf>,
        /// Folder that the files are written into; by default all goes to standard output as one file
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
        /// Files for Prometheus, or one manifest for the Prometheus Operator
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
        format: RuleFormat,
        /// Print the default values with what each decides, to be changed and given to --values
        #[arg(long, conflicts_with_all = ["values", "output"])]
        print_values: bool,
    },
    /// Write the dashboards for Grafana that fit these metrics
    Dashboards {
        /// Only this one: redis-session-overview, redis-session-debug, redis-session-slo or redis-session-fleet
        #[arg(value_name = "NAME")]
        name: Option<String>,
        /// Folder that the files are written into; by default they go to standard output
        #[arg(long, value_name = "FOLDER")]
        output: Option<PathBuf>,
        /// JSON for Grafana, or ConfigMaps for the sidecar of its chart
        #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
        format: DashboardFormat,
    },
    /// Ask a running daemon whether it is healthy; exit code 0 means yes
    ///
    /// With --web.config.file it asks over HTTPS where that is served, and does not verify the certificate: it asks this machine. A daemon
    /// that demands certificates of its clients is taken for healthy when it refuses this command for having none
    Healthcheck {
        /// Where the daemon listens; by default the listen address
        #[arg(value_name = "ADDRESS", value_parser = parse_single_address)]
        address: Option<SocketAddr>,
    },
}
