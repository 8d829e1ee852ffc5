"""Adapters: what ``events`` supplies to the port of ``accounts``."""

from functools import partial

from tradepost.accounts.departures import Departures
from tradepost.core.resources import Resources
from tradepost.events.departures import EventDepartures
from tradepost.events.dependencies import build_departure_service


def supply_event_ports(resources: Resources) -> None:
    """Put in what accounts need of events, before the domain that asks for it is opened."""
    resources.put(Departures, EventDepartures(partial(build_departure_service, resources=resources)))
