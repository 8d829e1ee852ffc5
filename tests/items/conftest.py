"""Views are written when a test says so, not once a second in the middle of whatever it compares."""

from collections.abc import Iterator

import pytest

from tradepost.items import view_counter


@pytest.fixture(scope="module", autouse=True)
def _no_views_by_the_clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_counter, "INTERVAL", 3600)
        yield
