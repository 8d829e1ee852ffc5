"""The key that signs tokens: its least length, and the one that ``local`` makes and keeps for itself."""

import os
from pathlib import Path
from typing import Final

from tradepost.core.clock import SystemClock
from tradepost.core.durability import make_directory, sync_directory
from tradepost.core.settings.faults import SettingsError
from tradepost.core.settings.sources import read_text, reason

MINIMUM_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518, section 3.2: a key at least as long as the hash. PyJWT is told to refuse shorter ones."""


def check_length(key: str, algorithm: str) -> None:
    """Raise ``ValueError`` if ``key`` is too short for ``algorithm``."""
    size, least = len(key.encode()), MINIMUM_BYTES[algorithm]
    if size < least:
        raise ValueError(f"it has {size} bytes, and {algorithm} needs at least {least}")


def own_key(path: Path, algorithm: str) -> str:
    """Return the key kept in the file, made now if there is none; a file of no use is a ``SettingsError``."""
    try:
        key = kept_key(path)
        check_length(key, algorithm)
    except OSError as error:
        fault = f"SECRET_KEY: cannot be kept in {path}: {reason(error)}; set it, or another DATA_DIR"
        raise SettingsError([fault]) from None
    except ValueError as error:
        fault = f"SECRET_KEY: {path} is of no use: {reason(error)}; delete it to have a new one made"
        raise SettingsError([fault]) from None
    return key


def kept_key(path: Path) -> str:
    """Return the key in the file, made now if there is none; raises ``OSError`` or ``ValueError``.

    Several workers may get here at once. Each writes a whole file under a name of its own and links it to the
    final name, which only one can; so no worker ever reads half a key, and all go on with the same one.
    """
    if not path.exists():
        chance = SystemClock()
        make_directory(path.parent, mode=0o700)
        draft = path.with_name(f".{path.name}.{chance.token()}")
        try:
            draft.touch(mode=0o600, exist_ok=False)
            with draft.open("w", encoding="utf-8") as file:
                file.write(chance.token(48))
                file.flush()
                # A power cut after the first start would leave an empty file: no further start, and every session gone.
                os.fsync(file.fileno())
            path.hardlink_to(draft)
        except FileExistsError:
            pass  # another worker was first
        finally:
            draft.unlink(missing_ok=True)
        # By those that came second too: what they sign with this key must not outlive it.
        sync_directory(path.parent)
    return read_text(path)
