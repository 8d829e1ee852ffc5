"""What the OpenAPI document says about people, and about changes to anything."""

import httpx
import pytest

DOCUMENT = "/api/v1/openapi.json"


@pytest.mark.parametrize("name", ["ProfileUpdate", "UserUpdate", "TagUpdate", "CategoryUpdate", "ItemUpdate"])
async def test_changes_have_no_defaults(client: httpx.AsyncClient, name: str) -> None:
    """A generated client that filled them in would demote whom it renames."""
    schema = (await client.get(DOCUMENT)).json()["components"]["schemas"][name]
    assert schema["properties"]
    assert "required" not in schema
    assert schema["additionalProperties"] is False
    for field, described in schema["properties"].items():
        assert "default" not in described, field


async def test_creating_still_has_its_defaults(client: httpx.AsyncClient) -> None:
    schema = (await client.get(DOCUMENT)).json()["components"]["schemas"]["UserCreate"]
    assert (schema["properties"]["role"]["default"], schema["properties"]["is_active"]["default"]) == (
        "user",
        True,
    )


async def test_a_refresh_may_show_a_bearer(client: httpx.AsyncClient) -> None:
    document = (await client.get(DOCUMENT)).json()
    operation = document["paths"]["/api/v1/auth/refresh-token"]["post"]
    assert operation["security"] == [{}, {"bearer": []}]
    assert "bearer" in document["components"]["securitySchemes"]
    assert not operation["requestBody"].get("required", False)
