"""The source of settings that are kept in files: those that ``NAME_FILE`` points to, and mounted secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource


@dataclass(frozen=True)
class Fault:
    """Stands where a value could not be read, so that this fault is reported together with all others."""

    message: str


class FileSource(PydanticBaseSettingsSource):
    """Values from the files that ``NAME_FILE`` variables name, and from those in ``SECRETS_DIR``.

    Comes before ``variables``, the sources of single values, so that none of them hides the fault of giving
    both ``NAME`` and ``NAME_FILE``; a file in ``SECRETS_DIR`` counts only where neither is given.
    """

    def __init__(self, settings_cls: type[BaseSettings], *variables: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self.variables: dict[str, str | None] = {}
        for source in reversed(variables):
            if isinstance(source, EnvSettingsSource):
                self.variables.update(source.env_vars)
        self.mounted: Mapping[str, Path] = {}

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        usual = self.settings_cls.model_fields["SECRETS_DIR"].default
        directory = Path(self.current_state.get("SECRETS_DIR") or self.variables.get("secrets_dir") or usual)
        try:
            # Docker and Kubernetes mount secrets as files named after them.
            self.mounted = {path.name.lower(): path for path in directory.iterdir()}
        except OSError as error:
            if directory != usual or not isinstance(error, FileNotFoundError):
                values["SECRETS_DIR"] = Fault(f"{directory} cannot be read: {reason(error)}")
        for name, field in self.settings_cls.model_fields.items():
            if name not in self.current_state and name != "SECRETS_DIR":
                value, _, _ = self.get_field_value(field, name)
                if value is not None:
                    values[name] = value
        return values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str | Fault | None, str, bool]:
        """Return the text of the setting's file, a fault, or None where there is no file."""
        del field
        key = field_name.lower()
        given, named = self.variables.get(key), self.variables.get(f"{key}_file")
        value: str | Fault | None = None
        if given and named:
            value = Fault(f"both {field_name} and {field_name}_FILE are set; keep one")
        elif named:
            value = _read_value(Path(named))
        elif not given and key in self.mounted:
            value = _read_value(self.mounted[key])
        return value, field_name, False


def _read_value(path: Path) -> str | Fault:
    try:
        return read_text(path)
    except (OSError, ValueError) as error:
        return Fault(f"its file {path} cannot be read: {reason(error)}")


def read_text(path: Path) -> str:
    """Return the text of a file without its final line breaks; an empty file is a ``ValueError``."""
    text = path.read_text("utf-8").rstrip("\n")
    if not text:
        raise ValueError("it is empty")
    return text


def reason(error: OSError | ValueError) -> str:
    """Say why a file cannot be read, without the bytes that an error about its text would repeat."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8 text" if isinstance(error, UnicodeError) else str(error)
