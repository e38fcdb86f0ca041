//! Configurations with intervals short enough for tests.

use std::fmt::Write as _;
use std::time::Duration;

/// `poll.ping_interval` of the tests.
pub const PING: Duration = Duration::from_millis(150);
/// `poll.info_interval` of the tests.
pub const INFO: Duration = Duration::from_millis(250);
/// `poll.scan_interval` of the tests.
pub const SCAN: Duration = Duration::from_millis(300);
/// `poll.connect_interval` of the tests.
pub const CONNECT: Duration = Duration::from_millis(400);
/// `poll.timeout` of the tests.
pub const TIMEOUT: Duration = Duration::from_millis(500);

/// The `poll` block with these intervals.
pub fn fast_poll() -> String {
    format!(
        "poll: {{ ping_interval: {}ms, info_interval: {}ms, scan_interval: {}ms, connect_interval: {}ms, timeout: {}ms }}\n",
        PING.as_millis(),
        INFO.as_millis(),
        SCAN.as_millis(),
        CONNECT.as_millis(),
        TIMEOUT.as_millis()
    )
}

/// A configuration with short intervals: `(name, address, further lines)` per instance. The lines are indented here.
pub fn fast(instances: &[(&str, &str, &str)]) -> String {
    format!("environment: test\n{}{}", fast_poll(), instances_yaml(instances))
}

/// The same with a deadline that no server misses, however busy the machine: with that of [`fast`] a pause of half a second is a lost
/// connection, and what is published meanwhile is lost with it. For tests that hold every event against the truth.
pub fn patient(instances: &[(&str, &str, &str)]) -> String {
    let fast = format!("timeout: {}ms", TIMEOUT.as_millis());
    let config = self::fast(instances);
    assert!(config.contains(&fast), "{config}");
    config.replace(&fast, "timeout: 20s")
}

/// The `instances` block alone.
pub fn instances_yaml(instances: &[(&str, &str, &str)]) -> String {
    let mut text = "instances:\n".to_owned();
    for (name, address, further) in instances {
        let _ = writeln!(text, "  - name: {name}\n    address: \"{address}\"");
        for line in further.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}
