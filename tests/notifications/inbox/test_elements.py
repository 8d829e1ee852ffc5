"""The table of asked pairs, which each engine spells in its own way: both texts, and one answer."""

from sqlalchemy import BigInteger, column, select

from tests.spelling import spelt
from tradepost.core.database.engines import Database
from tradepost.notifications.inbox.repository import AskedPairs

ASKED = AskedPairs().table_valued(column("user_id", BigInteger), column("after", BigInteger), name="asked")


def test_pairs_are_two_arrays_or_two_lists_in_json() -> None:
    assert spelt(select(ASKED.c.user_id, ASKED.c.after)) == (
        (
            "SELECT asked.user_id, asked.after FROM "
            '(SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[]) AS pair(user_id, "after")) AS asked'
        ),
        (
            'SELECT asked.user_id, asked."after" FROM (SELECT value AS user_id, '
            "json_extract(?, '$[' || key || ']') AS \"after\" FROM json_each(?)) AS asked"
        ),
    )


async def test_each_person_is_paired_with_their_own_number(database: Database) -> None:
    asked = select(ASKED.c.user_id, ASKED.c.after).order_by(ASKED.c.user_id, ASKED.c.after)
    pairs = [(7, 2**40), (7, 0), (2**40, 5), (3, 9)]
    async with database.read() as db:
        for some in (pairs, pairs[:1], []):
            values = {"user_ids": [user for user, _ in some], "afters": [after for _, after in some]}
            assert [tuple(row) for row in await db.execute(asked, values)] == sorted(some)
