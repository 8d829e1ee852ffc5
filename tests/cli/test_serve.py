"""How uvicorn is set up by `tradepost serve`."""

from pathlib import Path

import pytest

from tests.conftest import settings_for
from tradepost.cli.serve import server_options


@pytest.mark.parametrize("proxies", ["", "127.0.0.1"])
def test_uvicorn_believes_no_proxy_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, proxies: str
) -> None:
    """It would believe this machine's own by default, or those of a variable of its own, in half of what they report."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    settings = settings_for("sqlite:///x.db", tmp_path, TRUSTED_PROXIES=proxies)
    assert server_options("127.0.0.1", 0, 1, settings)["proxy_headers"] is False
