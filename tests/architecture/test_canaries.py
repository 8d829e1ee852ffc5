"""Canaries: what is used of FastAPI, Starlette and uvicorn beyond what they promise, and where to look when it changes.

An upgrade that breaks one of these fails here with the name of our module, and not in a request.
"""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httptools
import pytest
from fastapi import FastAPI, params
from fastapi.dependencies import models, utils
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette import _utils
from starlette.formparsers import MultiPartParser
from starlette.middleware.cors import CORSMiddleware
from uvicorn import _subprocess, config, supervisors
from uvicorn.protocols.http import flow_control, httptools_impl

from tests.syntax import parsed_file

SOURCE = Path(__file__).parents[2] / "src" / "tradepost"

INTERNALS = {
    "fastapi.dependencies.models": "web/routing/fast_path.py and query_names.py compile an endpoint's Dependant",
    "fastapi.dependencies.utils": "web/routing/fast_path.py reads parameters and bodies as FastAPI does",
    "starlette._utils": "web/routing/path_table.py and middleware/fast_path.py take the prefix off a path",
    "starlette.formparsers": "web/bodies/checked_request.py refuses form fields that are no text",
    "uvicorn.protocols.http.httptools_impl": "web/protocol.py bounds and checks what a connection sends",
    "uvicorn.protocols.http.flow_control": "web/protocol.py stops reading where uvicorn does",
    "uvicorn.config": "cli/serve.py ends with uvicorn's status when the start fails",
    "uvicorn": "supervisor.py says how the processes of workers are made",
    "uvicorn.supervisors": "supervisor.py lets go of the socket before workers end",
    "uvicorn.supervisors.multiprocess": "supervisor.py asks workers whether they are well, and replaces them",
}
"""Modules of the framework without a promise, and what of ours stands on them."""


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_every_internal_that_is_imported_has_a_canary() -> None:
    found = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(parsed_file(path)):
            if isinstance(node, ast.ImportFrom) and node.module:
                root = node.module.split(".")[0]
                is_deep = root == "uvicorn" or any(part.startswith("_") for part in node.module.split("."))
                if root in {"fastapi", "starlette", "uvicorn"} and (
                    is_deep or node.module.startswith(("fastapi.dependencies", "starlette.formparsers"))
                ):
                    found.add(node.module)
    assert found == set(INTERNALS), (
        "add what is new to INTERNALS with a canary of its own, and take out what is gone"
    )


def test_a_dependant_says_where_arguments_come_from() -> None:
    assert {
        "path_params",
        "query_params",
        "header_params",
        "body_params",
        "dependencies",
        "call",
        "name",
        "request_param_name",
    } <= set(dir(models.Dependant())), INTERNALS["fastapi.dependencies.models"]


def test_parameters_and_bodies_are_read_by_these_functions() -> None:
    hint = INTERNALS["fastapi.dependencies.utils"]
    assert parameters(utils.request_params_to_args)[:2] == ["fields", "received_params"], hint
    assert {"body_fields", "received_body", "embed_body_fields"} <= set(
        parameters(utils.request_body_to_args)
    ), hint
    assert inspect.iscoroutinefunction(utils.request_body_to_args), hint


def test_a_route_has_what_the_fast_path_compiles() -> None:
    app = FastAPI()

    @app.get("/things/{thing_id}")
    async def read_thing(thing_id: int, q: str = "") -> int:
        return thing_id

    (context,) = [one for one in iter_route_contexts(app.routes) if one.path == "/things/{thing_id}"]
    assert isinstance(context, RouteContext)
    assert [field.alias for field in context.dependant.query_params] == ["q"]
    assert [field.name for field in context.dependant.path_params] == ["thing_id"]
    assert not context._embed_body_fields
    assert isinstance(context.original_route, APIRoute)
    assert isinstance(context.dependant.query_params[0].field_info, params.Query)
    assert not context.dependant.query_params[0].field_info.is_required()


def test_the_prefix_is_taken_off_a_path() -> None:
    scope: dict[str, Any] = {"path": "/shop/items", "root_path": "/shop"}
    assert _utils.get_route_path(scope) == "/items", INTERNALS["starlette._utils"]


def test_a_form_parser_has_a_current_part() -> None:
    source = inspect.getsource(MultiPartParser)
    for name in ("_current_part", "on_part_end", "field_name"):
        assert name in source, INTERNALS["starlette.formparsers"]


def test_cors_mirrors_the_headers_that_are_asked_for() -> None:
    layer = CORSMiddleware(FastAPI(), allow_origins=["https://a.example"], allow_headers=["*"])
    assert layer.allow_all_headers
    assert parameters(layer.preflight_response) == ["request_headers"]


@pytest.mark.parametrize(
    "name",
    [
        "_start_asgi_task",
        "_should_upgrade",
        "connection_made",
        "data_received",
        "eof_received",
        "on_body",
        "on_header",
        "on_headers_complete",
        "on_message_begin",
        "on_response_complete",
        "send_400_response",
        "shutdown",
    ],
)
def test_the_protocol_calls_what_ours_overrides(name: str) -> None:
    assert callable(getattr(httptools_impl.HttpToolsProtocol, name)), INTERNALS[
        "uvicorn.protocols.http.httptools_impl"
    ]


def test_there_is_a_mark_at_which_reading_stops() -> None:
    hint = INTERNALS["uvicorn.protocols.http.flow_control"]
    assert isinstance(flow_control.HIGH_WATER_LIMIT, int), hint
    assert "HIGH_WATER_LIMIT" in inspect.getsource(httptools_impl.HttpToolsProtocol.on_body), hint


def test_a_cycle_has_what_the_protocol_sets() -> None:
    source = inspect.getsource(httptools_impl.RequestResponseCycle)
    for name in ("chunked_encoding", "expected_content_length", "keep_alive", "more_body", "disconnected"):
        assert f"self.{name}" in source, INTERNALS["uvicorn.protocols.http.httptools_impl"]
    assert httptools_impl.STATUS_LINE[400].startswith(b"HTTP/1.1 400 ")


def test_headers_of_the_scope_are_the_list_that_the_parser_fills() -> None:
    """The reason that ours puts another list in its place once the head is complete."""
    assert '"headers": self.headers' in inspect.getsource(httptools_impl.HttpToolsProtocol.on_message_begin)


def test_the_parser_stops_at_an_offer_of_another_protocol_and_says_where() -> None:
    parser = httptools.HttpRequestParser(object())
    head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 1\r\n\r\n"
    with pytest.raises(httptools.HttpParserUpgrade) as caught:
        parser.feed_data(head + b"x")
    assert caught.value.args[0] == len(head)


def test_the_supervisor_can_say_how_workers_are_made() -> None:
    assert "spawn.Process(" in inspect.getsource(_subprocess.get_subprocess), INTERNALS["uvicorn"]


def test_the_supervisor_can_let_go_of_its_sockets() -> None:
    assert callable(supervisors.Multiprocess.terminate_all), INTERNALS["uvicorn.supervisors"]
    assert "self.sockets" in inspect.getsource(supervisors.Multiprocess)
    assert parameters(supervisors.multiprocess.Process.__init__)[1:] == ["config", "sockets"]
    source = inspect.getsource(supervisors.multiprocess.Process)
    for name in ("parent_conn", "child_conn", "self.process ", "always_pong"):
        assert name in source, INTERNALS["uvicorn.supervisors.multiprocess"]
    assert config.STARTUP_FAILURE == 3, INTERNALS["uvicorn.config"]
