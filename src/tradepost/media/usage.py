"""The usage that is freed when files go."""

from collections.abc import Iterable, Mapping

from tradepost.media.repository import DoomedRow


def freed(doomed: Iterable[DoomedRow]) -> Mapping[int, tuple[int, int]]:
    """Return the files and bytes that become free for each owner of doomed files."""
    totals: dict[int, tuple[int, int]] = {}
    for _, owner_id, size in doomed:
        files, total = totals.get(owner_id, (0, 0))
        totals[owner_id] = (files + 1, total + size)
    return totals
