"""Bodies of faults on purpose: as an admin puts them, as they are shown, and the lines of the log."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, StrictFloat, field_validator, model_validator
from pydantic_core import PydanticCustomError

from tradepost.core.wire.moments import Moment
from tradepost.core.wire.schemas import Input, Output, PageInfo, example
from tradepost.injection.grammar import (
    LONGEST,
    NAME_LENGTH,
    PATH_LENGTH,
    REPLICA_LENGTH,
    NoNotationError,
    parsed,
)

LONGEST_RUN: Final = 86_400.0
"""Seconds after which a named fault has ended, whatever was asked for."""
YEARS: Final = range(2000, 3000)
"""When named faults may begin: their ends, too, are moments that Python and databases know."""


def _checked(text: str) -> str:
    try:
        parsed(text)
    except NoNotationError as error:
        raise PydanticCustomError("fault", "{reason}", {"reason": str(error)}) from None
    return text


FaultText = Annotated[str, Field(max_length=LONGEST), AfterValidator(_checked)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


class FaultPut(Input):
    """A fault with a name: what is done, to which requests, when, and in which process."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$", max_length=NAME_LENGTH, description="Its name")
    faults: FaultText = Field(description="What is done, written as in the header `X-Fault`")
    share: StrictFloat = Field(
        default=1.0, gt=0, le=1, description="The share of requests that it concerns at all, by chance"
    )
    method: Method | None = Field(default=None, description="Only requests with this method")
    path: str | None = Field(
        default=None,
        pattern="^/",
        max_length=PATH_LENGTH,
        description="Only requests whose path begins so, such as `/api/v1/items/`",
    )
    replica: str | None = Field(
        default=None,
        min_length=1,
        max_length=REPLICA_LENGTH,
        description="Only this process, or all of this machine, as `replica` of the log and of the list names them",
    )
    starts_at: Moment | None = Field(default=None, description="From when on; at once unless it is said")
    seconds: StrictFloat = Field(
        default=600.0, gt=0, le=LONGEST_RUN, description="For how long; then it ends by itself"
    )
    period: StrictFloat | None = Field(
        default=None,
        ge=0.5,
        le=LONGEST_RUN,
        description="Again and again: seconds from one beginning to the next",
    )
    on_seconds: StrictFloat | None = Field(
        default=None,
        gt=0,
        le=LONGEST_RUN,
        description="For how long of each period; half of it unless it is said",
    )

    model_config = example(
        name="slow-items", faults="delay=200ms;spread=50ms;p=0.5;seed=7", path="/api/v1/items/"
    )

    @field_validator("starts_at")
    @classmethod
    def _check_year(cls, starts_at: datetime | None) -> datetime | None:
        if starts_at is not None and starts_at.year not in YEARS:
            raise PydanticCustomError("year", "Faults begin in the years 2000 to 2999")
        return starts_at

    @model_validator(mode="after")
    def _check_pulse(self) -> Self:
        if self.on_seconds is not None and (self.period is None or self.on_seconds > self.period):
            raise PydanticCustomError("pulse", "on_seconds is a part of period")
        return self


class FaultRead(Output):
    """A fault with a name."""

    name: str = Field(description="Its name")
    faults: str = Field(description="What is done")
    share: float = Field(description="The share of requests that it concerns")
    method: str | None = Field(description="Only requests with this method")
    path: str | None = Field(description="Only requests whose path begins so")
    replica: str | None = Field(description="Only this process, or this machine")
    starts_at: datetime = Field(description="From when on")
    ends_at: datetime = Field(description="Until when")
    period: float | None = Field(description="Seconds from one beginning to the next")
    on_seconds: float | None = Field(description="For how long of each period")
    is_on: bool = Field(description="Whether it is on at this moment")


class FaultList(Output):
    """All faults with a name."""

    faults: list[FaultRead] = Field(description="They, by their names")
    replica: str = Field(description="The process that answers", examples=["web-1:4711"])


class StruckFaultRead(Output):
    """What was done to whom."""

    id: int = Field(description="The line's number")
    at: datetime = Field(description="When")
    replica: str = Field(description="In which process")
    kind: str = Field(description="The kind of fault", examples=["delay"])
    name: str | None = Field(description="Of which named fault; `null`: a request asked for it by `X-Fault`")
    place: int = Field(
        description="The place of the request in the seeded sequence, from 1; 0 without a seed"
    )
    details: str = Field(description="How much of it", examples=["200ms"])
    request_id: str | None = Field(description="To which request; `null`: to the whole process")
    method: str | None = Field(description="The request's method")
    path: str | None = Field(description="The request's path")


class StruckFaultPage(PageInfo):
    """A part of the log."""

    faults: list[StruckFaultRead] = Field(description="The lines of this part, the newest first")
