//! How long it takes to render, to put together and to compress what `/metrics` answers.
//!
//! 20,000 series is what 28 instances with the default collectors have.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench is no library, and a failure shall end it"
)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use redis_session_exporter::exposition::Dialect;
use redis_session_exporter::exposition::body::Bodies;
use redis_session_exporter::exposition::catalogue::Catalogue;
use redis_session_exporter::exposition::chunk::{Chunk, label_block};
use redis_session_exporter::exposition::encode::{Filter, InstanceLabels, Plan};
use redis_session_exporter::exposition::gzip::Compressors;
use redis_session_exporter::exposition::negotiate::{self, Encoding};
use redis_session_exporter::metric::{Descriptor, MetricKind, Samples};
use redis_session_exporter::snapshot::{InstanceSnapshot, Section, SectionKey, SnapshotStore};
use redis_session_exporter::telemetry::{BuildInfo, DESCRIPTORS, Telemetry};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const FAMILIES: usize = 200;
const INSTANCES: usize = 100;

fn descriptors() -> Vec<&'static Descriptor> {
    let leak = |number: usize| -> &'static Descriptor {
        let name = Box::leak(format!("redis_bench_family_number_{number}_total").into_boxed_str());
        let descriptor = Descriptor::new(MetricKind::Counter, name, "One family of a bench.", "bench");
        Box::leak(Box::new(descriptor.with_labels(&["cmd"])))
    };
    (0..FAMILIES).map(leak).collect()
}

fn samples(descriptors: &[&'static Descriptor]) -> Samples {
    let mut samples = Samples::new();
    for (number, descriptor) in descriptors.iter().enumerate() {
        samples.push_with(descriptor, vec![("cmd", "hgetall".into())], number as f64 * 1234.5);
    }
    samples
}

fn publish(store: &SnapshotStore, snapshot: InstanceSnapshot) {
    store.publish(store.register(&snapshot.name), snapshot);
}

fn instance(number: usize, samples: &Samples) -> InstanceSnapshot {
    let name = format!("redis-{number}.example");
    let labels = [
        ("environment", "production"),
        ("instance", name.as_str()),
        ("team", "auth"),
    ];
    let section = Section {
        collector: "stats",
        made_at: Instant::now(),
        expires_at: None,
        chunks: samples.families().iter().map(Chunk::render).collect(),
    };
    let key = SectionKey {
        collector: "stats",
        part: "values",
    };
    InstanceSnapshot {
        name: name.as_str().into(),
        environment: "production".into(),
        label_block: label_block(labels).into(),
        sections: BTreeMap::from([(key, Arc::new(section))]),
        details: Arc::default(),
    }
}

fn bench(criterion: &mut Criterion) {
    let descriptors = descriptors();
    let samples = samples(&descriptors);
    let catalogue = Arc::new(Catalogue::new(descriptors, &DESCRIPTORS));
    let store = SnapshotStore::new();
    for number in 0..INSTANCES {
        publish(&store, instance(number, &samples));
    }
    let (_, instances) = store.all();
    let plan = || {
        Plan::new(
            &instances,
            &Filter::All,
            InstanceLabels::Written,
            &catalogue,
            Instant::now(),
        )
    };
    let text = plan().encode(Dialect::OpenMetrics);

    let mut group = criterion.benchmark_group("20,000 series");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("plan", |bencher| bencher.iter(|| black_box(plan())));
    let planned = plan();
    for dialect in [Dialect::OpenMetrics, Dialect::Text] {
        group.bench_function(format!("encode {dialect:?}"), |bencher| {
            bencher.iter(|| black_box(planned.encode(dialect)));
        });
    }
    let compressors = Compressors::default();
    group.bench_function("gzip", |bencher| {
        bencher.iter(|| black_box(compressors.head(&text).unwrap()));
    });
    group.finish();

    let mut group = criterion.benchmark_group("one instance");
    group.bench_function("render 200 chunks", |bencher| {
        bencher.iter(|| samples.families().iter().map(Chunk::render).collect::<Vec<_>>());
    });
    let telemetry = Telemetry::new(BuildInfo::THIS, None);
    telemetry.request_answered("GET", "/metrics", 200, std::time::Duration::from_millis(1));
    for dialect in [Dialect::OpenMetrics, Dialect::Text] {
        group.bench_function(format!("own section {dialect:?}"), |bencher| {
            bencher.iter(|| black_box(telemetry.encode(dialect)));
        });
    }
    let one = SnapshotStore::new();
    publish(&one, instance(0, &samples));
    let bodies = Bodies::new(catalogue, telemetry.duplicates());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for encoding in [Encoding::Identity, Encoding::Gzip] {
        group.bench_function(format!("kept body {encoding:?}"), |bencher| {
            bencher.iter_batched(
                || telemetry.encode(Dialect::Text),
                |own| {
                    let body = bodies.whole(&one, Dialect::Text, encoding, own, Instant::now());
                    black_box(runtime.block_on(body).unwrap())
                },
                BatchSize::SmallInput,
            );
        });
    }
    const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    group.bench_function("Accept of Prometheus 3", |bencher| {
        bencher.iter(|| negotiate::format([black_box(ACCEPT)]));
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
