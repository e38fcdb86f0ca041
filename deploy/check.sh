#!/usr/bin/env bash
# Checks the files under deploy/ with the tools that will read them. With a binary as argument also the configurations in them, and the rules of alerts/.
#
#   deploy/check.sh [BINARY]
set -euo pipefail
binary="${1:+$(realpath "$1")}"
cd "$(dirname "$0")"

fail() { echo "deploy/check: $*" >&2; exit 1; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

if [ -n "$binary" ]; then
    checked=0
    /usr/bin/python3 check_yaml.py --extract "$work" kubernetes/*.yaml
    cp run/exporter.yaml "$work/run.yaml"
    # Secrets that the cluster mounts are not here; a password file that cannot be read is an error of the configuration.
    echo example >"$work/password"
    sed -i "s|password_file: .*|password_file: $work/password|" "$work"/*.yaml
    for file in "$work"/*.yaml; do
        # A value like ${NAME} that is not set is an error, so that the manifests' own names are set here.
        REDIS_PASSWORD=example "$binary" --config.check "--config.file=$file" || fail "the exporter refuses $file"
        checked=$((checked + 1))
    done
    echo "deploy/check: the exporter accepts $checked configurations"
    # Here too, since tests run with features of packages that the binary does not have.
    "$binary" rules --values=../alerts/values.yaml "--output=$work/rules" >/dev/null || fail "the exporter refuses its own alerts/values.yaml"
    diff -r ../alerts/rules "$work/rules" || fail "the rules of the exporter are not those of alerts/rules"
    echo "deploy/check: the exporter writes alerts/rules from alerts/values.yaml"
    exit 0
fi

/usr/bin/python3 check_yaml.py kubernetes/*.yaml
for file in prometheus/*.yaml; do
    # Certificates that a job names are on the machine where it runs, not here: in their place stands a file that is.
    sed "s|_file: /etc/prometheus/.*|_file: /dev/null|" "$file" >"$work/prometheus.yaml"
    promtool check config --lint=all "$work/prometheus.yaml" >"$work/promtool" 2>&1 || { cat "$work/promtool"; fail "promtool refuses $file"; }
    echo "deploy/check: promtool accepts $file"
done

if command -v systemd-analyze >/dev/null; then
    # The program need not be installed where this runs: an existing one stands in for it.
    mkdir -p "$work/units"
    cp systemd/*.service systemd/*.socket "$work/units/"
    sed -i "s|^ExecStart=[^ ]*|ExecStart=$(command -v true)|" "$work"/units/*.service
    systemd-analyze verify --man=no --recursive-errors=no "$work"/units/* 2>"$work/verify" || { cat "$work/verify"; fail "systemd refuses the unit"; }
    if [ -s "$work/verify" ]; then cat "$work/verify"; fail "systemd warns about the unit"; fi
    systemd-analyze security --offline=true --threshold=15 --no-pager systemd/redis-session-exporter.service | tail -n 1
else
    echo "NOT CHECKED: the systemd unit (no systemd-analyze here)"
fi
