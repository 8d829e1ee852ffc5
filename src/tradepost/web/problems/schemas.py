"""``Problem``: the one body of every error (RFC 9457)."""

from http import HTTPStatus
from typing import Final

from pydantic import BaseModel, Field

MEDIA_TYPE: Final = "application/problem+json"

# RFC 9110's names, alike on every version of Python.
_TITLES: Final = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}


EXAMPLE_ID: Final = "Xk3vQ0aRZ1cb-000001f4"


class FieldProblem(BaseModel):
    """One value that is not acceptable."""

    location: list[str | int] = Field(
        description="The way to the value: `body`, `query`, `path` or `header`, then names and positions",
        examples=[["body", "price"]],
    )
    message: str = Field(description="The rule, for people", examples=["Input should be greater than 0"])
    type: str = Field(description="The rule, for programs", examples=["greater_than"])


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(
        default="about:blank", description="`about:blank`: `error_code` says which error this is"
    )
    title: str = Field(description="The name of the status", examples=["Not Found"])
    status: int = Field(description="The HTTP status", examples=[404])
    detail: str = Field(description="One sentence for people", examples=["Item not found"])
    error_code: str = Field(description="The error, for programs", examples=["ITEM_NOT_FOUND"])
    request_id: str = Field(
        description="The answer's `X-Request-ID`, by which the log knows it", examples=[EXAMPLE_ID]
    )
    errors: list[FieldProblem] = Field(
        default_factory=list, description="With `VALIDATION_ERROR` only: each value that is not acceptable"
    )


def title(status: int) -> str:
    """Return the name of a status."""
    return _TITLES.get(status, "Error")
