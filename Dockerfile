# syntax=docker/dockerfile:1
# A static binary in an empty image: no shell, no package manager, a plain user.
ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates musl-tools \
    && rm -rf /var/lib/apt/lists/* \
    && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /build
COPY . .
# The caches survive between builds; the binary is copied out because a cache is not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    target="$(uname -m)-unknown-linux-musl" \
    && export "CC_$(uname -m)_unknown_linux_musl=musl-gcc" \
    && cargo build --locked --release --target "$target" \
    && cp "target/$target/release/redis-session-exporter" /redis-session-exporter

FROM scratch
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="redis-session-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Redis and Valkey servers that hold login sessions" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# For rediss:// addresses whose certificate comes from a public authority; a private one is mounted and named by `ca_file`.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /redis-session-exporter /redis-session-exporter
# A number, so that Kubernetes can tell that it is not root. Mounted secrets must be readable by it.
USER 65532:65532
EXPOSE 9121
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["/redis-session-exporter", "healthcheck"]
ENTRYPOINT ["/redis-session-exporter"]
