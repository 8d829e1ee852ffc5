"""Thousands of generated requests, good and bad ones, against a real server: every answer must be a documented one."""

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import Template
from tests.flows.live import ROOT, LiveServer, environment, serving, tradepost

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
OF_SEQUENCES = ("use_after_free", "ensure_resource_availability")
"""What only several requests show: what was deleted is gone, and what was made is there."""
EXAMPLES = os.environ.get("SOAK_EXAMPLES", "5")
"""Requests for each operation, besides those that cover its schema one rule after the other."""
SEQUENCES = os.environ.get("SOAK_EXAMPLES", "5")
"""Sequences of requests along the document's links: each goes on with what an earlier request made."""
ONLY_OURS = "[phases.stateful.inference]\nalgorithms = []\n"
"""Schemathesis' configuration for the short form: the links that the document has, without hundreds that are guessed."""
EVERYTHING = "coverage,fuzzing"
PHASES = {"postgresql": EVERYTHING, "sqlite": EVERYTHING if "SOAK_EXAMPLES" in os.environ else "fuzzing"}
"""What is sent to each engine. Rules of a schema are kept before a database is asked: one engine will do for them, and in
the long form both do."""
SURROUNDINGS = {
    # Few: each request looks through all of them for a proxy.
    **{
        name: value
        for name, value in os.environ.items()
        if name.startswith(("PYTHON", "PATH", "LANG", "LC_"))
    },
    "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("generating.py")),
    # Where Hypothesis keeps its tables of Unicode: in a directory of the test's own it would make them anew.
    "HYPOTHESIS_STORAGE_DIRECTORY": str(ROOT / ".hypothesis"),
}
HAS_NO_END = "/notifications/stream$"
"""Operations whose answers go on: waiting for one would be waiting for ever."""
TAKES_QUERY = "/api/v1/items/$"
"""The path of QUERY, a method that OpenAPI 3.1 has no place for: it would count as one that should be refused."""
ENDS_THE_SESSION = "logout|/users/me/password|/auth/sessions"
"""Operations after which everything else would only be answered with 401: they are asked last, with a token of theirs."""


async def token(server: LiveServer) -> str:
    """Log in as the first superuser, whom every operation is open to."""
    async with server.client() as client:
        answer = await client.post(
            "/auth/login", data={"username": "admin@example.com", "password": "changethis"}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


async def examine(
    server: LiveServer,
    directory: Path,
    phases: str,
    *selection: str,
    checks: Sequence[str] = CHECKS,
    examples: str = EXAMPLES,
) -> None:
    """Let schemathesis loose on the server, as the first superuser."""
    command = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("st"),
        "run",
        f"{server.url}/api/v1/openapi.json",
        *("--header", f"Authorization: Bearer {await token(server)}"),
        *("--checks", ",".join(checks), "--phases", phases, "--max-examples", examples),
        *("--seed", "1", "--no-color", "--warnings", "off", "--request-timeout", "20", *selection),
        # How long a request takes to make up says how busy the machine is, and nothing of the server.
        *("--suppress-health-check", "too_slow"),
        # What an earlier run has found is no part of this one.
        *("--generation-database", "none"),
        cwd=directory,
        env=SURROUNDINGS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await command.communicate()
    text = output.decode()
    assert command.returncode == 0, text[-20_000:]
    assert " passed" in text, "nothing was asked"


async def test_every_answer_is_a_documented_one(template: Template, tmp_path: Path) -> None:
    variables = environment(tmp_path, await template.empty())
    await tradepost("seed", "--users", "5", "--items", "40", env=variables)
    with serving(variables) as server:
        await server.ready()
        phases = PHASES[template.engine]
        apart = f"{ENDS_THE_SESSION}|{HAS_NO_END}|{TAKES_QUERY}"
        await examine(server, tmp_path, phases, "--exclude-path-regex", apart)
        less = ("--exclude-checks", "unsupported_method,allow_header_conformance")
        await examine(server, tmp_path, phases, "--include-path-regex", TAKES_QUERY, *less)
        await examine(server, tmp_path, phases, "--include-path-regex", ENDS_THE_SESSION)


async def test_what_was_made_can_be_gone_on_with(template: Template, tmp_path: Path) -> None:
    variables = environment(tmp_path, await template.empty())
    await tradepost("seed", "--users", "5", "--items", "40", env=variables)
    if "SOAK_EXAMPLES" not in os.environ:
        (tmp_path / "schemathesis.toml").write_text(ONLY_OURS)
    with serving(variables) as server:
        await server.ready()
        await examine(
            server,
            tmp_path,
            "stateful",
            *("--exclude-path-regex", f"{ENDS_THE_SESSION}|{HAS_NO_END}"),
            checks=(*CHECKS, *OF_SEQUENCES),
            examples=SEQUENCES,
        )
