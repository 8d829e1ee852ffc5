"""Errors of preferences."""

from tradepost.core.errors import RuleBroken


class UnsubscribeLinkVoid(RuleBroken):
    """The link's account is gone, and no e-mail with it."""

    code = "UNSUBSCRIBE_LINK_VOID"
    detail = "The account of this link is gone"
