"""Errors of inboxes."""

from tradepost.core.errors import NotFound, TooManyRequests


class NotificationNotFound(NotFound):
    """The person has no notification of this id."""

    code = "NOTIFICATION_NOT_FOUND"
    detail = "Notification not found"


class TooManyStreams(TooManyRequests):
    """The person has the greatest number of streams open that one may have."""

    code = "TOO_MANY_STREAMS"
    detail = "Too many open streams"
