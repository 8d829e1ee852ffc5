"""What accounts do because of messages."""

from tradepost.accounts.messages import PasswordForgotten, VerificationAsked
from tradepost.accounts.recovery import RecoveryService
from tradepost.core.messages import Subscriptions
from tradepost.core.resources import Resources


def subscribe(subscriptions: Subscriptions, parts: Resources) -> None:
    """Look whose address it is that somebody asked an e-mail for."""
    recovery = parts[RecoveryService]
    subscriptions.react("accounts.reset_links", PasswordForgotten, recovery.on_forgotten)
    subscriptions.react("accounts.verification_links", VerificationAsked, recovery.on_asked)
