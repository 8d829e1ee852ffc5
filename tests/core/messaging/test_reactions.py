"""How often reactions look for messages: until no more can be due, and no further."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tests.core.messaging.post import Post
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import REACTIONS, Envelope, Message
from tradepost.core.messaging.reactions import Reactions
from tradepost.core.messaging.repository import MessageRepository


@dataclass(frozen=True)
class Weighed(Message):
    """A message of a weight."""

    type: ClassVar[str] = "tests.weighed.v1"
    pounds: int

    @property
    def weight(self) -> int:
        return self.pounds


@pytest.mark.parametrize(
    ("pounds", "groups"),
    [
        ([1], [1]),
        ([1] * REACTIONS.concurrency, [REACTIONS.concurrency, 0]),
        ([1] * (REACTIONS.concurrency + 1), [REACTIONS.concurrency, 1]),
        ([REACTIONS.concurrency, 1, 1], [3, 2]),
        ([-1, 1], [2, 0]),
    ],
    ids=["one", "a full group", "more", "too heavy together", "a broken one"],
)
async def test_they_look_again_only_where_more_may_be_due(
    database: Database, monkeypatch: pytest.MonkeyPatch, pounds: list[int], groups: list[int]
) -> None:
    post, found, reacted = Post(database), list[int](), list[int]()
    look = MessageRepository.lock_due_reactions_for_update

    async def counted(*arguments: object, **options: object) -> object:
        group = await look(*arguments, **options)  # type: ignore[arg-type]
        found.append(len(group))
        return group

    async def react(_db: WriteSession, envelopes: Sequence[Envelope[Weighed]]) -> None:
        if any(envelope.message.pounds < 0 for envelope in envelopes):
            raise ValueError("broken")
        reacted.extend(envelope.id for envelope in envelopes)

    monkeypatch.setattr(MessageRepository, "lock_due_reactions_for_update", counted)
    post.subscriptions.react("tests.react", Weighed, react)
    await post.send(*map(Weighed, pounds))
    reactions = Reactions(
        database=database,
        subscriptions=post.subscriptions,
        clock=post.clock,
        observe=lambda *_: None,
    )
    async with asyncio.timeout(30):
        await reactions.step()
    assert found == groups
    assert len(reacted) == sum(one > 0 for one in pounds)
