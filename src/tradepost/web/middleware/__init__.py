"""The layers around the application, outermost first.

::

    Admission       what the door let in, and for how long       unless OVERLOAD_CONTROL=false
    TrustedProxies  who asked, and where, as a proxy says it     only with TRUSTED_PROXIES
    Traces          the span of each request                     only with OTEL_EXPORTER_OTLP_ENDPOINT or SENTRY_DSN
    Exchange        id, time, headers, log line, metrics
    TrustedHosts    400 for a host that is not ours              only with ALLOWED_HOSTS
    Cors            preflights and headers for other origins     only with BACKEND_CORS_ORIGINS
    Faults          what is done to requests on purpose          only with FAULTS_ENABLED
    BodyLimit       413 for a body that is too large
    Deadlines       503 or 504 when the time of a request is up
    Compression     JSON in zstd, brotli or gzip
    RateLimits      429 past the rate of a person or address     unless RATE_LIMIT_ENABLED is false
    Idempotency     whose key a POST has, and of what            only with Idempotency-Key
    FastPath        the busiest endpoints, past FastAPI
    FastAPI's own
    Failures        500 for an unexpected exception

All are plain ASGI: together they cost a tenth of one ``BaseHTTPMiddleware``.
"""
