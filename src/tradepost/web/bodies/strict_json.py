"""A strict JSON parser: what two parsers could understand differently is refused (RFC 8259, RFC 7493)."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Never

MAX_DEPTH: Final = 64
"""How deep arrays and objects may be nested; no schema of ours needs a tenth of it."""

MAX_VALUES: Final = 10_000
"""How many values a text may hold: a schema may find a fault in each, and all the while the event loop stands still."""

_MIN_INTEGER: Final = -(2**63)
_MAX_INTEGER: Final = 2**63 - 1
_LONGEST_INTEGER: Final = len(str(_MIN_INTEGER))

# Escapes that may leave a NUL or half of a surrogate pair behind. Neither can be in text that is UTF-8 any other way.
_SUSPICIOUS: Final = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_UNFIT: Final = re.compile("[\x00\ud800-\udfff]")

Path = tuple[str | int, ...]


class JsonFault(ValueError):
    """A text that is no acceptable JSON.

    ``location`` is the way to the faulty value, or the offset in characters where the text stops being JSON;
    ``message`` says what is wrong and repeats nothing of what was sent; ``kind`` names it for programs.
    """

    def __init__(self, message: str, kind: str, location: Path = ()) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.location = location


class _Pairs(list[tuple[str, Any]]):
    """An object as it was written, so that a key may be in it twice."""


def _integer(digits: str) -> int:
    # Looked at before int(), whose cost is quadratic in the number of digits.
    if len(digits) <= _LONGEST_INTEGER and _MIN_INTEGER <= (number := int(digits)) <= _MAX_INTEGER:
        return number
    raise JsonFault("Integers must be between -2^63 and 2^63-1", "int_out_of_range")


def _real(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise JsonFault("Numbers must fit a 64-bit floating-point number", "float_out_of_range")
    return number


def _constant(name: str) -> Never:
    del name
    raise JsonFault("NaN and Infinity are no JSON", "finite_number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _repeated_key()
    return found


def _repeated_key(path: Path = ()) -> JsonFault:
    return JsonFault("The key is in its object more than once", "repeated_key", path)


def _marking(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Have a faulty value read as its fault."""

    def mark(written: str) -> Any:
        try:
            return parse(written)
        except JsonFault as fault:
            return fault

    return mark


_decode = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant
).decode
_decode_marking = json.JSONDecoder(
    object_pairs_hook=_Pairs,
    parse_int=_marking(_integer),
    parse_float=_marking(_real),
    parse_constant=_marking(_constant),
).decode


def loads(data: bytes) -> Any:
    """Return the value that ``data`` holds, or raise ``JsonFault``.

    Refused besides what is no JSON at all: anything but UTF-8, a byte order mark, NaN and Infinity, a key that is twice
    in one object, half a surrogate pair or NUL in any text, nesting deeper than ``MAX_DEPTH``, more than ``MAX_VALUES``
    values, integers that do not fit 64 bits, and numbers past the range of a double.
    """
    # Before each value but the first stands one of these. Those inside texts count too: it is a bound, and a cheap one.
    openings = data.count(b"[") + data.count(b"{")
    if openings + data.count(b",") >= MAX_VALUES:
        raise JsonFault(f"Too many values: at most {MAX_VALUES} are read", "too_many_values")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise JsonFault("The text is not UTF-8", "json_encoding", (error.start,)) from None
    if text.startswith("\ufeff"):
        raise JsonFault("The text begins with a byte order mark", "json_encoding", (0,))
    try:
        value = _parse(text)
    except json.JSONDecodeError as error:
        raise JsonFault(f"JSON decode error: {error.msg}", "json_invalid", (error.pos,)) from None
    except RecursionError:
        raise _too_deep() from None
    # As many openings as that make no such depth: nearly every body ends here.
    if openings > MAX_DEPTH:
        _check_depth(value)
    if _SUSPICIOUS.search(data):
        _check_text(value)
    return value


def _parse(text: str) -> Any:
    try:
        return _decode(text)
    except JsonFault:
        # The parser knows no path, and has not read what follows, which may be no JSON at all, or too deep.
        marked = _decode_marking(text)
        _check_depth(marked)
        raise next(_faults(marked)) from None


def _too_deep() -> JsonFault:
    return JsonFault(f"Arrays and objects may be nested {MAX_DEPTH} deep", "json_depth")


def _children(container: Any) -> Iterable[tuple[str | int, Any]]:
    if isinstance(container, dict):
        return container.items()
    return container if isinstance(container, _Pairs) else enumerate(container)


_Link = tuple["_Link", str | int] | None


def _containers(value: Any) -> Iterator[tuple[_Link, Any]]:
    """Yield every array and object inside ``value``, each with a chain of keys back to the root.

    Neither recursion nor a path for each: the sender chooses how deep and how wide ``value`` is.
    """
    waiting: list[tuple[_Link, Any]] = [(None, value)]
    while waiting:
        link, here = waiting.pop()
        if isinstance(here, dict | list):
            yield link, here
            waiting.extend(
                ((link, key), child) for key, child in _children(here) if isinstance(child, dict | list)
            )


def _path(link: _Link, *last: str | int) -> Path:
    keys = list(reversed(last))
    while link is not None:
        link, key = link
        keys.append(key)
    return tuple(reversed(keys))


def _check_depth(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [child for here in level for _, child in _children(here) if isinstance(child, dict | list)]
        if not level:
            return
    raise _too_deep()


def _check_text(value: Any) -> None:
    if isinstance(value, str) and _UNFIT.search(value):
        raise _unfit(())
    for link, here in _containers(value):
        for key, child in _children(here):
            if isinstance(key, str) and _UNFIT.search(key):
                raise _unfit(_path(link))
            if isinstance(child, str) and _UNFIT.search(child):
                raise _unfit(_path(link, key))


def _unfit(path: Path) -> JsonFault:
    return JsonFault("Text may hold no NUL and no half of a surrogate pair", "string_unicode", path)


def _faults(value: Any) -> Iterator[JsonFault]:
    """Yield what is marked in ``value`` and each key that is in one object twice, with the way to it."""
    if isinstance(value, JsonFault):
        yield value
    for link, here in _containers(value):
        seen: set[str | int] = set()
        for key, child in _children(here):
            if key in seen:
                yield _repeated_key(_path(link, key))
            if isinstance(child, JsonFault):
                yield JsonFault(child.message, child.kind, _path(link, key))
            seen.add(key)
