"""Exceptions as text for the log, without the values at fault.

Of each message only the first line is kept: the further ones are where drivers and pydantic repeat values, which may be a
person's address or password.
"""

import traceback
from contextlib import suppress
from typing import Final

_LONGEST_MESSAGE: Final = 300
_MOST_FRAMES: Final = 40
_MOST_CAUSES: Final = 5


def describe(error: BaseException) -> str:
    """Return the trace of an exception and of what caused it, without the values that messages repeat."""
    parts: list[str] = []
    here: BaseException | None = error
    while here is not None and len(parts) < _MOST_CAUSES:
        frames = traceback.format_list(traceback.extract_tb(here.__traceback__, limit=-_MOST_FRAMES))
        parts.append("".join([*frames, _message(here)]))
        if isinstance(here, BaseExceptionGroup):
            parts.extend(f"  | {_message(inner)}" for inner in here.exceptions[:_MOST_CAUSES])
        here = here.__cause__ or (None if here.__suppress_context__ else here.__context__)
    return "\ncaused by\n".join(parts)


def _message(error: BaseException) -> str:
    text = str(error).partition("\n")[0][:_LONGEST_MESSAGE]
    faults = getattr(error, "errors", None)
    if callable(faults):
        # pydantic and FastAPI: where and which rule, without the value.
        with suppress(Exception):
            rules = [f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in faults()][:5]
            text = f"{text} {'; '.join(rules)}"
    return f"{type(error).__module__}.{type(error).__qualname__}: {text}"
