import re
import string
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import pytest
import pytest_asyncio
from fastapi import Body, HTTPException, Query
from pydantic import AnyUrl, BaseModel, EmailStr, Field, field_validator
from pydantic_core import _pydantic_core
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tests.web.apps import caller, new_app, new_router
from tradepost.core.errors import (
    Conflict,
    Forbidden,
    NotFound,
    OperationFailed,
    RuleBroken,
    TooManyRequests,
    TradepostError,
    Unauthenticated,
    Unavailable,
    Unprocessable,
)
from tradepost.web.problems import rendering, validation
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.problems.schemas import Problem, title


class ThingNotFound(NotFound):
    """No such thing."""

    code = "THING_NOT_FOUND"
    detail = "Thing not found"


class OtherNotFound(NotFound):
    """No such other thing."""

    code = "OTHER_NOT_FOUND"
    detail = "Other not found"


class Secret(Exception):
    pass


DATABASE_SECRETS = ("INSERT INTO secrets VALUES (:a)", {"a": "top secret"})

RAISED: dict[str, BaseException] = {
    "thing": ThingNotFound(),
    "rule": RuleBroken("You may not"),
    "login": Unauthenticated("Incorrect email or password"),
    "forbidden": Forbidden(),
    "price": Unprocessable(("body", "price"), "Too high", kind="too_high"),
    "often": TooManyRequests(retry_after=7),
    "later": Unavailable(retry_after=3),
    "failed": OperationFailed(),
    "teapot": HTTPException(418, "Short and stout", {"X-Pot": "tea"}),
    "odd": HTTPException(400, {"not": "text"}),
    "http500": HTTPException(500, "top secret"),
    "none": HTTPException(204),
    "unique": IntegrityError(*DATABASE_SECRETS, Exception("UNIQUE top secret")),
    "syntax": ProgrammingError(*DATABASE_SECRETS, Exception("top secret")),
    "away": OperationalError(*DATABASE_SECRETS, ConnectionRefusedError("top secret")),
    "pool": PoolTimeoutError("top secret"),
    "bug": Secret("top secret"),
}

router = new_router()


@router.get("/raise/{name}")
async def raise_error(name: str) -> None:
    raise RAISED[name]


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Everything(BaseModel):
    uuid: UUID | None = None
    url: AnyUrl | None = None
    moment: datetime | None = None
    email: EmailStr | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    word: Literal["a", "b"] = "a"
    number: float = Field(default=1, gt=0)
    short: str = Field(default="", max_length=3)
    password: str = ""

    @field_validator("password")
    @classmethod
    def check(cls, value: str) -> str:
        if value == "one":
            raise ValueError("Password is weak")
        if value == "two":
            raise ValueError("Password needs a digit", "Password needs a letter")
        if value == "assert":
            raise AssertionError("Password is an assertion")
        return value


@router.post("/validate")
async def validate(body: Annotated[Everything, Body()], page: Annotated[int, Query(ge=1)] = 1) -> Everything:
    return body


@pytest_asyncio.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with caller(new_app(router)) as client:
        yield client


def assert_problem(response: httpx.Response, status: int, code: str, detail: str) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status_code == status
    body = response.json()
    errors = body.pop("errors", None)
    assert (errors is not None) == (code == "VALIDATION_ERROR")
    assert body == {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
        "error_code": code,
        "request_id": response.headers["x-request-id"],
    }
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("name", "status", "code", "detail", "headers"),
    [
        ("thing", 404, "THING_NOT_FOUND", "Thing not found", {}),
        ("rule", 400, "BUSINESS_LOGIC_ERROR", "You may not", {}),
        ("login", 401, "HTTP_401", "Incorrect email or password", {"www-authenticate": "Bearer"}),
        ("forbidden", 403, "HTTP_403", "Not enough permissions", {}),
        ("price", 422, "VALIDATION_ERROR", "Validation error", {}),
        ("often", 429, "RATE_LIMITED", "Rate limit exceeded", {"retry-after": "7"}),
        ("later", 503, "HTTP_503", "Service temporarily unavailable", {"retry-after": "3"}),
        ("failed", 500, "DATABASE_ERROR", "Database operation failed", {}),
        ("teapot", 418, "HTTP_418", "Short and stout", {"x-pot": "tea"}),
        ("odd", 400, "HTTP_400", "Bad Request", {}),
        ("http500", 500, "INTERNAL_ERROR", "Internal server error", {}),
        ("unique", 409, "INTEGRITY_ERROR", "Resource already exists or constraint violation", {}),
        ("syntax", 500, "DATABASE_ERROR", "Database operation failed", {}),
        ("away", 503, "DATABASE_ERROR", "Database is not available", {"retry-after": "1"}),
        ("pool", 503, "DATABASE_ERROR", "Database is not available", {"retry-after": "1"}),
        ("bug", 500, "INTERNAL_ERROR", "Internal server error", {}),
    ],
)
async def test_every_error_has_the_same_body(
    client: httpx.AsyncClient, *, name: str, status: int, code: str, detail: str, headers: dict[str, str]
) -> None:
    response = await client.get(f"/api/v1/raise/{name}")
    assert_problem(response, status, code, detail)
    assert headers.items() <= dict(response.headers).items()


async def test_a_status_without_a_body_has_none(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/raise/none")
    assert (response.status_code, response.content) == (204, b"")


async def test_an_unknown_path_is_404(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/nowhere"), 404, "HTTP_404", "Not Found")


async def test_errors_of_the_domain_name_the_field(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/v1/raise/price")
    assert response.json()["errors"] == [
        {"location": ["body", "price"], "message": "Too high", "type": "too_high"}
    ]


@pytest.mark.parametrize(
    ("body", "location", "kind"),
    [
        ({"uuid": "SENT-value"}, ["body", "uuid"], "uuid_parsing"),
        ({"url": "SENT value"}, ["body", "url"], "url_parsing"),
        ({"moment": "SENT"}, ["body", "moment"], "datetime_from_date_parsing"),
        ({"moment": "2020-01-01T00:00:00SENT"}, ["body", "moment"], "datetime_from_date_parsing"),
        ({"email": "SENT@SENT@example.com"}, ["body", "email"], "value_error"),
        ({"email": "a@SENT.test"}, ["body", "email"], "value_error"),
        ({"pet": {"kind": "SENT"}}, ["body", "pet"], "union_tag_invalid"),
        ({"word": "SENT"}, ["body", "word"], "literal_error"),
        ({"number": "SENT"}, ["body", "number"], "float_parsing"),
        ({"number": -12345}, ["body", "number"], "greater_than"),
        ({"short": "SENT" * 20}, ["body", "short"], "string_too_long"),
    ],
)
async def test_what_was_sent_is_never_repeated(
    client: httpx.AsyncClient, body: dict[str, Any], location: list[str], kind: str
) -> None:
    response = await client.post("/api/v1/validate", json=body)
    (error,) = response.json()["errors"]
    assert (error["location"], error["type"]) == (location, kind)
    assert "SENT" not in response.text
    assert "12345" not in response.text


async def test_messages_of_our_own_stand_for_themselves(client: httpx.AsyncClient) -> None:
    async def messages(password: str) -> list[str]:
        response = await client.post("/api/v1/validate", json={"password": password})
        return [error["message"] for error in response.json()["errors"]]

    assert await messages("one") == ["Password is weak"]
    assert await messages("two") == ["Password needs a digit", "Password needs a letter"]
    assert await messages("assert") == ["Password is an assertion"]


async def test_the_query_is_named(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/validate?page=SENT", json={})
    assert response.json()["errors"] == [
        {
            "location": ["query", "page"],
            "message": "Input should be a valid integer, unable to parse string as an integer",
            "type": "int_parsing",
        }
    ]


def test_no_message_of_pydantic_can_repeat_what_was_sent() -> None:
    """A newer pydantic with a new kind of message must not slip through."""
    rules = {
        "attribute", "class", "class_name", "decimal_places", "discriminator", "encoding", "expected", "expected_plural",
        "expected_schemes", "expected_tags", "expected_version", "field_type", "ge", "gt", "le", "lt", "max_digits",
        "max_length", "method_name", "min_length", "multiple_of", "pattern", "tz_expected", "whole_digits",
    }  # fmt: skip
    lengths = {"actual_length"}
    ours = set(validation._PREFIXES)
    for kind in _pydantic_core.list_all_errors():
        fields = {name for _, name, _, _ in string.Formatter().parse(kind["message_template_python"]) if name}
        if not fields <= rules | lengths:
            assert kind["type"] in set(validation._MESSAGES) | ours


def test_errors_that_will_not_be_told_are_not_looked_at() -> None:
    errors = iter([{"loc": ("body", number), "msg": "m", "type": "t"} for number in range(200)])
    validation.field_problems(errors)
    assert next(errors)["loc"] == ("body", 100)


def test_there_is_an_end_to_errors_and_messages() -> None:
    many = [{"loc": ("body", number), "msg": "x" * 10_000, "type": "t"} for number in range(10_000)]
    found = validation.field_problems(many)
    assert len(found) == 100
    assert len(found[0]["message"]) == 500


def test_remembered_bodies_have_an_end() -> None:
    for number in range(2000):
        rendering.render({}, 400, "C", f"detail {number}")
    assert len(rendering._heads) <= 512


def test_details_may_hold_anything() -> None:
    response = rendering.render({"tradepost.request_id": "id"}, 400, "C", 'a "quoted" \ud800 \n line')
    assert b'"detail":"a \\"quoted\\" ? \\n line"' in bytes(response.body)


# --- documentation ----------------------------------------------------------------------------------------------------


def test_errors_are_documented_by_status() -> None:
    responses = problem_responses(ThingNotFound, Conflict, OtherNotFound, Unauthenticated)
    assert list(responses) == [401, 404, 409, "default"]
    assert (
        responses[404]["description"]
        == "`THING_NOT_FOUND`: Thing not found · `OTHER_NOT_FOUND`: Other not found"
    )
    content = responses[404]["content"]["application/problem+json"]
    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert list(content["examples"]) == ["THING_NOT_FOUND", "OTHER_NOT_FOUND"]
    example = content["examples"]["THING_NOT_FOUND"]["value"]
    assert Problem.model_validate(example).error_code == "THING_NOT_FOUND"
    assert "WWW-Authenticate" in responses[401]["headers"]


def test_codes_are_written_alike() -> None:
    def families(error: type[TradepostError]) -> list[type[TradepostError]]:
        return [error, *(deeper for child in error.__subclasses__() for deeper in families(child))]

    for error in families(TradepostError):
        assert re.fullmatch(r"[A-Z][A-Z0-9_]+", error.code), error
        assert 400 <= error.status < 600
