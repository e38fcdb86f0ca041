#!/usr/bin/env bash
# Writes a software bill of materials of the release binary (CycloneDX 1.5, JSON): what is linked into it, with versions, licences and the
# checksums of the registry.
#
#   deploy/sbom.sh [FILE]      default: target/redis-session-exporter.cdx.json
set -euo pipefail
cd "$(dirname "$0")/.."
file="$(realpath -m "${1:-${CARGO_TARGET_DIR:-target}/redis-session-exporter.cdx.json}")"
target="$(uname -m)-unknown-linux-musl"

if ! command -v cargo-cyclonedx >/dev/null; then
    echo "installing cargo-cyclonedx (one to three minutes on two cores)"
    cargo install --locked --quiet cargo-cyclonedx
fi

# The tool writes beside Cargo.toml and nowhere else.
name="sbom-$$"
trap 'rm -f "$name.json"' EXIT
# The time of the commit in place of that of the run: the same sources give the same file.
SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}" \
    cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --target "$target" --override-filename "$name"
mkdir -p "$(dirname "$file")"
cargo tree --locked --edges normal --target "$target" --prefix none --no-dedupe --format '{p}' |
    /usr/bin/python3 deploy/sbom.py "$name.json" "$file"
