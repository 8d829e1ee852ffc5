"""The rules for one value each: names and websites."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tradepost.accounts.schemas import Name, Website

NAME: TypeAdapter[str] = TypeAdapter(Name)
WEBSITE: TypeAdapter[str] = TypeAdapter(Website)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("grace", "Grace"),
        ("GRACE HOPPER", "Grace Hopper"),
        ("McDonald", "McDonald"),
        ("john's", "John's"),
        ("JOHN\u2019S", "John\u2019s"),
        ("o'neil", "O'Neil"),
        ("O\u2019NEIL", "O\u2019Neil"),
        ("jean d'arc", "Jean D'Arc"),
        ("'s gravesande", "'s Gravesande"),
        ("d'e\u0301ric", "D'\u00c9ric"),
        ("john's and mary's", "John's And Mary's"),
        ("дем'ян", "Дем'ян"),
        ("ДЕМ\u2019ЯН", "Дем\u2019ян"),
        ("adébọ̀wálé", "Adébọ̀wálé"),
        ("ADÉBỌ̀WÁLÉ", "Adébọ̀wálé"),
        ("kaʻahumanu", "Kaʻahumanu"),
        ("gʻulomov", "Gʻulomov"),
        ("oʼneil", "Oʼneil"),
        ("marcel·lí", "Marcel·lí"),
        ("MARCEL·LÍ", "Marcel·lí"),
        ("smith 3rd", "Smith 3rd"),
        ("SMITH 3RD", "Smith 3rd"),
        ("İBRAHİM", "İbrahim"),
        ("o'brien-o'neil", "O'Brien-O'Neil"),
        ("jean-luc", "Jean-Luc"),
        ("ΝΙΚΟΣ ΠΑΠΑΣ", "Νικος Παπας"),
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("ශ්\u200dරීමා", "ශ්\u200dරීමා"),
        ("ნინო", "ნინო"),
        ("van der Berg", "van der Berg"),
        # A variation selector is a part of some Japanese surnames.
        ("\u8fbb\U000e0100", "\u8fbb\U000e0100"),
    ],
)
def test_names(written: str, kept: str) -> None:
    assert NAME.validate_python(written) == kept


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("", "string_too_short"),
        ("\u3164", "string_too_short"),
        ("\u2800", "string_too_short"),
        ("\u2800 \u3164\ufe0f", "string_too_short"),
        ("a\u200bb", "name_letters"),
        ("a\x7fb", "name_letters"),
        ("\u00df" * 50 + "\u0149", "string_too_long"),
        (7, "string_type"),
    ],
)
def test_what_is_no_name(written: Any, kind: str) -> None:
    with pytest.raises(ValidationError) as caught:
        NAME.validate_python(written)
    assert [error["type"] for error in caught.value.errors()] == [kind]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("example.com", "https://example.com"),
        ("example.com:8080/a//b?c=http://d", "https://example.com:8080/a//b?c=http://d"),
        ("http://example.com/", "http://example.com/"),
        ("HTTPS://Example.com", "HTTPS://Example.com"),
        ("https.example.com", "https://https.example.com"),
        ("b\u00fccher.example", "https://b\u00fccher.example"),
        ("http://93.184.216.34/", "http://93.184.216.34/"),
        ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("example.com.", "https://example.com."),
    ],
)
def test_websites(written: str, kept: str) -> None:
    assert WEBSITE.validate_python(written) == kept


@pytest.mark.parametrize(
    "written",
    [
        "exa\nmple.com",
        "exa mple.com",
        "exa\u00a0mple.com",
        "exa\u200bmple.com",
        "exa\x00mple.com",
        "https://example.com/a\tb",
        "//example.com",
        "/example.com",
        "https:/x.com",
        "https:x.com",
        "HTTP:x.com",
        "https:\\\\x.com",
        "\\\\x.com",
        "https://x.com\\@example.com",
        "https:///x.com",
        "ftp://x.com",
        "https://com",
        "com",
        "http://example..com",
        "http://.example.com",
        "https://localhost",
    ],
)
def test_what_is_no_website(written: str) -> None:
    with pytest.raises(ValidationError) as caught:
        WEBSITE.validate_python(written)
    assert [error["type"] for error in caught.value.errors()] == ["website"]
