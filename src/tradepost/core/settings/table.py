"""The table of settings in the docs, made from ``Settings`` itself."""

from pydantic import ByteSize, SecretStr

from tradepost.core.settings.settings import Settings

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
    """Return all settings as a table in Markdown: name, default and meaning."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = _MADE.get(name) or _shown(field.default)
        rows.append(f"| `{name}` | {default} | {field.description} |")
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
