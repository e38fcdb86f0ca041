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
exporter=""
finish() {
    trap - EXIT INT TERM
    # Both children first get the time to end by themselves; Ctrl-C has reached them too.
    if [ -n "$exporter" ]; then kill "$exporter" 2>/dev/null || true; wait "$exporter" 2>/dev/null || true; fi
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
    redis-server --bind 127.0.0.1 --port 6379 --dir "$data" --save '' --appendonly no --logfile redis.log &
    redis=$!
    for _ in $(seq 100); do
        if [ "$(answers)" = PONG ]; then break; fi
        sleep 0.1
    done
    [ "$(answers)" = PONG ] || { cat "$data/redis.log" >&2; exit 1; }
    say "started a Redis on 127.0.0.1:6379, which ends with this program and keeps nothing"
fi

# Sample sessions only into an empty Redis: somebody's data stays somebody's data.
size="$(redis-cli -h 127.0.0.1 -p 6379 dbsize 2>/dev/null || true)"
if [ "$size" = 0 ]; then
    # TTLs from minutes to a day, and some keys of another kind that never expire.
    awk 'BEGIN {
        srand(1)
        for (i = 0; i < 500; i++) {
            id = ""
            for (c = 0; c < 32; c++) id = id sprintf("%x", int(rand() * 16))
            printf "SET sess:%s \047{\"user\":%d,\"cart\":[%d,%d]}\047 EX %d\n", id, i, i * 7, i * 11, 300 + int(rand() * 86100)
        }
        for (i = 0; i < 25; i++) printf "SET cache:page:%d rendered\n", i
    }' | redis-cli -h 127.0.0.1 -p 6379 >/dev/null
    say "loaded 500 sample sessions (sess:*) with TTLs and 25 other keys without"
else
    say "the Redis holds ${size:-an unknown number of} keys; no sample sessions are added"
fi

port=9121
while in_use "$port"; do port=$((port + 1)); done
if [ "$port" != 9121 ]; then say "port 9121 is in use (another exporter?); this one listens on $port"; fi
"$binary" serve --config.file=deploy/run/exporter.yaml "--web.listen-address=127.0.0.1:$port" &
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
