# The image: Node, one bundled file and its compile cache; no shell, no package manager, no root. docs/kubernetes.md says
# how it is built and what was tried. Both bases are arguments without a default, so that each build names the digests
# that it took:
#
#   buildah bud --format docker \
#     --build-arg BUILD=docker.io/library/node:24-bookworm-slim@sha256:… \
#     --build-arg BASE=gcr.io/distroless/nodejs24-debian12:nonroot@sha256:… \
#     --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t sidebearer:0.1.0 .
#
# `--format docker` (buildah, podman): the OCI format has no HEALTHCHECK.
ARG BUILD
ARG BASE

FROM ${BUILD} AS bundle
ARG REVISION=unknown
WORKDIR /src
COPY package.json package-lock.json ./
# No package's install script runs: the bundle needs none.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN SIDEBEARER_COMMIT="$REVISION" node scripts/build.ts

# The compile cache is keyed by version, architecture, flags and user: made by the same Node, as the same user.
FROM ${BASE} AS warm
COPY --from=bundle /src/dist/sidebearer.js /app/sidebearer.js
COPY scripts/warm-compile-cache.mjs /warm/warm.mjs
USER 0
RUN ["/nodejs/bin/node", "/warm/warm.mjs", "/app/sidebearer.js", "/app/cache", "65532", "--max-semi-space-size=8", "--disable-sigusr1"]

FROM ${BASE}
ARG BASE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Sidebearer" \
      org.opencontainers.image.description="A sidecar reverse proxy that keeps an OAuth access token alive" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=warm /app /app
COPY --chmod=0755 scripts/image-command.mjs /usr/local/bin/sidebearer
ENV NODE_ENV=production NODE_COMPILE_CACHE=/app/cache
# A number, so that kubelet can tell that it is not root.
USER 65532:65532
WORKDIR /
EXPOSE 8080 1455 9464
# docs/decisions/008-node-and-start.md has the figures of the first flag. The second keeps the inspector shut from the
# first instruction on (docs/security.md).
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=8", "--disable-sigusr1", "/app/sidebearer.js"]
CMD ["run", "--config", "/etc/sidebearer/config.yaml"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
  CMD ["/nodejs/bin/node", "--max-semi-space-size=8", "--disable-sigusr1", "/app/sidebearer.js", "wait", "--url", "http://127.0.0.1:9464", "--timeout", "2s"]
