//! How long it takes to read an INFO reply.

#![allow(missing_docs, reason = "a bench is no library")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use redis_session_exporter::redis::Info;
use std::fmt::Write as _;
use std::hint::black_box;

/// A reply with the proportions of `INFO everything` of Redis 7: sections of plain fields, then one line per command for
/// commandstats and latencystats, errors and databases.
fn reply(commands: usize) -> String {
    let mut text =
        String::from("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nos:Linux 6.1.0 x86_64\r\n");
    for (section, fields) in [
        ("Clients", 12),
        ("Memory", 50),
        ("Persistence", 25),
        ("Stats", 55),
        ("Replication", 14),
    ] {
        let _ = write!(text, "\r\n# {section}\r\n");
        for field in 0..fields {
            let _ = write!(
                text,
                "{}_field_number_{field}:{}\r\n",
                section.to_lowercase(),
                field * 1_234_567
            );
        }
    }
    text.push_str("\r\n# Commandstats\r\n");
    for command in 0..commands {
        let _ = write!(
            text,
            "cmdstat_command{command}:calls={},usec={},usec_per_call=1.87,rejected_calls=0,failed_calls=0\r\n",
            command * 991,
            command * 1853
        );
    }
    text.push_str("\r\n# Errorstats\r\nerrorstat_ERR:count=3\r\nerrorstat_WRONGTYPE:count=1\r\n\r\n# Latencystats\r\n");
    for command in 0..commands {
        let _ = write!(
            text,
            "latency_percentiles_usec_command{command}:p50=1.003,p99=4.015,p99.9=23.039\r\n"
        );
    }
    text.push_str("\r\n# Keyspace\r\ndb0:keys=100000,expires=99999,avg_ttl=86399000\r\n");
    text
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("INFO");
    for commands in [20, 240] {
        let reply = reply(commands);
        group.throughput(Throughput::Bytes(reply.len() as u64));
        group.bench_function(format!("parse, {commands} commands"), |bencher| {
            bencher.iter(|| Info::parse(black_box(reply.as_bytes())));
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
