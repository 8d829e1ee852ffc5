"""What is loaded before requests are made up, by ``st run`` too (``SCHEMATHESIS_HOOKS``): quick ways to what takes long.

A class of characters is worked out once: the patterns of names and of addresses know the letters of every script, in hundreds of ranges. Hypothesis adds them up
character by character, anew for each request: that took five times as long as everything else together. A password that
is too long is put together: chance hits its three patterns and its one length at once after minutes, or never.
"""

from typing import Any

import schemathesis
from hypothesis.strategies import SearchStrategy
from hypothesis.strategies._internal import regex
from schemathesis.specs.openapi.coverage import _schema

_of_any_code = regex._strategy
_too_long_of_any_kind = _schema._generate_oversized_string
_classes: dict[tuple[Any, ...], SearchStrategy[Any]] = {}


def _strategy(codes: Any, context: Any, is_unicode: bool, *, alphabet: Any) -> SearchStrategy[Any]:  # noqa: FBT001 - its form
    if not isinstance(codes, tuple) or repr(codes[0]) != "IN":
        return _of_any_code(codes, context, is_unicode, alphabet=alphabet)
    key = (tuple(codes[1]), context.flags, is_unicode, repr(alphabet))
    if key not in _classes:
        _classes[key] = _of_any_code(codes, context, is_unicode, alphabet=alphabet)
    return _classes[key]


def _too_long(ctx: Any, new_schema: dict[str, Any], target_length: int) -> str | None:
    if all("pattern" in part for part in new_schema.get("allOf", [{}])):
        return ("Password1" * target_length)[:target_length]
    return _too_long_of_any_kind(ctx, new_schema, target_length)


@schemathesis.hook
def before_load_schema(_context: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Have no time limits drawn: most would be too short for any answer but 503 and 504, of which none may come."""
    for methods in raw_schema["paths"].values():
        for operation in methods.values():
            operation["parameters"] = [
                one for one in operation["parameters"] if one["name"] != "Request-Timeout"
            ]


regex._strategy = _strategy
_schema._generate_oversized_string = _too_long
