#!/usr/bin/env python3
"""Every optional group on, side by side with redis_exporter on the same keys: the fourth part of `make bench`.

    benches/compare/optional.py [BINARY]

One server holds 100,000 sessions and some thousand keys of every other type, in two databases, and 200 clients. Both exporters check every
session (`check_keys`), count, group, look at streams, single keys and clients, and run a script. redis_exporter does all of it in one
scrape; ours in one pass of its scan beside one poll. Compared are the values that both show, the main-thread CPU of the server, the time on the clock,
and resident memory. OPTIONAL_REPEATS (default 5) repeats each, alternating; figures are min / median / max. Standard library only.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/support"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from children import free_port, wait_for  # noqa: E402 (the path comes first)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SERVERS = Path(os.environ.get("REDIS_SESSION_EXPORTER_SERVERS", REPOSITORY / ".servers")).resolve()
BINARY = Path(sys.argv[1] if len(sys.argv) > 1 else Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/redis-session-exporter").absolute()
REDIS = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server")
PACKAGED_PEER = SERVERS / "bin/redis_exporter-1.86"
PEER = os.environ.get("TEST_REDIS_EXPORTER") or (str(PACKAGED_PEER) if PACKAGED_PEER.exists() else shutil.which("prometheus-redis-exporter"))
REPEATS = int(os.environ.get("OPTIONAL_REPEATS", 5))
SESSIONS = 100_000
CLIENTS = 200
# A pass over everything takes seconds; a hundred times that means that it will not come.
PATIENCE = 300

FILL = """
for n = ARGV[1], ARGV[2] do redis.call('SET', string.format('sess:%06d', n), string.rep('x', 200 + n % 100), 'EX', 10000 + n % 80000) end
"""
FURTHER = """
for n = 1, 2000 do for f = 1, 5 do redis.call('HSET', 'cart:' .. n, 'field' .. f, n) end end
for n = 1, 500 do for f = 1, n % 20 + 1 do redis.call('RPUSH', 'queue:' .. n, f) end end
for n = 1, 100 do for f = 1, n do redis.call('ZADD', 'rank:' .. n, f, f); redis.call('SADD', 'set:' .. n, f) end end
for n = 1, 50 do redis.call('XADD', 'orders', n .. '-1', 'n', n) end
redis.call('XGROUP', 'CREATE', 'orders', 'workers', '0')
redis.call('XREADGROUP', 'GROUP', 'workers', 'one', 'COUNT', 10, 'STREAMS', 'orders', '>')
redis.call('SET', 'visits', 42)
"""
# Nothing that depends on the database: the peer runs scripts in whichever one its checks of keys selected last.
SCRIPT = "return {'answer', '42', 'half', '0.5', 'memory', tostring(redis.call('STRLEN', 'none'))}"
GROUP = "^(.*):[^:]+$"

# What both show of the groups that are compared, by the beginning of the name; clocks and counters that run on are left out.
COMPARED = re.compile(rb"^redis_(key_size|key_memory_usage_bytes|keys_count|key_group_|number_of_distinct_key_groups|stream_|script_|total_system_memory_bytes)")
MOVING = re.compile(rb"idle_seconds")


class Redis:
    def __init__(self, work):
        self.port = free_port()
        self.process = subprocess.Popen(
            [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", work, "--save", "", "--logfile", "redis.log"], stdout=subprocess.DEVNULL
        )
        wait_for("redis-server listening", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() or True)
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.file = self.socket.makefile("rb")
        for first in range(0, SESSIONS, 50_000):
            self.call("EVAL", FILL, 0, first, min(first + 50_000, SESSIONS) - 1)
        self.call("EVAL", FURTHER, 0)
        self.call("SELECT", 3)
        self.call("EVAL", "for n = 1, 1000 do redis.call('SET', 'token:' .. n, n) end", 0)
        self.call("SELECT", 0)
        self.clients = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(CLIENTS)]

    def call(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        head = self.file.readline()
        if head[:1] == b"-":
            sys.exit(f"optional: {words[0].decode()} answers {head}")
        if head[:1] != b"$" or head == b"$-1\r\n":
            return head[:-2].decode()
        return self.file.read(int(head[1:]) + 2)[:-2].decode()

    def counters(self):
        fields = dict(line.split(":", 1) for line in self.call("INFO", "everything").splitlines() if ":" in line)
        cpu = sum(float(fields[f"used_cpu_{kind}_main_thread"]) for kind in ("user", "sys"))
        calls = sum(int(re.match(r"calls=(\d+)", value)[1]) for name, value in fields.items() if name.startswith("cmdstat_"))
        return cpu, calls, time.monotonic()


class Daemon:
    def __init__(self, name, command, work):
        self.name, self.port = name, int(command[-1].rsplit(":", 1)[1])
        self.log = open(Path(work) / f"{name}.log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=work)

    def get(self, path="/metrics"):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
            return answer.read()

    def listens(self):
        return self.get("/health")

    def memory_mib(self, field):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{field}:\s+(\d+)", status, re.MULTILINE)[1]) / 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def ours(redis, work):
    script = Path(work) / "script.lua"
    script.write_text(SCRIPT)
    # JSON is YAML. Unpaced, since the peer does not pace itself either; no pass but the first.
    instance = {
        "name": "bench",
        "address": f"redis://127.0.0.1:{redis.port}",
        "sessions": [],
        "collectors": {"client_list": True, "config_all": True, "system": True, "modules": True},
        "check_keys": [{"match": "sess:*"}, {"match": "cart:*"}, {"match": "queue:*"}, {"match": "rank:*"}, {"match": "set:*"}],
        "count_keys": [{"match": "sess:*"}, {"match": "cart:*"}, {"match": "token:*", "databases": [3]}],
        "check_single_keys": [{"key": "visits"}],
        "key_groups": {"patterns": [GROUP], "max_groups": 100},
        "streams": {"keys": [{"key": "orders"}]},
        "lua": [{"file": str(script)}],
    }
    file = Path(work) / "ours.yaml"
    file.write_text(
        json.dumps(
            {
                "environment": "bench",
                "limits": {"checked_keys": 2 * SESSIONS},
                "scan": {"redis_share": 0},
                "poll": {"scan_interval": "1h"},
                "instances": [instance],
            }
        )
    )
    return [BINARY, "serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{free_port()}"]


def peer(redis, work):
    script = Path(work) / "script.lua"
    script.write_text(SCRIPT)
    return [
        PEER,
        f"--redis.addr=redis://127.0.0.1:{redis.port}",
        "--check-keys=db0=sess:*,db0=cart:*,db0=queue:*,db0=rank:*,db0=set:*",
        "--count-keys=db0=sess:*,db0=cart:*,db3=token:*",
        "--check-single-keys=db0=visits",
        f"--check-key-groups={GROUP}",
        "--check-single-streams=db0=orders",
        f"--script={script}",
        "--export-client-list",
        "--include-config-metrics",
        "--include-system-metrics",
        "--include-modules-metrics",
        "--disable-exporting-key-values",
        "--connection-timeout=120s",
        f"--web.listen-address=127.0.0.1:{free_port()}",
    ]


def compared(body):
    """The samples that are compared, without the labels of the instance."""
    found = {}
    for line in body.splitlines():
        if not COMPARED.match(line) or MOVING.search(line):
            continue
        series, value = line.rsplit(b" ", 1)
        name, _, labels = series.partition(b"{")
        labels = re.findall(rb'([a-z_]+)="((?:[^"\\]|\\.)*)"', labels)
        kept = tuple(sorted((label, text) for label, text in labels if label not in (b"environment", b"instance")))
        found[(name, kept)] = float(value)
    return found


def spread(values):
    values = sorted(values)
    return values[0], values[len(values) // 2], values[-1]


def show(label, unit, mine, theirs, digits):
    a, b = spread(mine), spread(theirs)
    text = [f"{low:,.{digits}f} / {middle:,.{digits}f} / {high:,.{digits}f}" for low, middle, high in (a, b)]
    print(f"{label:<40} {unit:<8} {text[0]:>34} {text[1]:>34} {a[1] / b[1] if b[1] else float('nan'):>8.2f} x")


def measure(name, command, redis, work, is_done):
    """One start of a daemon: what it costs until `is_done` gives back its body, and after."""
    cpu, calls, began = redis.counters()
    daemon = Daemon(name, command, work)
    try:
        wait_for(f"{name} listening", daemon.listens)
        body, duration = is_done(daemon)
        cpu_after, calls_after, _ = redis.counters()
        scrapes = []
        for _ in range(3 if name == "ours" else 1):
            started = time.monotonic()
            daemon.get()
            scrapes.append(time.monotonic() - started)
        return {
            "cpu": (cpu_after - cpu) * 1000,
            "commands": calls_after - calls,
            "wall": duration,
            "scrape": min(scrapes),
            "resident": daemon.memory_mib("VmRSS"),
            "peak": daemon.memory_mib("VmHWM"),
            "bytes": len(body) / 1e6,
            "body": body,
        }
    finally:
        daemon.stop()


def first_pass(daemon):
    """Waits for the first whole pass by a small answer, since the whole body costs time of its own."""
    started = time.monotonic()
    while time.monotonic() < started + PATIENCE:
        text = daemon.get("/metrics?collect[]=count_keys&collect[]=exporter").decode()
        duration = re.search(r'^redis_session_exporter_collector_duration_seconds\{[^}]*collector="count_keys"[^}]*\} ([0-9.e+-]+)$', text, re.MULTILINE)
        if duration and "redis_keys_count{" in text:
            return daemon.get(), float(duration[1])
        time.sleep(0.05)
    sys.exit("optional: our first pass did not end")


def first_scrape(daemon):
    started = time.monotonic()
    body = daemon.get()
    return body, time.monotonic() - started


def main():
    for program, hint in ((BINARY, "cargo build --release"), (PEER, "tests/servers/install.sh"), (REDIS, "tests/servers/install.sh")):
        if not program or not os.access(program, os.X_OK):
            sys.exit(f"optional: something is missing, try: {hint}")
    work = tempfile.mkdtemp(prefix="optional-")
    redis = None
    try:
        redis = Redis(work)
        mine, theirs = [], []
        for _ in range(REPEATS):
            mine.append(measure("ours", ours(redis, work), redis, work, first_pass))
            theirs.append(measure("redis_exporter", peer(redis, work), redis, work, first_scrape))
        a, b = compared(mine[-1]["body"]), compared(theirs[-1]["body"])
        # The peer counts the groups of databases without keys, which are none.
        b = {key: value for key, value in b.items() if key in a or key[0] != b"redis_number_of_distinct_key_groups" or value}
        same = [key for key in a.keys() & b.keys() if a[key] == b[key]]
        different = sorted(key for key in a.keys() & b.keys() if a[key] != b[key])
        print(f"{SESSIONS:,} sessions, {CLIENTS} clients, {REPEATS} repeats; min / median / max\n")
        print(f"samples of the compared groups: {len(a):,} of ours, {len(b):,} of the peer's; the same value {len(same):,}, another {len(different)}")
        for label, keys in (("another value", different), ("only ours", sorted(a.keys() - b.keys())), ("only the peer's", sorted(b.keys() - a.keys()))):
            for key in keys[:10]:
                print(f"  {label}: {key[0].decode()} {dict(key[1])} ours {a.get(key)} peer {b.get(key)}")
        print(f"\n{'':<40} {'':<8} {'ours':>34} {'redis_exporter':>34} {'ours/peer':>10}")
        for key, label, unit, digits in (
            ("cpu", "Redis CPU, everything once", "ms", 0),
            ("commands", "commands", "", 0),
            ("wall", "time for everything once", "s", 2),
            ("scrape", "time of a scrape", "s", 3),
            ("resident", "resident memory afterwards", "MiB", 1),
            ("peak", "most resident memory", "MiB", 1),
            ("bytes", "size of the answer", "MB", 1),
        ):
            show(label, unit, [one[key] for one in mine], [one[key] for one in theirs], digits)
        if different or b.keys() - a.keys():
            sys.exit("optional: the values differ")
    finally:
        if redis:
            redis.process.kill()
            redis.process.wait()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
