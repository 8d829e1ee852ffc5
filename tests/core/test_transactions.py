"""The commit of a transaction, and what its caller hears."""

import asyncio

import pytest

from tradepost.core.database import Database, WriteSession


@pytest.mark.parametrize("fails", [False, True])
async def test_who_is_cancelled_in_a_commit_hears_of_it_whatever_becomes_of_the_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, fails: bool
) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()
    commit = WriteSession.commit

    async def slowly(session: WriteSession) -> None:
        began.set()
        await goes_on.wait()
        if fails:
            raise ConnectionResetError("the database is gone")
        await commit(session)

    called: list[str] = []

    async def write() -> None:
        async with database.transaction() as session:
            session.after_commit(lambda: called.append("committed"))

    monkeypatch.setattr(WriteSession, "commit", slowly)
    writing = asyncio.create_task(write())
    await began.wait()
    writing.cancel()
    await asyncio.sleep(0)
    assert not writing.done(), "whether the commit happened must not be left open"
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert called == ([] if fails else ["committed"])
