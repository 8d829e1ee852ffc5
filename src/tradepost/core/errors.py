"""The tree of domain errors: what services raise and clients see.

::

    TradepostError
    ├── RuleBroken          400  a business rule says no
    ├── Unauthenticated     401  no credential, or one that does not hold
    ├── Forbidden           403  the permission or the ownership is missing
    ├── NotFound            404
    ├── Conflict            409  the change clashes with what is stored
    ├── TookTooLong         408  the request came too slowly
    ├── PreconditionFailed  412
    ├── TooLarge            413
    ├── UnsupportedType     415  of a kind that is not taken
    ├── NoSuchRange         416
    ├── Unprocessable       422  well-formed, but a value is not acceptable
    ├── TooManyRequests     429
    ├── OperationFailed     500
    ├── Unavailable         503  try again later
    └── NoSpaceLeft         507  there is no room to store it

A family carries the HTTP status, a concrete error its machine-readable ``code`` and default ``detail``. ``web.problems``
renders them; nothing below ``web`` knows how.
"""

from typing import Any, ClassVar


class TradepostError(Exception):
    """A refusal that a client is meant to see.

    ``status`` is the HTTP status of the family, ``code`` the stable machine-readable name, ``detail`` one sentence for
    people, ``headers`` what the answer carries besides.
    """

    status: ClassVar[int] = 500
    code: str = "INTERNAL_ERROR"
    detail: str = "Internal server error"

    def __init__(self, detail: str | None = None, *, headers: dict[str, str] | None = None) -> None:
        if detail is not None:
            self.detail = detail
        self.headers = headers or {}
        super().__init__(self.detail)


class RuleBroken(TradepostError):
    """A rule of the marketplace says no."""

    status = 400
    code = "BUSINESS_LOGIC_ERROR"
    detail = "The request breaks a rule"


class MalformedHeader(RuleBroken):
    """A header field is not written as HTTP has it; ``detail`` names it."""

    code = "HTTP_400"
    detail = "A header field is malformed"


class Unauthenticated(TradepostError):
    """No credential, or one that does not hold. Always answered with ``WWW-Authenticate: Bearer`` (RFC 6750)."""

    status = 401
    code = "HTTP_401"
    detail = "Could not validate credentials"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(TradepostError):
    """The person is known and may not do this."""

    status = 403
    code = "HTTP_403"
    detail = "Not enough permissions"


class InsufficientPermissions(Forbidden):
    """The person's role lacks the permission that the route asks for."""

    detail = "Insufficient permissions"


class KeyNotAllowed(Forbidden):
    """An API key was shown for what only a log-in may do."""

    code = "API_KEY_NOT_ALLOWED"
    detail = "An API key cannot do this: log in"


class NotOwner(Forbidden):
    """The thing belongs to another person."""

    detail = "Not enough permissions"


class NotFound(TradepostError):
    """There is no such thing, or none that the asker may know of."""

    status = 404
    code = "HTTP_404"
    detail = "Not Found"


class Conflict(TradepostError):
    """The change clashes with what is stored."""

    status = 409
    code = "INTEGRITY_ERROR"
    detail = "Resource already exists or constraint violation"


class TookTooLong(TradepostError):
    """The request came so slowly that it was given up."""

    status = 408
    code = "HTTP_408"
    detail = "The request took too long to arrive"


class PreconditionFailed(TradepostError):
    """The thing was changed since the client last saw it (RFC 9110, section 13); ``etag`` is its entity tag now."""

    status = 412
    code = "PRECONDITION_FAILED"
    detail = "It was changed since: the ETag is that of its current state"

    def __init__(self, etag: str | None = None) -> None:
        super().__init__(headers={} if etag is None else {"ETag": etag})


class TooLarge(TradepostError):
    """What was sent is larger than is taken."""

    status = 413
    code = "HTTP_413"
    detail = "The body is too large"


class UnsupportedType(TradepostError):
    """What was sent is of a kind that is not taken, whatever it calls itself."""

    status = 415
    code = "HTTP_415"
    detail = "Unsupported Media Type"


class NoSuchRange(TradepostError):
    """None of the requested ranges can be sent; ``size`` is that of the whole in bytes (RFC 9110, 15.5.17)."""

    status = 416
    code = "HTTP_416"
    detail = "Range Not Satisfiable"

    def __init__(self, *, size: int) -> None:
        super().__init__(headers={"Content-Range": f"bytes */{size}"})


class Unprocessable(TradepostError):
    """A value is well-formed and still not acceptable: rendered as a validation error that names the field.

    ``location`` is the path to the value, such as ``("body", "price")``; ``message`` says the rule; ``kind`` is the
    machine-readable type of the fault.
    """

    status = 422
    code = "VALIDATION_ERROR"
    detail = "Validation error"

    def __init__(self, location: tuple[str | int, ...], message: str, *, kind: str = "value_error") -> None:
        super().__init__()
        self.errors: list[dict[str, Any]] = [{"location": list(location), "message": message, "type": kind}]


class TooManyRequests(TradepostError):
    """A rate limit is used up; ``retry_after`` is in whole seconds."""

    status = 429
    code = "RATE_LIMITED"
    detail = "Rate limit exceeded"

    def __init__(self, *, retry_after: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(headers={"Retry-After": str(retry_after), **(headers or {})})


class OperationFailed(TradepostError):
    """The database refused a statement for a reason the client cannot mend."""

    status = 500
    code = "DATABASE_ERROR"
    detail = "Database operation failed"


class CannotMigrate(TradepostError):
    """The history of the schema and what the database is at do not fit; its cause says how."""

    status = 500
    code = "DATABASE_ERROR"
    detail = "The database cannot be migrated"


class Unavailable(TradepostError):
    """Something the answer needs is away or overloaded; ``retry_after`` is in whole seconds."""

    status = 503
    code = "HTTP_503"
    detail = "Service temporarily unavailable"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Overloaded(Unavailable):
    """More is asked than can be answered, and others come first."""

    detail = "More is asked of the server than it can answer; try again later"


class DatabaseUnavailable(Unavailable):
    """The database cannot be reached, or no connection came free in time."""

    code = "DATABASE_ERROR"
    detail = "Database is not available"


class NoSpaceLeft(TradepostError):
    """There is no room left where it should be stored."""

    status = 507
    code = "HTTP_507"
    detail = "There is no space left to store this"
