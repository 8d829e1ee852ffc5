"""What media does because of messages."""

from tradepost.accounts.messages import UserDeleted
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.resources import Resources
from tradepost.media.keeper import STORAGE, SWEEP_SECONDS, FileKeeper
from tradepost.media.messages import FileDoomed


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Have the bytes of removed files go, the files of people who are gone, and what nobody finished."""
    keeper = resources[FileKeeper]
    subscriptions.deliver("media.remove_bytes", FileDoomed, STORAGE, keeper.bury)
    subscriptions.react("media.remove_files_of_user", UserDeleted, keeper.note_deleted_users)
    subscriptions.every("media.sweep", SWEEP_SECONDS, keeper.sweep)
