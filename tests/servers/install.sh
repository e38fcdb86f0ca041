#!/usr/bin/env bash
# Installs the servers and tools that the tests, `make run` and the matrix run against.
#
#   install.sh            what `make test` needs: redis-server, prometheus (with promtool), prometheus-alertmanager (with
#                         amtool), prometheus-redis-exporter, curl, openssl, python3 with yaml; and Prometheus 3.5 with its
#                         promtool, unpacked into .servers/ as --matrix does
#   install.sh --run      what `make run` needs: redis-server, curl
#   install.sh --bench    what `make bench` needs on top: wrk
#   install.sh --libraries
#                         what tests/servers/libraries.rs needs: session libraries of node, python, php and ruby; those of
#                         npm and PyPI at pinned versions, in .servers/libraries
#   install.sh --grafana  what the checks of the dashboards need: Grafana's published packages of npm and PyPI at pinned versions, in
#                         .servers/grafana
#   install.sh --pictures what `make pictures` needs on top: chromium
#   install.sh --musl     what the static build needs on top: musl-gcc, pgrep and the musl target of the
#                         Rust toolchain
#   install.sh --matrix   newer servers and peers, unpacked into .servers/ (or $REDIS_SESSION_EXPORTER_SERVERS),
#                         with one wrapper per program in .servers/bin; the host's own packages are not touched
#
# Every form can be repeated: what is there already is left alone, and nothing is fetched then.
set -euo pipefail
cd "$(dirname "$0")/../.."

servers_dir="${REDIS_SESSION_EXPORTER_SERVERS:-$PWD/.servers}"
# An absolute path, since the wrappers carry it.
case "$servers_dir" in /*) ;; *) servers_dir="$PWD/$servers_dir" ;; esac

say() { printf 'install: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

usage() { sed -n '2,20s/^# \{0,1\}//p' "$0" >&2; exit 2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo "$@"
    else die "root rights are needed for: $*"
    fi
}

# --- packages of the distribution -----------------------------------------------------------------------------------

# Debian starts a service as soon as its package is unpacked. A policy file that answers 101 ("do not") keeps the ports free;
# whatever policy was there before is put back. Services that already run are not touched.
policy=/usr/sbin/policy-rc.d
kept_policy=""

forbid_service_starts() {
    if [ -e "$policy" ]; then
        kept_policy="$policy.kept-by-install"
        as_root mv "$policy" "$kept_policy"
    fi
    trap restore_service_starts EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
}

restore_service_starts() {
    as_root rm -f "$policy"
    if [ -n "$kept_policy" ]; then as_root mv "$kept_policy" "$policy"; fi
    trap - EXIT INT TERM
}

# Arguments: pairs of a command (or a file, when it starts with /) that must exist and the package that brings it.
ensure_packages() {
    local missing=()
    while [ $# -gt 0 ]; do
        if [ "${1#/}" != "$1" ]; then [ -e "$1" ] || missing+=("$2")
        else command -v "$1" >/dev/null || missing+=("$2")
        fi
        shift 2
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "this system has no apt-get; install by hand: ${missing[*]}"
    say "installing ${missing[*]}"
    forbid_service_starts
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends)
    # The lists of a fresh container are empty, those of an old machine are stale: fetch them only when the first try fails.
    if ! as_root "${apt[@]}" "${missing[@]}" >/dev/null 2>&1; then
        as_root apt-get -qq update
        as_root "${apt[@]}" "${missing[@]}" >/dev/null
    fi
    restore_service_starts
    # What came only for the tests must not occupy ports after the next boot either.
    if [ -d /run/systemd/system ]; then
        local package
        for package in "${missing[@]}"; do
            case "$package" in
                redis-server | prometheus | prometheus-alertmanager | prometheus-redis-exporter)
                    as_root systemctl disable "$package" >/dev/null 2>&1 || true ;;
            esac
        done
    fi
}

install_for_tests() {
    ensure_packages \
        cc gcc /usr/include/stdlib.h libc6-dev curl curl openssl openssl \
        /usr/bin/python3 python3 /usr/lib/python3/dist-packages/yaml python3-yaml \
        redis-server redis-server prometheus prometheus prometheus-redis-exporter prometheus-redis-exporter \
        prometheus-alertmanager prometheus-alertmanager amtool prometheus-alertmanager
    # Up to Debian 13 promtool came with prometheus, since then it is a package of its own.
    ensure_packages promtool promtool
}

install_for_run() {
    ensure_packages cc gcc /usr/include/stdlib.h libc6-dev curl curl redis-server redis-server
}

install_for_musl() {
    ensure_packages cc gcc musl-gcc musl-tools pgrep procps
    local target
    command -v rustc >/dev/null || die "there is no Rust toolchain; see https://rustup.rs"
    target="$(uname -m)-unknown-linux-musl"
    # A toolchain that did not come from rustup may still hold the target: its sysroot tells.
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target/lib" ] && return 0
    command -v rustup >/dev/null || die "the Rust target $target is missing and there is no rustup to add it"
    rustup target add "$target" || die "the Rust target $target could not be added"
}

# --- session libraries that write into a real Redis ---------------------------------------------------------------------

install_libraries() {
    ensure_packages node nodejs npm npm python3 python3 php php-cli ruby ruby \
        /usr/share/php/Symfony/Component/HttpFoundation/autoload.php php-symfony-http-foundation
    # Where these put their files depends on the version of the language, so ask the language.
    php -m | grep -x redis >/dev/null || ensure_packages /missing php-redis
    ruby -e 'require "redis-rack"' 2>/dev/null || ensure_packages /missing ruby-redis-rack
    python3 -c 'import ensurepip, venv' 2>/dev/null || ensure_packages /missing python3-venv

    local from=tests/libraries folder="$servers_dir/libraries" wanted
    wanted="$(cat "$from/package-lock.json" "$from/requirements.txt" | sha256sum)"
    [ "$(cat "$folder/.complete" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing session libraries of npm and PyPI into $folder"
    rm -rf "$folder"
    mkdir -p "$folder/node"
    cp "$from/package.json" "$from/package-lock.json" "$folder/node"
    (cd "$folder/node" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    python3 -m venv "$folder/python"
    # Ready-made packages only: no compiler runs, and the list of pins is complete.
    "$folder/python/bin/pip" install --quiet --no-deps --only-binary :all: --disable-pip-version-check -r "$from/requirements.txt"
    "$folder/python/bin/pip" check >&2
    printf '%s\n' "$wanted" >"$folder/.complete"
}

# --- Grafana's own libraries: its types, its models, and the components that its panels are made of ----------------------

install_grafana() {
    ensure_packages node nodejs npm npm python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || ensure_packages /missing python3-venv

    local from=tests/grafana folder="$servers_dir/grafana" wanted
    wanted="$(cat "$from/package-lock.json" "$from/requirements.txt" | sha256sum)"
    [ "$(cat "$folder/.complete" 2>/dev/null)" != "$wanted" ] || return 0
    say "installing Grafana's packages of npm and PyPI into $folder (half a gigabyte)"
    rm -rf "$folder"
    mkdir -p "$folder/node"
    cp "$from/package.json" "$from/package-lock.json" "$folder/node"
    (cd "$folder/node" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2)
    python3 -m venv "$folder/python"
    "$folder/python/bin/pip" install --quiet --no-deps --only-binary :all: --disable-pip-version-check -r "$from/requirements.txt"
    "$folder/python/bin/pip" check >&2
    printf '%s\n' "$wanted" >"$folder/.complete"
}

# --- the matrix: packages of newer Debian releases, unpacked and run in place ----------------------------------------

# A private apt: own sources, lists and cache, and an empty package database, so that the host's apt never sees any of it.
# The host's apt.conf (proxies and the like) stays in force.
private_apt() {
    local suite="$1" home="$servers_dir/apt/$1"
    shift
    "$1" -o Dir::Etc::sourcelist="$home/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts="$home/preferences.d" \
        -o Dir::State="$home" -o Dir::State::lists="$home/lists" -o Dir::State::status="$home/status" -o Dir::Cache="$home/cache" \
        -o APT::Sandbox::User="$(id -un)" -o APT::Architectures::="$architecture" -o APT::Get::List-Cleanup=0 \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false "${@:2}"
}

# The mirror that this machine uses for Debian itself; Debian's own default when it uses none.
debian_mirror() {
    local mirror
    # shellcheck disable=SC2016 # apt fills these in, not the shell
    mirror="$(apt-get indextargets --format '$(LABEL) $(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')"
    printf '%s\n' "${mirror:-http://deb.debian.org/debian}"
}

prepare_suite() {
    local suite="$1" home="$servers_dir/apt/$1"
    [ ! -e "$home/ready" ] || return 0
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    ensure_packages "$keyring" debian-archive-keyring
    mkdir -p "$home/lists/partial" "$home/cache/archives/partial" "$home/preferences.d"
    : >"$home/status"
    printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$(debian_mirror)" "$suite" >"$home/sources.list"
    say "reading the package list of Debian $suite"
    private_apt "$suite" apt-get -qq update
    : >"$home/ready"
}

# unpack SUITE FOLDER PACKAGE... : the packages and the shared libraries they need, and nothing else of their dependencies
# (no adduser, no perl, no init scripts: we start the programs ourselves).
unpack() {
    local suite="$1" folder="$servers_dir/$2"
    shift 2
    [ ! -e "$folder/.complete" ] || return 0
    prepare_suite "$suite"
    say "unpacking $* of Debian $suite"
    local wanted downloads="$folder.downloads"
    rm -rf "$folder" "$downloads"
    mkdir -p "$folder" "$downloads"
    wanted="$(private_apt "$suite" apt-get -s install --no-install-recommends "$@" |
        awk -v asked=" $* " '$1 == "Inst" && (index(asked, " " $2 " ") || ($2 ~ /^lib/ && $2 !~ /^(libjs|libperl|libpam|libc-gconv)/)) { print $2 }')"
    # shellcheck disable=SC2086 # one word per package
    (cd "$downloads" && private_apt "$suite" apt-get -qq download $wanted)
    local deb
    for deb in "$downloads"/*.deb; do dpkg-deb -x "$deb" "$folder"; done
    rm -rf "$downloads"
    : >"$folder/.complete"
}

# wrapper NAME FOLDER PROGRAM EXPECTED : a script that runs an unpacked program with the C library it was built for. The host's
# may be older. EXPECTED must stand in what `--version` prints: Debian unstable moves, and a wrapper must not lie about its version.
wrapper() {
    local name="$1" folder="$servers_dir/$2" program="$servers_dir/$2/$3" expected="$4" loader libraries said
    local script="$servers_dir/bin/$name"
    [ -x "$program" ] || die "$program is not in the package"
    loader="$(find "$folder" -name 'ld-linux*.so.*' | head -n 1)"
    libraries="$(find "$folder" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)"
    mkdir -p "$servers_dir/bin"
    if [ -n "$loader" ]; then
        printf '#!/bin/sh\nexec "%s" --argv0 "%s" --library-path "%s" "%s" "$@"\n' "$loader" "$name" "$libraries" "$program" >"$script"
    else # a static program brings no loader
        printf '#!/bin/sh\nexec "%s" "$@"\n' "$program" >"$script"
    fi
    chmod 755 "$script"
    said="$("$script" --version 2>&1 | head -n 1)" || die "$name does not run: $said"
    case "$said" in
        *"$expected"*) say "$name: $said" ;;
        *) rm -f "$script"; die "$name: expected version $expected, the package says: $said. Adapt tests/servers/install.sh." ;;
    esac
}

# Whether all these wrappers are there.
are_there() {
    local name
    for name in "$@"; do [ -x "$servers_dir/bin/$name" ] || return 1; done
}

needs_apt() {
    command -v apt-get >/dev/null || die "$1 of Debian packages and needs apt-get and dpkg-deb; elsewhere put the programs into $servers_dir/bin: ${*:2}"
    architecture="$(dpkg --print-architecture)"
}

# The package lists are large and serve only while unpacking.
forget_package_lists() { rm -rf "$servers_dir/apt"; }

newer_prometheus="prometheus-3.5 promtool-3.5"

# The rules promise to work with the Prometheus of the distribution and with the current long-term release.
install_newer_prometheus() {
    # shellcheck disable=SC2086 # one word per wrapper
    are_there $newer_prometheus && return 0
    # shellcheck disable=SC2086
    needs_apt "Prometheus 3.5 is made" $newer_prometheus
    # The next stable release of Debian holds still earlier than unstable does.
    unpack forky prometheus-3.5 prometheus promtool
    wrapper prometheus-3.5 prometheus-3.5 usr/bin/prometheus "version 3.5."
    wrapper promtool-3.5 prometheus-3.5 usr/bin/promtool "version 3.5."
}

matrix_wrappers="redis-server-8.0 valkey-server-8.1 valkey-server-9.1 redis_exporter-1.86"

install_matrix() {
    install_newer_prometheus
    # shellcheck disable=SC2086
    if ! are_there $matrix_wrappers; then
        # shellcheck disable=SC2086
        needs_apt "the matrix is made" $matrix_wrappers
        unpack trixie redis-8.0 redis-server redis-tools
        unpack trixie valkey-8.1 valkey-server valkey-tools
        unpack sid valkey-9.1 valkey-server valkey-tools
        unpack sid redis_exporter-1.86 prometheus-redis-exporter
        wrapper redis-server-8.0 redis-8.0 usr/bin/redis-server v=8.0.
        wrapper valkey-server-8.1 valkey-8.1 usr/bin/valkey-server v=8.1.
        wrapper valkey-server-9.1 valkey-9.1 usr/bin/valkey-server v=9.1.
        wrapper redis_exporter-1.86 redis_exporter-1.86 usr/bin/prometheus-redis-exporter 1.86.
    fi
    forget_package_lists
}

case "${1-}" in
    "") install_for_tests; install_newer_prometheus; forget_package_lists ;;
    --run) install_for_run ;;
    --bench) install_for_tests; ensure_packages wrk wrk ;;
    --libraries) install_libraries ;;
    --grafana) install_grafana ;;
    --pictures) install_for_tests; install_grafana; ensure_packages chromium chromium ;;
    --musl) install_for_musl ;;
    --matrix) install_for_tests; install_matrix ;;
    *) usage ;;
esac
