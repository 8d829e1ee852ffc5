"""The reactions of items to messages, and their recurring job."""

from collections.abc import Sequence

from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Envelope, Subscriptions
from tradepost.core.resources import Resources
from tradepost.items.counting import FOLD_SECONDS, ItemCounting
from tradepost.items.indexing import EVERY, LONGEST, ItemIndexer
from tradepost.items.messages import ItemDeleted
from tradepost.media.dependencies import build_file_service


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Subscribe to deleted items, whose files go; index what search does not know yet, and fold kept counts."""

    async def remove_files(db: WriteSession, envelopes: Sequence[Envelope[ItemDeleted]]) -> None:
        await build_file_service(db, resources).doom_subjects(
            {envelope.message.item_id for envelope in envelopes}
        )

    subscriptions.react("items.remove_files", ItemDeleted, remove_files)
    subscriptions.every("items.index_texts", EVERY, resources[ItemIndexer].run, timeout=LONGEST)
    if not resources.database.is_sqlite:
        # SQLite's triggers write the counts themselves.
        subscriptions.every("items.fold_counts", FOLD_SECONDS, ItemCounting(resources.database).fold)
