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

/// Size of the pieces of a body that is not kept: large enough for one write to fill a socket's buffer.
const PIECE_BYTES: usize = 64 * 1024;

/// From this size on, compressing leaves the threads that serve requests and polls: 512 KiB take about 2 ms.
const COMPRESS_APART_BYTES: usize = 512 * 1024;

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
    /// How many times a whole body was assembled, for the test that it happens once.
    assemblies: AtomicU64,
    /// Series left out of assembled bodies because an earlier section of the instance had them.
    duplicates: Counter,
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

impl Kept {
    fn is_valid(&self, generation: u64, now: Instant) -> bool {
        self.generation == generation && self.valid_until.is_none_or(|until| now < until)
    }
}

impl Bodies {
    /// Nothing kept yet. `duplicates` counts series that are left out because another section of the same instance has them.
    pub fn new(catalogue: Arc<Catalogue>, duplicates: Counter) -> Self {
        Self {
            catalogue,
            compressors: Compressors::default(),
            kept: Default::default(),
            assemblies: AtomicU64::new(0),
            duplicates,
        }
    }

    /// How many times a kept body was assembled since the start.
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
                    None => self.assemble(store, slot, plain, dialect, encoding, now).await?,
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
                let (_, instances) = store.all();
                let plan = self.plan(&instances, &Filter::All, InstanceLabels::Written, now);
                Ok(Exposed::Pieces(Box::new(Pieces::new(plan, dialect, encoding, own))))
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
    ) -> Result<Content, CompressError> {
        // The text of the gzip variant may be there already; it must be as fresh as the store.
        if encoding == Encoding::Gzip
            && let Some(kept) = plain.valid(store.generation(), now)
            && let Content::Plain(text) = &kept.content
        {
            let content = self.compress(text.clone()).await?;
            slot.put(kept.generation, kept.valid_until, content.clone());
            return Ok(content);
        }
        let (generation, instances) = store.all();
        let plan = self.plan(&instances, &Filter::All, InstanceLabels::Written, now);
        self.assemblies.fetch_add(1, Ordering::Relaxed);
        let content = if plan.upper_bound_bytes() > MAX_KEPT_BYTES {
            Content::TooLarge
        } else {
            let mut text = plan.encode(dialect);
            text.shrink_to_fit();
            let text = Bytes::from(text);
            match encoding {
                Encoding::Identity => Content::Plain(text),
                Encoding::Gzip => self.compress(text).await?,
            }
        };
        slot.put(generation, plan.valid_until(), content.clone());
        Ok(content)
    }

    async fn compress(&self, text: Bytes) -> Result<Content, CompressError> {
        let mut head = if text.len() < COMPRESS_APART_BYTES {
            self.compressors.head(&text)?
        } else {
            // The pool stays here: a large body comes once per poll, and its compressor is not worth keeping.
            let apart = tokio::task::spawn_blocking(move || Compressors::default().head(&text));
            apart.await.map_err(|_| CompressError)??
        };
        let bytes = Bytes::from(std::mem::take(&mut head.bytes));
        Ok(Content::Gzip(bytes, Arc::new(head)))
    }

    fn plan(&self, instances: &[Arc<InstanceSnapshot>], filter: &Filter, labels: InstanceLabels, now: Instant) -> Plan {
        let plan = Plan::new(instances, filter, labels, &self.catalogue, now);
        let duplicates = u64::try_from(plan.duplicates()).unwrap_or(u64::MAX);
        if duplicates > 0 {
            self.duplicates.inc_by(duplicates);
        }
        plan
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
        let plan = self.plan(instances, filter, labels, now);
        if plan.upper_bound_bytes() > MAX_KEPT_BYTES {
            return Ok(Exposed::Pieces(Box::new(Pieces::new(plan, dialect, encoding, end))));
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
