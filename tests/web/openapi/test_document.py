import json
import re
from typing import Annotated, Any

import pytest
from fastapi import Form, Query
from pydantic import BaseModel, Field

from tests.web.apps import new_app, new_router
from tradepost.core.errors import InsufficientPermissions, NotFound, NotOwner, TooManyRequests
from tradepost.core.settings.settings import Settings
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL, UntrueDocumentError, options
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import MAX_SKIP, PlainWindow


class Thing(BaseModel):
    name: str
    maker_id: int = Field(default=1, ge=1, le=2**63 - 1)
    weight: float = Field(default=1, le=2.5)


def things() -> Any:
    router = new_router(prefix="/things", tags=["items"])

    @router.get("/{thing_id}", responses=problem_responses(NotFound), openapi_extra=CREDENTIALS_OPTIONAL)
    async def read_thing(thing_id: int) -> Thing:
        """Read a thing."""
        return Thing(name=str(thing_id))

    @router.get("/", openapi_extra=CREDENTIALS_OPTIONAL)
    async def list_things(
        q: Annotated[str, Query(max_length=9, description="Letters")] | None = None,
        colour: Annotated[list[str] | None, Query()] = None,
    ) -> list[Thing]:
        return []

    @router.post("/touch")
    async def touch_things(thing: Thing | None = None) -> None:
        return None

    @router.post("/")
    async def create_thing(thing: Thing) -> Thing:
        return thing

    @router.put("/{thing_id}")
    @router.patch("/{thing_id}")
    async def update_thing(thing_id: int, thing: Thing) -> Thing:
        return thing

    @router.get("/mine")
    async def list_my_things(window: PlainWindow) -> list[Thing]:
        return []

    @router.post("/login", responses=problem_responses(TooManyRequests))
    async def log_in(name: Annotated[str, Form()]) -> str:
        return name

    return router


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(new_app(things()).openapi()))
    return document


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        operation["operationId"]: operation
        for methods in document["paths"].values()
        for operation in methods.values()
    }


def test_operations_are_called_after_their_functions(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert set(operations(document)) == {
        "read_thing", "list_things", "list_my_things", "create_thing", "touch_things", "update_thing", "patch_thing", "log_in",
    }  # fmt: skip
    assert document["tags"] == [{"name": "items", "description": "Things for sale"}]


def test_every_error_is_a_problem(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in json.dumps(document)
    for operation in operations(document).values():
        assert "default" in operation["responses"]
        for status, response in operation["responses"].items():
            if status == "default" or int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"]
                assert response["content"]["application/problem+json"]["schema"] == {
                    "$ref": "#/components/schemas/Problem"
                }
    found = operations(document)
    assert set(found["read_thing"]["responses"]) == {"200", "404", "422", "default"}
    assert set(found["create_thing"]["responses"]) == {"200", "409", "413", "415", "422", "default"}


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert {"Problem", "FieldProblem", "Thing"} <= references
    assert references <= set(document["components"]["schemas"])


def test_bounds_of_integers_are_exact(document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["Thing"]["properties"]
    assert json.dumps(properties["maker_id"]["maximum"]) == "9223372036854775807"
    assert json.dumps(properties["maker_id"]["minimum"]) == "1"
    assert properties["weight"]["maximum"] == 2.5


def test_the_largest_skip_is_exact(document: dict[str, Any]) -> None:
    skip = operations(document)["list_my_things"]["parameters"][0]["schema"]
    assert json.dumps(skip["maximum"]) == str(MAX_SKIP)


def test_a_form_is_one_body_to_a_generated_client(document: dict[str, Any]) -> None:
    content = operations(document)["log_in"]["requestBody"]["content"]
    assert list(content) == ["application/x-www-form-urlencoded"]


def test_what_may_be_left_out_is_not_null(document: dict[str, Any]) -> None:
    found = operations(document)
    (q, colours, _) = found["list_things"]["parameters"]
    assert q["schema"] == {"type": "string", "maxLength": 9}
    assert q["description"] == "Letters"
    assert colours["schema"] == {"type": "array", "items": {"type": "string"}}
    assert found["touch_things"]["requestBody"] == {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
    }


def test_an_id_in_a_path_says_whose_it_is(document: dict[str, Any]) -> None:
    (parameter, _) = operations(document)["read_thing"]["parameters"]
    assert (parameter["description"], parameter["example"]) == ("The thing's id", 1)


def test_every_operation_may_be_told_its_time(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        last = operation["parameters"][-1]
        assert (last["name"], last["in"], last["required"]) == ("Request-Timeout", "header", False)
        assert last["schema"] == {"type": "number", "exclusiveMinimum": 0, "maximum": 999_999_999}
        assert "example" not in last


def test_an_invalid_request_shows_a_mistake_of_the_operation(document: dict[str, Any]) -> None:
    def mistake(name: str) -> list[str]:
        content = operations(document)[name]["responses"]["422"]["content"]["application/problem+json"]
        (error,) = content["examples"]["VALIDATION_ERROR"]["value"]["errors"]
        return [*error["location"], error["type"]]

    assert mistake("create_thing") == ["body", "name", "missing"]
    assert mistake("list_my_things") == ["query", "limit", "less_than_equal"]
    assert mistake("list_things") == ["query", "q", "string_too_long"]
    assert mistake("read_thing") == ["path", "thing_id", "string_unicode"]


def test_errors_of_one_code_are_all_shown() -> None:
    content = problem_responses(NotOwner, InsufficientPermissions)[403]["content"]["application/problem+json"]
    assert [example["summary"] for example in content["examples"].values()] == [
        NotOwner.detail,
        InsufficientPermissions.detail,
    ]


def test_headers_of_what_succeeds_are_named(document: dict[str, Any]) -> None:
    headers = {
        name: set(operation["responses"]["200"].get("headers", ()))
        for name, operation in operations(document).items()
    }
    assert headers.pop("list_my_things") == {"X-Total-Count", "Link"}
    assert headers.pop("log_in") == {"RateLimit", "RateLimit-Policy", "Idempotency-Replayed"}
    assert headers.pop("create_thing") == {"Idempotency-Replayed"}
    assert set().union(*headers.values()) <= {"Idempotency-Replayed"}


def test_a_post_says_how_it_is_sent_again(document: dict[str, Any]) -> None:
    created = operations(document)["create_thing"]
    (key, _) = (one for one in created["parameters"] if one["in"] == "header")
    assert (key["name"], key["required"]) == ("Idempotency-Key", False)
    assert re.fullmatch(key["schema"]["pattern"], "a key of 1 to 255 characters!")
    assert not re.fullmatch(key["schema"]["pattern"], " ")
    examples = {
        status: created["responses"][status]["content"]["application/problem+json"]["examples"]
        for status in ("409", "422")
    }
    assert "IDEMPOTENCY_IN_FLIGHT" in examples["409"]
    assert {"IDEMPOTENCY_KEY_REUSED", "VALIDATION_ERROR"} <= examples["422"].keys()


def test_a_route_may_be_for_strangers_too(document: dict[str, Any]) -> None:
    assert operations(document)["list_things"]["security"] == [{}]
    assert "x-credentials-optional" not in json.dumps(document)


def test_two_functions_of_one_name_are_refused() -> None:
    other = new_router(prefix="/other")

    @other.get("/")
    async def create_thing() -> None:
        return None

    app = new_app(things(), other)
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        pytest.raises(UntrueDocumentError, match="create_thing"),
    ):
        app.openapi()


def test_options_leave_nothing_to_the_framework() -> None:
    assert options(Settings())["openapi_url"] is None
