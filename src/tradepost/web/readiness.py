"""Readiness: whether requests should be sent to this process, by checks of what it depends on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

import structlog
from pydantic import Field

from tradepost.core.clock import Clock
from tradepost.core.observability.incidents import root_cause
from tradepost.core.wire.schemas import Output

CHECK_TIMEOUT: Final = 2.0
"""Seconds that a check may take; an orchestrator's own limit is rarely longer."""

OPTIONAL_TIMEOUT: Final = 1.0
"""Seconds for a part that is not required: a load balancer that waits two must not take every replica out for it."""

Probe = Callable[[], Awaitable[str | None]]
"""Looks at a part, and returns what is to be said about it, if anything."""

_log = structlog.stdlib.get_logger("tradepost.readiness")


class NotReadyError(Exception):
    """A part is not well, and its words say so to everybody: what is wrong, and what helps."""


class CheckResult(Output):
    """How one part is."""

    status: Literal["ok", "failed"] = Field(description="Whether it answered well")
    required: bool = Field(description="Whether the service is not ready without it")
    latency_ms: float = Field(description="How long it took, in milliseconds")
    detail: str | None = Field(
        default=None, description="What is wrong and what helps, where there is more to say than the status"
    )


class ReadinessReport(Output):
    """Whether requests should be sent here."""

    status: Literal["ready", "not ready", "draining"] = Field(
        description="`draining`: the process has been told to end"
    )
    checks: dict[str, CheckResult] = Field(description="How each part is, by its name")


@dataclass(frozen=True, slots=True)
class _Check:
    probe: Probe
    required: bool


class Readiness:
    """Runs the readiness checks, all at once; callers that come meanwhile share the run (single flight).

    Else probes would pile up on a database that is slow already. ``draining`` is set when the process has been told to end:
    it still answers, and should get nothing new.
    """

    def __init__(self, clock: Clock, *, timeout: float = CHECK_TIMEOUT) -> None:
        self.draining = False
        self.last: dict[str, float] = {}
        """1 for each part that was well when it was looked at last, 0 for the others."""
        self._monotonic = clock.monotonic
        self._timeout = timeout
        self._checks: dict[str, _Check] = {}
        self._failed: set[str] = set()
        self._flight: asyncio.Task[dict[str, CheckResult]] | None = None

    def add(self, name: str, probe: Probe, *, required: bool = True) -> None:
        """Add a check: ``probe`` returns when what it asks is well, and raises when it is not.

        What it returns, or says in a ``NotReadyError``, is shown; the words of other errors are only logged.
        """
        self._checks[name] = _Check(probe, required)

    async def report(self) -> ReadinessReport:
        """Run all checks, or join the run that is under way."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._run_all(), name="readiness")
        checks = await asyncio.shield(self._flight)
        ready = all(result.status == "ok" or not result.required for result in checks.values())
        status: Literal["ready", "not ready", "draining"] = "ready" if ready else "not ready"
        return ReadinessReport(status="draining" if self.draining else status, checks=checks)

    async def _run_all(self) -> dict[str, CheckResult]:
        results = await asyncio.gather(*(self._run(name, check) for name, check in self._checks.items()))
        return dict(zip(self._checks, results, strict=False))

    async def _run(self, name: str, check: _Check) -> CheckResult:
        before = self._monotonic()
        failure: Exception | None = None
        detail: str | None = None
        try:
            patience = self._timeout if check.required else min(self._timeout, OPTIONAL_TIMEOUT)
            async with asyncio.timeout(patience):
                detail = await check.probe()
        except NotReadyError as error:
            failure, detail = error, str(error)
        except Exception as error:  # noqa: BLE001  (the report tells of any failure)
            failure = error
        latency = self._monotonic() - before
        self._log_change(name, failure)
        self.last[name] = failure is None
        return CheckResult(
            status="ok" if failure is None else "failed",
            required=check.required,
            latency_ms=round(latency * 1000, 3),
            detail=detail,
        )

    def _log_change(self, name: str, failure: Exception | None) -> None:
        # The change, not the state: probes come every few seconds.
        if failure is not None and name not in self._failed:
            self._failed.add(name)
            _log.warning("a readiness check failed", check=name, reason=root_cause(failure))
        elif failure is None and name in self._failed:
            self._failed.discard(name)
            _log.info("a readiness check passes again", check=name)
