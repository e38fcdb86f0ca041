//! What `check` says about `compatibility`: whatever an operator may wonder about later, since it makes something absent.

use super::Report;
use crate::config::InstanceConfig;
use crate::config::optional::NO_CONFIG_COMMAND;
use crate::poller::info_poll::InfoPoll;
use crate::redis::Unavailable;

const SUBJECT: &str = "compatibility";

/// One line for each option that leaves something out here.
pub(super) fn describe(report: &mut Report, config: &InstanceConfig, poll: &InfoPoll) {
    let compatibility = &config.optional.compatibility;
    if compatibility.config_command == NO_CONFIG_COMMAND {
        report.line(
            SUBJECT,
            "CONFIG is not asked (`config_command: \"-\"`): redis_config_*, empty databases and the thresholds of COMMANDLOG are absent",
        );
    }
    let mut missing = poll.outcomes.iter().flat_map(|outcome| &outcome.missing);
    if missing.any(|(command, reason)| command == "config|get" && *reason == Unavailable::Unsupported) {
        report.line(
            SUBJECT,
            "the server knows no such CONFIG; where `rename-command` gives it another name, write that under `compatibility.config_command`",
        );
    }
    if !compatibility.latency_commands {
        report.line(
            SUBJECT,
            "LATENCY is not asked (`latency_commands: off`): latency events and histograms are absent, percentiles are there",
        );
    }
    let persistence = poll.outcomes.iter().find(|outcome| outcome.name == "persistence");
    let shows_file = persistence
        .and_then(|outcome| outcome.result.as_ref().ok())
        .is_some_and(|samples| samples.number("redis_rdb_current_size_bytes").is_some());
    if compatibility.rdb_file_size && persistence.is_some() && !shows_file {
        report.line(
            SUBJECT,
            "redis_rdb_current_size_bytes is absent: this machine has no snapshot file where the server says (CONFIG GET dir dbfilename), or may not look at it",
        );
    }
}
