"""Writing to the audit trail: a line in the caller's transaction, or a refusal in a short one of its own."""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tradepost.core.audit.models import ActorKind, AuditLine
from tradepost.core.clock import Clock
from tradepost.core.database.elements import upsert
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.principal import NOWHERE, Origin, Principal

FOLDED_SECONDS: Final = 60
"""Failures of one account from one address within so many seconds are one line."""
REMEMBERED: Final = 1_024
"""Refusals of which a process knows by itself that there is a line."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Whose doing a line tells of, and from where: for what no principal does."""

    kind: ActorKind
    id: int | None
    origin: Origin
    prefix: str | None = None
    """That of the API key."""


@dataclass(frozen=True, slots=True)
class Target:
    """What was acted on, and whose it is."""

    type: str
    id: int | None
    subject_id: int | None


Asker: TypeAlias = Principal | Actor
"""By whom something is done."""
SYSTEM: Final = Actor(ActorKind.SYSTEM, None, NOWHERE)
"""The service itself: its jobs and its commands."""


def person(user_id: int | None, origin: Origin) -> Actor:
    """Return the actor of a request without credentials: a log-in, a link of an e-mail. None: nobody knows who it was."""
    return Actor(ActorKind.PERSON, user_id, origin)


def user(user_id: int | None) -> Target:
    """Return an account as a target."""
    return Target("user", user_id, user_id)


class AuditTrail:
    """Adds lines. Details are plain values, and never a secret: no password, token, key, nor what somebody typed for one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: OrderedDict[str, None] = OrderedDict()

    async def add(
        self,
        db: WriteSession,
        action: str,
        *,
        by: Asker,
        on: Target,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a line in the caller's transaction: it is there if, and only if, what it tells of is."""
        await db.execute(upsert(AuditLine).values(**self._row(action, by, on, details)))

    async def refused(
        self,
        database: Database,
        action: str,
        *,
        by: Asker,
        on: Target,
        account: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Add a line about a refusal in a transaction of its own: the request's would be rolled back by the refusal.

        Those of one ``account`` from one address within a minute are one line, by an insert that a unique index passes over:
        nothing is ever updated.
        """
        row = self._row(action, by, on, details)
        minute = int(row["at"].timestamp()) // FOLDED_SECONDS
        told = f"{action}\n{account}\n{row['ip']}\n{minute}"
        row["fold"] = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        if row["fold"] in self._told:
            # Whoever tries on and on is to cost no transaction each time.
            return
        async with database.transaction() as db:
            await db.execute(upsert(AuditLine).values(**row).on_conflict_do_nothing())
        self._told[row["fold"]] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    def forget_refusals(self) -> None:
        """Forget which refusals were told of, for tests that take lines away."""
        self._told.clear()

    def _row(self, action: str, by: Asker, on: Target, details: Mapping[str, Any] | None) -> dict[str, Any]:
        actor = _actor_of(by) if isinstance(by, Principal) else by
        told = dict(details or {})
        if actor.prefix is not None:
            told["api_key"] = actor.prefix
        return {
            "at": self._clock.now(),
            "actor_id": actor.id,
            "actor_kind": actor.kind,
            "action": action,
            "target_type": on.type,
            "target_id": on.id,
            "subject_id": on.subject_id,
            "ip": actor.origin.ip,
            "user_agent": actor.origin.user_agent,
            "request_id": actor.origin.request_id,
            "details": told,
        }


def _actor_of(principal: Principal) -> Actor:
    key = principal.key
    kind = ActorKind.PERSON if key is None else ActorKind.KEY
    return Actor(kind, principal.user_id, principal.origin(), None if key is None else key.prefix)
