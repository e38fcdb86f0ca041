//! A replica to scan in place of the instance (`scan_from`).

use super::link::Link;
use super::{ScanReport, ScanTask};
use crate::redis::{Connector, Info};
use tokio::sync::mpsc;

/// The first of the configured addresses that answers as a replica in step with the instance; `None` when there is none. The
/// connection that found it is closed again, so that a pass has one connection whatever it scans.
pub(super) async fn find<R: From<ScanReport> + Send>(task: &ScanTask, reports: &mpsc::Sender<R>) -> Option<Connector> {
    let config = &task.config;
    for address in &config.scan_from {
        let connector = Connector::like(config, address.clone()).beside(&task.connector);
        let mut link = Link::new(config, &connector, reports, false);
        let verdict = match link.open().await {
            Err(failure) => Err(failure.error.message),
            Ok(None) => Err("INFO is denied there, so nobody knows what it is".to_owned()),
            Ok(Some(info)) => judge(&info, task.replication_id.as_deref()).map_err(str::to_owned),
        };
        match verdict {
            Ok(()) => return Some(connector),
            Err(why) => {
                tracing::debug!(instance = %config.name, %address, %why, "an address of scan_from is not scanned");
            }
        }
    }
    None
}

/// Whether INFO is that of a replica in step. `replication_id` is the instance's own `master_replid` (Redis 4.0), where its INFO is
/// readable: a replica of another primary holds other sessions.
fn judge(info: &Info, replication_id: Option<&str>) -> Result<(), &'static str> {
    if !matches!(info.get("role").map(str::trim), Some("slave" | "replica")) {
        return Err("it is no replica");
    }
    if info.get("master_link_status").map(str::trim) != Some("up") {
        return Err("its link to the primary is down");
    }
    if info.get("master_sync_in_progress").map(str::trim) == Some("1") {
        return Err("it is still copying the data of its primary");
    }
    match (replication_id, info.get("master_replid").map(str::trim)) {
        (Some(own), Some(its)) if own != its => Err("it is a replica of another primary"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_replica_in_step_is_scanned() {
        let of = |role: &str, link: &str, syncing: &str, id: &str| {
            let text = format!(
                "role:{role}\r\nmaster_link_status:{link}\r\nmaster_sync_in_progress:{syncing}\r\nmaster_replid:{id}\r\n"
            );
            judge(&Info::parse(text.as_bytes()), Some("abc"))
        };
        assert_eq!(of("slave", "up", "0", "abc"), Ok(()));
        assert_eq!(of("replica", "up", "0", "abc"), Ok(()));
        for (role, link, syncing, id) in [
            ("master", "up", "0", "abc"),
            ("slave", "down", "0", "abc"),
            ("slave", "up", "1", "abc"),
            ("slave", "up", "0", "other"),
        ] {
            assert!(of(role, link, syncing, id).is_err());
        }
        let bare = Info::parse(b"role:slave\r\nmaster_link_status:up\r\n");
        assert_eq!(judge(&bare, Some("abc")), Ok(()), "what cannot be compared is believed");
    }
}
