"""Phone numbers: real ones are taken, in E.164, and what was answered is taken again."""

import pytest

from tradepost.accounts.phones import parsed_phone
from tradepost.core.errors import Unprocessable


@pytest.mark.parametrize(
    ("written", "region", "kept"),
    [
        ("(415) 555-2671", "US", "+14155552671"),
        ("+43 1 5880", "US", "+4315880"),
        ("01 58858", "AT", "+43158858"),
        ("+49 89 2180", "US", "+49892180"),
        ("089/233-00", "DE", "+498923300"),
        ("+376 812 345", "US", "+376812345"),
        ("+299 32 10 00", "US", "+299321000"),
        ("06 6982", "IT", "+39066982"),
        ("+44 20 7946 0000", "US", "+442079460000"),
        ("\uff0b\uff14\uff14 20 7946 0000", "US", "+442079460000"),
        ("\u0660\u0661\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "EG", "+201012345678"),
    ],
)
def test_real_numbers(written: str, region: str, kept: str) -> None:
    assert parsed_phone(written, region) == kept
    assert parsed_phone(kept, region) == kept
    assert parsed_phone(kept, "US") == kept


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("555-0100 ext 123", "extension"),
        ("+1 415 555 2671;ext=5", "extension"),
        ("+1 415 555 2671 x5", "extension"),
        ("0000000000", "its country"),
        ("555-0100", "its country"),
        ("12345", "its country"),
        ("+999 12345678", "digits"),
        ("no number at all", "digits"),
    ],
)
def test_what_is_no_number(written: str, said: str) -> None:
    with pytest.raises(Unprocessable) as caught:
        parsed_phone(written, "US")
    assert said in str(vars(caught.value))
