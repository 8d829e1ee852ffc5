"""What PostgreSQL alone is asked: whether a row's document meets a query, and in which block of ids the row is."""

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Text, func, literal_column, select, union_all
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import CTE

from tradepost.core.search.index import BLOCK_BITS, BLOCKS, LARGE_BLOCK_BITS, number
from tradepost.core.search.spelling import FACT


class InBlock(FunctionElement[bool]):
    """A row is of a block; PostgreSQL alone."""

    inherit_cache = True

    def __init__(self, document: ColumnElement[Any], block: ColumnElement[str]) -> None:
        super().__init__(document, block)


@compiles(InBlock, "postgresql")
def _in_block(element: InBlock, compiler: SQLCompiler, **options: Any) -> str:
    document, block = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{document} @@ CAST({block} AS tsquery)"


@lru_cache
def all_blocks(key: ColumnElement[int], near: int) -> CTE:
    """Return the blocks from the newest row down, one subquery for all that read them."""
    return blocks_below(select(func.max(key)).scalar_subquery(), near=near).cte(f"blocks_{near}")


def blocks_below(newest: ColumnElement[int], *, near: int) -> CompoundSelect[str]:
    """Return the words for the blocks of ids from the newest down: small ones in the first ``near`` large ones, then large.

    What many rows have is found in a few small ones; for what few have, all small ones would have to be looked through.
    """
    first = newest.op(">>")(number(LARGE_BLOCK_BITS))
    last_small = (first - number(near - 1)).op("<<")(number(LARGE_BLOCK_BITS - BLOCK_BITS))
    ranges = (
        (BLOCK_BITS, newest.op(">>")(number(BLOCK_BITS)), func.greatest(last_small, number(0))),
        (LARGE_BLOCK_BITS, first - number(near), number(0)),
    )
    parts = []
    for bits, highest, lowest in ranges if near else ranges[1:]:
        numbers = func.generate_series(highest, lowest, number(-1)).table_valued("number").render_derived()
        word = literal_column(f"'{FACT}{BLOCKS[bits]}'", Text()) + sql_cast(numbers.c.number, Text())
        parts.append(select(word.label("block")))
    return union_all(*parts)


class Matches(FunctionElement[bool]):
    """The document of a row meets a question; PostgreSQL alone."""

    inherit_cache = True


@compiles(Matches, "postgresql")
def _matches(element: Matches, compiler: SQLCompiler, **options: Any) -> str:
    document, query = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{document} @@ CAST({query} AS tsquery)"
