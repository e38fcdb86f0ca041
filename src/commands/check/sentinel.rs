//! What `check` says about a server in Sentinel mode, in place of everything about keys.

use super::Report;
use crate::config::InstanceConfig;
use crate::poller::info_poll::InfoPoll;
use crate::poller::scan::scripts;

/// Says what there is not, and how many primaries are watched.
pub(super) fn describe(report: &mut Report, config: &InstanceConfig, poll: &InfoPoll) {
    report.line(
        "sessions",
        "not looked for: this is a Sentinel, and the servers that it watches hold the keys; name those as instances of their own",
    );
    for collector in crate::keys::collectors(config) {
        report.line(collector, "does nothing here: a Sentinel holds no keys");
    }
    if scripts::are_wanted(config) {
        report.line(scripts::COLLECTOR, "does nothing here: a Sentinel runs no scripts");
    }
    let watched = poll.info.as_ref().and_then(|info| info.number("sentinel_masters"));
    let sentence = match watched {
        None => "INFO does not say which primaries are watched".to_owned(),
        Some(0.0) => {
            "watches no primary: `SENTINEL MONITOR` or a line `sentinel monitor` of its configuration names one"
                .to_owned()
        }
        Some(1.0) => "watches one primary".to_owned(),
        Some(watched) => format!("watches {watched} primaries"),
    };
    report.line("sentinel", &sentence);
}
