"""The recurring job of categories."""

from typing import cast

from sqlalchemy import Table

from tradepost.categories.models import Category
from tradepost.core.database.sort_keys import MEND_SECONDS, SortKeys
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.resources import Resources


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Mend the sort keys of what an earlier release wrote."""
    keys = SortKeys(resources.database, cast("Table", Category.__table__))
    subscriptions.every("categories.mend_sort_keys", MEND_SECONDS, keys.run)
