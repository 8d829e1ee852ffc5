"""The second factor: an authenticator's codes (RFC 6238), and recovery codes for when it is lost.

A code is checked in three steps: an attempt is counted as a failure, the code is judged with no transaction open, and the
transaction that it opens the door for uses it up. So many attempts at once are no more guesses than one after the other, and
of many requests with one code a single one gets in.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tradepost.accounts import totp
from tradepost.accounts.addresses import shown_email
from tradepost.accounts.errors import (
    IncorrectCode,
    IncorrectPassword,
    OwnSecondFactor,
    SecondFactorActive,
    SecondFactorNotFound,
    UserNotFound,
)
from tradepost.accounts.messages import (
    RecoveryCodeUsed,
    SecondFactorDisabled,
    SecondFactorEnabled,
    SecondFactorLifted,
)
from tradepost.accounts.models import SecondFactor
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.repository.credentials import CredentialRepository
from tradepost.accounts.repository.second_factors import SecondFactorRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.users import UserRepository
from tradepost.core.audit.trail import Asker, AuditTrail
from tradepost.core.audit.trail import user as account
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import TooManyRequests, Unauthenticated
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.sealing import Seals

CODES: Final = 10
"""Recovery codes that a person is given."""
WRONG_ONES: Final = 5
"""Wrong codes within ``WINDOW`` after which no more are looked at, from wherever they come."""
WINDOW: Final = timedelta(minutes=5)
_CODE_LENGTH: Final = 10
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Proof:
    """A code that was right when it was judged: of a step, under the sealed secret that was seen, or a recovery code's hash."""

    user_id: int
    sealed: str
    step: int | None
    recovery: str | None = None


@dataclass(frozen=True, slots=True)
class Setup:
    """A secret for an authenticator, as it is typed in, and as a QR code holds it."""

    secret: str
    otpauth_uri: str


class SecondFactorReader:
    """Tells who has a second factor in force, in batches that many requests share. Lives as long as the process."""

    def __init__(self, database: Database) -> None:
        self._reads: ReadCoalescer[int, bool] = ReadCoalescer(database, self._load)

    async def has(self, user_id: int) -> bool:
        """Tell whether a person has one."""
        return await self._reads.find(user_id) is not None

    async def _load(self, db: ReadSession, user_ids: Sequence[int]) -> Mapping[int, bool]:
        return dict.fromkeys(await SecondFactorRepository(db).find_confirmed(user_ids), True)


class SecondFactorService:
    """Sets second factors up, checks them, and takes them away, each in short transactions of its own."""

    def __init__(
        self,
        *,
        database: Database,
        hasher: PasswordHasher,
        seals: Seals,
        outbox: Outbox,
        audit: AuditTrail,
        clock: Clock,
        issuer: str,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._seals = seals
        self._outbox = outbox
        self._audit = audit
        self._clock = clock
        self._issuer = issuer

    async def begin(self, principal: Principal) -> Setup:
        """Give a person a new secret, which counts once it is confirmed; ``SecondFactorActive`` when one is in force."""
        secret = base64.urlsafe_b64decode(self._clock.token(totp.SECRET_BYTES) + "=")
        sealed = self._seals.seal(secret, about=str(principal.user_id))
        async with self._database.transaction() as db:
            user = await UserRepository(db).lock_no_key_update(principal.user_id)
            await self._keep_session(db, principal)
            if user is None:
                raise Unauthenticated
            if not await SecondFactorRepository(db).begin(user.id, secret=sealed, now=self._clock.now()):
                raise SecondFactorActive
        uri = totp.otpauth_uri(secret, issuer=self._issuer, account=shown_email(user.email))
        return Setup(totp.shown(secret), uri)

    async def confirm(self, code: str, principal: Principal) -> list[str]:
        """Put the secret in force by a code of it, and return the recovery codes."""
        user_id = principal.user_id
        factor = await self._attempt(user_id, by=principal, confirmed=False)
        if factor is None:
            raise SecondFactorNotFound
        step = self._step_of(factor, code)
        if step is None:
            await self._note_failure(user_id, principal)
            raise IncorrectCode
        codes = [self._new_code() for _ in range(CODES)]
        salt = base64.urlsafe_b64decode(self._clock.token(16) + "==")
        hashes = [await self._hasher.hash(_plain(each), salt=salt) for each in codes]
        async with self._database.transaction() as db:
            factors = SecondFactorRepository(db)
            await UserRepository(db).lock_no_key_update(user_id)
            # It outlives the log-in: what a reset ends must not lock the person out afterwards.
            await self._keep_session(db, principal)
            if not await factors.confirm(user_id, step, seen=factor.secret, now=self._clock.now()):
                raise SecondFactorActive
            await factors.add_codes(user_id, hashes)
            await self._outbox.add(db, SecondFactorEnabled(user_id))
            await self._audit.add(db, "second_factor.enabled", by=principal, on=account(user_id))
        return codes

    async def disable(self, password: str, code: str, principal: Principal) -> None:
        """Take the second factor away, by password and a code of it."""
        user_id = principal.user_id
        async with self._database.read() as db:
            user = await UserRepository(db).get(user_id)
        if user is None:
            raise Unauthenticated
        seen = user.hashed_password
        if not await self._hasher.verify(seen, password):
            await self._note_failure(user_id, principal, reason="password")
            raise IncorrectPassword
        proof = await self.prove(user_id, code, by=principal)
        async with self._database.transaction() as db:
            if not await CredentialRepository(db).lock_password_no_key_update(user_id, seen=seen):
                raise IncorrectPassword
            if not await self.settle(db, proof, by=principal):
                raise IncorrectCode
            await SecondFactorRepository(db).delete(user_id)
            await self._outbox.add(db, SecondFactorDisabled(user_id))
            await self._audit.add(db, "second_factor.disabled", by=principal, on=account(user_id))

    async def remove(self, db: WriteSession, user_id: int, *, by: Asker) -> bool:
        """Take somebody's second factor away in the caller's transaction, which has locked them; tell whether there was one."""
        if not await SecondFactorRepository(db).delete(user_id):
            return False
        await self._outbox.add(db, SecondFactorDisabled(user_id))
        await self._audit.add(db, "second_factor.disabled", by=by, on=account(user_id))
        return True

    async def lift(self, user_id: int, *, by: Asker) -> None:
        """Take away the second factor that somebody else has lost; nothing but the person's password logs in afterwards.

        ``OwnSecondFactor`` for that of whoever asks. Sessions and API keys stay.
        """
        if isinstance(by, Principal) and by.user_id == user_id:
            raise OwnSecondFactor
        async with self._database.transaction() as db:
            if await UserRepository(db).lock_no_key_update(user_id) is None:
                raise UserNotFound
            if not await SecondFactorRepository(db).delete(user_id):
                raise SecondFactorNotFound
            await self._outbox.add(db, SecondFactorLifted(user_id))
            await self._audit.add(db, "second_factor.lifted", by=by, on=account(user_id))

    async def is_active(self, db: WriteSession, user_id: int) -> bool:
        """Tell whether a person, whom the caller has locked, has a second factor in force."""
        return await SecondFactorRepository(db).is_confirmed(user_id)

    async def prove(self, user_id: int, code: str, *, by: Asker) -> Proof:
        """Judge a code, with no transaction open: ``IncorrectCode``, or ``TooManyRequests`` after too many wrong ones.

        ``SecondFactorNotFound`` when the person has none.
        """
        factor = await self._attempt(user_id, by=by, confirmed=True)
        if factor is None:
            raise SecondFactorNotFound
        step = self._step_of(factor, code)
        if step is not None and step > factor.last_step:
            return Proof(user_id, factor.secret, step)
        recovery = await self._recovery_code(user_id, _plain(code))
        if recovery is not None:
            return Proof(user_id, factor.secret, None, recovery)
        await self._note_failure(user_id, by)
        raise IncorrectCode

    async def settle(self, db: WriteSession, proof: Proof | None, *, by: Asker) -> bool:
        """Use a proof up in the transaction that it allows, which has locked the person; False when it is not good any more."""
        if proof is None:
            return True
        factors = SecondFactorRepository(db)
        if proof.step is not None:
            # Sealed anew: what an old key has sealed is under the one in force from the next log-in on.
            secret = self._seals.seal(self._opened(proof.user_id, proof.sealed), about=str(proof.user_id))
            return await factors.use_step(proof.user_id, proof.step, seen=proof.sealed, secret=secret)
        left = await factors.use_code(proof.user_id, proof.recovery or "")
        if left is None:
            return False
        await self._outbox.add(db, RecoveryCodeUsed(proof.user_id, left))
        await self._audit.add(
            db, "second_factor.recovery_code_used", by=by, on=account(proof.user_id), details={"left": left}
        )
        return True

    async def _recovery_code(self, user_id: int, plain: str) -> str | None:
        """Return the hash of a recovery code that is left; None for anything else."""
        if len(plain) != _CODE_LENGTH or not plain.isascii():
            return None
        async with self._database.read() as db:
            hashes = await SecondFactorRepository(db).find_code_hashes(user_id)
        # All have one salt: one hash finds out whether it is any of them.
        found = await self._hasher.hash_like(hashes[0], plain) if hashes else None
        return found if found in hashes else None

    async def _attempt(self, user_id: int, *, by: Asker, confirmed: bool) -> SecondFactor | None:
        """Count an attempt as a failure, which its success takes back; None when there is no second factor of that state."""
        now = self._clock.now()
        async with self._database.transaction() as db:
            factors = SecondFactorRepository(db)
            factor = await factors.lock_no_key_update(user_id)
            if factor is None:
                return None
            if (factor.confirmed_at is not None) is not confirmed:
                if confirmed:
                    return None
                raise SecondFactorActive
            moment = int(now.timestamp() * 1000)
            since = moment - WINDOW // _MILLISECOND
            recent = [each for each in factor.failures if each > since]
            if len(recent) < WRONG_ONES:
                await factors.note_failures(user_id, [*recent, moment])
                return factor
        await self._note_failure(user_id, by, reason="throttled")
        raise TooManyRequests(retry_after=max(1, -((since - recent[0]) // 1000)))

    async def _note_failure(self, user_id: int, by: Asker, *, reason: str = "code") -> None:
        await self._audit.refused(
            self._database,
            "second_factor.failed",
            by=by,
            on=account(user_id),
            account=str(user_id),
            details={"reason": reason},
        )

    async def _keep_session(self, db: WriteSession, principal: Principal) -> None:
        if principal.session_id is None or not await SessionRepository(db).lock_key_share(
            principal.session_id
        ):
            raise Unauthenticated

    def _step_of(self, factor: SecondFactor, code: str) -> int | None:
        plain = _plain(code)
        if len(plain) != totp.DIGITS or not plain.isascii():
            return None
        return totp.step_of(self._opened(factor.user_id, factor.secret), plain, self._clock.now())

    def _opened(self, user_id: int, sealed: str) -> bytes:
        secret = self._seals.open(sealed, about=str(user_id))
        if secret is None:
            # The key that sealed it was taken away: the operator has to bring it back, or a recovery code is used.
            raise IncorrectCode
        return secret

    def _new_code(self) -> str:
        # Fifty bits, in letters and digits that nobody mistakes for others.
        digest = hashlib.sha256(self._clock.token().encode()).digest()
        text = base64.b32encode(digest).decode()[:_CODE_LENGTH].lower()
        return f"{text[:5]}-{text[5:]}"


def _plain(code: str) -> str:
    """Return a code without what people type or copy along with it."""
    return "".join(character for character in code.lower() if character.isalnum())
