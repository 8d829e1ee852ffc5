"""The authenticated asker of a request, as every domain and ``web`` see it.

A type of ``core``, filled in by ``accounts``: a domain that checks a permission needs no table of users.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


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
    """An authenticated person: the user's id, the permissions, and the session or the API key that stands for them."""

    user_id: int
    permissions: frozenset[str]
    session_id: int | None
    key: ApiKeyTerms | None = None

    @property
    def credential(self) -> Credential:
        """The credential, for what outlives the request."""
        if self.key is not None:
            return Credential(CredentialKind.KEY, self.key.id)
        return Credential(CredentialKind.SESSION, self.session_id or 0)

    def may_act_for(self, owner_id: int, *, overriding: str) -> bool:
        """Tell whether this is the owner, or has the permission ``overriding``, which stands in for ownership."""
        return self.user_id == owner_id or overriding in self.permissions
