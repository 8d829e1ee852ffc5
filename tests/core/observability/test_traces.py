"""Exceptions as text, without the values at fault."""

import pytest
from pydantic import BaseModel
from sqlalchemy.exc import IntegrityError

from tradepost.core.observability.traces import describe


def test_a_trace_says_where_and_what_without_the_values() -> None:
    class Model(BaseModel):
        age: int

    def fail() -> None:
        try:
            try:
                Model(age="the secret age")  # type: ignore[arg-type]
            except ValueError as error:
                raise IntegrityError(
                    "INSERT", {"a": "the secret parameter"}, Exception("UNIQUE\nDETAIL: the secret key")
                ) from error
        except IntegrityError as error:
            raise RuntimeError("outer\nthe secret line") from error

    with pytest.raises(RuntimeError) as caught:
        fail()
    text = describe(caught.value)
    for part in (
        "in fail",
        "builtins.RuntimeError: outer",
        "IntegrityError",
        "caused by",
        "ValidationError",
        "age: int_parsing",
    ):
        assert part in text
    messages = [line for line in text.splitlines() if not line.startswith(" ")]  # the others quote the code
    assert not [line for line in messages if "secret" in line]


def test_groups_name_what_is_in_them() -> None:
    text = describe(ExceptionGroup("several", [ValueError("one"), KeyError("two")]))
    assert "ValueError: one" in text
    assert "KeyError: 'two'" in text


def test_an_endless_chain_has_an_end() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    assert describe(first).count("caused by") < 10
