"""A person who forgot the password, on a server as an operator runs it: nothing but the e-mail knows the link."""

import re
from pathlib import Path

from tests.flows.live import PASSWORD, environment, eventually, serving

ADDRESS = "ada@example.com"
NEW = "Brandnew99"


def kept_in(directory: Path) -> dict[Path, bytes]:
    """Return the content of every file but the e-mails."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.suffix != ".eml")
    return {path: path.read_bytes() for path in files}


async def test_nothing_but_the_email_knows_the_link(tmp_path: Path) -> None:
    mails = tmp_path / "mails"

    def link(kind: str) -> str:
        (path,) = mails.glob(f"*-{kind}.eml")
        found = re.search(r"^http\S+#token=([\w-]+)$", path.read_text(encoding="ascii"), re.MULTILINE)
        assert found
        return found[1]

    async def arrived(kind: str) -> bool:
        return len(list(mails.glob(f"*-{kind}.eml"))) == 1

    with serving(environment(tmp_path, LOG_LEVEL="DEBUG")) as server:
        await server.ready()
        async with server.client() as client:
            applicant = {"email": ADDRESS, "password": PASSWORD, "first_name": "Ada", "last_name": "King"}
            assert (await client.post("/auth/register", json=applicant)).status_code == 200
            await eventually(lambda: arrived("welcome"))
            assert (
                await client.post("/auth/email/verify", json={"token": link("welcome")})
            ).status_code == 200
            assert (await client.post("/auth/password/forgot", json={"email": ADDRESS})).status_code == 202
            await eventually(lambda: arrived("password_reset"))
            reset = {"token": link("password_reset"), "new_password": NEW}
            assert (await client.post("/auth/password/reset", json=reset)).status_code == 200
            await eventually(lambda: arrived("password_changed"))
            entered = await client.post("/auth/login", data={"username": ADDRESS, "password": NEW})
            assert entered.status_code == 200
        log = server.output
        tokens = [link("welcome"), link("password_reset")]
    assert "/auth/password/reset" in log
    held = kept_in(tmp_path)
    assert held
    for token in tokens:
        assert token not in log
        assert not [path for path, content in held.items() if token.encode() in content]
