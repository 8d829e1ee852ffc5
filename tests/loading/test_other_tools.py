"""The journeys for Locust and k6 are those of ``tradepost load``: each is parsed, and names every mix that it has."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.checkout import ROOT
from tests.syntax import parsed_file
from tradepost.loading.journeys import MIXES

LOCUST = ROOT / "deploy" / "load" / "locustfile.py"
K6 = ROOT / "deploy" / "load" / "k6.js"


def test_locust_has_every_journey() -> None:
    tree = parsed_file(LOCUST)
    (person,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Person"]
    journeys = {node.name for node in person.body if isinstance(node, ast.FunctionDef)}
    assert set(MIXES) <= journeys
    personal = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PERSONAL"
    )
    assert personal == {name for name, mix in MIXES.items() if mix.personal}


def test_k6_has_every_journey_but_that_of_the_stream() -> None:
    text = K6.read_text(encoding="utf-8")
    journeys = text.partition("const journeys = {")[2].partition("\n};")[0]
    assert set(re.findall(r"^  ([a-z]+)\(", journeys, re.MULTILINE)) == set(MIXES) - {"stream"}


@pytest.mark.parametrize("file", [LOCUST, K6], ids=lambda file: file.name)
def test_steps_have_the_same_names(file: Path) -> None:
    ours = (ROOT / "src" / "tradepost" / "loading" / "journeys.py").read_text(encoding="utf-8")
    steps = set(re.findall(r'(?:send|hear)\("([a-z ]+)"', ours)) - {"told", "open stream"}
    text = file.read_text(encoding="utf-8")
    assert not {step for step in steps if f'"{step}"' not in text and f"'{step}'" not in text}


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not here")
def test_k6s_file_is_parsed(tmp_path: Path) -> None:
    module = tmp_path / "k6.mjs"
    shutil.copy(K6, module)
    parsed = subprocess.run(["node", "--check", module], capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stderr
