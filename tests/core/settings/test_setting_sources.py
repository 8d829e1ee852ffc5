"""Where settings come from: variables, ``.env``, files and directories of secrets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tradepost.core.settings.faults import SettingsError
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


class TestVariables:
    def test_keyword_beats_environment_beats_env_file_beats_named_file_beats_directory(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secrets: Path
    ) -> None:
        assert Settings().PROJECT_NAME == "Tradepost"

        (secrets / "PROJECT_NAME").write_text("directory\n")
        assert Settings().PROJECT_NAME == "directory"

        (tmp_path / "other").write_text("env file's file\n")
        Path(".env").write_text(f"PROJECT_NAME_FILE={tmp_path / 'other'}\n")
        assert Settings().PROJECT_NAME == "env file's file"

        (tmp_path / "name").write_text("named file\n")
        monkeypatch.setenv("PROJECT_NAME_FILE", str(tmp_path / "name"))
        assert Settings().PROJECT_NAME == "named file"

        monkeypatch.delenv("PROJECT_NAME_FILE")
        Path(".env").write_text("PROJECT_NAME=env file\n")
        assert Settings().PROJECT_NAME == "env file"

        monkeypatch.setenv("PROJECT_NAME", "environment")
        assert Settings().PROJECT_NAME == "environment"

        assert Settings(PROJECT_NAME="keyword").PROJECT_NAME == "keyword"

    @pytest.mark.parametrize("where", ["environment", ".env"])
    @pytest.mark.parametrize("text", ["https://a.example.com, *", '["https://a.example.com", "*"]'])
    def test_lists_by_commas_and_as_json(
        self, where: str, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if where == ".env":
            Path(".env").write_text(f"BACKEND_CORS_ORIGINS='{text}'\n")
        else:
            monkeypatch.setenv("BACKEND_CORS_ORIGINS", text)
        assert Settings().BACKEND_CORS_ORIGINS == ["https://a.example.com", "*"]

    def test_unknown_variables_and_empty_ones_count_for_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path(".env").write_text("UNKNOWN=1\nDB_POOL_SIZE=\nDB_POOL_TIMEOUT_FILE=\nSMTP_HOST\n")
        monkeypatch.setenv("TRADEPOST_UNKNOWN", "1")
        monkeypatch.setenv("REDIS_URL", "")
        monkeypatch.setenv("DB_POOL_RECYCLE_FILE", "")
        settings = Settings()
        assert (settings.DB_POOL_SIZE, settings.REDIS_URL, settings.SMTP_HOST) == (8, None, None)

    def test_names_are_not_case_sensitive(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        (tmp_path / "size").write_text("5")
        monkeypatch.setenv("project_name", "lower")
        monkeypatch.setenv("db_pool_size_file", str(tmp_path / "size"))
        settings = Settings()
        assert (settings.PROJECT_NAME, settings.DB_POOL_SIZE) == ("lower", 5)

    def test_an_env_file_may_begin_with_a_byte_order_mark(self) -> None:
        Path(".env").write_bytes(b"\xef\xbb\xbfPROJECT_NAME=Marked\n")
        assert Settings().PROJECT_NAME == "Marked"

    def test_an_env_file_that_is_no_text_is_a_fault(self) -> None:
        Path(".env").write_bytes(b"SECRET_KEY=\xff\xfe\n")
        assert faults_of(Settings) == [".env: cannot be read: it is not UTF-8 text"]


class TestFiles:
    @pytest.mark.parametrize("name", [name for name in Settings.model_fields if name != "SECRETS_DIR"])
    def test_every_setting_has_a_file_variable(
        self, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "absent"))
        expected = f"{name}: its file {tmp_path / 'absent'} cannot be read: No such file or directory"
        faults = faults_of(Settings)
        assert expected in faults
        assert len(faults) == 1 or name == "ENVIRONMENT"  # without which the strictest rules hold

    @pytest.mark.parametrize("first", ["environment", ".env"])
    @pytest.mark.parametrize("second", ["environment", ".env"])
    def test_a_value_and_a_file_for_the_same_setting_is_a_fault(
        self, first: str, second: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "key").write_text(GOOD_KEY)
        lines = []
        for where, name, value in [
            (first, "SECRET_KEY", GOOD_KEY),
            (second, "SECRET_KEY_FILE", str(tmp_path / "key")),
        ]:
            if where == ".env":
                lines.append(f"{name}={value}\n")
            else:
                monkeypatch.setenv(name, value)
        Path(".env").write_text("".join(lines))
        assert faults_of(Settings) == ["SECRET_KEY: both SECRET_KEY and SECRET_KEY_FILE are set; keep one"]

    def test_only_line_breaks_at_the_end_of_a_secret_are_dropped(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "key").write_bytes(f"  {GOOD_KEY} \r\n\n".encode())
        monkeypatch.setenv("SECRET_KEY_FILE", str(tmp_path / "key"))
        assert Settings().SECRET_KEY.get_secret_value() == f"  {GOOD_KEY} "

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "it is empty"),
            (b"\n", "it is empty"),
            (b"\xff\xfe secret", "it is not UTF-8 text"),
        ],
    )
    def test_a_file_that_gives_nothing_is_one_named_fault(
        self, content: bytes, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = tmp_path / "key"
        path.write_bytes(content)
        monkeypatch.setenv("SECRET_KEY_FILE", str(path))
        monkeypatch.setenv("ENVIRONMENT", "production")
        monkeypatch.setenv("FIRST_SUPERUSER_PASSWORD", "Correct-Horse-9")
        assert faults_of(Settings) == [f"SECRET_KEY: its file {path} cannot be read: {reason}"]


class TestSecretsDirectory:
    def test_files_as_mounted_by_docker_and_kubernetes(self, secrets: Path) -> None:
        (secrets / "..2026_11_23").mkdir()
        (secrets / "..data").symlink_to("..2026_11_23")
        (secrets / "..data" / "SECRET_KEY").write_text(GOOD_KEY + "\n")
        (secrets / "SECRET_KEY").symlink_to("..data/SECRET_KEY")
        (secrets / "first_superuser_password").write_text("Correct-Horse-9")
        (secrets / "unrelated").write_text("x")
        (secrets / "kubernetes.io").mkdir()
        settings = Settings()
        assert settings.SECRET_KEY.get_secret_value() == GOOD_KEY
        assert settings.FIRST_SUPERUSER_PASSWORD.get_secret_value() == "Correct-Horse-9"

    def test_the_usual_one_need_not_exist(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.delenv("SECRETS_DIR")
        usual = Settings.model_fields["SECRETS_DIR"]
        assert usual.default == Path("/run/secrets")
        monkeypatch.setattr(usual, "default", tmp_path / "absent")
        assert Settings().SECRET_KEY.get_secret_value() == ""

    def test_one_that_was_asked_for_must_exist(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "typo"))
        assert faults_of(Settings) == [
            f"SECRETS_DIR: {tmp_path / 'typo'} cannot be read: No such file or directory"
        ]

    def test_an_unreadable_file_is_a_fault_unless_something_stronger_is_set(
        self, monkeypatch: pytest.MonkeyPatch, secrets: Path
    ) -> None:
        (secrets / "SECRET_KEY").mkdir()
        assert faults_of(Settings) == [
            f"SECRET_KEY: its file {secrets / 'SECRET_KEY'} cannot be read: Is a directory"
        ]
        monkeypatch.setenv("SECRET_KEY", GOOD_KEY)
        assert Settings().SECRET_KEY.get_secret_value() == GOOD_KEY
