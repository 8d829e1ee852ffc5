"""What can go wrong with an inbox."""

from tradepost.core.errors import NotFound, TooManyRequests


class NotificationNotFound(NotFound):
    """No notification of the person's own has this id."""

    code = "NOTIFICATION_NOT_FOUND"
    detail = "Notification not found"


class TooManyStreams(TooManyRequests):
    """The person has as many streams open as one may have."""

    code = "TOO_MANY_STREAMS"
    detail = "Too many open streams"
