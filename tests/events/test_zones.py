from datetime import UTC, datetime

import pytest

from tradepost.events.zones import local_time


@pytest.mark.parametrize(
    ("moment", "zone", "shown"),
    [
        (datetime(2026, 12, 5, 17, tzinfo=UTC), "Europe/Berlin", "2026-12-05 18:00 (Europe/Berlin)"),
        (datetime(2026, 12, 5, 17, tzinfo=UTC), "Mars/Olympus_Mons", "2026-12-05 17:00 (UTC)"),
        (datetime(9999, 12, 31, 22, tzinfo=UTC), "Etc/GMT+12", "9999-12-31 10:00 (Etc/GMT+12)"),
        (datetime(9999, 12, 31, 22, tzinfo=UTC), "Pacific/Kiritimati", "9999-12-31 22:00 (UTC)"),
    ],
)
def test_every_moment_has_a_time_for_people(moment: datetime, zone: str, shown: str) -> None:
    assert local_time(moment, zone) == shown
