#!/usr/bin/env bash
# `make run`: builds the exporter, finds or starts a Redis on 127.0.0.1:6379 with sample sessions, and runs until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'run: %s\n' "$*"; }
answers() { redis-cli -h 127.0.0.1 -p 6379 ping 2>/dev/null; }
in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

tests/servers/install.sh --run
say "building (the first time takes some minutes)"
cargo build --locked --release
binary="${CARGO_TARGET_DIR:-target}/release/redis-session-exporter"

data=""
redis=""
traffic=""
exporter=""
config=deploy/run/found.yaml
finish() {
    trap - EXIT INT TERM
    # Both children first get the time to end by themselves; Ctrl-C has reached them too.
    if [ -n "$exporter" ]; then kill "$exporter" 2>/dev/null || true; wait "$exporter" 2>/dev/null || true; fi
    if [ -n "$traffic" ]; then kill "$traffic" 2>/dev/null || true; wait "$traffic" 2>/dev/null || true; fi
    if [ -n "$redis" ]; then kill "$redis" 2>/dev/null || true; wait "$redis" 2>/dev/null || true; fi
    if [ -n "$data" ]; then rm -rf "$data"; fi
    say "ended"
}
trap finish EXIT
trap 'exit 0' INT TERM

if [ -n "$(answers)" ]; then
    say "a Redis answers on 127.0.0.1:6379 already; it is used as it is"
elif in_use 6379; then
    say "something that is not a Redis listens on 127.0.0.1:6379; the exporter will show it as down"
else
    data="$(mktemp -d)"
    # Events on, and a memory limit that the sample application's bursts reach, so that every way in which a session ends is seen.
    redis-server --bind 127.0.0.1 --port 6379 --dir "$data" --save '' --appendonly no --logfile redis.log \
        --notify-keyspace-events Egxen --maxmemory 14mb --maxmemory-policy volatile-ttl &
    redis=$!
    for _ in $(seq 100); do
        if [ "$(answers)" = PONG ]; then break; fi
        sleep 0.1
    done
    [ "$(answers)" = PONG ] || { cat "$data/redis.log" >&2; exit 1; }
    say "started a Redis on 127.0.0.1:6379, which ends with this program and keeps nothing"
fi

if [ -n "$redis" ]; then
    config=deploy/run/exporter.yaml
    awk -f deploy/run/traffic.awk | redis-cli -h 127.0.0.1 -p 6379 >/dev/null 2>&1 &
    traffic=$!
    say "a sample application creates, renews and deletes sessions (sess:*) in it"
else
    # Somebody's data stays somebody's data.
    say "nothing is written into it; the session library is recognised by its keys"
fi

port=9121
while in_use "$port"; do port=$((port + 1)); done
if [ "$port" != 9121 ]; then say "port 9121 is in use (another exporter?); this one listens on $port"; fi
"$binary" serve "--config.file=$config" "--web.listen-address=127.0.0.1:$port" &
exporter=$!

cat <<TEXT

  metrics           http://127.0.0.1:$port/metrics
  status page       http://127.0.0.1:$port/
  health            http://127.0.0.1:$port/health/redis
  the figures       curl -s http://127.0.0.1:$port/metrics | grep -E '^(redis_up|redis_connection_status|sessions_)'

  Ctrl-C ends it.

TEXT
code=0
wait "$exporter" || code=$?
exporter=""
exit "$code"
