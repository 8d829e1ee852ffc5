"""Examples of errors in the OpenAPI document: each operation shows a mistake that can be made with it."""

from collections.abc import Mapping
from typing import Any

from tradepost.web.openapi.shapes import resolved


def field_problem(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry of ``errors`` for a likely mistake: a field left out, or a parameter past its limits."""
    body = operation.get("requestBody")
    if body is not None:
        schema = resolved(next(iter(body["content"].values()))["schema"], schemas)
        if required := schema.get("required"):
            return _entry("body", required[0], "Field required", "missing")
        return _entry("body", "unknown", "Extra inputs are not permitted", "extra_forbidden")
    # A page that is too large before an id: it is the more likely mistake.
    parameters = sorted(operation["parameters"], key=lambda parameter: parameter["name"] != "limit")
    return _mistake(parameters[0], resolved(parameters[0]["schema"], schemas))


def _mistake(parameter: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    place, name = parameter["in"], parameter["name"]
    if name == "limit":
        return _entry(
            place, name, f"Input should be less than or equal to {schema['maximum']}", "less_than_equal"
        )
    if "minimum" in schema:
        return _entry(
            place, name, f"Input should be greater than or equal to {schema['minimum']}", "greater_than_equal"
        )
    if "maxLength" in schema:
        return _entry(
            place, name, f"String should have at most {schema['maxLength']} characters", "string_too_long"
        )
    return _entry(place, name, "Text must be UTF-8 and hold no NUL", "string_unicode")


def _entry(place: str, name: str, message: str, kind: str) -> dict[str, Any]:
    return {"location": [place, name], "message": message, "type": kind}
