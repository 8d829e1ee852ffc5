"""The table of asked pairs, which each engine spells in its own way: both texts, and one answer."""

from sqlalchemy import BigInteger, column, select

from tests.spelling import spelt
from tradepost.core.database.elements import GivenRows
from tradepost.core.database.engines import Database

ASKED = GivenRows("user_ids", "afters").table_valued(
    column("user_ids", BigInteger), column("afters", BigInteger), name="asked"
)


def test_pairs_are_two_arrays_or_two_lists_in_json() -> None:
    assert spelt(select(ASKED.c.user_ids, ASKED.c.afters)) == (
        (
            "SELECT asked.user_ids, asked.afters FROM "
            '(SELECT * FROM unnest($1::BIGINT[], $2::BIGINT[]) AS given("user_ids", "afters")) AS asked'
        ),
        (
            'SELECT asked.user_ids, asked.afters FROM (SELECT value AS "user_ids", '
            "json_extract(?, '$[' || key || ']') AS \"afters\" FROM json_each(?)) AS asked"
        ),
    )


async def test_each_person_is_paired_with_their_own_number(database: Database) -> None:
    asked = select(ASKED.c.user_ids, ASKED.c.afters).order_by(ASKED.c.user_ids, ASKED.c.afters)
    pairs = [(7, 2**40), (7, 0), (2**40, 5), (3, 9)]
    async with database.read() as db:
        for some in (pairs, pairs[:1], []):
            values = {"user_ids": [user for user, _ in some], "afters": [after for _, after in some]}
            assert [tuple(row) for row in await db.execute(asked, values)] == sorted(some)
