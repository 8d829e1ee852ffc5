"""The subscriptions of events: announcements to participants, reminders, and what was left behind."""

from functools import partial
from typing import Final

from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.events.announcements import Announcer, ReminderJob
from tradepost.events.departures import ForsakenEvents
from tradepost.events.dependencies import build_departure_service
from tradepost.events.messages import AnnouncementDue

REMIND_EVERY: Final = 10.0
PUT_IN_ORDER_EVERY: Final = 60.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Tell participants what is announced, send reminders, and put in order what deleted accounts left behind."""
    outbox, clock, database = resources[Outbox], resources.clock, resources.database
    subscriptions.react("events.announce", AnnouncementDue, Announcer(outbox, clock).react)
    subscriptions.every("events.remind", REMIND_EVERY, ReminderJob(database, outbox, clock).run)
    forsaken = ForsakenEvents(
        database, service=partial(build_departure_service, resources=resources), clock=clock
    )
    subscriptions.every("events.put_in_order", PUT_IN_ORDER_EVERY, forsaken.put_in_order)
