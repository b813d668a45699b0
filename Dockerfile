# syntax=docker/dockerfile:1
#
# A static binary and the certificate authorities, and nothing else: no shell, no package manager, no C library, not root.
# `docker buildx build --platform linux/amd64,linux/arm64 .` makes it for both: each is built where it runs, or emulated.

ARG RUST_VERSION=1.95

# Alpine's Rust builds for musl, whose binaries are static. Its compiler is for the C in ring, zstd and mimalloc.
FROM rust:${RUST_VERSION}-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /build
ENV CARGO_INCREMENTAL=0

# The dependencies first, against empty sources: this layer is built again only when a manifest or the lock file changes.
COPY Cargo.toml Cargo.lock ./
COPY aggregates/Cargo.toml aggregates/
COPY projections/Cargo.toml projections/
# Benchmarks named in the manifest are not part of the image's context: cargo asks only that the files exist.
RUN mkdir -p src benches aggregates/src projections/src \
    && touch src/lib.rs aggregates/src/lib.rs projections/src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && sed -n '/^\[\[bench\]\]/,/^$/s/^name *= *"\(.*\)"/\1/p' Cargo.toml \
    | while read -r bench; do echo 'fn main() {}' > "benches/$bench.rs"; done
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    cargo build --release --locked --bin credit-approval

COPY . .
# COPY keeps the files' own times, which are older than what was just built from the empty sources.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    find src aggregates projections migrations policies -type f -exec touch {} + \
    && cargo build --release --locked --bin credit-approval \
    && cp target/release/credit-approval /credit-approval \
    # A binary that asks for a loader would not start where there is none.
    && ! readelf --program-headers /credit-approval | grep INTERP \
    && /credit-approval --version

FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="credit-approval" \
      org.opencontainers.image.description="Decides who gets credit and records why" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /credit-approval /usr/local/bin/credit-approval
COPY LICENSE-MIT LICENSE-APACHE /licenses/
# Inside a container loopback is out of reach. There is no PostgreSQL here to start: DATABASE_URL must name one. The file
# system may be read-only but for /tmp, where workbooks are unpacked.
ENV HTTP_ADDR=0.0.0.0:8000 HEALTH_ADDR=0.0.0.0:8001 DATA_DIR=/tmp/credit-approval LOG_FORMAT=json
EXPOSE 8000 8001
# Kubernetes sees that it is not root by the number.
USER 65532:65532
# Ready to answer, whatever the roles are.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/credit-approval", "health", "--url", "http://127.0.0.1:8001/health/ready"]
ENTRYPOINT ["/usr/local/bin/credit-approval"]
CMD ["serve"]
