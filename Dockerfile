# syntax=docker/dockerfile:1
# One file, three images:
#   for name in operator backend client; do
#     docker build --target "$name" --tag "breakwater/$name:0.1.0" .
#   done

ARG VERSION=0.1.0
# The commit that the images are built from: --build-arg REVISION="$(git rev-parse HEAD)"
ARG REVISION=unknown

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
# Writes into each program from what crates it was made, as scanners read it.
RUN cargo install --locked --debug cargo-auditable --version 0.7.7
# Static binaries, as the images hold nothing else. The target is named, or the flag would apply to procedural macros
# too, and these cannot be static.
ENV RUSTFLAGS="-C target-feature=+crt-static"
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    target="$(rustc --print host-tuple)" \
    && cargo auditable build --locked --release --target "$target" \
        --package breakwater-operator --package breakwater-backend --package breakwater-client \
    && mkdir /out \
    && cp "target/$target/release/breakwater-operator" \
        "target/$target/release/breakwater-backend" \
        "target/$target/release/breakwater-client" /out/

FROM scratch AS base
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.source="https://github.com/breakwater-dev/breakwater" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION"
# A number, so that Kubernetes' runAsNonRoot can check it.
USER 65532:65532

FROM base AS operator
LABEL org.opencontainers.image.title="breakwater-operator" \
    org.opencontainers.image.description="The Kubernetes operator that runs ChaosExperiments."
COPY --from=build /out/breakwater-operator /breakwater-operator
EXPOSE 8080
ENTRYPOINT ["/breakwater-operator"]

FROM base AS backend
LABEL org.opencontainers.image.title="breakwater-backend" \
    org.opencontainers.image.description="The service that experiments kill: one JSON answer, probes and metrics."
COPY --from=build /out/breakwater-backend /breakwater-backend
EXPOSE 5000
ENTRYPOINT ["/breakwater-backend"]

FROM base AS client
LABEL org.opencontainers.image.title="breakwater-client" \
    org.opencontainers.image.description="Calls the backend through a circuit breaker and tells each of its transitions."
COPY --from=build /out/breakwater-client /breakwater-client
EXPOSE 8080
ENTRYPOINT ["/breakwater-client"]
