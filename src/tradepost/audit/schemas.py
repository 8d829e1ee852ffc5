"""The selection of lines of the audit trail, and their response bodies."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import Field

from tradepost.core.audit.models import ActorKind
from tradepost.core.wire.schemas import Output, PageInfo


@dataclass(frozen=True, slots=True)
class Selection:
    """The lines that match every given field; ``since`` is included, ``until`` is not."""

    actor_id: int | None = None
    action: str | None = None
    target_type: str | None = None
    target_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None


class AuditLineRead(Output):
    """Who did what to whom, when, and from where."""

    id: int = Field(description="The line's number")
    at: datetime = Field(description="When it happened")
    actor_id: int | None = Field(
        description="Who did it; `null` for the service itself, and where nobody was authenticated"
    )
    actor_kind: ActorKind = Field(
        description="Whether a person did it, a program by an API key (`key`), or the service itself"
    )
    action: str = Field(description="What was done", examples=["auth.login"])
    target_type: str | None = Field(description="The kind of what it was done to", examples=["session"])
    target_id: int | None = Field(description="The number of what it was done to")
    ip: str | None = Field(description="The address that the request came from", examples=["203.0.113.7"])
    user_agent: str | None = Field(description="What the client called itself, its beginning")
    request_id: str | None = Field(description="The id of the request, which the server's log has too")
    details: dict[str, Any] = Field(description="What else is known, depending on the action; never a secret")


class AuditPage(PageInfo):
    """A part of the audit trail."""

    lines: list[AuditLineRead] = Field(description="The lines of this part, the newest first")
