#!/usr/bin/env python3
"""Side by side with redis_exporter on one Redis in one run: the second part of `make bench`.

    benches/compare/compare.py [BINARY]

What is compared: requests per second on /metrics, resident memory, and what one poll of ours or one scrape of the peer costs the
server: main-thread CPU, commands, reads from sockets (one per round trip), connections. Every figure is taken COMPARE_REPEATS
times (default 5), alternating between the two, and printed as min / median / max: the distance between them is this machine's noise.
Standard library only; needs wrk and redis-server.
"""

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
SERVERS = Path(os.environ.get("REDIS_SESSION_EXPORTER_SERVERS", REPOSITORY / ".servers")).resolve()
BINARY = Path(sys.argv[1] if len(sys.argv) > 1 else Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/redis-session-exporter").absolute()
REDIS = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server")
REPEATS = int(os.environ.get("COMPARE_REPEATS", 5))
WRK_SECONDS = int(os.environ.get("COMPARE_WRK_SECONDS", 5))
POLLS = int(os.environ.get("COMPARE_POLLS", 200))
# Fast enough that many polls fit into seconds, slow enough that they do not overlap.
POLL_EVERY = 0.05


class Redis:
    def __init__(self, work):
        self.port = free_port()
        self.process = subprocess.Popen(
            [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", work, "--save", "", "--logfile", "redis.log"], stdout=subprocess.DEVNULL
        )
        wait_for("redis-server listening", lambda: socket.create_connection(("127.0.0.1", self.port), 1).close() or True)
        self.socket = socket.create_connection(("127.0.0.1", self.port))
        self.file = self.socket.makefile("rb")

    def call(self, *words):
        words = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        head = self.file.readline()
        if head[:1] != b"$":
            return head[:-2].decode()
        return self.file.read(int(head[1:]) + 2)[:-2].decode()

    def counters(self):
        fields = dict(line.split(":", 1) for line in self.call("INFO", "everything").splitlines() if ":" in line)
        # used_cpu_*_main_thread is of the thread that answers, without background threads.
        cpu = sum(float(fields[f"used_cpu_{kind}_main_thread"]) for kind in ("user", "sys"))
        calls = {name[8:]: int(re.match(r"calls=(\d+)", value)[1]) for name, value in fields.items() if name.startswith("cmdstat_")}
        return {
            "at": time.monotonic(),
            "cpu": cpu,
            "commands": sum(calls.values()),
            "info": calls.get("info", 0),
            "reads": int(fields["total_reads_processed"]),
            "connections": int(fields["total_connections_received"]),
        }

    def delta(self, action):
        """What happened on the server during `action`, without our own measuring."""
        first = self.counters()
        own = self.counters()
        own = {key: own[key] - first[key] for key in ("commands", "info", "reads")}
        before = self.counters()
        action()
        after = self.counters()
        found = {key: after[key] - before[key] for key in after}
        return {**found, **{key: found[key] - own[key] for key in own}}


class Daemon:
    def __init__(self, name, command, port, work):
        self.name, self.port = name, port
        self.log = open(Path(work) / f"{name}.log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=work)
        wait_for(f"{name} serving redis_up 1", lambda: re.search(rb"^redis_up(\{[^}]*\})? 1", self.scrape(), re.MULTILINE))

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return answer.read()

    def resident_kib(self):
        return int(re.search(r"^VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text(), re.MULTILINE)[1])

    def requests_per_second(self):
        out = subprocess.run(
            ["wrk", "-t1", "-c8", f"-d{WRK_SECONDS}s", "--latency", f"http://127.0.0.1:{self.port}/metrics"], capture_output=True, text=True, check=True
        ).stdout
        bad = re.search(r"(Non-2xx.*|Socket errors.*)", out)
        if bad:
            print(f"  {self.name}: {bad[1].strip()}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def ours(redis, work, name, poll):
    port = free_port()
    file = Path(work) / f"{name}.yaml"
    file.write_text(
        f"environment: bench\n{poll}instances:\n  - name: bench\n    address: redis://127.0.0.1:{redis.port}\n"
        '    sessions: [{ store: web, match: ["sess:*"], capacity: 10000 }]\n'
    )
    return Daemon(name, [BINARY, "serve", f"--config.file={file}", f"--web.listen-address=127.0.0.1:{port}"], port, work)


def peer(redis, work):
    packaged = SERVERS / "bin/redis_exporter-1.86"
    program = str(packaged) if packaged.exists() else shutil.which("prometheus-redis-exporter")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"Exporter (\S+)", version.stdout + version.stderr)
    port = free_port()
    command = [program, "-redis.addr", f"redis://127.0.0.1:{redis.port}", "-web.listen-address", f"127.0.0.1:{port}"]
    return Daemon("redis_exporter", command, port, work), version[1] if version else "of unknown version"


def spread(values):
    return min(values), statistics.median(values), max(values)


def show(label, unit, mine, theirs, digits, ratio):
    """One line; `ratio` is "higher" where more is better, "lower" where less is."""
    a, b = spread(mine), spread(theirs)
    text = [f"{low:,.{digits}f} / {mid:,.{digits}f} / {high:,.{digits}f}" for low, mid, high in (a, b)]
    if ratio == "higher":
        verdict = f"{a[1] / b[1]:.1f} x" if b[1] else "-"
    else:
        verdict = f"{a[1] / b[1]:.2f} x" if b[1] else "-"
    print(f"{label:<34} {unit:<8} {text[0]:>34} {text[1]:>34} {verdict:>10}")


def main():
    for program, hint in ((BINARY, "cargo build --release"), (shutil.which("wrk"), "tests/servers/install.sh --bench"), (REDIS, "tests/servers/install.sh")):
        if not program or not os.access(program, os.X_OK):
            sys.exit(f"compare: something is missing, try: {hint}")
    work = tempfile.mkdtemp(prefix="compare-")
    redis, daemons = None, []
    try:
        redis = Redis(work)
        for number in range(1000):
            redis.call("SET", f"sess:{number}", "x" * 300, "EX", 86400)
            redis.call("GET", f"sess:{number}")
        mine = ours(redis, work, "ours", "")  # the default intervals
        daemons.append(mine)
        theirs, peer_version = peer(redis, work)
        daemons.append(theirs)
        theirs.scrape()
        print(f"server {redis.call('INFO', 'server').split('redis_version:')[1].split()[0]}, redis_exporter {peer_version}, {os.cpu_count()} cores, {REPEATS} repeats")
        print(f"/metrics: {len(mine.scrape()):,} bytes of ours, {len(theirs.scrape()):,} of the peer's\n")
        idle = [daemon.resident_kib() / 1024 for daemon in daemons]

        rates = {daemon.name: [] for daemon in daemons}
        memory = {daemon.name: [] for daemon in daemons}
        for _ in range(REPEATS):
            for daemon in daemons:
                rates[daemon.name].append(daemon.requests_per_second())
                memory[daemon.name].append(daemon.resident_kib() / 1024)
        # Both have been loaded; a while later they show what they keep.
        time.sleep(10)
        settled = [daemon.resident_kib() / 1024 for daemon in daemons]
        commands_by_scrape = redis.delta(lambda: [mine.scrape() for _ in range(POLLS)])

        # The poll's cost: a second exporter of ours, which does nothing but ping and INFO polls, many a second.
        mine.stop()
        every = f"{POLL_EVERY * 1000:g}ms"
        poll = f"poll: {{ ping_interval: {every}, info_interval: {every}, scan_interval: 1h, connect_interval: 1h, timeout: 1s }}\n"
        costs = {"ours": [], "redis_exporter": []}
        for _ in range(REPEATS):
            # A server that nobody asks uses a little CPU too; its share of each measurement is subtracted.
            idle_delta = redis.delta(lambda: time.sleep(3))
            idle_rate = idle_delta["cpu"] / idle_delta["at"]
            polling = ours(redis, work, "polling", poll)
            time.sleep(2)  # past the first polls, scan and capability checks
            delta = redis.delta(lambda: time.sleep(POLLS * POLL_EVERY))
            polling.stop()
            costs["ours"].append(per_poll(delta, idle_rate))
            # At the same pace: a server that rests between two polls works with colder caches.
            delta = redis.delta(lambda: [theirs.scrape() and time.sleep(POLL_EVERY) for _ in range(POLLS)])
            costs["redis_exporter"].append(per_poll(delta, idle_rate))

        print(f"{'':<34} {'':<8} {'ours: min / median / max':>34} {'redis_exporter':>34} {'ours/peer':>10}")
        show("requests on /metrics", "1/s", rates["ours"], rates["redis_exporter"], 0, "higher")
        show("resident memory, idle", "MiB", [idle[0]], [idle[1]], 1, "lower")
        show("resident memory, right after load", "MiB", memory["ours"], memory["redis_exporter"], 1, "lower")
        show("resident memory, 10 s later", "MiB", [settled[0]], [settled[1]], 1, "lower")
        for key, label, unit, digits in (
            ("cpu_us", "Redis CPU per poll", "us", 0),
            ("commands", "commands per poll", "", 2),
            ("reads", "socket reads (round trips) per poll", "", 2),
            ("connections", "new connections per poll", "", 2),
        ):
            show(label, unit, [cost[key] for cost in costs["ours"]], [cost[key] for cost in costs["redis_exporter"]], digits, "lower")
        print(f"\na poll of ours is one INFO poll with the ping of the same interval; {costs['ours'][0]['polls']} of them in the first repeat, {POLLS} scrapes of the peer")
        print(f"Redis commands during {POLLS} scrapes of ours: {commands_by_scrape['commands']} (those of its own poller in that time)")
        for name, values in rates.items():
            low, mid, high = spread(values)
            print(f"noise of {name}: requests per second between {100 * (low / mid - 1):+.1f} % and {100 * (high / mid - 1):+.1f} % of the median")
    finally:
        for daemon in daemons:
            daemon.stop()
        if redis:
            redis.process.kill()
            redis.process.wait()
        shutil.rmtree(work, ignore_errors=True)


def per_poll(delta, idle_rate):
    polls = delta["info"]
    if not polls:
        sys.exit("compare: no INFO poll happened while measuring")
    cpu = max(0.0, delta["cpu"] - idle_rate * delta["at"])
    return {
        "polls": polls,
        "cpu_us": 1e6 * cpu / polls,
        "commands": delta["commands"] / polls,
        "reads": delta["reads"] / polls,
        "connections": delta["connections"] / polls,
    }


if __name__ == "__main__":
    main()
