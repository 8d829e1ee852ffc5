# By its digest where builds have to be alike: --build-arg BASE=python:3.13-slim@sha256:…, as `docker buildx imagetools inspect
# python:3.13-slim` tells it. It is a new one with each of its security updates.
ARG BASE=python:3.13-slim
FROM ${BASE} AS build
ENV UV_SYSTEM_CERTS=1
WORKDIR /build
# The server's requirements come first: they change less often than its code.
COPY requirements-image.lock requirements-dev.lock ./
RUN awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements-dev.lock > uv.lock \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement uv.lock \
    && uv venv --python /usr/local/bin/python3 /venv \
    && uv pip install --no-cache --python /venv/bin/python --compile-bytecode \
        --require-hashes --requirement requirements-image.lock
COPY pyproject.toml LICENSE ./
COPY migrations migrations
COPY src src
RUN uv pip install --no-cache --python /venv/bin/python --compile-bytecode \
        --no-deps --build-constraints requirements-dev.lock .

FROM ${BASE}
ARG VERSION=0 REVISION=unknown
LABEL org.opencontainers.image.title="Tradepost" \
    org.opencontainers.image.description="The backend of a marketplace as an asynchronous HTTP API" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
# The first process of a container hands signals on, and buries processes whose parent is gone.
# Debian's archive keeps the newest version alone: a pinned one would be gone with the next.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
# Numbers, not names: Kubernetes checks runAsNonRoot by the number.
RUN mkdir /data && chown 10001:10001 /data
COPY --from=build /venv /venv
WORKDIR /app
# The 19 MiB of each password hash go back to the system; in large pages, or getting them anew would cost half of the hash.
ENV GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4194304:glibc.malloc.hugetlb=1
# Not `local`: an image that is started as it is must refuse the published password, on an address that all can reach.
ENV PATH=/venv/bin:$PATH \
    ENVIRONMENT=production \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    DATA_DIR=/data
VOLUME /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["tini", "--", "tradepost"]
CMD ["serve", "--host", "0.0.0.0"]
