"""The access log: one line for each request."""

import logging
from datetime import UTC, datetime, timedelta

from tradepost.core.clock import Clock
from tradepost.core.observability.log_writer import LogWriter
from tradepost.core.principal import ApiKeyTerms


def timestamp(moment: datetime, *, readable: bool) -> str:
    """Return the one form of time in the log: UTC to the millisecond (RFC 3339), or the local time of day for people."""
    if readable:
        return f"{moment.astimezone():%H:%M:%S}"
    # A tenth of the cost of `strftime`.
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


class AccessLog:
    """Writes the one line of each request.

    The line is put together by hand: this is on the path of every request, and a general logger costs ten times as
    much. A status from 500 on is an error and always written; the others are left out above ``INFO``.
    """

    def __init__(
        self, writer: LogWriter, *, level: int = logging.INFO, readable: bool = False, clock: Clock
    ) -> None:
        self._writer = writer
        self._quiet = level > logging.INFO
        self._readable = readable
        self._now = clock.now
        # The second of the last line, the next one, and how the former is written.
        self._second = self._next = datetime.min.replace(tzinfo=UTC)
        self._written = ""

    def _timestamp(self) -> str:
        """Return the present as ``timestamp`` writes it; most lines are of the same second as the last one."""
        moment = self._now()
        if not self._second <= moment < self._next:
            self._second = moment.replace(microsecond=0)
            self._next = self._second + timedelta(seconds=1)
            self._written = timestamp(self._second, readable=False).removesuffix("000Z")
        return f"{self._written}{moment.microsecond // 1000:03d}Z"

    def write(
        self,
        *,
        request_id: str,
        method: str,
        template: str,
        status: int,
        seconds: float,
        person: int | None,
        key: ApiKeyTerms | None = None,
        error_code: str | None,
        expected: bool = False,
        trace: str | None = None,
    ) -> None:
        """Write a line; ``template`` is the route's path, without what was in its place, ``trace`` the id of its trace.

        An API key is named by its prefix. A status from 500 on that is ``expected`` is no error.
        """
        failed = status >= 500 and not expected  # noqa: PLR2004
        if self._quiet and not failed:
            return
        milliseconds = seconds * 1000
        if self._readable:
            asker = "" if person is None else f" person={person}"
            if key is not None:
                asker += f" key={key.prefix}{' load_test' if key.lifts_limits else ''}"
            code = "" if error_code is None else f" {error_code}"
            line = f"{timestamp(self._now(), readable=True)} {status} {method} {template} {milliseconds:.1f} ms{asker}{code} {request_id}\n"
        else:
            moment = self._timestamp()
            line = (
                f'{{"timestamp":"{moment}","level":"{"error" if failed else "info"}","event":"request",'
                f'"request_id":"{request_id}","method":"{method}","route":"{template}","status":{status},'
                f'"duration_ms":{milliseconds:.2f},"person":{"null" if person is None else person}'
            )
            if key is not None:
                line += f',"api_key":"{key.prefix}","load_test":{"true" if key.lifts_limits else "false"}'
            if error_code is not None:
                line += f',"error_code":"{error_code}"'
            line += "}\n" if trace is None else f',"trace_id":"{trace}"}}\n'
        self._writer.write(line.encode())
