"""What accounts do because of messages."""

from typing import Final

from tradepost.accounts.messages import PasswordForgotten, VerificationAsked
from tradepost.accounts.recovery import RecoveryService
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.resources import Resources

PRUNE_SECONDS: Final = 3600.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Look whose address it is that somebody asked an e-mail for; forget links that have run out."""
    recovery = resources[RecoveryService]
    subscriptions.react("accounts.reset_links", PasswordForgotten, recovery.on_forgotten)
    subscriptions.react("accounts.verification_links", VerificationAsked, recovery.on_asked)
    subscriptions.every("accounts.prune_tokens", PRUNE_SECONDS, recovery.prune)
