"""What the OpenAPI document says of itself: everything is described, and every example is an example of its schema."""

import json
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

import jsonschema_rs
import pytest

from tradepost.core.settings.settings import Settings
from tradepost.main import create_app
from tradepost.webhooks.catalogue import CATALOGUE, TEST

METHODS = ("get", "put", "post", "patch", "delete")
Operation = dict[str, Any]


@cache
def document() -> dict[str, Any]:
    settings = Settings.load(SECRET_KEY="a key of at least thirty-two bytes for tests", LOG_LEVEL="ERROR")
    found: dict[str, Any] = json.loads(json.dumps(create_app(settings).openapi()))
    return found


def operations(section: str = "paths") -> Iterator[tuple[str, Operation]]:
    for path, methods in document()[section].items():
        for method in METHODS:
            if method in methods:
                yield f"{method.upper()} {path}", methods[method]


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, operation in operations():
        for content in operation.get("requestBody", {}).get("content", {}).values():
            yield name, content["schema"]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document()["components"]["schemas"][name] if name else schema
    return found


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong with a value by a schema of the document."""
    whole = {**schema, "components": document()["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [error.message for error in validator.iter_errors(value)]


def test_every_parameter_says_what_it_is_and_none_can_be_null() -> None:
    for section in ("paths", "webhooks"):
        for name, operation in operations(section):
            for parameter in operation.get("parameters", ()):
                here = f"{name}: {parameter['name']}"
                assert parameter.get("description"), here
                assert "null" not in json.dumps(parameter["schema"]), here
    tag = next(
        parameter["schema"]
        for parameter in document()["paths"]["/api/v1/items/"]["get"]["parameters"]
        if parameter["name"] == "tag"
    )
    assert (tag["type"], tag["maxItems"]) == ("array", 20)
    assert "anyOf" not in tag


def test_every_field_says_what_it_is() -> None:
    inline = [(name, schema) for name, schema in bodies() if "$ref" not in schema]
    for name, schema in [*document()["components"]["schemas"].items(), *inline]:
        for field, described in schema.get("properties", {}).items():
            assert resolved(described).get("description") or described.get("description"), (
                f"{name}.{field} does not say what it is: give it a Field(description=…)"
            )


def test_every_tag_is_declared_and_every_operation_says_who_may() -> None:
    declared = {tag["name"] for tag in document()["tags"]}
    assert all(tag["description"] for tag in document()["tags"])
    for name, operation in operations():
        assert set(operation["tags"]) <= declared, name
        assert "security" in operation, name
    assert document()["servers"]
    assert document()["info"]["license"]["identifier"] == "MIT"


def test_every_body_shows_an_example_that_its_schema_takes() -> None:
    for name, schema in bodies():
        whole = resolved(schema)
        if any(
            field.get("format") == "binary" for field in whole.get("properties", {}).values()
        ) or "files" in whole.get("properties", {}):
            continue  # a file cannot be shown
        for example in whole.get("examples") or [form_of(whole)]:
            assert faults(schema, example) == [], name


def form_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the form as `/docs` fills it: each field with its own example."""
    fields = {name: schema["properties"][name].get("examples") for name in schema["required"]}
    assert all(fields.values()), (
        f"{schema['title']} shows no example: give it a `model_config = example(…)` (core/wire/schemas.py), "
        "or each field of a form a Field(examples=[…])"
    )
    return {name: examples[0] for name, examples in fields.items()}


def test_every_required_parameter_shows_an_example_that_its_schema_takes() -> None:
    for name, operation in operations():
        for parameter in operation.get("parameters", ()):
            if parameter["required"]:
                assert faults(parameter["schema"], parameter["example"]) == [], name


def test_every_error_shows_its_own_example() -> None:
    problem = {"$ref": "#/components/schemas/Problem"}
    for name, operation in operations():
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/problem+json")
            if content is None:
                assert status == "503" or not status.startswith(("4", "5", "d")), (name, status)
                continue
            assert content["examples"], (name, status)
            for example in content["examples"].values():
                value = example["value"]
                assert faults(problem, value) == [], (name, status)
                assert status in {"default", str(value["status"])}, (name, status)
                assert ("errors" in value) == (value["error_code"] == "VALIDATION_ERROR"), (name, status)


def test_codes_of_errors_are_an_enumeration_that_is_the_same_everywhere() -> None:
    codes = document()["components"]["schemas"]["ErrorCode"]["enum"]
    assert {"VALIDATION_ERROR", "ITEM_NOT_FOUND", "EMAIL_TAKEN", "INTERNAL_ERROR"} <= set(codes)
    assert {f"HTTP_{status.value}" for status in HTTPStatus if status >= 400} <= set(codes)
    assert "SEED_REFUSED" not in codes, "what only the command line can meet"


def test_a_log_in_gives_both_tokens_and_takes_one_media_type() -> None:
    operation = document()["paths"]["/api/v1/auth/login"]["post"]
    assert list(operation["requestBody"]["content"]) == ["application/x-www-form-urlencoded"]
    tokens = resolved(operation["responses"]["200"]["content"]["application/json"]["schema"])
    assert set(tokens["required"]) == set(tokens["properties"])
    assert tokens["properties"]["refresh_token"]["type"] == "string"
    assert document()["components"]["securitySchemes"]["bearer"]["flows"]["password"]["tokenUrl"] == (
        "/api/v1/auth/login"
    )


def test_money_is_a_number() -> None:
    for parameter in document()["paths"]["/api/v1/items/"]["get"]["parameters"]:
        if parameter["name"] in {"min_price", "max_price"}:
            assert parameter["schema"] == {"type": "number", "minimum": 0, "maximum": 9_999_999_999.99}


@pytest.mark.parametrize(
    ("path", "field", "most", "kind"),
    [
        ("avatar/", "file", None, "image/webp"),
        ("process-image/", "file", None, "image/png"),
        ("items/{item_id}/images/", "files", 5, "image/jpeg"),
        ("items/{item_id}/documents/", "files", 5, "application/pdf"),
    ],
)
def test_uploads_say_how_many_and_of_what(path: str, field: str, most: int | None, kind: str) -> None:
    body = document()["paths"][f"/api/v1/upload/{path}"]["post"]["requestBody"]
    content = body["content"]["multipart/form-data"]
    assert content["schema"]["properties"][field].get("maxItems") == most
    assert kind in content["encoding"][field]["contentType"].split(", ")


def test_what_is_streamed_and_what_webhooks_are_told_is_typed() -> None:
    stream = document()["paths"]["/api/v1/notifications/stream"]["get"]["responses"]["200"]["content"]
    assert stream["text/event-stream"]["schema"] == {
        "anyOf": [{"$ref": "#/components/schemas/NotificationRead"}, {"$ref": "#/components/schemas/Resync"}]
    }
    assert set(document()["webhooks"]) == {fact.name for fact in CATALOGUE} | {TEST}


def test_rules_that_a_schema_can_say_are_in_it() -> None:
    parameters = document()["paths"]["/api/v1/upload/files/{category}/{filename}"]["get"]["parameters"]
    assert parameters[0]["schema"]["enum"] == ["avatars", "items", "documents", "processed"]
    total = document()["components"]["schemas"]["Total"]
    assert total["enum"] == ["exact", "true", "estimated", "false"]
    schemas = document()["components"]["schemas"]
    registration, item = ({"$ref": f"#/components/schemas/{name}"} for name in ("UserRegister", "ItemCreate"))
    person = schemas["UserRegister"]["examples"][0]
    for password in ("tradepost1", "TRADEPOST1", "Tradepost", "Short1"):
        assert faults(registration, {**person, "password": password}), password
    assert faults(registration, {**person, "password": "Пароль-Длинный1"}) == []
    for name in ("\u200b", " ", "a\u0007b"):
        assert faults(registration, {**person, "first_name": name}), repr(name)
    for name in (
        "علی\u200cرضا",
        "ශ්\u200dරීමා",
        "O'Brien",
        "дем'ян",
        "smith 3rd",
        "👩\u200d👩\u200d👧",
        " Ada ",
    ):
        assert faults(registration, {**person, "first_name": name}) == [], name
    lamp = schemas["ItemCreate"]["examples"][0]
    for price in (0, -1, 10_000_000_000):
        assert faults(item, {**lamp, "price": price}), price
    assert faults(item, {**lamp, "title": "\u200b"})
    for tag in ("❤\ufe0f\u200d🔥", "👩🏽\u200d💻", "café au lait", "c++", "#1"):
        assert faults(item, {**lamp, "tags": [tag]}) == [], tag
    profile = {"$ref": "#/components/schemas/ProfileUpdate"}
    for website in (
        "ada.example.com",
        "https://bücher.example/a?b#c",
        "http://192.0.2.1:8080",
        "HTTPS://EXAMPLE.COM.",
    ):
        assert faults(profile, {"website": website}) == [], website
    for website in ("https://com", "http://example..com", "ftp://example.com", "https://a@example.com"):
        assert faults(profile, {"website": website}), website


def test_what_a_post_makes_is_linked_to_what_can_be_done_with_it() -> None:
    paths = document()["paths"]
    made = paths["/api/v1/items/"]["post"]["responses"]["201"]["links"]
    assert made.keys() == {"read_item", "replace_item", "patch_item", "delete_item"}
    assert made["read_item"] == {
        "operationId": "read_item",
        "parameters": {"path.item_id": "$response.body#/id"},
    }
    seat = paths["/api/v1/events/{event_id}/participants"]["post"]["responses"]["201"]["links"]
    assert seat["leave_event"]["parameters"] == {"path.event_id": "$request.path.event_id"}
    # Whose answer has no id, and what has no path of its own, is linked to nothing.
    assert not any("links" in answer for answer in paths["/api/v1/auth/login"]["post"]["responses"].values())


def test_every_link_leads_to_an_operation_and_fills_its_path() -> None:
    known = {one["operationId"]: (name, one) for name, one in operations()}
    linking = set()
    for name, operation in operations():
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                linking.add(name)
                _, target = known[link["operationId"]]
                needed = {f"path.{one['name']}" for one in target["parameters"] if one["in"] == "path"}
                assert link["parameters"].keys() == needed, f"{name} to {link['operationId']}"
    made_below = {
        f"POST {path}"
        for path in document()["paths"]
        if any(other.startswith(f"{path.rstrip('/')}/{{") for other in document()["paths"])
        and "post" in document()["paths"][path]
    }
    assert made_below <= linking
