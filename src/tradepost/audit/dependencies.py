"""Dependencies on what reads the audit trail, and on the lines that a request selects."""

from typing import Annotated

from fastapi import Depends, Query

from tradepost.audit.schemas import Selection
from tradepost.audit.service import AuditPruner, AuditReader
from tradepost.core.audit.models import ACTION_LENGTH, TARGET_TYPE_LENGTH
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.resources import Resources
from tradepost.core.wire.moments import Moment
from tradepost.core.wire.schemas import Id
from tradepost.web.db import ResourcesDep


def build_audit_pruner(resources: Resources) -> AuditPruner:
    """Build the job that deletes old lines."""
    return AuditPruner(resources.database, resources[AuditTrail], resources.clock)


async def audit_reader(resources: ResourcesDep) -> AuditReader:
    """Return the service for reading the trail."""
    return AuditReader(resources.database, resources.clock)


async def audit_selection(
    *,
    actor_id: Annotated[Id | None, Query(description="Only what this person did")] = None,
    action: Annotated[
        str | None,
        Query(min_length=1, max_length=ACTION_LENGTH, description="Only this: `auth.login_failed`"),
    ] = None,
    target_type: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=TARGET_TYPE_LENGTH,
            description="Only what was done to this kind of thing",
        ),
    ] = None,
    target_id: Annotated[
        Id | None, Query(description="Only what was done to the thing of this number")
    ] = None,
    since: Annotated[Moment | None, Query(alias="from", description="Only from this moment on")] = None,
    until: Annotated[Moment | None, Query(alias="to", description="Only before this moment")] = None,
) -> Selection:
    """Return which lines a query string selects."""
    return Selection(actor_id, action, target_type, target_id, since, until)


AuditReads = Annotated[AuditReader, Depends(audit_reader)]
AuditSelection = Annotated[Selection, Depends(audit_selection)]
