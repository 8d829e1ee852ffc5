"""The table of settings in the docs, made from ``Settings`` itself."""

from pydantic import ByteSize, SecretStr

from tradepost.core.settings.settings import Settings

# Read and checked already, and used by the part named, once it is there. A name here stands for all it begins.
_LATER = {
    "SENTRY_": "deployment",
}
# Defaults that follow from other settings, in words.
_MADE = {
    "VERSION": "the package's",
    "SECRET_KEY": "in `local` made and kept in `{DATA_DIR}/secret_key`",
    "DATABASE_URL": "`sqlite:///{DATA_DIR}/tradepost.db`",
    "UPLOAD_DIR": "`{DATA_DIR}/uploads`",
    "DRAIN_SECONDS": "`3`, in `local` none",
    "RATE_LIMIT_DEFAULT": "`100/60s`, in `local` none",
}


def settings_table() -> str:
    """Return all settings as a table in Markdown: name, default, meaning, and which part uses it."""
    rows = ["| setting | default | meaning | used by |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _MADE.get(name) or _shown(field.default)
        part = next((f"later: {part}" for start, part in _LATER.items() if name.startswith(start)), "in use")
        rows.append(f"| `{name}` | {default} | {field.description} | {part} |")
    return "\n".join(rows) + "\n"


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            text = str(value).lower()
        case ByteSize():
            text = value.human_readable(separator=" ").replace(".0", "")
        case float():
            text = f"{value:g}"
        case list():
            text = ",".join(value) or "[]"
        case SecretStr():
            text = value.get_secret_value()
        case _:
            text = str(value)
    return f"`{text}`"
