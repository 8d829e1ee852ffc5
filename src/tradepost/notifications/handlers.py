"""What notifications do because of other domains' messages."""

from functools import partial
from typing import Final

from tradepost.accounts.dependencies import build_user_service
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.notifications.inbox.pruner import InboxPruner
from tradepost.notifications.kinds import KINDS
from tradepost.notifications.mail import handlers as mail
from tradepost.notifications.planner import Planner

PRUNE_SECONDS: Final = 3600.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Have the planner told of every fact that is a kind of notification, and each way out of what it is to carry."""
    planner = Planner(
        people=partial(build_user_service, resources=resources),
        outbox=resources[Outbox],
        signals=resources[Signals],
        clock=resources.clock,
    )
    for kind in KINDS:
        subscriptions.react(f"notifications.{kind.name}", kind.fact, planner.plan)
    pruner = InboxPruner(resources.database, resources.clock)
    subscriptions.every("notifications.prune", PRUNE_SECONDS, pruner.prune)
    mail.subscribe(subscriptions, resources)
