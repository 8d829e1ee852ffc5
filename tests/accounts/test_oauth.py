"""Logging in and refreshing by OAuth 2's own forms, with a client that nobody made for us (authlib)."""

from typing import Any

import httpx
import httpx2
import pytest
from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from authlib.integrations.httpx_client import AsyncOAuth2Client  # type: ignore[import-untyped]

from tests.accounts.test_recovery import AUTH
from tests.conftest import PASSWORD, Person, World

LOGIN, REFRESH = (f"http://testserver{AUTH}/{name}" for name in ("login", "refresh-token"))


@pytest.fixture
def stock(world: World) -> AsyncOAuth2Client:
    return AsyncOAuth2Client(
        client_id="anything",
        token_endpoint=REFRESH,
        token_endpoint_auth_method="client_secret_post",
        transport=httpx2.ASGITransport(world.transport.app),
        base_url="http://testserver",
    )


async def test_a_stock_client_logs_in_and_refreshes(stock: AsyncOAuth2Client, alice: Person) -> None:
    first = await stock.fetch_token(
        LOGIN, username=alice.email, password=PASSWORD, grant_type="password", scope="everything"
    )
    assert (await stock.get("/api/v1/users/me")).json()["email"] == alice.email
    second = await stock.refresh_token(REFRESH, refresh_token=first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    assert (await stock.get("/api/v1/users/me")).status_code == 200


async def test_it_refreshes_by_itself_when_the_token_has_run_out(
    stock: AsyncOAuth2Client, alice: Person
) -> None:
    token = await stock.fetch_token(LOGIN, username=alice.email, password=PASSWORD, grant_type="password")
    stock.token = {**token, "expires_at": 1}
    assert (await stock.get("/api/v1/users/me")).status_code == 200
    assert stock.token["refresh_token"] != token["refresh_token"]


async def test_it_understands_what_is_refused(stock: AsyncOAuth2Client, alice: Person) -> None:
    for url, values, error in (
        (
            LOGIN,
            {"username": alice.email, "password": "Wrong1234", "grant_type": "password"},
            "invalid_grant",
        ),
        (LOGIN, {"username": alice.email, "password": "x", "grant_type": "magic"}, "unsupported_grant_type"),
        (REFRESH, {"refresh_token": "1.1.x", "grant_type": "refresh_token"}, "invalid_grant"),
        (REFRESH, {"refresh_token": "1.1.x", "grant_type": "magic"}, "unsupported_grant_type"),
    ):
        with pytest.raises(OAuthError) as refused:
            await stock.fetch_token(url, **values)
        assert refused.value.error == error, values


async def test_ours_is_there_as_well(client: httpx.AsyncClient, alice: Person) -> None:
    answer = await client.post(LOGIN, data={"username": alice.email, "password": "Wrong1234"})
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["error_code"], problem["error"]) == (401, "HTTP_401", "invalid_grant")
    assert problem["error_description"] == problem["detail"] == "Incorrect email or password"
    other = await client.get("/api/v1/users/me")
    assert "error" not in other.json(), "only where tokens are given out"


@pytest.mark.parametrize(
    ("form", "where"),
    [
        ({"refresh_token": "x"}, "grant_type"),
        ({"grant_type": "refresh_token"}, "refresh_token"),
        ({"grant_type": "refresh_token", "refresh_token": "x", "otp": "1"}, "otp"),
        ({"grant_type": ["refresh_token"] * 2, "refresh_token": "x"}, "grant_type"),
        ({"grant_type": "refresh_token", "refresh_token": "x" * 513}, "refresh_token"),
    ],
)
async def test_a_broken_form_is_422(client: httpx.AsyncClient, form: dict[str, Any], where: str) -> None:
    answer = await client.post(REFRESH, data=form)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == ["body", where]
    assert answer.json()["error"] in {"invalid_request", "unsupported_grant_type"}


async def test_an_empty_form_is_no_body(alice: Person) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await alice.api.post(REFRESH, headers=headers)).status_code == 200
