"""The second factor, held against an authenticator of others' making (pyotp)."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import argon2
import httpx
import pyotp
import pytest
from sqlalchemy import select

from tests.accounts.test_recovery import AUTH, NEW, asked
from tests.conftest import PASSWORD, NewPerson, Person, Template, World, world_on
from tests.notifications.inbox.test_inbox import inbox_of
from tradepost.accounts.models import RecoveryCode, SecondFactor
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.permissions import Role
from tradepost.accounts.repository.users import UserRepository
from tradepost.core.audit.models import AuditLine
from tradepost.core.messaging.dispatcher import Dispatcher

TOTP = f"{AUTH}/totp"
ME = "/api/v1/users/me"
WRONG = "000000"


@pytest.fixture(autouse=True)
def _time_stands_still(world: World) -> Iterator[None]:
    """Codes are compared with those of other steps: none must begin in the middle of a test."""
    with world.clock.stopped():
        yield


CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def _cheap_recovery_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash ten codes in no time; each is compared by the parameters that stand in its hash."""
    real = PasswordHasher.hash

    async def hashed(self: PasswordHasher, password: str, *, salt: bytes | None = None) -> str:
        return await real(self, password) if salt is None else CHEAP.hash(password, salt=salt)

    monkeypatch.setattr(PasswordHasher, "hash", hashed)


class Authenticator:
    """A phone with the secret, and the recovery codes on paper."""

    def __init__(self, world: World, secret: str) -> None:
        self._world = world
        self._totp = pyotp.TOTP(secret)
        self.codes: list[str] = []

    def code(self, *, late: int = 0) -> str:
        """Return what it shows; ``late`` by so many steps."""
        return self._totp.at(self._world.clock.now(), counter_offset=-late)


async def enrolled(world: World, person: Person) -> Authenticator:
    """Set up a second factor, and let its first code pass."""
    answer = await person.api.post(TOTP)
    assert answer.status_code == 200, answer.text
    phone = Authenticator(world, answer.json()["secret"])
    confirmed = await person.api.post(f"{TOTP}/confirm", json={"code": phone.code()})
    assert confirmed.status_code == 200, confirmed.text
    phone.codes = confirmed.json()["recovery_codes"]
    world.clock.move(30)
    return phone


async def login(
    client: httpx.AsyncClient, person: Person, otp: str | None = None, **form: str
) -> tuple[int, str]:
    data = {"username": person.email, "password": PASSWORD, **form}
    answer = await client.post(f"{AUTH}/login", data=data if otp is None else {**data, "otp": otp})
    return answer.status_code, answer.json().get("error_code", "")


async def actions(world: World, user_id: int) -> list[str]:
    async with world.database.read() as db:
        lines = select(AuditLine.action).where(AuditLine.subject_id == user_id).order_by(AuditLine.id)
        return list(await db.scalars(lines))


class TestSettingUp:
    async def test_from_the_secret_to_the_log_in(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        answer = await alice.api.post(TOTP)
        setup = answer.json()
        read = pyotp.parse_uri(setup["otpauth_uri"])
        assert isinstance(read, pyotp.TOTP)
        assert (read.secret, read.name, read.issuer) == (setup["secret"], alice.email, "Tradepost")
        assert (read.digits, read.interval, len(read.byte_secret())) == (6, 30, 20)
        assert await login(client, alice) == (200, ""), "it counts once it is confirmed"
        code = read.at(world.clock.now())
        confirmed = await alice.api.post(f"{TOTP}/confirm", json={"code": f"{code[:3]} {code[3:]}"})
        assert confirmed.status_code == 200
        assert len(set(confirmed.json()["recovery_codes"])) == 10
        assert await login(client, alice) == (401, "SECOND_FACTOR_REQUIRED")
        assert await login(client, alice, code) == (401, "INCORRECT_CODE"), "the confirming one was used"
        world.clock.move(30)
        assert await login(client, alice, read.at(world.clock.now())) == (200, "")

    async def test_only_after_a_right_password(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        phone = await enrolled(world, alice)
        for otp in ("", phone.code(), WRONG):
            form = {"username": alice.email, "password": "Wrong1234", "otp": otp}
            answer = await client.post(f"{AUTH}/login", data=form)
            assert (answer.status_code, answer.json()["detail"]) == (401, "Incorrect email or password")
        answer = await client.post(f"{AUTH}/login", data={"username": alice.email, "password": PASSWORD})
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert await login(client, alice, phone.code()) == (200, ""), "no code was used or counted"

    async def test_what_was_there_before_stays(self, world: World, alice: Person) -> None:
        key = (await alice.api.post(f"{AUTH}/api-keys", json={"name": "Robot"})).json()["key"]
        await enrolled(world, alice)
        assert (await alice.api.get(ME)).status_code == 200
        async with world.caller(**{"X-API-Key": key}) as robot:
            assert (await robot.get(ME)).status_code == 200
        async with world.caller() as client:
            refreshed = await client.post(
                f"{AUTH}/refresh-token", json={"refresh_token": alice.refresh_token}
            )
        assert refreshed.status_code == 200

    async def test_an_account_without_one_takes_any_code(
        self, alice: Person, client: httpx.AsyncClient
    ) -> None:
        assert await login(client, alice, "123456") == (200, "")
        await alice.api.post(TOTP)
        assert await login(client, alice, "123456") == (200, "")

    async def test_a_new_secret_takes_the_place_of_one_not_confirmed(
        self, world: World, alice: Person
    ) -> None:
        first = Authenticator(world, (await alice.api.post(TOTP)).json()["secret"])
        second = Authenticator(world, (await alice.api.post(TOTP)).json()["secret"])
        refused = await alice.api.post(f"{TOTP}/confirm", json={"code": first.code()})
        assert (refused.status_code, refused.json()["error_code"]) == (400, "INCORRECT_CODE")
        assert (await alice.api.post(f"{TOTP}/confirm", json={"code": second.code()})).status_code == 200
        for path, body in (("", None), ("/confirm", {"code": second.code()})):
            again = await alice.api.post(f"{TOTP}{path}", json=body)
            assert (again.status_code, again.json()["error_code"]) == (409, "SECOND_FACTOR_ACTIVE")

    async def test_none_to_confirm_or_remove(self, alice: Person) -> None:
        confirmed = await alice.api.post(f"{TOTP}/confirm", json={"code": WRONG})
        body = {"password": PASSWORD, "code": WRONG}
        removed = await alice.api.request("DELETE", TOTP, json=body)
        await alice.api.post(TOTP)
        still = await alice.api.request("DELETE", TOTP, json=body)
        for answer in (confirmed, removed, still):
            assert (answer.status_code, answer.json()["error_code"]) == (404, "SECOND_FACTOR_NOT_FOUND")

    async def test_of_many_confirmations_at_once_one_wins(self, world: World, alice: Person) -> None:
        phone = Authenticator(world, (await alice.api.post(TOTP)).json()["secret"])
        answers = await asyncio.gather(
            *(alice.api.post(f"{TOTP}/confirm", json={"code": phone.code()}) for _ in range(4))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
        async with world.database.read() as db:
            assert len((await db.scalars(select(RecoveryCode.code_hash))).all()) == 10

    async def test_no_table_and_no_message_holds_a_secret(self, world: World, alice: Person) -> None:
        answer = await alice.api.post(TOTP)
        secret = answer.json()["secret"]
        phone = Authenticator(world, secret)
        codes = (await alice.api.post(f"{TOTP}/confirm", json={"code": phone.code()})).json()[
            "recovery_codes"
        ]
        async with world.database.read() as db:
            factor = (await db.execute(select(SecondFactor.__table__))).mappings().one()
            hashes = (await db.scalars(select(RecoveryCode.code_hash))).all()
        raw = pyotp.TOTP(secret).byte_secret()
        for hidden in (secret, raw.hex(), *codes, *(code.replace("-", "") for code in codes)):
            assert hidden not in f"{dict(factor)} {hashes}"
        assert all(each.startswith("$argon2id$") for each in hashes)


class TestCodes:
    async def test_a_code_is_good_once_whoever_is_first(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        phone = await enrolled(world, alice)
        code = phone.code()
        outcomes = await asyncio.gather(*(login(client, alice, code) for _ in range(4)))
        assert sorted(outcomes) == [(200, ""), *[(401, "INCORRECT_CODE")] * 3]

    async def test_a_clock_may_be_off_by_a_step(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        phone = await enrolled(world, alice)
        world.clock.move(120)
        assert await login(client, alice, phone.code(late=2)) == (401, "INCORRECT_CODE")
        assert await login(client, alice, phone.code(late=-2)) == (401, "INCORRECT_CODE")
        assert await login(client, alice, phone.code(late=1)) == (200, "")
        assert await login(client, alice, phone.code(late=-1)) == (200, "")
        assert await login(client, alice, phone.code()) == (401, "INCORRECT_CODE"), "older than the last"

    @pytest.mark.parametrize(
        "otp", ["12345", "1234567", "abcdef", "１２３４５６", "²²²²²²", "x" * 64, "-", "a\u0301"]
    )
    async def test_what_is_no_code(
        self, world: World, alice: Person, client: httpx.AsyncClient, otp: str
    ) -> None:
        await enrolled(world, alice)
        assert await login(client, alice, otp) == (401, "INCORRECT_CODE")

    async def test_five_wrong_ones_from_anywhere_and_no_more_are_looked_at(
        self, world: World, alice: Person, bob: Person
    ) -> None:
        phone = await enrolled(world, alice)
        guesses = []
        for number in range(8):
            async with world.caller(**{"X-Forwarded-For": f"203.0.113.{number}"}) as client:
                guesses.append(await login(client, alice, WRONG))
        assert guesses == [(401, "INCORRECT_CODE")] * 5 + [(429, "RATE_LIMITED")] * 3
        async with world.caller() as client:
            answer = await client.post(
                f"{AUTH}/login",
                data={"username": alice.email, "password": PASSWORD, "otp": phone.code()},
            )
            assert answer.status_code == 429, "not the right one either"
            assert 290 <= int(answer.headers["Retry-After"]) <= 300
            for recovery in (phone.codes[0],):
                assert await login(client, alice, recovery) == (429, "RATE_LIMITED")
            assert await login(client, bob) == (200, "")
            removed = await alice.api.request(
                "DELETE", TOTP, json={"password": PASSWORD, "code": phone.code()}
            )
            assert removed.status_code == 429
            world.clock.move(301)
            assert await login(client, alice, phone.code()) == (200, "")

    async def test_guesses_at_once_are_no_more_guesses(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        await enrolled(world, alice)
        outcomes = await asyncio.gather(*(login(client, alice, f"00000{number}") for number in range(9)))
        assert [status for status, _ in sorted(outcomes)] == [401] * 5 + [429] * 4

    async def test_a_right_one_wipes_the_wrong_ones_out(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        phone = await enrolled(world, alice)
        for _ in range(2):
            for _ in range(4):
                assert await login(client, alice, WRONG) == (401, "INCORRECT_CODE")
            assert await login(client, alice, phone.code()) == (200, "")
            world.clock.move(30)

    async def test_a_recovery_code_is_good_once_and_told(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        phone = await enrolled(world, alice)
        code = phone.codes[3]
        outcomes = await asyncio.gather(*(login(client, alice, code.upper()) for _ in range(3)))
        assert sorted(outcomes) == [(200, ""), *[(401, "INCORRECT_CODE")] * 2]
        assert await login(client, alice, phone.codes[0].replace("-", " ")) == (200, "")
        assert await login(client, alice, "aaaaa-aaaaa") == (401, "INCORRECT_CODE")
        await world.resources[Dispatcher].drain()
        told = [note["title"] for note in (await inbox_of(alice))["notifications"]]
        assert sorted(told) == ["Recovery Code Used"] * 2 + ["Second Factor On"]
        mails = world.resources.settings.DATA_DIR / "mails"
        (switched,) = mails.glob("*second_factor_on*")
        assert alice.email in switched.read_text()
        found = await actions(world, alice.id)
        assert found.count("second_factor.recovery_code_used") == 2
        assert found.count("second_factor.enabled") == 1
        assert "second_factor.failed" in found


class TestRemoving:
    async def test_by_password_and_code(self, world: World, alice: Person, client: httpx.AsyncClient) -> None:
        phone = await enrolled(world, alice)
        for body, code in (
            ({"password": "Wrong1234", "code": phone.code()}, "INCORRECT_PASSWORD"),
            ({"password": PASSWORD, "code": WRONG}, "INCORRECT_CODE"),
        ):
            refused = await alice.api.request("DELETE", TOTP, json=body)
            assert (refused.status_code, refused.json()["error_code"]) == (400, code)
        body = {"password": PASSWORD, "code": phone.code()}
        removed = await alice.api.request("DELETE", TOTP, json=body)
        assert (removed.status_code, removed.json()) == (
            200,
            {"message": "Second factor removed successfully"},
        )
        assert await login(client, alice) == (200, "")
        async with world.database.read() as db:
            assert not (await db.scalars(select(RecoveryCode.code_hash))).all()
        await world.resources[Dispatcher].drain()
        assert (await inbox_of(alice))["notifications"][0]["title"] == "Second Factor Removed"
        await enrolled(world, alice)

    async def test_a_reset_keeps_it(self, world: World, alice: Person, client: httpx.AsyncClient) -> None:
        """Whoever reads somebody's e-mails has one factor of two."""
        (verify,) = await asked(world, client, alice.email, "email/resend")
        await client.post(f"{AUTH}/email/verify", json={"token": verify})
        await enrolled(world, alice)
        tokens = await asked(world, client, alice.email)
        answer = await client.post(f"{AUTH}/password/reset", json={"token": tokens[-1], "new_password": NEW})
        assert answer.status_code == 200
        assert await login(client, alice, password=NEW) == (401, "SECOND_FACTOR_REQUIRED")

    async def test_the_first_proof_of_the_address_takes_it_away(
        self, world: World, alice: Person, client: httpx.AsyncClient
    ) -> None:
        """A stranger who registered her address must not lock her out of it."""
        await enrolled(world, alice)
        (token,) = await asked(world, client, alice.email)
        answer = await client.post(f"{AUTH}/password/reset", json={"token": token, "new_password": NEW})
        assert answer.status_code == 200
        assert await login(client, alice, password=NEW) == (200, "")
        assert (await actions(world, alice.id)).count("second_factor.disabled") == 1


class TestLifting:
    """Somebody has lost the phone and the recovery codes, and an admin helps."""

    async def test_an_admin_takes_it_away_and_the_person_is_told(
        self, world: World, alice: Person, admin: Person, client: httpx.AsyncClient
    ) -> None:
        await enrolled(world, alice)
        path = f"/api/v1/users/{alice.id}/totp"
        assert await login(client, alice) == (401, "SECOND_FACTOR_REQUIRED")
        lifted = await admin.api.delete(path)
        assert (lifted.status_code, lifted.json()) == (200, {"message": "Second factor removed successfully"})
        assert await login(client, alice) == (200, "")
        async with world.database.read() as db:
            assert not (await db.scalars(select(RecoveryCode.code_hash))).all()
        assert (await alice.api.get(ME)).status_code == 200, "sessions stay"
        await world.resources[Dispatcher].drain()
        title = (await inbox_of(alice))["notifications"][0]["title"]
        assert title == "Second Factor Removed by an Administrator"
        mails = (world.resources.settings.DATA_DIR / "mails").glob("*second_factor_lifted*")
        assert any(alice.email in mail.read_text("utf-8") for mail in mails)
        assert (await actions(world, alice.id)).count("second_factor.lifted") == 1
        again = await admin.api.delete(path)
        assert (again.status_code, again.json()["error_code"]) == (404, "SECOND_FACTOR_NOT_FOUND")
        gone = await admin.api.delete("/api/v1/users/999999/totp")
        assert (gone.status_code, gone.json()["error_code"]) == (404, "USER_NOT_FOUND")

    async def test_an_admin_sees_whether_there_is_one(
        self, world: World, alice: Person, moderator: Person, admin: Person, client: httpx.AsyncClient
    ) -> None:
        path = f"/api/v1/users/{alice.id}/totp"
        none = {"enabled": False, "enabled_at": None, "recovery_codes_left": 0}
        assert (await admin.api.get(path)).json() == none
        await alice.api.post(TOTP)
        assert (await admin.api.get(path)).json() == none, "it waits for its first code"
        phone = await enrolled(world, alice)
        assert await login(client, alice, phone.codes[0]) == (200, "")
        state = (await admin.api.get(path)).json()
        assert (state["enabled"], state["recovery_codes_left"]) == (True, 9)
        assert state["enabled_at"].endswith("Z")
        for asker in (alice, moderator):
            assert (await asker.api.get(path)).status_code == 403
        gone = await admin.api.get("/api/v1/users/999999/totp")
        assert (gone.status_code, gone.json()["error_code"]) == (404, "USER_NOT_FOUND")

    async def test_one_that_waits_for_its_first_code_stays(
        self, world: World, alice: Person, admin: Person
    ) -> None:
        phone = Authenticator(world, (await alice.api.post(TOTP)).json()["secret"])
        assert (await admin.api.delete(f"/api/v1/users/{alice.id}/totp")).status_code == 404
        assert (await alice.api.post(f"{TOTP}/confirm", json={"code": phone.code()})).status_code == 200

    async def test_nobody_else_does_and_not_one_s_own(
        self,
        world: World,
        alice: Person,
        moderator: Person,
        new_person: NewPerson,
        client: httpx.AsyncClient,
    ) -> None:
        admin = await new_person("Eve", Role.ADMIN)
        for person in (alice, admin):
            await enrolled(world, person)
        key = (await admin.api.post(f"{AUTH}/api-keys", json={"name": "Robot", "load_test": True})).json()
        async with world.caller(**{"X-API-Key": key["key"]}) as robot:
            for asker, user_id, refusal in (
                (client, alice.id, (401, "HTTP_401")),
                (alice.api, alice.id, (403, "HTTP_403")),
                (moderator.api, alice.id, (403, "HTTP_403")),
                (robot, alice.id, (403, "API_KEY_NOT_ALLOWED")),
                # A stolen log-in must not do what the password and a code are asked for.
                (admin.api, admin.id, (400, "OWN_SECOND_FACTOR")),
            ):
                answer = await asker.delete(f"/api/v1/users/{user_id}/totp")
                assert (answer.status_code, answer.json()["error_code"]) == refusal
        for person in (alice, admin):
            assert await login(client, person) == (401, "SECOND_FACTOR_REQUIRED")

    async def test_of_two_at_once_one_finds_it(
        self, world: World, alice: Person, admin: Person, new_person: NewPerson
    ) -> None:
        await enrolled(world, alice)
        other = await new_person("Eve", Role.ADMIN)
        path = f"/api/v1/users/{alice.id}/totp"
        answers = await asyncio.gather(*(each.api.delete(path) for each in (admin, other)))
        assert sorted(answer.status_code for answer in answers) == [200, 404]
        assert (await actions(world, alice.id)).count("second_factor.lifted") == 1


async def test_another_secret_key_opens_what_the_old_one_sealed(
    tmp_path: Path, world: World, alice: Person
) -> None:
    old, new = (
        world.resources.settings.SECRET_KEY.get_secret_value(),
        "another key of thirty-two bytes or more",
    )
    phone = await enrolled(world, alice)
    moment = world.clock.now()

    async def log_in(*codes: str, **keys: Any) -> list[tuple[int, str]]:
        async with world_on(world.url, tmp_path, **keys) as other, other.caller() as client:
            other.clock.move((moment - other.clock.now()).total_seconds())
            return [await login(client, alice, code) for code in codes]

    assert await log_in(phone.code(), SECRET_KEY=new) == [(401, "INCORRECT_CODE")]
    assert await log_in(phone.codes[0], SECRET_KEY=new) == [(200, "")], "recovery codes need no key"
    assert await log_in(phone.code(), SECRET_KEY=new, SECRET_KEYS_OLD=old) == [(200, "")]
    # It was sealed anew by that log-in.
    assert await log_in(phone.code(late=-1), SECRET_KEY=new) == [(200, "")]


class TestStaffWhoHaveToHaveOne:
    async def test_they_do_nothing_else_until_they_do(self, template: Template, tmp_path: Path) -> None:
        url = await template.copy()
        admin = {"username": "admin@example.com", "password": "changethis"}
        async with world_on(url, tmp_path, REQUIRE_STAFF_TOTP=True) as world, world.caller() as client:
            token = (await client.post(f"{AUTH}/login", data=admin)).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            for method, path in (
                ("GET", ME),
                ("GET", "/api/v1/items/"),
                ("GET", "/api/v1/users/"),
                ("POST", f"{AUTH}/api-keys"),
                ("POST", f"{AUTH}/refresh-token"),
                ("POST", "/api/v1/notifications/stream/ticket"),
                ("GET", "/api/v1/notifications/stream"),
            ):
                answer = await client.request(method, path, json={"name": "x"} if "keys" in path else None)
                assert (answer.status_code, answer.json()["error_code"]) == (403, "SECOND_FACTOR_NEEDED"), (
                    path
                )
            phone = Authenticator(world, (await client.post(TOTP)).json()["secret"])
            assert (await client.post(f"{TOTP}/confirm", json={"code": phone.code()})).status_code == 200
            assert (await client.get(ME)).status_code == 200, "from the next request on"
            assert (await client.get("/api/v1/users/")).status_code == 200

    async def test_others_need_none_and_their_keys_neither(self, template: Template, tmp_path: Path) -> None:
        person = {"email": "ada@example.com", "password": PASSWORD, "first_name": "Ada", "last_name": "L"}
        url = await template.copy()
        async with world_on(url, tmp_path) as world, world.caller() as client:
            admin = {"username": "admin@example.com", "password": "changethis"}
            token = (await client.post(f"{AUTH}/login", data=admin)).json()["access_token"]
            key = await client.post(
                f"{AUTH}/api-keys", json={"name": "Robot"}, headers={"Authorization": f"Bearer {token}"}
            )
        async with world_on(url, tmp_path, REQUIRE_STAFF_TOTP=True) as world, world.caller() as client:
            await client.post(f"{AUTH}/register", json=person)
            form = {"username": person["email"], "password": PASSWORD}
            token = (await client.post(f"{AUTH}/login", data=form)).json()["access_token"]
            assert (await client.get(ME, headers={"Authorization": f"Bearer {token}"})).status_code == 200
            answer = await client.get(ME, headers={"X-API-Key": key.json()["key"]})
            assert (answer.status_code, answer.json()["error_code"]) == (403, "SECOND_FACTOR_NEEDED")


async def test_a_log_in_that_enrolment_overtakes_is_asked_for_a_code(
    world: World, new_person: NewPerson, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await new_person("Paula", Role.USER)
    phone = Authenticator(world, (await person.api.post(TOTP)).json()["secret"])
    locked = asyncio.Event()
    real = UserRepository.lock_no_key_update

    async def slowly(self: UserRepository, user_id: int) -> Any:
        found = await real(self, user_id)
        locked.set()
        await asyncio.sleep(0.2)
        return found

    monkeypatch.setattr(UserRepository, "lock_no_key_update", slowly)
    confirming = asyncio.create_task(person.api.post(f"{TOTP}/confirm", json={"code": phone.code()}))
    await locked.wait()
    assert await login(client, person) == (401, "SECOND_FACTOR_REQUIRED")
    assert (await confirming).status_code == 200


async def test_a_session_that_has_ended_sets_none_up(world: World, alice: Person) -> None:
    phone = Authenticator(world, (await alice.api.post(TOTP)).json()["secret"])
    world.clock.move(timedelta(days=31).total_seconds())
    assert (await alice.api.post(f"{TOTP}/confirm", json={"code": phone.code()})).status_code == 401
