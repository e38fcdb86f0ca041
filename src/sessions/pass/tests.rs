use super::*;
use crate::sessions::stores::MAX_MATCHED_KEY_BYTES;
use bytes::Bytes;

fn store(matches: &[&str], excludes: &[&str]) -> StoreConfig {
    StoreConfig {
        matches: matches.iter().map(|glob| (*glob).to_owned()).collect(),
        excludes: excludes.iter().map(|glob| (*glob).to_owned()).collect(),
        ..crate::sessions::stores::testing::store("web")
    }
}

fn pass(number: usize, store: &StoreConfig, extent: Extent, remembered_keys: usize) -> DatabasePass {
    let details = DetailSample::new(store, 0, None);
    let limits = PassLimits {
        count: PACED_COUNT,
        remembered_keys,
        label_values: 10,
    };
    DatabasePass::new(vec![PassStore::new(number, store, "", details)], extent, &limits)
}

fn whole(store: &StoreConfig, remembered_keys: usize) -> DatabasePass {
    pass(0, store, Extent::Whole, remembered_keys)
}

fn bulk(text: impl Into<Bytes>) -> Reply {
    Reply::Bulk(text.into())
}

fn page(cursor: impl Into<Bytes>, keys: &[&'static str]) -> Reply {
    Reply::Array(vec![
        bulk(cursor),
        Reply::Array(keys.iter().map(|key| bulk(*key)).collect()),
    ])
}

/// Takes a whole reply, however many turns it needs.
fn take(pass: &mut DatabasePass, reply: &Reply) -> Result<Progress, PassError> {
    let mut page = Page::new(reply)?;
    let progress = pass.turn(&page)?;
    let mut random = fastrand::Rng::with_seed(1);
    while pass.absorb(&mut page, &mut random)? {}
    Ok(progress)
}

fn sessions(pass: DatabasePass) -> u64 {
    pass.finish(None)[0].sessions
}

#[test]
fn counts_each_session_once() {
    let web = store(&["sess:*"], &["sess:lock:*"]);
    let mut pass = pass(3, &web, Extent::Whole, 1000);
    assert_eq!(
        take(&mut pass, &page("7", &["sess:a", "other", "sess:lock:a"])),
        Ok(Progress::More)
    );
    let command = pass.command();
    let words: Vec<&[u8]> = command.words().iter().map(AsRef::as_ref).collect();
    assert_eq!(words, [&b"SCAN"[..], b"7", b"COUNT", b"100"]);
    assert_eq!(take(&mut pass, &page("0", &["sess:a", "sess:b"])), Ok(Progress::Done));
    assert_eq!(pass.keys_examined(), 5);
    assert!((pass.coverage_ratio(10) - 0.5).abs() < f64::EPSILON);
    assert_eq!(pass.next_cursor(), None);
    let result = pass.finish(Some((5, 5))).remove(0);
    assert_eq!((result.store, result.sessions), (3, 2));
    assert_eq!(result.counts[0], (None, Estimate::exact(2.0)));
}

#[test]
fn forgets_duplicates_beyond_the_limit_only() {
    let mut pass = whole(&store(&["*"], &[]), 1);
    take(&mut pass, &page("1", &["a", "b", "a", "b"])).unwrap();
    assert_eq!(sessions(pass), 3);
}

#[test]
fn refuses_what_is_not_a_page() {
    let mut pass = whole(&store(&["*"], &[]), 1);
    for reply in [
        Reply::Null,
        Reply::Array(vec![Reply::Null, Reply::Null]),
        Reply::Array(vec![bulk("0"), Reply::Array(vec![Reply::Null])]),
        Reply::Error(Bytes::from_static(b"NOPERM this user")),
    ] {
        assert_eq!(take(&mut pass, &reply), Err(PassError::Shape), "{reply:?}");
    }
}

#[test]
fn a_large_reply_takes_several_turns() {
    let mut pass = whole(&store(&["k*"], &[]), 100_000);
    let many = KEYS_PER_TURN * 2 + 1;
    let keys = (0..many).map(|number| bulk(format!("k{number}"))).collect();
    let reply = Reply::Array(vec![bulk("9"), Reply::Array(keys)]);
    let mut page = Page::new(&reply).unwrap();
    assert_eq!(pass.turn(&page), Ok(Progress::More));
    assert_eq!(pass.command().words().get(1).map(AsRef::as_ref), Some(&b"9"[..]));
    let mut random = fastrand::Rng::with_seed(1);
    let mut turns = 1;
    while pass.absorb(&mut page, &mut random).unwrap() {
        turns += 1;
    }
    assert_eq!((turns, sessions(pass)), (3, many as u64));
}

#[test]
fn long_keys_are_examined_in_short_turns_and_match_up_to_the_limit() {
    let mut pass = whole(&store(&["*"], &[]), 100_000);
    let sized = |length: usize| bulk(vec![b'a'; length]);
    let mut keys = vec![sized(MAX_MATCHED_KEY_BYTES), sized(MAX_MATCHED_KEY_BYTES + 1)];
    keys.extend((0..100).map(|_| sized(1024 * 1024)));
    let reply = Reply::Array(vec![bulk("0"), Reply::Array(keys)]);
    let mut page = Page::new(&reply).unwrap();
    pass.turn(&page).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut turns = 1;
    while pass.absorb(&mut page, &mut random).unwrap() {
        turns += 1;
    }
    assert!(turns >= 6, "{turns}");
    assert_eq!((pass.keys_examined(), sessions(pass)), (102, 1));
}

#[test]
fn a_cursor_that_never_ends_is_given_up() {
    for extent in [
        Extent::Whole,
        Extent::Window {
            cursor: b"0".to_vec(),
            keys: 10,
        },
    ] {
        let mut pass = pass(0, &store(&["*"], &[]), extent, 1);
        let empty = page("5", &[]);
        let outcome = (0..=MAX_EMPTY_STEPS)
            .map(|_| take(&mut pass, &empty))
            .find(Result::is_err);
        assert_eq!(outcome, Some(Err(PassError::Endless)));
    }
}

/// A hash table as Redis walks it: the bucket of a key is drawn once, and cursors count its bits in reverse.
struct Table {
    bits: u32,
    buckets: Vec<Vec<Bytes>>,
}

impl Table {
    fn new(random: &mut fastrand::Rng, bits: u32, sessions: usize, others: usize) -> Self {
        let mut buckets = vec![Vec::new(); 1 << bits];
        for number in 0..sessions + others {
            let name = if number < sessions { "sess" } else { "other" };
            buckets[random.usize(..1 << bits)].push(Bytes::from(format!("{name}:{number}")));
        }
        Self { bits, buckets }
    }

    /// SCAN: whole buckets until there are `count` keys.
    fn scan(&self, cursor: u64, count: usize) -> Reply {
        let mask = (1_u64 << self.bits) - 1;
        let mut cursor = cursor & mask;
        let mut keys = Vec::new();
        loop {
            keys.extend(self.buckets[cursor as usize].iter().cloned().map(Reply::Bulk));
            cursor = (cursor | !mask).reverse_bits().wrapping_add(1).reverse_bits();
            if cursor == 0 || keys.len() >= count {
                break;
            }
        }
        Reply::Array(vec![bulk(cursor.to_string()), Reply::Array(keys)])
    }

    /// Walks a window and gives back the estimate and the next cursor.
    fn sample(&self, cursor: Vec<u8>, keys: u64, sizes: Option<(u64, u64)>) -> (Estimate, Vec<u8>) {
        let mut pass = pass(0, &store(&["sess:*"], &[]), Extent::Window { cursor, keys }, 1_000_000);
        loop {
            let cursor = number(pass.command().words().get(1).unwrap()).unwrap();
            if take(&mut pass, &self.scan(cursor, 100)).unwrap() == Progress::Done {
                break;
            }
        }
        let cursor = pass.next_cursor().unwrap().to_vec();
        (pass.finish(sizes)[0].counts[0].1, cursor)
    }
}

#[test]
fn windows_cover_the_truth_and_roll_on() {
    let mut random = fastrand::Rng::with_seed(21);
    let runs = 500;
    for (sessions, others, stale) in [(6000, 14_000, 0), (12_000, 0, 0), (3000, 9000, 1500), (12_000, 0, 1200)] {
        let mut inside = 0;
        let mut cursor = b"0".to_vec();
        let mut table = Table::new(&mut random, 14, sessions, others);
        for run in 0..runs {
            if run % 20 == 0 {
                table = Table::new(&mut random, 14, sessions, others);
            }
            // Keys whose time is over are in DBSIZE and not among the replies.
            let size = (sessions + others + stale) as u64;
            let (estimate, next) = table.sample(cursor, 600, Some((size, size)));
            cursor = next;
            assert!(estimate.low <= estimate.value && estimate.value <= estimate.high && !estimate.is_exact());
            inside += usize::from(estimate.low <= sessions as f64 && sessions as f64 <= estimate.high);
        }
        let covered = 100.0 * inside as f64 / runs as f64;
        assert!(covered >= 93.0, "{sessions} of {}: {covered}", sessions + others);
    }
}

#[test]
fn a_window_that_comes_round_is_exact() {
    let mut random = fastrand::Rng::with_seed(22);
    let table = Table::new(&mut random, 8, 300, 100);
    let (estimate, cursor) = table.sample(b"0".to_vec(), 150, None);
    assert!(!estimate.is_exact());
    for cursor in [b"0".to_vec(), cursor] {
        let (estimate, _) = table.sample(cursor, 10_000, Some((400, 400)));
        assert_eq!(estimate, Estimate::exact(300.0));
    }
}

#[test]
fn without_places_in_cursors_the_database_size_scales() {
    let web = store(&["sess:*"], &[]);
    let window = Extent::Window {
        cursor: b"0".to_vec(),
        keys: 4,
    };
    // A cursor that says that next to nothing was walked, or is no number at all.
    for cursor in ["1", "18446744073709551615", "0B3a21-{06S}-96"] {
        let mut pass = pass(0, &web, window.clone(), 100);
        let reply = page(cursor, &["sess:a", "b", "sess:c", "d"]);
        let progress = take(&mut pass, &reply).unwrap();
        assert_eq!(
            (progress, pass.next_cursor()),
            (Progress::Done, Some(cursor.as_bytes()))
        );
        let estimate = pass.finish(Some((1000, 3000))).remove(0).counts[0].1;
        assert!(
            (estimate.value - 1000.0).abs() < 1e-6 && estimate.low < estimate.high,
            "{cursor}: {estimate:?}"
        );
    }
}

#[test]
fn details_are_asked_beside_the_next_step() {
    let web = store(&["sess:*"], &[]);
    let limits = PassLimits {
        count: PACED_COUNT,
        remembered_keys: 100,
        label_values: 10,
    };
    let details = || DetailSample::new(&web, 10, None);
    let stores = vec![
        PassStore::new(0, &web, "", details()),
        PassStore::new(1, &web, "", details()),
    ];
    let mut pass = DatabasePass::new(stores, Extent::Whole, &limits);
    take(&mut pass, &page("0", &["sess:a", "sess:b"])).unwrap();
    let mut left = Vec::new();
    for expected in [2, 2, 0] {
        assert_eq!(pass.waiting(), expected);
        let mut commands = Vec::new();
        let batch = pass.push_details(10, &mut commands);
        assert_eq!((batch.commands(), commands.len()), (2 * expected, 2 * expected));
        assert_eq!(batch.lookups(), expected as u64);
        let mut replies: Vec<Reply> = commands.iter().map(|_| Reply::Integer(60_000)).collect();
        replies.push(Reply::Null);
        left.push(pass.note_details(&batch, &replies).0.len());
    }
    assert_eq!(left, [1, 1, 1]);
    let results = pass.finish(None);
    assert!(results.iter().all(|result| result.details.looked().len() == 2));
}

#[test]
fn a_window_is_not_whole_because_its_cursor_looks_like_it() {
    // Servers that count their cursors up, or that write words: round the end of the database and on.
    for (start, on) in [("4000000", ["0", "150"]), ("_0a1b", ["0", "_0001"])] {
        let window = Extent::Window {
            cursor: start.into(),
            keys: 4,
        };
        let mut pass = pass(0, &store(&["sess:*"], &[]), window, 1000);
        pass.expect_keys(5_000_000);
        assert_eq!(
            take(&mut pass, &page(on[0], &["sess:a", "b"])),
            Ok(Progress::More),
            "{start}"
        );
        assert_eq!(
            take(&mut pass, &page(on[1], &["sess:c", "d"])),
            Ok(Progress::Done),
            "{start}"
        );
        let sizes = Some((5_000_000, 5_000_000));
        assert!(pass.covered(sizes) < 0.001, "{start}");
        let estimate = pass.finish(sizes)[0].counts[0].1;
        assert!(
            estimate.value == 2_500_000.0 && estimate.low < estimate.high,
            "{start}: {estimate:?}"
        );
    }
    // A whole lap is one, whatever the cursors mean.
    let window = Extent::Window {
        cursor: "_0a1b".into(),
        keys: 100,
    };
    let mut pass = pass(0, &store(&["sess:*"], &[]), window, 1000);
    pass.expect_keys(4);
    for (cursor, keys) in [("0", ["sess:c", "d"]), ("_0a1b", ["sess:a", "b"])] {
        assert_eq!(take(&mut pass, &page(cursor, &keys)), Ok(Progress::More));
    }
    assert_eq!(take(&mut pass, &page("0", &["sess:c", "d"])), Ok(Progress::Done));
    assert_eq!(pass.finish(Some((4, 4)))[0].counts[0].1, Estimate::exact(2.0));
}
