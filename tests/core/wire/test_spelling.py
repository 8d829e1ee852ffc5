"""The name that was probably meant."""

import pytest

from tradepost.core.wire.spelling import is_one_edit_away, nearest

KNOWN = ["status_filter", "category", "min_price", "max_price", "sort"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("status", "status_filter"),
        ("category_id", "category"),
        ("maxprice", "max_price"),
        ("sorted", "sort"),
        ("zzz", None),
        ("", None),
    ],
)
def test_the_nearest_name(name: str, meant: str | None) -> None:
    assert nearest(name, KNOWN) == meant


@pytest.mark.parametrize(
    "other", ["SMTP_HOSTS", "SMTP_HOS", "SMPT_HOST", "SMTP_HOAT", "XSMTP_HOST", "SMTPHOST"]
)
def test_one_edit(other: str) -> None:
    assert is_one_edit_away("SMTP_HOST", other)
    assert is_one_edit_away(other, "SMTP_HOST")


@pytest.mark.parametrize("other", ["SMTP_HOST", "SMTP_PORT", "SMTP", "HOST_SMTP", "SMPT_HOTS"])
def test_no_or_more_edits(other: str) -> None:
    assert not is_one_edit_away("SMTP_HOST", other)
