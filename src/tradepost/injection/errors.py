"""Errors of faults on purpose."""

from tradepost.core.errors import MalformedHeader, NotFound, RuleBroken


class FaultNotFound(NotFound):
    """No fault has this name."""

    code = "FAULT_NOT_FOUND"
    detail = "Fault not found"


class TooManyFaults(RuleBroken):
    """As many faults have names as may have."""

    code = "TOO_MANY_FAULTS"
    detail = "Too many faults: delete some first"


class UnreadableFault(MalformedHeader):
    """What ``X-Fault`` says is no fault; ``detail`` names the part."""
