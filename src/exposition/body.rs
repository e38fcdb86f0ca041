//! Whole bodies: assembled at most once while they are valid, and pieces of bodies that are too large to keep.

use super::Dialect;
use super::catalogue::Catalogue;
use super::encode::{Cursor, Filter, InstanceLabels, Plan};
use super::gzip::{CompressError, Compressors, Head, Stream};
use super::negotiate::Encoding;
use crate::snapshot::{InstanceSnapshot, SnapshotStore};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

/// Bodies whose text may be larger than this are not kept but written family by family for each request. 4 MiB holds about
/// 40,000 series, 50 instances; four kept variants stay below 10 MiB.
pub const MAX_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// Size of the pieces of a body that is not kept, and of those that are compressed at one go: large enough for one write to
/// fill a socket's buffer, small enough to be compressed in about 0.3 ms.
const PIECE_BYTES: usize = 64 * 1024;

/// The body of an answer.
#[derive(Debug)]
pub enum Exposed {
    /// Parts that are complete.
    Parts(Vec<Bytes>),
    /// Pieces that are made while the client reads.
    Pieces(Box<Pieces>),
}

/// The bodies of one process: four kept variants of the whole, and the means to make others.
#[derive(Debug)]
pub struct Bodies {
    catalogue: Arc<Catalogue>,
    compressors: Compressors,
    kept: [Slot; 4],
    /// How many times a whole body was planned, for the test that it happens once.
    assemblies: AtomicU64,
    /// Series left out because an earlier section of the instance had them, counted once per generation.
    duplicates: Counter,
    /// The latest generation whose duplicates were counted.
    counted: AtomicU64,
}

/// One kept variant.
#[derive(Debug, Default)]
struct Slot {
    kept: RwLock<Option<Arc<Kept>>>,
    /// Held by the request that assembles; the others wait for its result.
    assembling: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Kept {
    generation: u64,
    valid_until: Option<Instant>,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    Plain(Bytes),
    Gzip(Bytes, Arc<Head>),
    TooLarge,
}

/// What became of assembling.
enum Assembled {
    Kept(Content),
    /// Too large to keep: the plan is written for the one request that made it.
    Once(Plan),
}

impl Kept {
    fn is_valid(&self, generation: u64, now: Instant) -> bool {
        self.generation == generation && self.valid_until.is_none_or(|until| now < until)
    }
}

impl Bodies {
    /// Nothing kept yet. `duplicates` counts series that are left out of a whole body because another section of the same
    /// instance has them: once per generation of the store, however often and in whatever form it is asked for.
    pub fn new(catalogue: Arc<Catalogue>, duplicates: Counter) -> Self {
        Self {
            catalogue,
            compressors: Compressors::default(),
            kept: Default::default(),
            assemblies: AtomicU64::new(0),
            duplicates,
            counted: AtomicU64::new(0),
        }
    }

    /// How many times a whole body was assembled since the start, also one that was too large to keep.
    pub fn assemblies(&self) -> u64 {
        self.assemblies.load(Ordering::Relaxed)
    }

    /// The body of all instances, followed by the exporter's own section `own`, which must carry the end of the dialect.
    ///
    /// # Errors
    /// [`CompressError`] when gzip was asked for and failed.
    pub async fn whole(
        &self,
        store: &SnapshotStore,
        dialect: Dialect,
        encoding: Encoding,
        own: String,
        now: Instant,
    ) -> Result<Exposed, CompressError> {
        let [text_plain, text_gzip, open_plain, open_gzip] = &self.kept;
        let (slot, plain) = match (dialect, encoding) {
            (Dialect::Text, Encoding::Identity) => (text_plain, text_plain),
            (Dialect::Text, Encoding::Gzip) => (text_gzip, text_plain),
            (Dialect::OpenMetrics, Encoding::Identity) => (open_plain, open_plain),
            (Dialect::OpenMetrics, Encoding::Gzip) => (open_gzip, open_plain),
        };
        let content = match slot.get(store.generation(), now) {
            Some(content) => content,
            None => {
                let _assembling = slot.assembling.lock().await;
                match slot.get(store.generation(), now) {
                    Some(content) => content,
                    None => match self.assemble(store, slot, plain, dialect, encoding, now).await? {
                        Assembled::Kept(content) => content,
                        Assembled::Once(plan) => return Ok(in_pieces(plan, dialect, encoding, own)),
                    },
                }
            }
        };
        match content {
            Content::Plain(bytes) => Ok(Exposed::Parts(vec![bytes, Bytes::from(own)])),
            Content::Gzip(bytes, head) => {
                let tail = self.compressors.tail(&head, own.as_bytes())?;
                Ok(Exposed::Parts(vec![bytes, Bytes::from(tail)]))
            }
            Content::TooLarge => {
                let (_, plan) = self.plan_whole(store, now);
                Ok(in_pieces(plan, dialect, encoding, own))
            }
        }
    }

    /// Makes a body, and keeps it when it is small enough.
    async fn assemble(
        &self,
        store: &SnapshotStore,
        slot: &Slot,
        plain: &Slot,
        dialect: Dialect,
        encoding: Encoding,
        now: Instant,
    ) -> Result<Assembled, CompressError> {
        // The text of the gzip variant may be there already; it must be as fresh as the store.
        if encoding == Encoding::Gzip
            && let Some(kept) = plain.valid(store.generation(), now)
            && let Content::Plain(text) = &kept.content
        {
            let content = self.compress(text.clone()).await?;
            slot.put(kept.generation, kept.valid_until, content.clone());
            return Ok(Assembled::Kept(content));
        }
        let (generation, plan) = self.plan_whole(store, now);
        if plan.upper_bound_bytes() > MAX_KEPT_BYTES {
            slot.put(generation, plan.valid_until(), Content::TooLarge);
            return Ok(Assembled::Once(plan));
        }
        let mut text = plan.encode(dialect);
        text.shrink_to_fit();
        let text = Bytes::from(text);
        let content = match encoding {
            Encoding::Identity => Content::Plain(text),
            Encoding::Gzip => self.compress(text).await?,
        };
        slot.put(generation, plan.valid_until(), content.clone());
        Ok(Assembled::Kept(content))
    }

    /// Compresses in pieces and lets other tasks run in between: nobody waits for longer than one piece takes, and it needs no
    /// thread of the pool on which dead file systems and resolvers may hold every other job up.
    async fn compress(&self, text: Bytes) -> Result<Content, CompressError> {
        let mut head = self.compressors.begin_head();
        let mut pieces = text.chunks(PIECE_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            head.add(piece)?;
            if pieces.peek().is_some() {
                tokio::task::yield_now().await;
            }
        }
        let mut head = head.finish(&self.compressors)?;
        let bytes = Bytes::from(std::mem::take(&mut head.bytes));
        Ok(Content::Gzip(bytes, Arc::new(head)))
    }

    /// The plan of everything, and the generation that it shows.
    fn plan_whole(&self, store: &SnapshotStore, now: Instant) -> (u64, Plan) {
        let (generation, instances) = store.all();
        let plan = Plan::new(&instances, &Filter::All, InstanceLabels::Written, &self.catalogue, now);
        self.assemblies.fetch_add(1, Ordering::Relaxed);
        let is_new = self.counted.fetch_max(generation, Ordering::Relaxed) < generation;
        if is_new && plan.duplicates() > 0 {
            self.duplicates
                .inc_by(u64::try_from(plan.duplicates()).unwrap_or(u64::MAX));
        }
        (generation, plan)
    }

    /// A body for one request: filtered, or of one instance. `end` follows what the filter admits: the own section or only
    /// the end of the dialect.
    ///
    /// # Errors
    /// [`CompressError`] when gzip was asked for and failed.
    pub fn selected(
        &self,
        instances: &[Arc<InstanceSnapshot>],
        filter: &Filter,
        labels: InstanceLabels,
        (dialect, encoding): (Dialect, Encoding),
        end: String,
        now: Instant,
    ) -> Result<Exposed, CompressError> {
        let plan = Plan::new(instances, filter, labels, &self.catalogue, now);
        if plan.upper_bound_bytes() > MAX_KEPT_BYTES {
            return Ok(in_pieces(plan, dialect, encoding, end));
        }
        let text = plan.encode(dialect);
        match encoding {
            Encoding::Identity => Ok(Exposed::Parts(vec![Bytes::from(text), Bytes::from(end)])),
            Encoding::Gzip => {
                let mut head = self.compressors.head(&text)?;
                let tail = self.compressors.tail(&head, end.as_bytes())?;
                let bytes = Bytes::from(std::mem::take(&mut head.bytes));
                Ok(Exposed::Parts(vec![bytes, Bytes::from(tail)]))
            }
        }
    }
}

fn in_pieces(plan: Plan, dialect: Dialect, encoding: Encoding, end: String) -> Exposed {
    Exposed::Pieces(Box::new(Pieces::new(plan, dialect, encoding, end)))
}

impl Slot {
    fn valid(&self, generation: u64, now: Instant) -> Option<Arc<Kept>> {
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| kept.is_valid(generation, now)).cloned()
    }

    fn get(&self, generation: u64, now: Instant) -> Option<Content> {
        self.valid(generation, now).map(|kept| kept.content.clone())
    }

    fn put(&self, generation: u64, valid_until: Option<Instant>, content: Content) {
        let kept = Kept {
            generation,
            valid_until,
            content,
        };
        *self.kept.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(kept));
    }
}

/// A body that is made piece by piece while the client reads, so that its size costs no memory.
#[derive(Debug)]
pub struct Pieces {
    plan: Plan,
    cursor: Cursor,
    dialect: Dialect,
    gzip: Option<Stream>,
    /// What follows the families; `None` when it was handed out.
    end: Option<String>,
}

impl Pieces {
    fn new(plan: Plan, dialect: Dialect, encoding: Encoding, end: String) -> Self {
        Self {
            plan,
            cursor: Cursor::default(),
            dialect,
            gzip: match encoding {
                Encoding::Identity => None,
                Encoding::Gzip => Some(Stream::default()),
            },
            end: Some(end),
        }
    }

    /// The next piece, `None` behind the last one.
    ///
    /// # Errors
    /// [`CompressError`]: the body ends here and must be cut, so that the client notices.
    pub fn next_piece(&mut self) -> Option<Result<Bytes, CompressError>> {
        loop {
            self.end.as_ref()?;
            let mut text = Vec::with_capacity(2 * PIECE_BYTES);
            let more = self
                .plan
                .encode_some(&mut self.cursor, self.dialect, PIECE_BYTES, &mut text);
            if !more && let Some(end) = self.end.take() {
                text.extend_from_slice(end.as_bytes());
            }
            let piece = match &mut self.gzip {
                None => text,
                Some(stream) => match stream.piece(&text, !more) {
                    Ok(piece) => piece,
                    Err(error) => {
                        self.end = None;
                        return Some(Err(error));
                    }
                },
            };
            // A compressor may keep a whole piece to itself; an empty frame would say nothing.
            if !piece.is_empty() {
                return Some(Ok(Bytes::from(piece)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::fixtures;
    use crate::snapshot::details::InstanceDetails;
    use std::io::Read as _;
    use std::time::Duration;

    fn store(names: &[&str], now: Instant) -> SnapshotStore {
        let store = SnapshotStore::new();
        for name in names {
            fixtures::publish(&store, fixtures::snapshot(name, now, InstanceDetails::default()));
        }
        store
    }

    fn bodies() -> Bodies {
        Bodies::new(Arc::new(fixtures::catalogue()), Counter::default())
    }

    fn joined(exposed: Exposed) -> Vec<u8> {
        match exposed {
            Exposed::Parts(parts) => parts.concat(),
            Exposed::Pieces(mut pieces) => {
                let mut out = Vec::new();
                while let Some(piece) = pieces.next_piece() {
                    out.extend_from_slice(&piece.unwrap());
                }
                out
            }
        }
    }

    fn unpack(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    async fn text(bodies: &Bodies, store: &SnapshotStore, now: Instant) -> String {
        let body = bodies
            .whole(store, Dialect::Text, Encoding::Identity, "own 1\n".to_owned(), now)
            .await
            .unwrap();
        String::from_utf8(joined(body)).unwrap()
    }

    #[tokio::test]
    async fn a_body_is_assembled_once_per_generation() {
        let now = Instant::now();
        let (store, bodies) = (store(&["a"], now), Arc::new(bodies()));
        let first = text(&bodies, &store, now).await;
        assert!(first.ends_with("own 1\n"));
        for _ in 0..3 {
            assert_eq!(text(&bodies, &store, now).await, first);
        }
        assert_eq!(bodies.assemblies(), 1);
        fixtures::publish(&store, fixtures::snapshot("b", now, InstanceDetails::default()));
        assert!(text(&bodies, &store, now).await.contains("instance=\"b\""));
        store.remove("a");
        assert!(!text(&bodies, &store, now).await.contains("instance=\"a\""));
        assert_eq!(bodies.assemblies(), 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn concurrent_requests_share_one_assembly() {
        let now = Instant::now();
        let (store, bodies) = (Arc::new(store(&["a", "b"], now)), Arc::new(bodies()));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (store, bodies) = (store.clone(), bodies.clone());
            tasks.spawn(async move { text(&bodies, &store, now).await });
        }
        let answers = tasks.join_all().await;
        assert!(answers.iter().all(|answer| answer == &answers[0]));
        assert_eq!(bodies.assemblies(), 1);
    }

    #[tokio::test]
    async fn a_section_vanishes_when_it_is_too_old_without_a_publication() {
        let now = Instant::now();
        let (store, bodies) = (store(&["a"], now), bodies());
        let last_moment = now + fixtures::LIFETIME - Duration::from_millis(1);
        assert!(text(&bodies, &store, now).await.contains("fixture_used_bytes{"));
        assert!(text(&bodies, &store, last_moment).await.contains("fixture_used_bytes{"));
        let after = text(&bodies, &store, now + fixtures::LIFETIME).await;
        assert!(!after.contains("fixture_used_bytes") && after.contains("fixture_hits_total{"));
        assert_eq!(bodies.assemblies(), 2);
    }

    #[tokio::test]
    async fn gzip_is_the_same_text_and_uses_the_kept_one() {
        let now = Instant::now();
        let (store, bodies) = (store(&["a", "b"], now), bodies());
        for dialect in [Dialect::Text, Dialect::OpenMetrics] {
            let own = format!("own 1\n{}", dialect.end());
            let plain = bodies
                .whole(&store, dialect, Encoding::Identity, own.clone(), now)
                .await
                .unwrap();
            let before = bodies.assemblies();
            let gzip = bodies.whole(&store, dialect, Encoding::Gzip, own, now).await.unwrap();
            assert_eq!(unpack(&joined(gzip)), joined(plain));
            assert_eq!(bodies.assemblies(), before);
        }
    }

    #[tokio::test]
    async fn bodies_beyond_the_limit_come_in_pieces() {
        let now = Instant::now();
        let names: Vec<String> = (0..6000).map(|number| format!("instance-{number:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (store, bodies) = (store(&names, now), bodies());
        let own = "own 1\n# EOF\n";
        let plain = bodies
            .whole(&store, Dialect::OpenMetrics, Encoding::Identity, own.to_owned(), now)
            .await
            .unwrap();
        assert!(matches!(plain, Exposed::Pieces(_)));
        assert_eq!(bodies.assemblies(), 1, "one scrape plans once");
        let plain = joined(plain);
        assert!(plain.len() > MAX_KEPT_BYTES && plain.ends_with(own.as_bytes()));
        let gzip = bodies
            .whole(&store, Dialect::OpenMetrics, Encoding::Gzip, own.to_owned(), now)
            .await
            .unwrap();
        assert_eq!(unpack(&joined(gzip)), plain);
        let lines = String::from_utf8(plain).unwrap();
        let used = lines.lines().filter(|line| line.starts_with("fixture_used_bytes{"));
        assert_eq!(used.count(), 6000);
    }

    #[tokio::test]
    async fn duplicates_are_counted_once_per_generation() {
        let now = Instant::now();
        let (store, counter) = (store(&["a"], now), Counter::default());
        let bodies = Bodies::new(Arc::new(fixtures::catalogue()), counter.clone());
        let publish = |name| {
            let snapshot = fixtures::instance_with_a_duplicate(name, now);
            fixtures::publish(&store, Arc::into_inner(snapshot).unwrap());
        };
        let scrape_all = async || {
            for dialect in [Dialect::Text, Dialect::OpenMetrics] {
                for encoding in [Encoding::Gzip, Encoding::Identity] {
                    // Also a body that is assembled again because something in it became too old.
                    for now in [now, now + fixtures::LIFETIME] {
                        bodies
                            .whole(&store, dialect, encoding, String::new(), now)
                            .await
                            .unwrap();
                    }
                }
            }
        };
        scrape_all().await;
        assert_eq!(counter.get(), 0);
        publish("b");
        scrape_all().await;
        assert_eq!(counter.get(), 1);
        publish("c");
        scrape_all().await;
        assert_eq!(counter.get(), 3, "both are left out of the new generation");
        let (_, instances) = store.all();
        let form = (Dialect::Text, Encoding::Identity);
        bodies
            .selected(
                &instances,
                &Filter::All,
                InstanceLabels::Written,
                form,
                String::new(),
                now,
            )
            .unwrap();
        assert_eq!(counter.get(), 3, "a part of the same state counts nothing again");
    }

    /// On one thread, a task that is ready runs many times while a large body is compressed.
    #[tokio::test]
    async fn compressing_lets_others_run() {
        let bodies = bodies();
        let text = Bytes::from(vec![b'x'; 32 * PIECE_BYTES]);
        let turns = Arc::new(AtomicU64::new(0));
        let other = tokio::spawn({
            let turns = turns.clone();
            async move {
                loop {
                    turns.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            }
        });
        let content = bodies.compress(text.clone()).await.unwrap();
        assert!(turns.load(Ordering::Relaxed) >= 31);
        other.abort();
        let Content::Gzip(bytes, head) = content else {
            panic!("not compressed")
        };
        let tail = bodies.compressors.tail(&head, b"").unwrap();
        assert_eq!(unpack(&[bytes.to_vec(), tail].concat()), text);
    }

    #[tokio::test]
    async fn a_selection_ends_as_its_dialect_demands() {
        let now = Instant::now();
        let (store, bodies) = (store(&["a"], now), bodies());
        let (_, instances) = store.all();
        let filter = Filter::from_names(["stats"], [], &["stats"]).unwrap();
        for encoding in [Encoding::Identity, Encoding::Gzip] {
            let dialect = Dialect::OpenMetrics;
            let body = bodies
                .selected(
                    &instances,
                    &filter,
                    InstanceLabels::Omitted,
                    (dialect, encoding),
                    dialect.end().to_owned(),
                    now,
                )
                .unwrap();
            let body = joined(body);
            let body = match encoding {
                Encoding::Identity => body,
                Encoding::Gzip => unpack(&body),
            };
            assert!(body.ends_with(b"\nfixture_hits_total 5\n# EOF\n"));
        }
    }
}
