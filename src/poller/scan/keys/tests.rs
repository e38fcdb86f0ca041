use super::*;
use crate::config::{Environment, load_str};
use crate::redis::Connector;
use std::path::Path;

#[test]
fn tasks_of_a_walk_that_failed_give_their_places_back() {
    let text = "limits: { checked_keys: 3 }
instances: [ { address: h, sessions: [], check_keys: [ { match: 'a*' } ] } ]";
    let loaded = load_str(text, "f", Path::new(""), &Environment::of_pairs(&[])).unwrap();
    let config = loaded.config.instances[0].clone();
    let task = ScanTask {
        looks_at_sessions: false,
        looks_at_keys: true,
        runs_scripts: false,
        is_replica: false,
        stores: Arc::new([]),
        connector: Connector::new(&config),
        paced: false,
        memory: ScanMemory::default(),
        paused: None,
        pause: None,
        number: 1,
        replication_id: None,
        config,
    };
    let mut memory = ScanMemory::default();
    let mut work = KeyWork::new(&task, true);
    let waiting = |work: &KeyWork<'_>, memory: &ScanMemory| {
        let mut tasks = work.scan_tasks(memory, 0);
        (0..5).for_each(|number| tasks.offer(format!("a{number}").as_bytes()));
        (tasks.waiting(), tasks)
    };
    assert_eq!(waiting(&work, &memory).0, 3);
    let (again, tasks) = waiting(&work, &memory);
    assert_eq!(again, 3, "those before found nothing");
    work.take(&mut memory, 0, tasks, true);
    assert_eq!(waiting(&work, &memory).0, 0, "what was found keeps its places");
    work.forget_scanned();
    assert_eq!(waiting(&work, &memory).0, 3);
}
