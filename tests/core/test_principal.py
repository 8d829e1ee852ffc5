"""The one rule of who may act for an owner."""

import pytest

from tradepost.core.principal import Principal


@pytest.mark.parametrize(
    ("user_id", "permissions", "may"),
    [
        (7, frozenset(), True),
        (8, frozenset(), False),
        (8, frozenset({"other"}), False),
        (8, frozenset({"staff"}), True),
        (7, frozenset({"staff"}), True),
    ],
)
def test_the_owner_may_and_who_has_the_overriding_permission(
    *, user_id: int, permissions: frozenset[str], may: bool
) -> None:
    assert Principal(user_id, permissions, 1).may_act_for(7, overriding="staff") is may
