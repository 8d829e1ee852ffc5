"""The top level of the repository holds what everybody looks for there, and what deployment needs; nothing else."""

import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]

ALLOWED = {
    # What is read first.
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "LICENSE",
    "docs",
    # What it is made of.
    "src",
    "migrations",
    "tests",
    # How it is built, checked and run.
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
    "requirements-dev.lock",
    "requirements-image.lock",
    "alembic.ini",
    "Dockerfile",
    ".dockerignore",
    "compose.yaml",
    "deploy",
    ".ci",
    ".git",
    ".gitignore",
    ".gitattributes",
}


def test_nothing_else_lies_at_the_top() -> None:
    patterns = [
        line.strip().strip("/")
        for line in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    unknown = [
        entry.name
        for entry in ROOT.iterdir()
        if entry.name not in ALLOWED and not any(fnmatch.fnmatch(entry.name, pattern) for pattern in patterns)
    ]
    assert not unknown, f"put {unknown} into a directory, or say in ALLOWED why it has to lie at the top"
