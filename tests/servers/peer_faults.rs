//! Faults that only a scripted peer shows.

use crate::bench::{BACK_BOUND, Bench, DOWN_BOUND, FAULTY};
use crate::support::peer::{Answer, ScriptedPeer, Welcome, bulk, healthy, info_fixture, is_command};
use crate::support::scrape::Scrape;

/// Memory that no reply may cost: the frame limit of 64 MiB, twice while a buffer grows, and the process itself.
const MEMORY_BOUND: u64 = 220 << 20;

/// The peer misbehaves on one command, is seen to, and is fine again.
fn answers(command: &str, answer: Answer, reasons: &[&str], up: f64) {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.answer_to(command, answer);
    bench.fails_with(reasons, up);
    let resident = bench.exporter.resident_bytes();
    assert!(resident < MEMORY_BOUND, "a reply cost {resident} bytes");
    peer.recover();
    bench.recovers();
}

fn error(text: &str) -> Answer {
    Answer::Bytes(format!("-{text}\r\n").into_bytes())
}

#[test]
fn accepts_and_never_answers() {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.welcome(Welcome::Silence);
    bench.fails_with(&["timeout"], 0.0);
    peer.recover();
    bench.recovers();
}

#[test]
fn closes_every_connection_at_once() {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.welcome(Welcome::Farewell(Vec::new()));
    bench.fails_with(&["closed"], 0.0);
    peer.recover();
    bench.recovers();
}

#[test]
fn says_that_its_clients_are_too_many() {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.welcome(Welcome::Farewell(b"-ERR max number of clients reached\r\n".to_vec()));
    bench.fails_with(&["max_clients"], 0.0);
    peer.recover();
    bench.recovers();
}

#[test]
fn half_a_reply() {
    answers("PING", Answer::BytesThenHang(b"+PO".to_vec()), &["timeout"], 0.0);
}

#[test]
fn half_a_reply_and_the_end() {
    answers("PING", Answer::BytesThenClose(b"+PO".to_vec()), &["closed"], 0.0);
}

#[test]
fn twenty_thousand_nested_arrays() {
    answers(
        "PING",
        Answer::Bytes("*1\r\n".repeat(20_000).into_bytes()),
        &["protocol"],
        0.0,
    );
}

#[test]
fn bulk_header_of_four_gigabytes() {
    answers(
        "PING",
        Answer::BytesThenHang(b"$4294967296\r\nabc".to_vec()),
        &["protocol"],
        0.0,
    );
}

#[test]
fn array_header_of_four_billion() {
    // Waiting for elements is as honest as refusing the header; neither may reserve memory for them.
    answers(
        "PING",
        Answer::BytesThenHang(b"*4294967295\r\n".to_vec()),
        &["protocol", "timeout"],
        0.0,
    );
}

#[test]
fn endless_line() {
    // In a slow build the deadline comes before the limit.
    answers(
        "PING",
        Answer::Endless(vec![b'+'; 64 * 1024]),
        &["protocol", "timeout"],
        0.0,
    );
}

#[test]
fn endless_bulk_on_info() {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.answer_to("INFO", Answer::Endless(bulk(&vec![b'x'; 1 << 20])));
    bench.watch("INFO fails and is counted", DOWN_BOUND, |scrape| {
        errors(scrape, "protocol") + errors(scrape, "timeout") >= 1.0
    });
    assert!(bench.exporter.resident_bytes() < MEMORY_BOUND);
    peer.recover();
    bench.recovers();
}

#[test]
fn not_a_reply_at_all() {
    answers(
        "PING",
        Answer::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        &["protocol"],
        0.0,
    );
}

#[test]
fn another_reply_than_pong() {
    answers("PING", Answer::Bytes(b":1\r\n".to_vec()), &["protocol"], 0.0);
}

#[test]
fn loading() {
    answers(
        "PING",
        error("LOADING Redis is loading the dataset in memory"),
        &["loading"],
        1.0,
    );
}

#[test]
fn masterdown() {
    answers(
        "PING",
        error("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        &["masterdown"],
        1.0,
    );
}

#[test]
fn busy() {
    answers(
        "PING",
        error("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE."),
        &["busy"],
        0.0,
    );
}

#[test]
fn noauth() {
    answers("PING", error("NOAUTH Authentication required."), &["auth"], 0.0);
}

#[test]
fn ping_denied() {
    answers(
        "PING",
        error("NOPERM this user has no permissions to run the 'ping' command"),
        &["denied"],
        1.0,
    );
}

#[test]
fn an_error_that_nobody_knows() {
    answers("PING", error("WEIRD things happen"), &["other"], 1.0);
}

#[test]
fn closes_in_the_middle_of_info() {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    let info = bulk(&info_fixture());
    let half = info[..info.len() / 2].to_vec();
    peer.answer_to("INFO", Answer::BytesThenClose(half));
    bench.watch("the closed connection is counted", DOWN_BOUND, |scrape| {
        errors(scrape, "closed") >= 2.0
    });
    // PING is fine all the time, so what is served is the truth about both.
    let scrape = bench.watch("INFO's collectors have failed", BACK_BOUND, |scrape| {
        success(scrape, "memory") == Some(0.0) && success(scrape, "ping") == Some(1.0)
    });
    assert!(scrape.has("redis_pings_total", &[("instance", FAULTY)]));
    peer.recover();
    bench.recovers();
}

#[test]
fn info_hangs_while_ping_answers() {
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.answer_to("INFO", Answer::BytesThenHang(b"$100\r\nhalf".to_vec()));
    bench.watch("the time-out is counted", DOWN_BOUND, |scrape| {
        errors(scrape, "timeout") >= 1.0
    });
    peer.recover();
    bench.recovers();
}

#[test]
fn answers_arrive_late_and_are_never_taken_for_others() {
    // The reply to a PING that timed out must not be read as the reply to what is asked next.
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    let mut late = true;
    peer.answer(move |words| {
        if is_command(words, "PING") && late {
            late = false;
            std::thread::sleep(crate::support::config::TIMEOUT * 2);
        }
        healthy(words)
    });
    bench.watch("the late PING is counted", DOWN_BOUND + BACK_BOUND, |scrape| {
        errors(scrape, "timeout") >= 1.0
    });
    let scrape = bench.recovers();
    assert_eq!(errors(&scrape, "protocol"), 0.0);
}

#[test]
fn data_that_nobody_asked_for() {
    // An idle connection on which something arrives is out of step: it is replaced, not believed.
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    let accepted = peer.accepted();
    let mut once = true;
    peer.answer(move |words| {
        if is_command(words, "PING") && once {
            once = false;
            return Answer::Bytes(b"+PONG\r\n$5\r\nhello\r\n".to_vec());
        }
        healthy(words)
    });
    bench.watch("the connection is replaced", DOWN_BOUND, |_| peer.accepted() > accepted);
    bench.recovers();
}

#[test]
fn drip_of_one_byte() {
    // Every byte comes in time, the whole never does: the deadline is of the exchange, not of a read.
    let peer = ScriptedPeer::start();
    let bench = Bench::new(&peer.address(), "");
    peer.answer_to("PING", Answer::Drip(b"+PONG and on and on ".to_vec()));
    bench.fails_with(&["timeout"], 0.0);
    peer.recover();
    bench.recovers();
}

fn errors(scrape: &Scrape, reason: &str) -> f64 {
    scrape.sum(
        "redis_connection_errors_total",
        &[("instance", FAULTY), ("reason", reason)],
    )
}

fn success(scrape: &Scrape, collector: &str) -> Option<f64> {
    scrape.value(
        "redis_session_exporter_collector_success",
        &[("instance", FAULTY), ("collector", collector)],
    )
}
