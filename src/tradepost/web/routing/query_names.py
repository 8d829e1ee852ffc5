"""The names that a query string may hold: an unknown one is refused, and an empty optional one is as good as not sent.

A parameter that is ignored answers another question than was asked: ``?status=draft`` would list everything.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from fastapi.dependencies.models import Dependant

from tradepost.core.errors import Unprocessable
from tradepost.core.wire.spelling import nearest
from tradepost.web.urlencoded import pairs, shortened

_MOST_FAULTS: Final = 20
_MARK: Final = "__any_query__"
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def any_query(endpoint: Endpoint) -> Endpoint:
    """Have an endpoint ignore parameters that it does not know, as what serves files and pages does. Below the route."""
    setattr(endpoint, _MARK, True)
    return endpoint


def takes_any_query(endpoint: object) -> bool:
    """Tell whether ``any_query`` was said of an endpoint."""
    return hasattr(endpoint, _MARK)


class QueryNames:
    """The parameters that an endpoint and its dependencies read from the query string."""

    def __init__(self, dependant: Dependant) -> None:
        required = dict(_parameters(dependant))
        self._known = sorted(required)
        self._required = required

    def judged(self, query: bytes) -> bytes:
        """Return a query string without what is empty and optional; ``Unprocessable`` for names that nothing knows."""
        unknown: list[str] = []
        kept: list[bytes] = []
        has_empty = False
        for pair in filter(None, query.split(b"&")):
            name, value = next(pairs(pair))
            is_required = self._required.get(name or "")
            if is_required is None:
                unknown.append(name or "")
            elif value or is_required:
                kept.append(pair)
            else:
                has_empty = True
        if unknown:
            raise no_parameters("query", unknown, self._known)
        return b"&".join(kept) if has_empty else query


def no_parameters(place: str, names: Iterable[str], known: Sequence[str]) -> Unprocessable:
    """Return the refusal of names in ``place`` that are none of the ``known`` parameters.

    Of so many alone: what was probably meant is looked for, which for thousands of names would hold up the loop.
    """
    refusal = Unprocessable((), "")
    refusal.errors = [_fault(place, name, nearest(name, known)) for name in islice(names, _MOST_FAULTS)]
    return refusal


def _fault(place: str, name: str, meant: str | None) -> dict[str, Any]:
    advice = "" if meant is None else f"; did you mean {meant}?"
    return {
        "location": [place, shortened(name)],
        "message": f"There is no such parameter{advice}",
        "type": "extra_forbidden",
    }


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    yield from _own(dependant)
    for dependency in dependant.dependencies:
        yield from _parameters(dependency)


def _own(dependant: Dependant) -> Iterable[tuple[str, bool]]:
    return ((field.alias, field.field_info.is_required()) for field in dependant.query_params)
