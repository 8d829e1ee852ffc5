"""``serve --demo`` names the accounts that there are, and makes those with a published password in ``local`` alone."""

from pathlib import Path

import pytest

from tests.conftest import Template, settings_for
from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.repository.users import UserRepository
from tradepost.accounts.schemas import UserRegister
from tradepost.bootstrap import opened, prepare_database
from tradepost.cli.demo import banner, prepare_demo
from tradepost.core.settings.settings import Settings

STAGING = {"ENVIRONMENT": "staging", "FIRST_SUPERUSER_PASSWORD": "Uncommon1"}


def said(settings: Settings, people: list[str]) -> str:
    return banner(settings, "http://localhost:8000", people=people)


async def count_of(settings: Settings) -> int:
    async with opened(settings) as resources, resources.database.read() as db:
        return len([number for number in range(1, 99) if await UserRepository(db).get(number)])


async def test_a_fresh_demo_names_its_people_and_so_does_the_next_start(
    template: Template, tmp_path: Path
) -> None:
    settings = settings_for(await template.empty(), tmp_path)
    people = await prepare_demo(settings)
    assert people == [f"user{number}@example.com" for number in range(1, 51)]
    text = said(settings, people)
    assert "  moderator       user1@example.com  Tradepost1\n" in text
    assert "  people          user2@example.com … user50@example.com  Tradepost1\n" in text
    assert "admin@example.com  changethis" in text
    assert await prepare_demo(settings) == people


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
async def test_nobody_is_named_who_only_looks_like_one_of_them(template: Template, tmp_path: Path) -> None:
    settings = settings_for(await template.empty(), tmp_path)
    async with opened(settings) as resources:
        await prepare_database(resources)
        form = {"email": "user1@example.com", "password": "Different1", "first_name": "A", "last_name": "B"}
        await resources[CredentialService].register(UserRegister.model_validate(form))
    people = await prepare_demo(settings)
    assert people == []
    assert "user1@" not in said(settings, people)
    assert await count_of(settings) == 2


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
@pytest.mark.parametrize("environment", ["staging", "production"])
async def test_outside_local_no_account_with_a_published_password_is_made(
    template: Template, tmp_path: Path, environment: str
) -> None:
    values = STAGING | {"ENVIRONMENT": environment, "RATE_LIMIT_ENABLED": True}
    settings = settings_for(await template.empty(), tmp_path, **values)
    people = await prepare_demo(settings)
    assert people == []
    assert await count_of(settings) == 1
    text = said(settings, people)
    assert "Tradepost1" not in text
    assert "Uncommon1" not in text
