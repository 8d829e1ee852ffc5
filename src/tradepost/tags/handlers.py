"""The recurring job of tags."""

from typing import cast

from sqlalchemy import Table

from tradepost.core.database.sort_keys import MEND_SECONDS, SortKeys
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.resources import Resources
from tradepost.tags.models import Tag


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Mend the sort keys of what an earlier release wrote."""
    keys = SortKeys(resources.database, cast("Table", Tag.__table__))
    subscriptions.every("tags.mend_sort_keys", MEND_SECONDS, keys.run)
