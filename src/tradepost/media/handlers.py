"""Reactions of media to messages, its own included."""

from tradepost.accounts.messages import UserDeleted
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.resources import Resources
from tradepost.media.cleanup import STORAGE, SWEEP_SECONDS, FileCleanup
from tradepost.media.messages import FileDoomed


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Delete the bytes of doomed files, doom the files of deleted people, and sweep up unfinished uploads."""
    cleanup = resources[FileCleanup]
    subscriptions.deliver("media.remove_bytes", FileDoomed, STORAGE, cleanup.delete_bytes)
    subscriptions.react("media.remove_files_of_user", UserDeleted, cleanup.doom_files_of_users)
    subscriptions.every("media.sweep", SWEEP_SECONDS, cleanup.sweep)
    subscriptions.every("media.sweep_bytes", SWEEP_SECONDS, cleanup.sweep_bytes)
