#!/usr/bin/env bash
# The stages of `make test`, each with its time: tests/stages.sh lint unit servers e2e package
# A stage that fails does not stop the ones after it, so that one run shows everything that is wrong; the exit code tells.
set -uo pipefail
cd "$(dirname "$0")/.."

export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"

say() { printf '\n== %s\n' "$*"; }

stage_lint() (
    set -e
    tests/servers/install.sh
    cargo fmt --all --check
    # The tests' own profile, so that the build is shared with them.
    cargo clippy --locked --all-targets -- -D warnings
    check_dependencies
    deploy/check.sh
)

check_dependencies() {
    if ! command -v cargo-deny >/dev/null; then
        echo "installing cargo-deny (two to four minutes on two cores)"
        cargo install --locked --quiet cargo-deny
    fi
    cargo deny --locked -L error check licenses bans sources
    # The advisory database is a git clone. Where it cannot be fetched the rest still counts, and the gap is said.
    if cargo deny -L off fetch db >/dev/null 2>&1; then
        # Offline, since it was fetched a moment ago.
        cargo deny --locked --offline -L error check advisories
    else
        echo "NOT CHECKED: the advisory database (github.com/RustSec/advisory-db) cannot be fetched from here"
    fi
}

stage_unit() (
    set -e
    cargo test --locked --lib --bins
    cargo test --locked --doc
)

stage_servers() (
    set -e
    tests/servers/install.sh
    tests/servers/install.sh --libraries
    cargo test --locked --test servers
)

stage_e2e() (
    set -e
    tests/servers/install.sh
    tests/servers/install.sh --grafana
    cargo test --locked --test e2e -- --skip alert_pipeline
    # By itself: all waits are thirty times shorter there, so that a machine that is busy with other tests looks like a fault.
    cargo test --locked --test e2e alert_pipeline
)

stage_package() (
    set -e
    tests/servers/install.sh
    tests/servers/install.sh --musl
    target="$(uname -m)-unknown-linux-musl"
    # Dependencies with C code in them (there is none today) must be built against musl too.
    export "CC_${target//-/_}=musl-gcc"
    cargo build --locked --release --target "$target"
    binary="${CARGO_TARGET_DIR:-target}/$target/release/redis-session-exporter"
    ls -l "$binary"
    deploy/prove-static.sh "$binary"
    deploy/check.sh "$binary"
    deploy/sbom.sh
)

# The same tests against each server that Debian packages. The variables name the program that a test starts.
stage_matrix() (
    set -e
    tests/servers/install.sh --matrix
    tests/servers/install.sh --libraries
    tests/servers/install.sh --grafana
    bin="${REDIS_SESSION_EXPORTER_SERVERS:-.servers}/bin"
    bin="$(cd "$bin" && pwd)"
    for server in "$(command -v redis-server)" "$bin/redis-server-8.0" "$bin/valkey-server-8.1" "$bin/valkey-server-9.1"; do
        say "$("$server" --version | cut -d' ' -f1-3), redis_exporter 1.86, Prometheus 3.5"
        TEST_REDIS_SERVER="$server" TEST_REDIS_EXPORTER="$bin/redis_exporter-1.86" \
            TEST_PROMETHEUS="$bin/prometheus-3.5" TEST_PROMTOOL="$bin/promtool-3.5" \
            cargo test --locked --test servers --test e2e -- --skip alert_pipeline
    done
)

failed=()
summary=()
for stage in "$@"; do
    case "$stage" in
        lint | unit | servers | e2e | package | matrix) ;;
        *) echo "stages: lint unit servers e2e package matrix; not: $stage" >&2; exit 2 ;;
    esac
    say "$stage"
    start=$SECONDS
    # Not `if stage_…`: inside a condition bash ignores the stage's own `set -e`.
    "stage_$stage"
    code=$?
    if [ $code -eq 0 ]; then verdict=passed; else verdict=FAILED; failed+=("$stage"); fi
    summary+=("$(printf '%-8s %s in %d s' "$stage" "$verdict" $((SECONDS - start)))")
    echo "-- ${summary[-1]}"
done
printf '\n'
printf '%s\n' "${summary[@]}"
[ ${#failed[@]} -eq 0 ]
