"""The key that ``local`` makes and keeps for itself, and keys that are of no use."""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tradepost.core.settings.faults import SettingsError
from tradepost.core.settings.secret_key import kept_key
from tradepost.core.settings.settings import Settings

GOOD_KEY = "k" * 31 + "7"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Start every test in a directory of its own, and with an empty directory of secrets."""
    workplace = tmp_path / "workplace"
    workplace.mkdir()
    monkeypatch.chdir(workplace)
    directory = tmp_path / "secrets"
    directory.mkdir()
    monkeypatch.setenv("SECRETS_DIR", str(directory))
    return directory


def faults_of(build: Callable[[], object]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        build()
    return caught.value.faults


def test_a_missing_key_is_made_once_and_kept(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "data"
    first = Settings.load(DATA_DIR=directory)
    key = first.SECRET_KEY.get_secret_value()
    assert len(key.encode()) >= 64
    assert (directory / "secret_key").read_text() == key
    assert stat.S_IMODE((directory / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path.name for path in directory.iterdir()] == ["secret_key"]
    assert Settings.load(DATA_DIR=directory) == first
    assert Settings.load(DATA_DIR=tmp_path / "other").SECRET_KEY != first.SECRET_KEY


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_kept_key_suits_every_algorithm(algorithm: str, tmp_path: Path) -> None:
    assert Settings.load(DATA_DIR=tmp_path, ALGORITHM=algorithm).SECRET_KEY.get_secret_value()


def test_a_given_key_is_used_and_not_kept(tmp_path: Path) -> None:
    assert Settings.load(DATA_DIR=tmp_path, SECRET_KEY=GOOD_KEY).SECRET_KEY.get_secret_value() == GOOD_KEY
    assert list(tmp_path.glob("secret_key")) == []


def test_no_key_is_made_outside_local(tmp_path: Path) -> None:
    (fault,) = faults_of(
        lambda: Settings.load(ENVIRONMENT="staging", DATA_DIR=tmp_path, FIRST_SUPERUSER_PASSWORD="x")
    )
    assert fault.startswith("SECRET_KEY: is missing")
    assert list(tmp_path.glob("secret_key")) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "it is empty"), (b"short\n", "it has 5 bytes"), (b"\xff" * 64, "it is not UTF-8 text")],
)
def test_a_kept_key_that_is_spoilt_is_a_fault(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_bytes(content)
    (fault,) = faults_of(lambda: Settings.load(DATA_DIR=tmp_path))
    assert fault.startswith(f"SECRET_KEY: {tmp_path / 'secret_key'} is of no use: {reason}")
    assert (tmp_path / "secret_key").read_bytes() == content


def test_a_key_that_cannot_be_read_or_kept_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "secret_key").mkdir()
    (fault,) = faults_of(lambda: Settings.load(DATA_DIR=tmp_path))
    assert "Is a directory" in fault
    (tmp_path / "file").touch()
    (fault,) = faults_of(lambda: Settings.load(DATA_DIR=tmp_path / "file"))
    assert fault.startswith(f"SECRET_KEY: cannot be kept in {tmp_path / 'file' / 'secret_key'}")


def test_who_comes_second_takes_the_first_ones_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let another worker finish between this one's look and its link: the moment that matters."""
    link = Path.hardlink_to
    other = []

    def late(self: Path, target: Path) -> None:
        monkeypatch.setattr(Path, "hardlink_to", link)
        other.append(Settings.load(DATA_DIR=tmp_path).SECRET_KEY)
        self.hardlink_to(target)

    monkeypatch.setattr(Path, "hardlink_to", late)
    mine = Settings.load(DATA_DIR=tmp_path).SECRET_KEY
    assert other == [mine]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["secret_key"]


def test_workers_that_start_together_end_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as workers:
        for turn in range(30):
            path = tmp_path / str(turn) / "secret_key"
            keys = list(workers.map(kept_key, [path] * 8))
            assert keys == [path.read_text()] * 8
            assert list(path.parent.iterdir()) == [path]
