#!/usr/bin/env python3
"""`make soak`: one exporter, eight instances, every fault we know in a loop; what grows is a leak.

After each fault the instance must be back at `redis_up 1` in bounded time, the one that gets no faults must never be anything
else, and memory, descriptors, threads and tasks of the exporter must be flat.

    SOAK_SECONDS=1200 tests/soak/soak.py [BINARY]

Standard library only.
"""

import os
import random
import re
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/support"))
from children import free_port  # noqa: E402 (the path comes first)

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SECONDS = float(os.environ.get("SOAK_SECONDS", 1200))
BINARY = Path(sys.argv[1] if len(sys.argv) > 1 else Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "release/redis-session-exporter").absolute()
REDIS = os.environ.get("TEST_REDIS_SERVER") or shutil.which("redis-server")

PING_INTERVAL, INFO_INTERVAL, TIMEOUT = 1.0, 2.0, 1.0
# The contract: down within one ping interval and one time-out, back within two intervals. One second more for a machine that
# also runs the servers and us.
DOWN_BOUND = PING_INTERVAL + TIMEOUT + 1.0
UP_BOUND = 2 * INFO_INTERVAL + TIMEOUT + 1.0
HOLD = 3.0  # how long a fault lasts after it was seen (or instead of being seen, for those that leave PING alone)
SAMPLE_EVERY = 2.0


def info_fixture():
    found = sorted((REPOSITORY / "tests/fixtures/info").glob("valkey-9.1-primary.txt"))
    return found[0].read_bytes() if found else b"# Server\r\nredis_version:7.0.15\r\n"


INFO = info_fixture()


def bulk(content):
    return b"$%d\r\n%s\r\n" % (len(content), content)


# --- a scripted peer: speaks just enough of the protocol to be watched, or misbehaves ---------------------------------


class Hang(Exception):
    """Stop answering this connection, but keep it open."""


class Peer:
    """A TCP server whose answers depend on `mode`, which may change at any time."""

    def __init__(self, name):
        self.name = name
        self.port = free_port()
        self.mode = "healthy"
        self.lock = threading.Lock()
        self.connections = set()
        self.fillers = []
        self.listener = None
        self.listen()

    address = property(lambda self: f"redis://127.0.0.1:{self.port}")

    def listen(self, backlog=128):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(backlog)
        self.listener = listener
        if backlog:
            threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if listener is not self.listener:
                connection.close()
                return
            with self.lock:
                self.connections.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def unlisten(self):
        listener, self.listener = self.listener, None
        if listener:
            try:
                listener.shutdown(socket.SHUT_RDWR)  # wakes the accept in the other thread
            except OSError:
                pass
            listener.close()

    def drop_connections(self):
        with self.lock:
            connections, self.connections = self.connections, set()
        for connection in connections:
            try:
                # A reset, so that no side keeps the port in TIME_WAIT.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
            except OSError:
                pass

    def serve(self, connection):
        buffer = b""
        try:
            while True:
                words, buffer = self.read_command(connection, buffer)
                if words is None:
                    break
                answer = self.answer(words)
                if answer is None:
                    break
                connection.sendall(answer)
        except Hang:
            return  # stays in `connections`, open and silent
        except (OSError, ValueError, MemoryError):
            pass
        with self.lock:
            self.connections.discard(connection)
        connection.close()

    @staticmethod
    def read_command(connection, buffer):
        """The next command; (None, …) at the end of the connection."""

        def need(condition):
            nonlocal buffer
            while not condition():
                chunk = connection.recv(65536)
                if not chunk:
                    raise OSError("closed")
                buffer += chunk

        def line():
            nonlocal buffer
            need(lambda: b"\r\n" in buffer)
            head, buffer = buffer.split(b"\r\n", 1)
            return head

        words = []
        for _ in range(int(line()[1:])):
            length = int(line()[1:])
            need(lambda: len(buffer) >= length + 2)
            words.append(buffer[:length])
            buffer = buffer[length + 2 :]
        return words, buffer

    def answer(self, words):
        command = words[0].upper()
        mode = self.mode
        if mode == "silent":
            raise Hang
        if mode == "loading":
            if command not in (b"INFO", b"AUTH", b"HELLO", b"CLIENT"):
                return b"-LOADING Redis is loading the dataset in memory\r\n"
        elif mode == "masterdown":
            if command != b"INFO":
                return b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n"
        elif mode == "busy":
            return b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
        elif mode == "noauth":
            return b"-NOAUTH Authentication required.\r\n"
        elif mode == "max-clients":
            return None
        elif mode == "not-redis":
            return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
        elif mode == "nested" and command in (b"PING", b"INFO"):
            return b"*1\r\n" * 20000 + b":1\r\n"
        elif mode == "huge-header" and command in (b"PING", b"INFO"):
            return b"$4294967296\r\nx"
        elif mode == "huge-array" and command in (b"PING", b"INFO"):
            return b"*2147483647\r\n:1\r\n"
        elif mode == "endless-line" and command in (b"PING", b"INFO"):
            # As much as the reader takes; it must hang up long before.
            return b"+" + b"x" * (80 << 20)
        elif mode == "half-reply" and command in (b"PING", b"INFO"):
            return b"+PO" if command == b"PING" else bulk(INFO)[: len(INFO) // 2]
        if command == b"PING":
            return b"+PONG\r\n"
        if command == b"INFO":
            if mode == "close-mid-info":
                return None
            if mode == "garbage-info":
                return bulk(garbage_info())
            if mode == "big-info":
                return bulk(INFO + b"# Padding\r\n" + b"".join(b"field_%d:%s\r\n" % (i, b"x" * 1000) for i in range(10000)))
            if mode == "empty-info":
                return bulk(b"")
            if mode == "noperm":
                return b"-NOPERM this user has no permissions to run the 'info' command\r\n"
            return bulk(INFO)
        if command == b"SCAN":
            return b"*2\r\n$1\r\n0\r\n*0\r\n"
        if command == b"DBSIZE":
            return b":0\r\n"
        if command == b"CONFIG" or command == b"LATENCY":
            return b"*0\r\n"
        if command == b"SLOWLOG":
            return b":0\r\n" if words[1].upper() == b"LEN" else b"*0\r\n"
        if command in (b"CLIENT", b"SELECT", b"AUTH"):
            return b"+OK\r\n"
        return b"-ERR unknown command '%s', with args beginning with: \r\n" % command[:64]

    # Faults: what begins one, and what ends it.

    def begin(self, fault):
        if fault == "refused":
            self.unlisten()
            self.drop_connections()
        elif fault == "swallowed":
            # A listener that nobody accepts from and whose queue is full: the kernel ignores further connections.
            self.unlisten()
            self.drop_connections()
            self.listen(backlog=0)
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", self.port))
                self.fillers.append(filler)
        elif fault == "close-at-once":
            self.mode = "max-clients"
            self.drop_connections()
        else:
            self.mode = fault

    def end(self, fault):
        self.mode = "healthy"
        for filler in self.fillers:
            filler.close()
        self.fillers = []
        if fault == "swallowed":
            self.unlisten()
        self.drop_connections()
        if self.listener is None:
            self.listen()


# Fault: whether `redis_connection_status` must fall to 0. Those that only spoil INFO leave PING working.
PEER_FAULTS = {
    "refused": True,
    "swallowed": True,
    "silent": True,
    "half-reply": True,
    "nested": True,
    "huge-header": True,
    "huge-array": True,
    "endless-line": True,
    "not-redis": True,
    "close-at-once": True,
    "close-mid-info": False,
    "loading": True,
    "masterdown": True,
    "busy": True,
    "noauth": True,
    "noperm": False,
    "garbage-info": False,
    "empty-info": False,
    "big-info": False,
}


def garbage_info():
    lines = [
        b"# Server", b"redis_version:not.a.version", b"uptime_in_seconds:yesterday", b"tcp_port:-1", b"no colon here", b":empty key", b"key:",
        b"# Memory", b"used_memory:9223372036854775808", b"used_memory_rss:-1", b"maxmemory:1e309", b"mem_fragmentation_ratio:nan",
        b"# Commandstats", b"cmdstat_a:b|c:calls=1,usec=2,usec_per_call=2.00", b"cmdstat_get:calls=,usec=x", b"cmdstat_:calls=1",
        b"# Errorstats", b"errorstat_ERR", b"errorstat_:count=1", b"errorstat_X:count",
        b"# Latencystats", b"latency_percentiles_usec_get:p50=,p99", b"# Keyspace", b"db0:keys=1,expires=2", b"dbx:keys=1", b"db7:", b"db0:keys=1",
        b"\xff\xfe\x00binary:\x80", b"# ", b"#", b"", b"\r", bytes(random.randrange(256) for _ in range(2000)),
    ]
    random.shuffle(lines)
    return b"\r\n".join(lines)


# --- real servers ----------------------------------------------------------------------------------------------------


class Server:
    def __init__(self, name, work, *options):
        self.name = name
        self.port = free_port()
        self.data = work / name
        self.data.mkdir()
        self.options = [str(option) for option in options]
        self.password_file = self.data / "password"
        self.process = None
        self.held = []
        self.start()

    address = property(lambda self: f"redis://127.0.0.1:{self.port}")

    def start(self, *more):
        self.process = subprocess.Popen(
            [REDIS, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.data), "--save", "", "--logfile", "server.log"]
            + self.options + [str(option) for option in more],
            stdout=subprocess.DEVNULL,
        )
        end = time.monotonic() + 15
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise TimeoutError(f"{self.name} does not listen")

    def call(self, *words, password=None, wait=5.0):
        with socket.create_connection(("127.0.0.1", self.port), wait) as connection:
            out = b""
            for command in ([("AUTH", password)] if password else []) + [words]:
                out += b"*%d\r\n" % len(command) + b"".join(bulk(str(word).encode()) for word in command)
            connection.sendall(out)
            return connection.recv(65536)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def begin(self, fault):
        if fault == "stopped":
            self.process.send_signal(signal.SIGSTOP)
        elif fault == "killed":
            self.kill()
        elif fault == "restart":
            self.kill()
            self.start()
        elif fault == "slow-load":
            for number in range(0, 2000, 50):
                self.call("MSET", *[word for key in range(number, number + 50) for word in (f"key:{key}", "x" * 100)])
            self.call("SAVE")
            self.kill()
            self.start("--key-load-delay", "4000", "--loading-process-events-interval-bytes", "1024")
        elif fault == "busy":
            self.call("CONFIG", "SET", "busy-reply-threshold", "50")
            runaway = socket.create_connection(("127.0.0.1", self.port))
            script = "while true do end"
            runaway.sendall(b"*3\r\n$4\r\nEVAL\r\n" + bulk(script.encode()) + b"$1\r\n0\r\n")
            self.held.append(runaway)
        elif fault == "noauth":
            # The file still names no password that is valid; open connections stay authenticated, so they are ended.
            self.call("CONFIG", "SET", "requirepass", "changed")
            self.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes", password="changed")
        elif fault == "wrongpass":
            self.call("ACL", "SETUSER", "watcher", "on", "resetpass", ">other", "+@all", "~*", "&*")
            self.call("CLIENT", "KILL", "USER", "watcher")
        elif fault == "noperm":
            self.call("ACL", "SETUSER", "watcher", "-info", "-config|get", "-latency", "-slowlog", "-scan")
        elif fault == "max-clients":
            self.call("CONFIG", "SET", "maxclients", "20")
            self.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            # Most of them at once; the exporter may win a place, and is put out when the rest is taken.
            for _ in range(40):
                try:
                    self.held.append(socket.create_connection(("127.0.0.1", self.port), 1))
                except OSError:
                    break
        elif fault == "masterdown":
            self.call("CONFIG", "SET", "replica-serve-stale-data", "no")
            self.call("REPLICAOF", "127.0.0.1", "1")

    def end(self, fault):
        for connection in self.held:
            connection.close()
        self.held = []
        if fault == "stopped":
            self.process.send_signal(signal.SIGCONT)
        elif fault == "killed":
            self.start()
        elif fault == "slow-load":
            self.kill()
            for dump in self.data.glob("*.rdb"):
                dump.unlink()
            self.start()
        elif fault == "busy":
            self.call("SCRIPT", "KILL")
        elif fault == "noauth":
            self.call("CONFIG", "SET", "requirepass", "", password="changed")
        elif fault == "wrongpass":
            self.call("ACL", "SETUSER", "watcher", "resetpass", ">secret")
        elif fault == "noperm":
            self.call("ACL", "SETUSER", "watcher", "+@all")
        elif fault == "max-clients":
            time.sleep(0.2)
            self.call("CONFIG", "SET", "maxclients", "10000")
        elif fault == "masterdown":
            self.call("REPLICAOF", "NO", "ONE")
            self.call("CONFIG", "SET", "replica-serve-stale-data", "yes")

    def define_watcher(self):
        self.call("ACL", "SETUSER", "watcher", "on", ">secret", "+@all", "~*", "&*")
        self.password_file.write_text("secret\n")


# True: the status must fall to 0. max-clients is False because the exporter may keep a place, restart because it may be over
# before the next ping.
PROCESS_FAULTS = {"stopped": True, "killed": True, "restart": False, "slow-load": True, "busy": True, "max-clients": False, "masterdown": True}
USER_FAULTS = {"wrongpass": True, "noperm": False, "stopped": True}
DEFAULT_USER_FAULTS = {"noauth": True, "max-clients": False, "busy": True, "killed": True}


# --- the exporter, seen from outside ---------------------------------------------------------------------------------


class Exporter:
    def __init__(self, work, configuration):
        self.port = free_port()
        self.file = work / "exporter.yaml"
        self.file.write_text(configuration)
        self.log = open(work / "exporter.log", "w+b")
        self.process = subprocess.Popen(
            [BINARY, "serve", f"--config.file={self.file}", f"--web.listen-address=127.0.0.1:{self.port}"], stdout=self.log, stderr=self.log
        )
        self.lock = threading.Lock()
        self.body, self.read_at = "", 0.0
        self.slowest = 0.0

    def metrics(self):
        """The exposition, read at most every 100 ms however many threads ask."""
        with self.lock:
            if time.monotonic() - self.read_at > 0.1:
                start = time.monotonic()
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
                    self.body = answer.read().decode()
                self.slowest = max(self.slowest, time.monotonic() - start)
                self.read_at = time.monotonic()
            return self.body

    def value(self, metric, instance=None):
        label = rf'[^}}]*\binstance="{re.escape(instance)}"[^}}]*' if instance else r"[^}]*"
        found = re.search(rf"^{metric}(?:\{{{label}\}})? (\S+)", self.metrics(), re.MULTILINE)
        return float(found[1]) if found else None

    def is_up(self, instance):
        return self.value("redis_up", instance) == 1 and self.value("redis_connection_status", instance) == 1

    def wait(self, bound, condition):
        """Seconds until the condition held, or None."""
        start = time.monotonic()
        while time.monotonic() - start < bound:
            if condition():
                return time.monotonic() - start
            time.sleep(0.1)
        return None

    def resources(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()

        def field(name):
            return int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1])

        return {
            "memory_kib": field("VmRSS"),
            "threads": field("Threads"),
            "descriptors": len(os.listdir(f"/proc/{self.process.pid}/fd")),
            "tasks": self.value("redis_session_exporter_tasks_alive"),
        }


class Worker(threading.Thread):
    """Takes one instance through its faults, again and again."""

    def __init__(self, exporter, instance, faults, stop, offset):
        super().__init__(daemon=True)
        self.exporter, self.instance, self.stop = exporter, instance, stop
        names = list(faults)
        self.order = names[offset % len(names) :] + names[: offset % len(names)]
        self.faults = faults
        self.done = {}  # fault -> [rounds, slowest down, slowest back]
        self.problems = []
        self.crashed = None

    def run(self):
        try:
            while not self.stop.is_set():
                for fault in self.order:
                    if self.stop.is_set():
                        return
                    self.round(fault)
        except Exception as error:  # a defect of this harness must not look like a quiet success
            self.crashed = f"{type(error).__name__}: {error}"

    def round(self, fault):
        name = self.instance.name
        self.instance.begin(fault)
        down = None
        if self.faults[fault]:
            down = self.exporter.wait(DOWN_BOUND, lambda: self.exporter.value("redis_connection_status", name) == 0)
            if down is None:
                self.problems.append(f"{name}: {fault} was not noticed within {DOWN_BOUND:g} s")
        time.sleep(HOLD)
        self.instance.end(fault)
        if fault == "noperm" and isinstance(self.instance, Server):
            # The permission is asked again at a reconnect (or every ten minutes): the operator's way is to end the connection.
            self.instance.call("CLIENT", "KILL", "USER", "watcher")
        # A status that stood all the time proves nothing: give a stale verdict the time to be replaced.
        if not self.faults[fault]:
            time.sleep(PING_INTERVAL + TIMEOUT)
        back = self.exporter.wait(30, lambda: self.exporter.is_up(name))
        if back is None:
            self.problems.append(f"{name}: not back 30 s after {fault}")
        elif back > UP_BOUND:
            self.problems.append(f"{name}: back only {back:.1f} s after {fault} (bound {UP_BOUND:g} s)")
        rounds, slowest_down, slowest_back = self.done.get(fault, (0, 0.0, 0.0))
        self.done[fault] = (rounds + 1, max(slowest_down, down or 0.0), max(slowest_back, back or 0.0))


def slope_per_hour(points):
    """Least squares over (seconds, value)."""
    if len(points) < 3:
        return 0.0
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def main():
    if not os.access(BINARY, os.X_OK):
        sys.exit(f"{BINARY} is not there: cargo build --release first")
    work = Path(tempfile.mkdtemp(prefix="soak-"))
    servers, exporter, problems = [], None, []
    try:
        quiet = Server("quiet", work)
        real = Server("real", work)
        user = Server("user", work)
        default_user = Server("default-user", work)
        servers = [quiet, real, user, default_user]
        user.define_watcher()
        peers = [Peer(f"peer-{number}") for number in range(1, 5)]
        for server in (quiet, real):
            for number in range(100):
                server.call("SET", f"sess:{number}", "x", "EX", 86400)
        lines = [
            "environment: soak",
            f"poll: {{ ping_interval: {PING_INTERVAL:g}s, info_interval: {INFO_INTERVAL:g}s, scan_interval: 5s, connect_interval: 5s, timeout: {TIMEOUT:g}s }}",
            "instances:",
        ]
        for instance in (*servers, *peers):
            lines += [f"  - name: {instance.name}", f"    address: {instance.address}"]
            if instance is user:
                lines += ["    username: watcher", f"    password_file: {user.password_file}"]
            lines.append('    sessions: [{ store: web, match: ["sess:*"], capacity: 1000 }]')
        exporter = Exporter(work, "\n".join(lines) + "\n")
        names = [instance.name for instance in (*servers, *peers)]

        def all_up():
            try:
                return all(exporter.is_up(name) for name in names)
            except OSError:
                return False

        if exporter.wait(20, all_up) is None:
            exporter.log.seek(0)
            sys.exit(f"not all instances came up at the start:\n{exporter.log.read().decode()[-4000:]}")
        time.sleep(2 * INFO_INTERVAL)
        settled_before = exporter.resources()

        stop = threading.Event()
        workers = [Worker(exporter, real, PROCESS_FAULTS, stop, 0), Worker(exporter, user, USER_FAULTS, stop, 0),
                   Worker(exporter, default_user, DEFAULT_USER_FAULTS, stop, 0)]
        # Each peer starts elsewhere in the list, so that different faults meet.
        workers += [Worker(exporter, peer, PEER_FAULTS, stop, 5 * number) for number, peer in enumerate(peers)]
        for worker in workers:
            worker.start()
        samples, quiet_down = [], 0
        start = time.monotonic()
        while time.monotonic() - start < SECONDS:
            time.sleep(SAMPLE_EVERY)
            if exporter.process.poll() is not None:
                problems.append(f"the exporter ended with {exporter.process.returncode}")
                break
            if any(worker.crashed for worker in workers):
                break
            try:
                quiet_down += not exporter.is_up("quiet")
                samples.append((time.monotonic() - start, exporter.resources()))
            except OSError as error:
                problems.append(f"/metrics could not be read: {error}")
            if len(samples) % 30 == 0 and samples:
                rounds = sum(done[0] for worker in workers for done in worker.done.values())
                print(f"{samples[-1][0]:6.0f} s  {rounds} faults  {samples[-1][1]}", flush=True)
        stop.set()
        for worker in workers:
            worker.join(90)
            problems += worker.problems
            if worker.crashed:
                problems.append(f"harness: {worker.instance.name}: {worker.crashed}")
        if exporter.process.poll() is None:
            if exporter.wait(30, all_up) is None:
                problems.append("not all instances are up at the end")
            time.sleep(2 * INFO_INTERVAL)
            settled_after = exporter.resources()
            report(samples, settled_before, settled_after, workers, exporter, quiet_down, problems)
            exporter.process.terminate()
            try:
                if exporter.process.wait(10) != 0:
                    problems.append(f"SIGTERM ended it with {exporter.process.returncode}")
            except subprocess.TimeoutExpired:
                problems.append("SIGTERM did not end it within 10 s")
        exporter.log.seek(0)
        log = exporter.log.read().decode("utf-8", "replace")
        if "panicked" in log:
            problems.append("the log tells of a panic: " + log[log.index("panicked") - 100 :][:500])
        print(f"log: {log.count(chr(10))} lines")
    finally:
        if exporter and exporter.process.poll() is None:
            exporter.process.kill()
        for server in servers:
            server.process.send_signal(signal.SIGCONT)
            server.kill()
        shutil.rmtree(work, ignore_errors=True)
    if problems:
        print("\nFAILED")
        for problem in problems[:40]:
            print(f"  {problem}")
        sys.exit(1)
    print("\npassed")


def report(samples, before, after, workers, exporter, quiet_down, problems):
    print(f"\n{'fault':<16} {'rounds':>6} {'slowest down':>13} {'slowest back':>13}")
    totals = {}
    for worker in workers:
        for fault, (rounds, down, back) in worker.done.items():
            total = totals.get(fault, (0, 0.0, 0.0))
            totals[fault] = (total[0] + rounds, max(total[1], down), max(total[2], back))
    for fault, (rounds, down, back) in sorted(totals.items()):
        print(f"{fault:<16} {rounds:>6} {down:>11.1f} s {back:>11.1f} s")
    missing = set(PEER_FAULTS) | set(PROCESS_FAULTS) | set(USER_FAULTS) | set(DEFAULT_USER_FAULTS)
    missing -= set(totals)
    if missing:
        print(f"NOT REACHED in this time: {', '.join(sorted(missing))}")
    # The allocator reaches its working size in the first minutes; what comes after is judged.
    warm = [sample for sample in samples if sample[0] > min(120, SECONDS * 0.2)]
    quarter = max(1, len(warm) // 4)
    print(f"\n{'':<12} {'settled before':>15} {'first quarter':>14} {'last quarter':>13} {'settled after':>14} {'slope per hour':>15}")
    for key in ("memory_kib", "descriptors", "threads", "tasks"):
        points = [(at, sample[key]) for at, sample in warm if sample[key] is not None]
        if not points:
            print(f"{key:<12} not published")
            continue
        first = statistics.median(value for _, value in points[:quarter])
        last = statistics.median(value for _, value in points[-quarter:])
        print(f"{key:<12} {before[key]!s:>15} {first:>14g} {last:>13g} {after[key]!s:>14} {slope_per_hour(points):>15.1f}")
        if key == "memory_kib":
            if last > first * 1.2:
                problems.append(f"memory grew from {first:g} to {last:g} KiB (more than 20 %)")
        # During faults the number swings with them; at rest it must be what it was. One more may be a connection being renewed.
        elif key != "threads" and after[key] > before[key] + 2:
            problems.append(f"{key} at rest grew from {before[key]} to {after[key]}")
    print(f"slowest /metrics: {exporter.slowest * 1000:.0f} ms; the instance without faults was not up in {quiet_down} of {len(samples)} samples")
    if quiet_down:
        problems.append(f"the instance without faults was not up in {quiet_down} samples")


if __name__ == "__main__":
    main()
