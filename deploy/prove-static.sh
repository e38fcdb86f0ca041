#!/usr/bin/env bash
# Proves that a binary needs nothing but a kernel: it runs in an empty root folder as a plain user, against a real Redis outside.
#
#   deploy/prove-static.sh target/x86_64-unknown-linux-musl/release/redis-session-exporter
set -euo pipefail

binary="${1:?usage: prove-static.sh BINARY}"
name=/redis-session-exporter
user=65532:65532 # the container's user

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -E "$@"; fi; }
# In an empty root as that user. Nothing of the environment comes along but what is given.
inside() { as_root env -i "$chroot" --userspec="$user" "$root" "$@"; }
# chroot looks for sudo's path, not for the user's, hence the full name.
chroot="$(PATH="$PATH:/usr/sbin:/sbin" command -v chroot)"

fail() { echo "prove-static: $*" >&2; exit 1; }

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

wait_until() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.1
    done
}

root="$(mktemp -d)"
data="$(mktemp -d)"
listen=""
redis_pid=""
exporter_pid=""
# Its process id: its own, not that of a sudo before it, whose command line starts differently.
daemon() { pgrep -f "^$name serve.*--web.listen-address=$listen" | tail -n 1; }
finish() {
    if [ -n "$listen" ]; then exporter_pid="$(daemon)"; fi
    # The exporter belongs to another user, so that a plain user's kill would not reach it.
    if [ -n "$exporter_pid" ]; then as_root kill "$exporter_pid" 2>/dev/null || true; fi
    if [ -n "$redis_pid" ]; then kill "$redis_pid" 2>/dev/null || true; fi
    wait 2>/dev/null || true
    as_root rm -rf "$root"
    rm -rf "$data"
}
trap finish EXIT

if readelf -l "$binary" | grep -q INTERP; then fail "the binary asks for a dynamic loader"; fi
install -m 755 "$binary" "$root$name"
chmod 755 "$root"

redis_port="$(free_port)"
redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$data" --save '' --logfile redis.log &
redis_pid=$!
wait_until 10 redis-cli -p "$redis_port" ping || fail "redis-server did not start: $(cat "$data/redis.log")"
redis-cli -p "$redis_port" set sess:1 value ex 3600 >/dev/null

echo "prove-static: root folder holds: $(cd "$root" && find . -type f | tr '\n' ' ')"
inside "$name" --version
output="$(inside "$name" once "--redis.addr=redis://127.0.0.1:$redis_port")" || fail "once ended with $?"
grep -E '^redis_up(\{[^}]*\})? 1' <<<"$output" || fail "once printed no redis_up 1: $(head -c 2000 <<<"$output")"

listen="127.0.0.1:$(free_port)"
inside "$name" serve "--redis.addr=redis://127.0.0.1:$redis_port" "--web.listen-address=$listen" 2>"$data/exporter.log" &
exporter_job=$!
wait_until 15 inside "$name" healthcheck "--web.listen-address=$listen" || fail "healthcheck never succeeded: $(tail -n 20 "$data/exporter.log")"
echo "prove-static: healthcheck exits 0"
exporter_pid="$(daemon)"
[ -n "$exporter_pid" ] || fail "the daemon is not there"
[ "$(stat -c %u "/proc/$exporter_pid")" = "${user%:*}" ] || fail "the daemon runs as $(stat -c %U "/proc/$exporter_pid")"
wait_until 15 sh -c "curl -fsS http://$listen/metrics | grep -qE '^redis_up.* 1'" || fail "serve shows no redis_up 1"
as_root kill -TERM "$exporter_pid"
code=0
wait "$exporter_job" || code=$?
gone="$listen"
listen=""
exporter_pid=""
[ "$code" = 0 ] || fail "the daemon ended with $code on SIGTERM: $(tail -n 20 "$data/exporter.log")"
if inside "$name" healthcheck "--web.listen-address=$gone" 2>/dev/null; then fail "healthcheck succeeds without a daemon"; fi
echo "prove-static: runs from an empty root as $user"

# TLS with the authorities of the machine: those of the root folder in which it runs, as in the image.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority -keyout "$data/ca.key" -out "$data/ca.crt" 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost -keyout "$data/tls.key" -out "$data/tls.csr" 2>/dev/null
openssl x509 -req -in "$data/tls.csr" -CA "$data/ca.crt" -CAkey "$data/ca.key" -CAcreateserial -days 1 -out "$data/tls.crt" \
    -extfile <(echo "subjectAltName=IP:127.0.0.1") 2>/dev/null
tls_port="$(free_port)"
redis-cli -p "$redis_port" shutdown nosave >/dev/null 2>&1 || true
wait "$redis_pid" || true
redis-server --port 0 --tls-port "$tls_port" --bind 127.0.0.1 --dir "$data" --save '' --logfile redis.log \
    --tls-cert-file "$data/tls.crt" --tls-key-file "$data/tls.key" --tls-ca-cert-file "$data/ca.crt" --tls-auth-clients no &
redis_pid=$!
wait_until 10 redis-cli -p "$tls_port" --tls --cacert "$data/ca.crt" ping || fail "redis-server with TLS did not start: $(cat "$data/redis.log")"
once_over_tls() { inside "$name" once "--redis.addr=rediss://127.0.0.1:$tls_port" 2>&1; }
output="$(once_over_tls)" && fail "TLS works without any authority: $(head -c 2000 <<<"$output")"
grep -q 'reason="tls"\|reason=tls' <<<"$output" || fail "without authorities the reason is another: $(head -c 4000 <<<"$output")"
sentence="$(grep -m 1 -o 'error="[^"]*authorit[^"]*"' <<<"$output")" || fail "nothing says that there are no authorities: $(head -c 4000 <<<"$output")"
echo "prove-static: without a bundle: $sentence"
as_root install -D -m 644 "$data/ca.crt" "$root/etc/ssl/certs/ca-certificates.crt"
output="$(once_over_tls)" || fail "once over TLS ended with $?: $(head -c 4000 <<<"$output")"
grep -E '^redis_up(\{[^}]*\})? 1' <<<"$output" || fail "once over TLS printed no redis_up 1: $(head -c 2000 <<<"$output")"
echo "prove-static: with the bundle of the image TLS is verified against it"
