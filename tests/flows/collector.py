"""A collector of spans and reports for tests: an HTTP server that keeps what it is sent, as it came."""

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import brotli  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_UNPACKED: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.decompress, "br": brotli.decompress}


@dataclass(frozen=True)
class Received:
    """One request: its headers by their names in lower case, its body unpacked."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Span:
    """A span as OTLP has it, its ids in hexadecimal."""

    name: str
    service: str
    trace_id: str
    id: str
    parent: str
    seconds: float
    failed: bool
    facts: dict[str, str | int]


@dataclass
class Collector:
    """What has come so far; ``status`` is what the next ones are answered with."""

    port: int = 0
    status: int = 200
    received: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Span]:
        """The spans of all requests."""
        return [
            span
            for one in self.received
            if one.path.rstrip("/").endswith("/v1/traces")
            for span in _spans(one.body)
        ]

    @property
    def reports(self) -> list[dict[str, Any]]:
        """The events of all envelopes, as Sentry's SDKs send them."""
        found: list[dict[str, Any]] = []
        for one in self.received:
            if one.path.endswith("/envelope/"):
                _, *items = one.body.split(b"\n")
                heads = zip(items[::2], items[1::2], strict=False)
                found += [json.loads(body) for head, body in heads if json.loads(head)["type"] == "event"]
        return found

    def everything(self) -> bytes:
        """Return all that has come, to look for what may not be in it."""
        return b"\n".join(
            one.path.encode() + json.dumps(one.headers).encode() + one.body for one in self.received
        )

    @classmethod
    @contextmanager
    def running(cls) -> "Iterator[Collector]":
        """Listen on a free port for the length of the block."""
        collector = cls()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                body = _UNPACKED[self.headers["Content-Encoding"]](body)
                collector.received.append(
                    Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                )
                self.send_response(collector.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Write nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        collector.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _spans(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {fact.key: fact.value.string_value for fact in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    service=about["service.name"],
                    trace_id=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    facts={
                        fact.key: fact.value.string_value or fact.value.int_value for fact in span.attributes
                    },
                )
