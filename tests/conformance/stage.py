"""Everybody who asks in the rights matrix, and how they ask."""

from typing import Any, Final

import httpx
from sqlalchemy import select

from tests.conformance.scenes import API, BODIES, CASES, Scene, made, set_up
from tests.conformance.test_examples import by_name, request_of
from tests.conftest import NewPerson, Person, World
from tests.notifications.listening import Listener
from tradepost.accounts.permissions import Role
from tradepost.bootstrap import METADATA

ENDING: Final = {"logout", "logout_all", "change_my_password", "delete_me"}
"""Operations after which the asker's log-in is of no more use: they are asked by new people."""
PEOPLE: Final = {
    "other": Role.USER,
    "moderator": Role.MODERATOR,
    "admin": Role.ADMIN,
    "demoted": Role.ADMIN,
    "deactivated": Role.ADMIN,
    "deleted": Role.ADMIN,
}
"""The askers who log in, with the role that they have then."""
FATES: Final[dict[str, dict[str, Any]]] = {
    "demoted": {"method": "PUT", "json": {"role": "user"}},
    "deactivated": {"method": "PUT", "json": {"is_active": False}},
    "deleted": {"method": "DELETE"},
}
"""What an admin does to their accounts after that."""
GONE: Final = {"deactivated", "deleted"}
KEYS: Final[dict[str, dict[str, Any]]] = {
    "reading key": {"permissions": ["read:items"]},
    "writing key": {"permissions": ["write:items"]},
    "load-test key": {"load_test": True},
}
VOLATILE: Final = {"last_used_at"}
"""Columns that say that somebody came by, whatever they were answered."""


class Stage:
    """An application with everybody in it."""

    def __init__(self, world: World, new_person: NewPerson) -> None:
        self._world = world
        self._new_person = new_person
        self._operations = by_name(world.app.openapi())
        self._people: dict[str, Person] = {}
        self._askers: dict[str, httpx.AsyncClient] = {"nobody": world.caller()}

    async def fill(self) -> None:
        """Let everybody in."""
        for name in ("keeper", *PEOPLE):
            self._people[name] = await self._new_person(name.title(), PEOPLE.get(name, Role.ADMIN))
        self._people["someone"] = await self._new_person("Someone")
        for name in FATES:
            await self._suffer(name, self._people[name])
        for name, values in KEYS.items():
            key = await made(self._people["keeper"].api, "auth/api-keys", {"name": name, **values})
            self._askers[name] = self._world.caller(**{"X-API-Key": key["key"]})

    async def _suffer(self, name: str, person: Person) -> None:
        answer = await self._people["keeper"].api.request(url=f"{API}/users/{person.id}", **FATES[name])
        assert answer.status_code == 200, answer.text

    async def contents(self) -> set[str]:
        """Return everything that the database holds: each row with its table's name."""
        found: set[str] = set()
        async with self._world.database.read() as db:
            for name, table in METADATA.tables.items():
                columns = [column for column in table.columns if column.name not in VOLATILE]
                rows = await db.execute(select(*columns).order_by(*table.primary_key.columns))
                found |= {f"{name}: {dict(row)}" for row in rows.mappings()}
        return found

    def leaves_as_it_was(self, name: str) -> bool:
        """Tell whether what an operation is about can be asked about again."""
        method, path, _ = self._operation(name)
        return method == "get" or not ("{" in path or name in BODIES or name in CASES)

    async def scene(self, name: str, asker: str) -> Scene:
        """Make what an operation is about, of an owner who has nothing else."""
        owner = await self._new_person("Owner")
        api = await self._asker(name, asker, owner)
        keeper, someone = self._people["keeper"], self._people["someone"]
        scene = Scene(self._world, self._new_person, keeper, someone, owner, api)
        await set_up(scene, name, self._operation(name)[1])
        return scene

    async def _asker(self, name: str, asker: str, owner: Person) -> httpx.AsyncClient:
        if asker == "owner":
            return owner.api
        if asker in self._askers:
            return self._askers[asker]
        person = self._people[asker]
        if name in ENDING and asker not in GONE:
            person = await self._new_person(asker.title(), PEOPLE[asker])
            if asker in FATES:
                await self._suffer(asker, person)
        return person.api

    def _operation(self, name: str) -> tuple[str, str, dict[str, Any]]:
        return self._operations[name.partition(":")[0]]

    async def ask(self, name: str, scene: Scene, asker: str) -> tuple[int, str]:
        """Send a request, and return the answer's status and the code of its error; of any success ``(200, "")``."""
        api = await self._asker(name, asker, scene.owner)
        if name == "stream_notifications":
            listener = Listener(self._world, dict(api.headers))
            await listener.answered()
            await listener.leave()
            return listener.status, "" if listener.status == 200 else "HTTP_401"
        method, path, operation = self._operation(name)
        if "files" in scene.request:
            operation = {**operation, "requestBody": {}}
        request = request_of(method, path.format(**scene.path), operation)
        for part, values in scene.request.items():
            request[part] = {**request.get(part, {}), **values} if isinstance(values, dict) else values
        answer = await api.request(**request)
        if answer.is_success:
            return 200, ""
        return answer.status_code, answer.json()["error_code"]
