"""Last e-mails: the address of an account that is gone, sealed so that no table holds it while the e-mail waits."""

from tradepost.accounts.messages import AccountEnded
from tradepost.accounts.models import User
from tradepost.core.sealing import Seals


class Farewells:
    """Makes the message that an account has ended, and reads the address in it."""

    def __init__(self, seals: Seals) -> None:
        self._seals = seals

    def fact(self, user: User) -> AccountEnded:
        """Return the message about a person whose account ends."""
        return AccountEnded(user.id, self._seals.seal(user.email.encode(), about=str(user.id)))

    def address(self, fact: AccountEnded) -> str | None:
        """Return the address; None when the key that sealed it counts no more."""
        found = self._seals.open(fact.sealed_email, about=str(fact.user_id))
        return None if found is None else found.decode()
