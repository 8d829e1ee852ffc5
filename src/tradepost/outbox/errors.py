"""Errors of the operators' view of the outbox."""

from tradepost.core.errors import Conflict, NotFound


class MessageNotFound(NotFound):
    """No message has this id, or it has been pruned."""

    code = "MESSAGE_NOT_FOUND"
    detail = "Message not found"


class MessageNotDead(Conflict):
    """The message is on its way, or was delivered: only one that was given up is sent again, or deleted."""

    code = "MESSAGE_NOT_DEAD"
    detail = "Only a message that was given up can be sent again or deleted"
