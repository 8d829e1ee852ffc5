"""The pages that links in e-mails lead to: of the service's own, and locked down."""

import re
from pathlib import Path

import httpx
import pytest

from tests.conftest import settings_for
from tradepost.accounts.links import PAGES
from tradepost.accounts.models import TokenPurpose
from tradepost.accounts.page_routes import page

ADDRESSES = list(PAGES.values())


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_page_runs_its_own_scripts_only(client: httpx.AsyncClient, address: str) -> None:
    answer = await client.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert not re.search(r"<script>|<style|\sstyle=|\son\w+=|https?://", answer.text), (
        "nothing inline or foreign"
    )
    files = re.findall(r'(?:src|href)="(/[^"]+)"', answer.text)
    assert len(files) == 2
    for file in files:
        assert (await client.get(file)).status_code == 200
    assert (await client.get("/account/files/_head.html")).status_code == 404
    again = await client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("address", ADDRESSES)
async def test_a_page_posts_where_the_api_is(client: httpx.AsyncClient, address: str) -> None:
    text = (await client.get(address)).text
    api = re.search(r'data-api="([^"]+)"', text)
    assert api
    for path in re.findall(r'data-post="([^"]+)"', text):
        answer = await client.post(api[1] + path, json={})
        assert (answer.status_code, answer.json()["error_code"]) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize("address", ADDRESSES)
async def test_every_field_has_a_label(client: httpx.AsyncClient, address: str) -> None:
    text = (await client.get(address)).text
    assert '<html lang="en">' in text
    assert 'role="status"' in text
    for identifier in re.findall(r'<input id="([^"]+)"', text):
        assert f'for="{identifier}"' in text or f'<label class="check"><input id="{identifier}"' in text


def test_settings_are_text_in_a_page(tmp_path: Path) -> None:
    settings = settings_for(
        "sqlite:///x.db",
        tmp_path,
        PROJECT_NAME='<b onclick="x()">{api}',
        PUBLIC_URL="https://example.com/market",
        API_V1_STR="/api/v2",
    )
    text = page(TokenPurpose.RESET_PASSWORD, settings, root="/market")
    assert "<b " not in text
    assert "&lt;b onclick=&quot;x()&quot;&gt;{api}" in text
    assert 'data-api="/market/api/v2"' in text
    assert 'src="/market/account/files/page.js"' in text
