"""The reactions of accounts to messages, and their recurring jobs."""

from functools import partial
from typing import Final, cast

from sqlalchemy import Table

from tradepost.accounts.api_keys import prune_keys
from tradepost.accounts.messages import PasswordForgotten, VerificationAsked
from tradepost.accounts.models import User
from tradepost.accounts.recovery import RecoveryService
from tradepost.core.database.sort_keys import MEND_SECONDS, SortKeys
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.resources import Resources

PRUNE_SECONDS: Final = 3600.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Subscribe to requests for links, which are answered by a reaction so that no timing tells a known address."""
    recovery = resources[RecoveryService]
    subscriptions.react("accounts.reset_links", PasswordForgotten, recovery.on_forgotten)
    subscriptions.react("accounts.verification_links", VerificationAsked, recovery.on_asked)
    subscriptions.every("accounts.prune_tokens", PRUNE_SECONDS, recovery.prune)
    prune = partial(prune_keys, resources.database, resources.clock)
    subscriptions.every("accounts.prune_api_keys", PRUNE_SECONDS, prune)
    keys = SortKeys(resources.database, cast("Table", User.__table__))
    subscriptions.every("accounts.mend_sort_keys", MEND_SECONDS, keys.run)
