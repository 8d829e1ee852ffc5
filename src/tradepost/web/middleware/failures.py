"""The innermost layer: an unexpected exception is answered with ``INTERNAL_ERROR``."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from tradepost.web.middleware.exchange import ANSWER_KEY, Answer
from tradepost.web.problems.handlers import ErrorAnswers


class Failures:
    """Answers an unexpected exception, within all other layers, so that the headers for other origins are on it too.

    An answer that has begun cannot be taken back: it is left unfinished, and the server closes the connection.
    """

    def __init__(self, app: ASGIApp, answers: ErrorAnswers) -> None:
        self.app = app
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except ClientDisconnect:
            pass  # the client is gone, and Starlette's own layer further out would try to answer
        except Exception as error:
            answer: Answer | None = scope.get(ANSWER_KEY)
            if answer is None:
                raise
            response = self._answers(scope, error)
            if answer.status == 0:
                await response(scope, receive, send)
