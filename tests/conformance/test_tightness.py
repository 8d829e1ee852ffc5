"""What the OpenAPI document allows is taken: bodies made up after its schemas, read as the routes read them."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.generation import GenerationMode

from tests.conformance import generating  # noqa: F401 - imported for its quick ways
from tests.conformance.test_document import document, faults
from tradepost.api import ROUTERS

MAX_EXAMPLES = 25
SAID_IN_WORDS = {
    "decimal_max_places": "19.99 is no multiple of 0.01 to most validators",
    "int_type": "1.0 is an integer in JSON Schema, and none to us",
    "end_before_start": "one field cannot be held against another",
    "time_zone": "some six hundred names, and every year others",
    "discount_price": "one field cannot be held against another",
    "email": "of domains that are nobody's, and of accounts' names within them",
}
"""Kinds of faults that JSON Schema has no rule against, and why."""


def bodies() -> Iterator[tuple[str, str, APIRoute]]:
    app = FastAPI()
    for router in ROUTERS:
        router.add_to(app, prefix="/api/v1")
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema and route.body_field is not None:
            for method in route.methods or ():
                yield route.path, method, route


@pytest.mark.parametrize(
    ("path", "method", "route"), [pytest.param(*body, id=f"{body[1]} {body[0]}") for body in bodies()]
)
def test_bodies_that_the_schema_allows_are_taken(path: str, method: str, route: APIRoute) -> None:
    operation = schemathesis.openapi.from_dict(document())[path][method]
    contents = document()["paths"][path][method.lower()]["requestBody"]["content"]
    # OAuth 2's form of a refresh is read as the JSON beside it.
    content = contents.get("application/json") or next(iter(contents.values()))
    assert route.body_field is not None
    field = route.body_field

    @settings(
        max_examples=MAX_EXAMPLES,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def judge(case: Any) -> None:
        # Its generator knows Unicode roughly; the schema, as it is read by who knows it well, has the say.
        if not isinstance(case.body, dict) or faults(content["schema"], case.body):
            return
        _, errors = field.validate(case.body, loc=("body",))
        left = [error for error in errors or [] if error["type"] not in SAID_IN_WORDS]
        assert left == []

    judge()
