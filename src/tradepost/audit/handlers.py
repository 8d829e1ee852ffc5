"""The recurring job of the audit trail."""

from typing import Final

from tradepost.audit.dependencies import build_audit_pruner
from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.resources import Resources

PRUNE_SECONDS: Final = 3600.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Have old lines deleted once an hour."""
    subscriptions.every("audit.prune", PRUNE_SECONDS, build_audit_pruner(resources).run)
