"""E-mail addresses: one mailbox is one account, however it is written."""

import httpx
import pytest

from tests.conftest import Person
from tradepost.accounts.addresses import account_key, normalised_email, shown_email

PASSWORD = "Engine1843"


@pytest.mark.parametrize(
    ("written", "stored", "shown"),
    [
        (" Ada@Example.COM ", "ada@example.com", "ada@example.com"),
        ("idn1@bücher.example", "idn1@xn--bcher-kva.example", "idn1@bücher.example"),
        ("idn1@BÜCHER.example", "idn1@xn--bcher-kva.example", "idn1@bücher.example"),
        ("idn1@XN--BCHER-KVA.example", "idn1@xn--bcher-kva.example", "idn1@bücher.example"),
        ("idn1@bu\u0308cher.example", "idn1@xn--bcher-kva.example", "idn1@bücher.example"),
        ("a@example。com", "a@example.com", "a@example.com"),
        ("a@ｅｘａｍｐｌｅ．com", "a@example.com", "a@example.com"),
        ("a＠example.com", "a@example.com", "a@example.com"),
        ("a@fußball.example", "a@xn--fuball-cta.example", "a@fußball.example"),
        ("a@fussball.example", "a@fussball.example", "a@fussball.example"),
        ("用户@例え.example", "用户@xn--r8jz45g.example", "用户@例え.example"),
        ("JOSÉ@example.com", "josé@example.com", "josé@example.com"),
        ("STRASSE@example.com", "strasse@example.com", "strasse@example.com"),
        ("straße@example.com", "straße@example.com", "straße@example.com"),
        ("علی\u200cرضا@example.com", "علی\u200cرضا@example.com", "علی\u200cرضا@example.com"),
    ],
)
def test_one_form_to_store_and_one_to_show(written: str, stored: str, shown: str) -> None:
    assert normalised_email(written) == stored
    assert normalised_email(stored) == stored
    assert shown_email(stored) == shown
    assert normalised_email(shown) == stored


@pytest.mark.parametrize(
    "written",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@localhost",
        "ada@-a.example",
        "ada@a_b.example",
        "ada@xn--a.example",
        "ada@☕.example",
        "a\u200bda@example.com",
        "a\u200dda\u200d@example.com",
        "\u200cada@example.com",
        "ada\x00@example.com",
        "ada@exam\u200dple.com",
        "a b@example.com",
        "a@b@example.com",
        "Ada <ada@example.com>",
    ],
)
def test_what_is_no_address(written: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        normalised_email(written)


def test_attempts_on_what_is_no_address_are_counted_too() -> None:
    assert account_key(" Nobody ") == "nobody"
    assert account_key("a@BÜCHER.example") == account_key("a@xn--bcher-kva.example")


async def register(client: httpx.AsyncClient, email: str) -> httpx.Response:
    body = {"email": email, "password": PASSWORD, "first_name": "ada", "last_name": "lovelace"}
    return await client.post("/api/v1/auth/register", json=body)


async def test_every_spelling_is_one_account(client: httpx.AsyncClient, admin: Person) -> None:
    made = await register(client, "idn1@BÜCHER.example")
    assert made.status_code == 200
    assert made.json()["email"] == "idn1@bücher.example"
    again = await register(client, "IDN1@xn--bcher-kva.example")
    assert (again.status_code, again.json()["error_code"]) == (400, "EMAIL_TAKEN")
    for spelling in ("idn1@bücher.example", "idn1@xn--bcher-kva.example", "idn1@bücher。example"):
        form = {"username": spelling, "password": PASSWORD}
        answer = await client.post("/api/v1/auth/login", data=form)
        assert answer.status_code == 200, spelling
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        me = (await client.get("/api/v1/users/me", headers=bearer)).json()
        assert me["email"] == "idn1@bücher.example"
        by_id = (await admin.api.get(f"/api/v1/users/{me['id']}")).json()
        assert by_id["email"] == "idn1@bücher.example"
    listed = (await admin.api.get("/api/v1/users/")).json()["users"]
    assert "idn1@bücher.example" in {user["email"] for user in listed}
    other = await register(client, "idn1@fußball.example")
    another = await register(client, "idn1@fussball.example")
    assert (other.status_code, another.status_code) == (200, 200)
