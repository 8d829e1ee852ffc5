"""Which characters join others, and which are only in the way."""

import pytest

from tradepost.core.wire.characters import has_controls, is_blank, without_controls

JOINED = [
    "علی\u200cرضا",
    "ශ්\u200dරීමා",
    "നന്\u200dമ",
    "👩\u200d👩\u200d👧",
    "👩🏽\u200d💻",
    "🧔\u200d♂️",
    "❤️\u200d🔥",
    "🏴\u200d☠️",
]


@pytest.mark.parametrize("text", JOINED)
def test_a_joiner_that_joins_is_kept(text: str) -> None:
    assert not has_controls(text)
    assert without_controls(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a\u200bb",
        "\u200dab",
        "ab\u200c",
        "a\u200d b",
        "a\u200d\u200db",
        "a\u200d👧",
        "👩\u200c👧",
        "a\u202eb",
        "a\nb",
        "a\x00b",
        "a\ue000b",
        "a\u2028b",
        "\u3164\u200da",
    ],
)
def test_what_only_hides_is_a_control(text: str) -> None:
    assert has_controls(text)
    assert not has_controls(without_controls(text))


@pytest.mark.parametrize("text", ["", " ", "\u200b", "\u200d", "\u3164", "\u2800 \ufe0f", "\u00ad"])
def test_what_leaves_no_ink_is_blank(text: str) -> None:
    assert is_blank(text)
    assert not is_blank(text + "a")
