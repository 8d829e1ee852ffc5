"""Numbers that come back to us, in the one form in which they were written."""

import pytest

from tradepost.core.wire.numbers import plain_number


@pytest.mark.parametrize("number", [0, 1, 10, 2**63 - 1])
def test_what_we_write_is_read(number: int) -> None:
    assert plain_number(str(number)) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1_0",
        "01",
        "00",
        "1.0",
        "1e3",
        "\u0661",
        "\u00b2",
        "NaN",
        str(2**63),
        "9" * 5000,
    ],
)
def test_any_other_text_is_none(text: str) -> None:
    assert plain_number(text) is None
