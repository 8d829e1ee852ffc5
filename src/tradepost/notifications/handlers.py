"""The subscriptions of notifications: one reaction to every fact of the table of kinds, and e-mails to send."""

from functools import partial
from typing import Final

from tradepost.accounts.dependencies import build_user_service
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.notifications.fan_out import NotificationFanOut
from tradepost.notifications.inbox.pruner import InboxPruner
from tradepost.notifications.kinds import KINDS
from tradepost.notifications.mail import handlers as mail

PRUNE_SECONDS: Final = 3600.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Subscribe the fan-out to every fact of the table, the mail channel to its e-mails, and the pruner."""
    fan_out = NotificationFanOut(
        people=partial(build_user_service, resources=resources),
        outbox=resources[Outbox],
        signals=resources[Signals],
        clock=resources.clock,
    )
    for kind in KINDS:
        subscriptions.react(f"notifications.{kind.name}", kind.fact, fan_out.react)
    pruner = InboxPruner(resources.database, resources.clock)
    subscriptions.every("notifications.prune", PRUNE_SECONDS, pruner.prune)
    mail.subscribe(subscriptions, resources)
