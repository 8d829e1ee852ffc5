"""The authenticated asker of a request, as every domain and ``web`` see it.

A type of ``core``, filled in by ``accounts``: a domain that checks a permission needs no table of users.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

USER_AGENT_LENGTH: Final = 200
"""Of a longer one only the beginning is kept."""
IP_ADDRESS_LENGTH: Final = 45
"""An IPv6 address that holds an IPv4 one, spelt in full."""
REQUEST_ID_LENGTH: Final = 128


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from, as far as it says: what sessions and the audit trail keep of it."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None


NOWHERE: Final = Origin()
"""The origin of what no request asked for."""


def nowhere() -> Origin:
    """Return the origin of what no request asked for."""
    return NOWHERE


class CredentialKind(StrEnum):
    """What a principal was authenticated by."""

    SESSION = "session"
    KEY = "key"


class Credential(NamedTuple):
    """The log-in or the API key that a principal was authenticated by: what outlives the request asks whether it still holds."""

    kind: CredentialKind
    id: int


@dataclass(frozen=True, slots=True)
class ApiKeyTerms:
    """The API key that a principal was authenticated by, and its terms.

    ``rate_limit`` is the key's own (``5/60s``). ``lifts_limits``: no rate limit counts its requests; they are load tests.
    """

    id: int
    prefix: str
    rate_limit: str | None = None
    lifts_limits: bool = False


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated person: the user's id, the permissions, and the session or the API key that stands for them.

    ``origin`` tells where the request came from. It is a function, for few requests leave a line that names it.
    """

    user_id: int
    permissions: frozenset[str]
    session_id: int | None
    key: ApiKeyTerms | None = None
    origin: Callable[[], Origin] = field(default=nowhere, compare=False, repr=False)

    @property
    def credential(self) -> Credential:
        """The credential, for what outlives the request."""
        if self.key is not None:
            return Credential(CredentialKind.KEY, self.key.id)
        return Credential(CredentialKind.SESSION, self.session_id or 0)

    def may_act_for(self, owner_id: int, *, overriding: str) -> bool:
        """Tell whether this is the owner, or has the permission ``overriding``, which stands in for ownership."""
        return self.user_id == owner_id or overriding in self.permissions
