# syntax=docker/dockerfile:1

ARG RUST_VERSION=1.95

FROM rust:${RUST_VERSION}-bookworm AS build
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
    && cp target/release/credit-approval /credit-approval

# No shell, no package manager, not root; libc, libgcc and the certificate authorities are all there is.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /credit-approval /usr/local/bin/credit-approval
COPY LICENSE-MIT LICENSE-APACHE /licenses/
# Inside a container loopback is out of reach. There is no PostgreSQL here to start: DATABASE_URL must name one.
ENV HTTP_ADDR=0.0.0.0:8000
EXPOSE 8000
ENTRYPOINT ["/usr/local/bin/credit-approval"]
CMD ["serve"]
