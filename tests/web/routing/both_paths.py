"""The fast and the ordinary path of one application, to be held against each other, and whom to ask as."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response
from starlette.types import Message, Receive, Scope

from tests.conftest import NewPerson, Person, World
from tradepost.accounts.tokens import Tokens
from tradepost.core.resources import Resources
from tradepost.core.secret_keys import SecretKeys
from tradepost.items.view_counter import ViewCounter
from tradepost.main import create_app
from tradepost.web.asgi_scope import ERROR_CODE_KEY, TEMPLATE_KEY, USER_ID_KEY
from tradepost.web.routing.fast_path import JudgedQueries
from tradepost.web.routing.path_table import PathTable, Target

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Answer:
    """What a client got, and what the layers around the application were told."""

    status: int
    headers: Headers
    body: bytes
    person: int | None
    error_code: str | None
    template: str | None
    views: Counter[int]
    fast: bool = field(compare=False)
    """Whether the fast path gave it."""


class OnePath:
    """An application on parts that are there already, asked without a client or a server in between."""

    def __init__(self, resources: Resources, *, fast: bool) -> None:
        self.resources = resources
        self.app = create_app(resources.settings)
        self.fast_routes: set[tuple[str, str]] = set()
        self.queries: list[JudgedQueries[Any]] = []
        self._fast = False
        for method, template, target in self._targets():
            if target.fast is not None:
                self.fast_routes.add((method, template))
                if fast:
                    self.queries.append(target.fast.queries)
                    target.fast = self._watched(target.fast)
                else:
                    target.fast = None

    def _targets(self) -> Iterator[tuple[str, str, Target]]:
        (table,) = (route for route in self.app.router.routes if isinstance(route, PathTable))
        filed = chain(table._fixed.values(), table._open, *table._by_depth.values())
        for entry in {id(entry): entry for entry in filed}.values():
            for method, target in entry.targets.items():
                yield method, entry.template, target

    def _watched(self, handler: Any) -> Any:
        async def handle(scope: Scope, receive: Receive) -> Response | None:
            self._fast = True
            response: Response | None = await handler(scope, receive)
            self._fast = response is not None
            return response

        return handle

    async def ask(
        self, method: str, address: str, headers: Headers | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request as a server would, with ``address`` as it came over the wire, in Latin-1."""
        path, _, query = address.partition("?")
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "root_path": "",
            "query_string": query.encode("latin-1"),
            "headers": [(b"host", b"testserver"), (b"x-request-id", b"the-same"), *(headers or ())],
            "client": ("127.0.0.1", 1234),
            "server": ("testserver", 80),
            "state": {"resources": self.resources},
        }
        sent: list[Message] = []
        self._fast = False
        seen = self.resources[ViewCounter]._waiting.copy()

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start, *rest = sent
        assert start["type"] == "http.response.start"
        assert {message["type"] for message in rest} == {"http.response.body"}
        kept = [(name, value) for name, value in start["headers"] if name != b"x-process-time"]
        assert len(kept) == len(start["headers"]) - 1
        return Answer(
            status=start["status"],
            headers=kept,
            body=b"".join(message.get("body", b"") for message in rest),
            person=scope.get(USER_ID_KEY),
            error_code=scope.get(ERROR_CODE_KEY),
            template=scope.get(TEMPLATE_KEY),
            views=self.resources[ViewCounter]._waiting - seen,
            fast=self._fast,
        )


@dataclass
class BothPaths:
    """The same application twice, once without its fast path."""

    fast: OnePath
    ordinary: OnePath

    async def agree(
        self, method: str, address: str, headers: Headers | None = None, body: bytes = b""
    ) -> Answer:
        """Check that both answer alike, before and after the ordinary one has seen the request; return the answer."""
        first = await self.fast.ask(method, address, headers, body)
        wanted = await self.ordinary.ask(method, address, headers, body)
        assert not wanted.fast
        assert (first.status, first.body) == (wanted.status, wanted.body), (method, address, body)
        assert first == wanted, (method, address, headers)
        again = await self.fast.ask(method, address, headers, body)
        assert again == wanted, (method, address, headers)
        return again


def bearer(token: str) -> Headers:
    """Return the header that shows a token."""
    return [(b"authorization", f"Bearer {token}".encode("latin-1"))]


def of_header(*values: bytes) -> Headers:
    """Return the header with these values, once for each."""
    return [(b"authorization", value) for value in values]


async def credentials_of(
    world: World, alice: Person, new_person: NewPerson, admin: Person
) -> dict[str, Headers]:
    """Make every kind of credential that fails, and those of Alice's that are written oddly."""
    users = "/api/v1/users/"
    deleted, inactive, left = [await new_person(name) for name in ("Deleted", "Inactive", "Left")]
    assert (await admin.api.delete(f"{users}{deleted.id}")).status_code == 200
    assert (await admin.api.put(f"{users}{inactive.id}", json={"is_active": False})).status_code == 200
    assert (await left.api.post("/api/v1/auth/logout")).status_code == 200
    now = world.resources.clock.now()
    expired, _ = world.resources[Tokens].access(
        user_id=alice.id, session_id=1, session_end=now - timedelta(1)
    )
    no_session, _ = world.resources[Tokens].access(
        user_id=alice.id, session_id=2**63 - 1, session_end=now + timedelta(1)
    )
    forger = Tokens(
        keys=SecretKeys("another key of at least thirty-two bytes"),
        algorithm="HS256",
        lifetime=timedelta(1),
        clock=world.resources.clock,
    )
    forged, _ = forger.access(user_id=alice.id, session_id=1, session_end=now + timedelta(1))
    made = await alice.api.post("/api/v1/auth/api-keys", json={"name": "Robot"})
    revoked = await alice.api.post("/api/v1/auth/api-keys", json={"name": "Revoked"})
    assert (await alice.api.delete(f"/api/v1/auth/api-keys/{revoked.json()['id']}")).status_code == 200
    key = made.json()["key"].encode()
    good = alice.token.encode()
    return {
        "deleted": bearer(deleted.token),
        "inactive": bearer(inactive.token),
        "left": bearer(left.token),
        "expired": bearer(expired),
        "no session": bearer(no_session),
        "forged": bearer(forged),
        "refresh": bearer(alice.refresh_token),
        "cut": bearer(alice.token[:-2]),
        "nonsense": bearer("x.y.z"),
        "not ascii": of_header(b"Bearer \xe9\xff\x00"),
        "nothing": of_header(b""),
        "scheme only": of_header(b"Bearer"),
        "scheme and space": of_header(b"Bearer "),
        "token only": of_header(good),
        "other scheme": of_header(b"Basic " + good),
        "two in one": of_header(b"Bearer " + good + b" " + good),
        "tab": of_header(b"Bearer\t" + good),
        "bad before good": of_header(b"Bearer x", b"Bearer " + good),
        "no key": [(b"x-api-key", b"key")],
        "key revoked": [(b"x-api-key", revoked.json()["key"].encode())],
        "key cut": [(b"x-api-key", key[:-1])],
        "key of another secret": [(b"x-api-key", key[:-4] + b"AAAA")],
        "key and token": [(b"x-api-key", key), *bearer(alice.token)],
        "alice, by key": [(b"x-api-key", key)],
        "alice, lower case": of_header(b"bearer " + good),
        "alice, upper case": of_header(b"BEARER " + good),
        "alice, spaces": of_header(b"Bearer    " + good + b"  "),
        "good before bad": of_header(b"Bearer " + good, b"Bearer x"),
    }
