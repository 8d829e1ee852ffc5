"""Ids in paths, which many routes take."""

import re
from typing import Annotated, Any, Final

from fastapi import Path
from pydantic import BeforeValidator
from pydantic_core import PydanticKnownError

from tradepost.core.wire.schemas import MAX_ID

_INTEGER: Final = re.compile(r"-?[0-9]+")


def _plain_integer(value: Any) -> Any:
    # pydantic reads `1_0`, `1.0` and ` 1` too, which would give every resource many addresses.
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise PydanticKnownError("int_parsing")
    return value


PLAIN_INTEGER: Final = BeforeValidator(_plain_integer)
"""Has an integer written in one way only; by it the fast path knows a ``PathId``."""
PathId = Annotated[int, Path(ge=1, le=MAX_ID), PLAIN_INTEGER]
