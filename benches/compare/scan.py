#!/usr/bin/env python3
"""What counting sessions costs, on a Redis of its own: the third part of `make bench`.

    benches/compare/scan.py [BINARY]

(a) the rate of an exact unpaced count of a million sessions, beside a bare SCAN loop at the same COUNT on the same server
(b) the server's CPU for one sampled count, at ten thousand, a million and five million keys; and how often the truth lies in the
    published interval
(c) p99 of a GET every millisecond, with and without a count at the default share

The bare loop is no client library: it looks for the cursor and counts line ends, nothing else. SCAN_REPEATS (default 5) and
SCAN_SECONDS (default 20, of each measurement of (c)) shorten or lengthen it. Standard library only; needs redis-server.
"""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/support"))
from children import free_port, wait_for  # noqa: E402 (the path comes first)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
BINARY = Path(sys.argv[1] if len(sys.argv) > 1 else Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/redis-session-exporter").absolute()
REDIS = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server")
REPEATS = int(os.environ.get("SCAN_REPEATS", 5))
SECONDS = float(os.environ.get("SCAN_SECONDS", 20))
MILLION = 1_000_000
# Small enough that ten thousand keys are sampled too: a database of no more keys is counted.
SAMPLE_KEYS = 5000
# Passes over which the CPU of a sampled count is averaged.
SAMPLED_PASSES = 30
COVERAGE_RUNS = 100
# Keys that end with one of three digits: three tenths of all.
SHARE_GLOB, SHARE = "sess:*[0-2]", 0.3

FILL = "for n = ARGV[1], ARGV[2] do redis.call('SET', string.format('sess:%012d%020d', n * 7919, n), string.rep('x', 200), 'EX', 10000 + n % 80000) end"


class Redis:
    def __init__(self, work):
        self.port = free_port()
        self.process = subprocess.Popen(
            [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", work, "--save", "", "--logfile", "redis.log"], stdout=subprocess.DEVNULL
        )
        wait_for("redis-server listening", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() or True)
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")
        self.keys = 0

    def call(self, *words):
        self.socket.sendall(encode(*words))
        head = self.file.readline()
        if head[:1] == b"-":
            sys.exit(f"scan: {words[0]} answers {head}")
        if head[:1] != b"$" or head == b"$-1\r\n":
            return head[:-2].decode()
        return self.file.read(int(head[1:]) + 2)[:-2].decode()

    def fill(self, keys):
        for first in range(self.keys, keys, 50_000):
            self.call("EVAL", FILL, 0, first, min(first + 50_000, keys) - 1)
        self.keys = keys

    def cpu(self):
        fields = dict(line.split(":", 1) for line in self.call("INFO", "cpu").splitlines() if ":" in line)
        return sum(float(fields[f"used_cpu_{kind}_main_thread"]) for kind in ("user", "sys"))


def encode(*words):
    words = [str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def bare_scan(port, count):
    """Keys and seconds of a SCAN loop that does nothing with what it reads."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = memoryview(bytearray(16 << 20))
    cursor, keys = b"0", 0
    started = time.perf_counter()
    while True:
        connection.sendall(encode("SCAN", cursor.decode(), "COUNT", count))
        length, lines, wanted = 0, 0, None
        while wanted is None or lines < wanted:
            got = connection.recv_into(buffer[length:])
            # A line end may be cut in two: it is counted by its last byte. No key of ours holds one.
            lines += bytes(buffer[length : length + got]).count(b"\n")
            length += got
            if wanted is None and lines >= 4:
                head = bytes(buffer[: min(length, 200)]).split(b"\r\n", 4)
                cursor, page = head[2], int(head[3][1:])
                wanted = 4 + 2 * page
        keys += page
        if cursor == b"0":
            return keys, time.perf_counter() - started


def configuration(work, name, port, store, further, poll):
    file = Path(work) / f"{name}.yaml"
    instance = {"name": "bench", "address": f"redis://127.0.0.1:{port}", "sessions": [store], "collectors": {"connect": False}}
    # JSON is YAML.
    file.write_text(json.dumps({"environment": "bench", "poll": poll, "instances": [instance], **further}))
    return file


def metric(text, name, **labels):
    for line in text.splitlines():
        if line.startswith(name + "{") and all(f'{label}="{value}"' in line for label, value in labels.items()):
            return float(line.rsplit(" ", 1)[1])
    return None


class Daemon:
    def __init__(self, work, file):
        self.port = free_port()
        self.log = open(Path(work) / "daemon.log", "ab")
        command = [BINARY, "serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        wait_for("the exporter serving redis_up 1", lambda: re.search(r"^redis_up(\{[^}]*\})? 1", self.scrape(), re.MULTILINE))

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)


def show(label, unit, values, digits, note=""):
    values = sorted(values)
    text = " / ".join(f"{value:,.{digits}f}" for value in (values[0], statistics.median(values), values[-1]))
    print(f"{label:<58} {unit:<8} {text:>34}   {note}", flush=True)


def exact(redis, work):
    store = {"store": "web", "match": "sess:*", "count": "exact"}
    # Counting alone is what the bar is about; with the sample of TTLs and sizes beside it is what a first pass does.
    details = {"alone": 0, "with 2500 sessions looked at": 2500}
    files = {
        what: configuration(work, f"exact-{keys}", redis.port, store, {"limits": {"scan_detail_keys": keys}}, {"timeout": "10s"})
        for what, keys in details.items()
    }
    bare, rates, ratios = [], {what: [] for what in files}, {what: [] for what in files}
    for _ in range(REPEATS):
        for what, file in files.items():
            # Before and after, since a shared machine changes its speed from second to second.
            before, seconds = bare_scan(redis.port, 1000)
            text = subprocess.run([BINARY, "once", "--unpaced", f"--config.file={file}"], capture_output=True, text=True, check=True).stdout
            after, more_seconds = bare_scan(redis.port, 1000)
            if metric(text, "sessions_active", store="web") != redis.keys:
                sys.exit(f"scan: {metric(text, 'sessions_active', store='web')} sessions were counted, not {redis.keys}")
            bare.append((before + after) / (seconds + more_seconds))
            rates[what].append(metric(text, "session_scan_keys_total", db="db0") / metric(text, "session_scan_duration_seconds", db="db0"))
            ratios[what].append(rates[what][-1] / bare[-1])
    show("bare SCAN loop, COUNT 1000, a million keys", "keys/s", bare, 0)
    for what in files:
        show(f"exact count, unpaced, {what}", "keys/s", rates[what], 0)
        show("  ratio, by repeat", "", ratios[what], 3, "bar: at least 0.90" if details[what] == 0 else "")


def sampled(redis, work):
    # Only scans: no PING or INFO of the daemon falls into the measurement.
    poll = {"ping_interval": "1h", "info_interval": "1h", "scan_interval": "250ms", "timeout": "10s"}
    store = {"store": "web", "match": SHARE_GLOB, "count": "sample"}
    further = {"scan": {"sample_keys": SAMPLE_KEYS, "redis_share": 0}}
    for keys in (10_000, MILLION, 5 * MILLION):
        redis.fill(keys)
        costs = []
        for _ in range(REPEATS):
            before = redis.cpu()
            time.sleep(SAMPLED_PASSES * 0.25)
            idle = redis.cpu() - before
            file = configuration(work, "sampled", redis.port, store, further, poll)
            with Daemon(work, file) as daemon:
                wait_for("a scan", lambda: metric(daemon.scrape(), "sessions_active", store="web") is not None)
                examined = metric(daemon.scrape(), "session_scan_keys_total", db="db0")
                before = redis.cpu()
                time.sleep(SAMPLED_PASSES * 0.25)
                cpu = redis.cpu() - before
                examined = metric(daemon.scrape(), "session_scan_keys_total", db="db0") - examined
            costs.append(1000 * max(0.0, cpu - idle) * SAMPLE_KEYS / examined)
        show(f"Redis CPU of one sample of {SAMPLE_KEYS} of {keys:,} keys", "ms", costs, 2)
        if keys == MILLION:
            coverage(redis, work)


def coverage(redis, work):
    poll = {"ping_interval": "1h", "info_interval": "1h", "scan_interval": "100ms", "timeout": "10s"}
    for name, store in (("a store of 30 % of the keys", {"store": "web", "match": SHARE_GLOB, "count": "sample"}), ("a store of all keys", {"store": "web", "match": "sess:*", "count": "sample"})):
        truth = redis.keys * (SHARE if "30" in name else 1)
        seen = {}
        file = configuration(work, "coverage", redis.port, store, {"scan": {"redis_share": 0}}, poll)
        with Daemon(work, file) as daemon:
            while len(seen) < COVERAGE_RUNS:
                text = daemon.scrape()
                at = metric(text, "session_scan_last_success_timestamp_seconds", db="db0")
                if at is not None:
                    seen[at] = [metric(text, f"sessions_active{end}", store="web") for end in ("_low", "", "_high")]
                time.sleep(0.02)
        inside = sum(low <= truth <= high for low, _, high in seen.values())
        widths = [(high - low) / 2 / value for low, value, high in seen.values()]
        print(f"{f'truth inside the interval, {name}':<58} {'runs':<8} {f'{inside} of {len(seen)}':>34}   bar: 90; half an interval is {100 * statistics.median(widths):.1f} %", flush=True)


def foreground(redis, seconds):
    """p50 and p99 of a GET every millisecond, in milliseconds."""
    connection = socket.create_connection(("127.0.0.1", redis.port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    command = encode("GET", "nothing")
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        connection.sendall(command)
        connection.recv(64)
        times.append(1000 * (time.perf_counter() - started))
        time.sleep(0.001)
    times.sort()
    return times[len(times) // 2], times[len(times) * 99 // 100]


def neighbours(redis, work):
    poll = {"ping_interval": "1h", "info_interval": "1h", "scan_interval": "1s", "timeout": "10s"}
    store = {"store": "web", "match": "sess:*", "count": "exact"}
    file = configuration(work, "neighbours", redis.port, store, {}, poll)
    without, beside = [], []
    for _ in range(REPEATS):
        without.append(foreground(redis, SECONDS))
        with Daemon(work, file) as daemon:
            beside.append(foreground(redis, SECONDS))
            scanned = metric(daemon.scrape(), "session_scan_keys_total", db="db0")
            if not scanned:
                sys.exit("scan: nothing was scanned beside the foreground load")
    for name, column in (("p50", 0), ("p99", 1)):
        show(f"{name} of a GET every millisecond, alone", "ms", [pair[column] for pair in without], 3)
        show(f"{name} of a GET every millisecond, beside a paced count", "ms", [pair[column] for pair in beside], 3)
    more = [after[1] - before[1] for before, after in zip(without, beside)]
    show("  p99: beside less alone, by repeat", "ms", more, 3, "bar: 10 % or 0.2 ms")


def main():
    for program, hint in ((BINARY, "cargo build --release"), (REDIS, "tests/servers/install.sh")):
        if not program or not os.access(program, os.X_OK):
            sys.exit(f"scan: something is missing, try: {hint}")
    work = tempfile.mkdtemp(prefix="scan-")
    redis = None
    try:
        redis = Redis(work)
        print(f"server {redis.call('INFO', 'server').split('redis_version:')[1].split()[0]}, {os.cpu_count()} cores, {REPEATS} repeats; min / median / max\n")
        redis.fill(MILLION)
        exact(redis, work)
        neighbours(redis, work)
        redis.call("FLUSHALL")
        redis.keys = 0
        sampled(redis, work)
    finally:
        if redis:
            redis.process.kill()
            redis.process.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
