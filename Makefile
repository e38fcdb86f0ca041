# Every target installs what it needs, so that a fresh Debian with a Rust toolchain is enough.
SHELL := /bin/bash
.DEFAULT_GOAL := help

STAGES := lint unit servers e2e package

.PHONY: help run test $(STAGES) matrix pipeline panels pictures scene bench soak sbom docs fixtures

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9$$()A-Z]+:.*## / { sub(/\$$\(STAGES\)/, "lint unit servers e2e package", $$1); printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  make lint | unit | servers | e2e | package    one stage of the tests alone"

run: ## build, find or start a Redis with sample sessions, watch it on :9121 until Ctrl-C
	@deploy/run/run.sh

test: ## all stages of the tests
	@tests/stages.sh $(STAGES)

$(STAGES):
	@tests/stages.sh $@

matrix: ## the server and end-to-end tests against every server, Prometheus and peer that Debian packages
	@tests/stages.sh matrix

pipeline: ## three dozen real faults through exporter, Prometheus and Alertmanager, thirty times faster: which alert reached whom, after how long (4 minutes)
	@tests/servers/install.sh
	@cargo test --locked --test e2e alert_pipeline -- --nocapture

panels: ## every panel of the dashboards with its queries, how many rows they return in the scene of the tests, and a value
	@tests/servers/install.sh
	@tests/servers/install.sh --grafana
	@cargo test --locked --test e2e dashboards::checks::every_panel -- --nocapture

pictures: ## docs/pictures: the dashboards on real data, drawn by Grafana's own components (PICTURES_SECONDS of traffic, default 480)
	@tests/servers/install.sh --pictures
	cargo test --locked --test e2e dashboards::capture::pictures -- --ignored --nocapture

scene: ## the servers, traffic, exporter and Prometheus of the pictures, kept for SCENE_SECONDS (default 3600) for a Grafana of yours
	@tests/servers/install.sh
	@cargo test --locked --test e2e dashboards::capture::the_scene -- --ignored --nocapture

bench: ## micro-benchmarks, side by side with redis_exporter on one server, what counting sessions costs, and every optional group
	@tests/servers/install.sh --bench
	cargo bench --locked
	cargo build --locked --release
	@benches/compare/compare.py
	@benches/compare/scan.py
	@benches/compare/optional.py

soak: ## every fault in a loop for SOAK_SECONDS (default 1200): memory, tasks and descriptors must stay flat
	@tests/servers/install.sh
	cargo build --locked --release
	@tests/soak/soak.py

sbom: ## write target/redis-session-exporter.cdx.json: what is linked into the release binary (CycloneDX)
	@deploy/sbom.sh

docs: ## write docs/metrics.md again from the descriptors
	cargo run --locked --quiet -- catalogue --markdown >docs/metrics.md.new
	mv docs/metrics.md.new docs/metrics.md

fixtures: ## capture tests/fixtures again from real servers
	@tests/servers/install.sh --matrix
	@tests/fixtures/capture.py
	@tests/fixtures/capture_sentinel.py
	@tests/fixtures/synthesize.py
