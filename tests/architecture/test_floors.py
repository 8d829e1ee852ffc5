"""Floors under the versions of libraries: below them are known holes.

A table, because nothing here may ask a service while tests run. Whoever hears of an advisory raises a floor, here and in
``pyproject.toml``.
"""

import re
import tomllib
from typing import Final

import pytest

from tests.checkout import ROOT

FLOORS: Final = {
    # library: (the version that closes them all, the advisories)
    "asyncpg": ("0.21.0", "CVE-2020-17446"),
    "brotli": ("1.2.0", "CVE-2025-6176"),
    "click": ("8.3.3", "PYSEC-2026-2132"),
    "dnspython": ("2.6.1", "CVE-2023-29483"),
    "fastapi": ("0.109.1", "CVE-2024-24762"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "idna": ("3.15", "CVE-2024-3651 CVE-2026-45409"),
    "jinja2": ("3.1.6", "CVE-2024-56201 CVE-2024-56326 CVE-2025-27516"),
    "mako": ("1.3.12", "CVE-2026-41205 CVE-2026-44307"),
    "pillow": ("12.3.0", "CVE-2026-25990 CVE-2026-40192 CVE-2026-42311 PYSEC-2026-2253 PYSEC-2026-3451"),
    "pydantic": ("2.4.0", "CVE-2024-3772"),
    "pydantic-settings": ("2.14.2", "GHSA-4xgf-cpjx-pc3j"),
    "pyjwt": ("2.13.0", "CVE-2022-29217 CVE-2024-53861 CVE-2026-32597 CVE-2026-48522 CVE-2026-48526"),
    "python-dotenv": ("1.2.2", "CVE-2026-28684"),
    "python-multipart": ("0.0.32", "CVE-2026-40347 CVE-2026-42561 CVE-2026-53538 CVE-2026-53540"),
    "redis": ("4.5.5", "CVE-2023-28858 CVE-2023-28859"),
    "starlette": ("1.3.1", "CVE-2025-62727 CVE-2026-48710 GHSA-82w8-qh3p-5jfq GHSA-wqp7-x3pw-xc5r"),
    "uvicorn": ("0.11.7", "CVE-2020-7694 CVE-2020-7695"),
}
LOCKS: Final = ("requirements.lock", "requirements-image.lock", "requirements-dev.lock")


def numbers(version: str) -> tuple[int, ...]:
    """Return a version's numbers, without zeros at the end: they can be compared."""
    found = [int(number) for number in version.split(".")]
    while found and not found[-1]:
        found.pop()
    return tuple(found)


def locked(lock: str) -> dict[str, str]:
    """Return the version of each library in a lock file."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==([0-9.]+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_no_locked_version_is_below_a_floor(lock: str) -> None:
    versions = locked(lock)
    below = {
        name: f"{versions[name]} has {advisories}"
        for name, (floor, advisories) in FLOORS.items()
        if name in versions and numbers(versions[name]) < numbers(floor)
    }
    assert not below, below


def test_every_floor_is_under_something() -> None:
    assert FLOORS.keys() <= locked(LOCKS[0]).keys(), "take the floor of what is not used any more away"


def test_what_is_asked_for_is_not_below_a_floor() -> None:
    """An installation without the lock gets no version below a floor either, of what we depend on ourselves."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounds = (re.match(r"([a-z0-9-]+)(?:\[[^\]]*\])?>=([0-9.]+)", line) for line in project["dependencies"])
    asked = {found[1]: found[2] for found in bounds if found}
    below = {
        name: f">={asked[name]}, and {floor} is the floor"
        for name, (floor, _) in FLOORS.items()
        if name in asked and numbers(asked[name]) < numbers(floor)
    }
    assert not below, below


@pytest.mark.parametrize(
    ("lower", "higher"), [("2.9.9", "2.13.0"), ("3.1", "3.1.6"), ("0.0.31", "0.0.32"), ("1.3.1", "1.10")]
)
def test_versions_are_compared_by_their_numbers(lower: str, higher: str) -> None:
    assert numbers(lower) < numbers(higher)
    assert numbers("1.3") == numbers("1.3.0")
