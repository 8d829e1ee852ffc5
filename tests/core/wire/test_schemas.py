"""Every body that comes in, whichever domain it is of."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

import tradepost.main  # noqa: F401 - with it come all bodies
from tradepost.core.wire.schemas import Input

UNLIKE: dict[str, tuple[Any, ...]] = {
    "boolean": ("true", "1", 1, 0.0),
    "integer": ("1", "true", True, 1.0),
    "number": ("1", "true", True),
}
"""What can be read as a value of a JSON type, and is none."""


def bodies(above: type[Input] = Input) -> Iterator[type[Input]]:
    for body in above.__subclasses__():
        yield body
        yield from bodies(body)


def fields() -> Iterator[Any]:
    for body in bodies():
        if body.__module__.startswith("tradepost."):
            for name, schema in body.model_json_schema().get("properties", {}).items():
                kinds = {part.get("type") for part in schema.get("anyOf", [schema])}
                for kind in kinds & UNLIKE.keys():
                    yield pytest.param(body, name, kind, id=f"{body.__name__}.{name}")


@pytest.mark.parametrize(("body", "name", "kind"), list(fields()))
def test_a_value_of_another_type_is_refused(body: type[Input], name: str, kind: str) -> None:
    for value in UNLIKE[kind]:
        with pytest.raises(ValidationError) as caught:
            body.model_validate({name: value})
        assert name in {error["loc"][0] for error in caught.value.errors() if error["loc"]}, value
