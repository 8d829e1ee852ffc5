"""Exception handlers: what a route raises becomes a problem, by its family's status and its own code."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from tradepost.core.clock import Clock, SystemClock
from tradepost.core.errors import TradepostError, Unprocessable
from tradepost.core.observability.incidents import Incidents, chain
from tradepost.web.problems.rendering import failure, problem, refusal, render
from tradepost.web.problems.schemas import title
from tradepost.web.problems.validation import field_problems

Translate = Callable[[BaseException], TradepostError | None]

_FOR_REASONS: Final = frozenset({HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.INSUFFICIENT_STORAGE})
_log = structlog.stdlib.get_logger("tradepost.web")

EXPECTED: Final = (TradepostError, RequestValidationError, HTTPException, SQLAlchemyError)


class ErrorAnswers:
    """Turns an exception into its answer; ``translate`` finds the domain error that an error of the database means."""

    def __init__(self, translate: Translate, clock: Clock | None = None) -> None:
        self._translate = translate
        self._incidents = Incidents(clock or SystemClock(), _log.warning)

    def __call__(self, scope: Scope, error: Exception) -> Response:
        """Return the answer for ``error``: a problem; an unexpected exception is a 500."""
        answer = self._foreseen(scope, error)
        if answer is None:
            return failure(scope, error)
        # Who keeps the error, be it a local of the frame that raised it, would keep the request and its body with it.
        for one in chain(error):
            one.__traceback__ = None
        return answer

    def _foreseen(self, scope: Scope, error: Exception) -> Response | None:
        """Return the answer to what may happen, None for anything else."""
        if isinstance(error, TradepostError):
            return self._problem(scope, error)
        if isinstance(error, RequestValidationError):
            errors = field_problems(error.errors())
            return render(scope, 422, Unprocessable.code, Unprocessable.detail, errors=errors)
        if isinstance(error, HTTPException):
            return _of_status(scope, error)
        if isinstance(error, SQLAlchemyError) and (meaning := self._translate(error)) is not None:
            meaning.__cause__ = error
            return self._problem(scope, meaning)
        # What is raised in the middle of an answer comes wrapped: by its cause it may be as foreseen as any.
        cause = next((one for one in chain(error) if isinstance(one, TradepostError)), None)
        if cause is not None and cause.status in _FOR_REASONS:
            return self._problem(scope, cause)
        return None

    def _problem(self, scope: Scope, error: TradepostError) -> Response:
        if error.status in _FOR_REASONS and error.__cause__ is not None:
            # An operator needs the reason, such as the system's error number; each line of the access log has the code.
            self._incidents.report("requests are refused", error, error_code=error.code)
        return problem(scope, error)


def _of_status(scope: Scope, refused: HTTPException) -> Response:
    if refused.status_code in {204, 304} or refused.status_code < 200:  # noqa: PLR2004  (statuses without a body)
        return Response(status_code=refused.status_code, headers=refused.headers)
    given: object = refused.detail  # FastAPI's own may be anything
    detail = given if isinstance(given, str) and given else title(refused.status_code)
    if refused.status_code == HTTPStatus.INTERNAL_SERVER_ERROR:
        return failure(scope, refused)
    return refusal(scope, refused.status_code, detail, refused.headers)


def install(app: FastAPI, answers: ErrorAnswers) -> None:
    """Register the handlers of every expected error.

    An unexpected exception passes on to the layer ``Failures``, whose answer carries the headers of the layers around it.
    """

    async def handle(request: Request, error: Exception) -> Response:
        return answers(request.scope, error)

    for kind in EXPECTED:
        app.add_exception_handler(kind, handle)
