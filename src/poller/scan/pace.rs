//! The waiting that pacing asks for: [`Pacer`] only computes.

use super::ScanReport;
use super::link::{Link, Stop};
use crate::redis::Command;
use crate::sessions::pacing::Pacer;
use std::time::Duration;
use tokio::time::Instant;

/// Round trips of a cheap command at the start of a pass, of which the shortest counts as the network's. The first exchange of a
/// connection is slow; three more are enough to see a quick one.
const FLOOR_SAMPLES: usize = 3;

/// Shortest rest worth a timer.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// Finds out what a round trip costs without work, in the database that is selected.
pub(super) async fn find_floor<R: From<ScanReport> + Send>(
    pacer: &mut Pacer,
    link: &mut Link<'_, R>,
    database: u32,
) -> Result<(), Stop> {
    for _ in 0..FLOOR_SAMPLES {
        let command = Command::new(1, &["SELECT"]).arg(database.to_string());
        let (_, round_trip) = link.exchange(&[command]).await?;
        pacer.note_floor(round_trip);
    }
    Ok(())
}

/// Rests as long as [`Pacer::rest_after`] said. A timer rounds up to a millisecond: shorter rests are saved up until they are worth
/// one, and others only have their turn.
pub(super) async fn rest(pacer: &mut Pacer, rest: Duration) {
    if rest >= SHORTEST_REST {
        let resting = Instant::now();
        tokio::time::sleep(rest).await;
        pacer.rested(resting.elapsed());
    } else {
        tokio::task::yield_now().await;
    }
}
