"""Totals that were guessed, in the light of the rows that were found."""

from typing import Any

import pytest

from tradepost.core.wire.pagination import Estimate, Page, Total, Window


@pytest.mark.parametrize(
    ("guess", "skip", "found", "total", "pages"),
    [
        (0, 0, 10, 11, 2),
        (10, 0, 10, 11, 2),
        (5, 20, 10, 31, 4),
        (500, 20, 10, 500, 50),
        (500, 20, 9, 29, 3),
        (0, 0, 9, 9, 1),
        (500, 20, 0, 20, 2),
        (7, 20, 0, 7, 1),
        (500, 0, 0, 0, 0),
        (0, 15, 10, 26, 3),
    ],
)
def test_a_full_page_may_have_another_after_it(
    guess: int, skip: int, found: int, total: int, pages: int
) -> None:
    rows: list[Any] = [None] * found
    info = Page(rows, Estimate(guess), Window(skip, 10, Total.ESTIMATED)).info
    assert (info["total"], info["pages"]) == (total, pages)


def test_what_was_counted_stays() -> None:
    for total in (Total.EXACT, Total.ESTIMATED):
        assert Page([1, 2], 2, Window(0, 2, total)).info["pages"] == 1
    assert Page([1, 2], None, Window(0, 2, Total.NONE)).info["pages"] is None
