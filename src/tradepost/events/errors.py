"""The errors of events."""

from tradepost.core.errors import Conflict, NotFound, Unprocessable


class EventNotFound(NotFound):
    """No event has this id."""

    code = "EVENT_NOT_FOUND"
    detail = "Event not found"


class ParticipantNotFound(NotFound):
    """The person has neither a seat at the event nor a place on its waiting list."""

    code = "PARTICIPANT_NOT_FOUND"
    detail = "Participant not found"


class EventOver(Conflict):
    """The event has ended."""

    code = "EVENT_OVER"
    detail = "The event is over"


class EventCancelled(Conflict):
    """The event was cancelled."""

    code = "EVENT_CANCELLED"
    detail = "The event was cancelled"


class HasParticipants(Conflict):
    """Somebody joined the event: it can be cancelled, which tells them, but not deleted."""

    code = "HAS_PARTICIPANTS"
    detail = "Somebody joined the event: cancel it instead"


def start_in_the_past() -> Unprocessable:
    """Return the error for a start that is not in the future."""
    return Unprocessable(("body", "start_date"), "The start must be in the future", kind="start_in_the_past")


def end_before_start(field: str) -> Unprocessable:
    """Return the error for an end that is not after the start; ``field`` is the one that was sent."""
    return Unprocessable(("body", field), END_BEFORE_START, kind="end_before_start")


END_BEFORE_START = "The end must be after the start"
