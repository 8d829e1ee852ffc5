"""Documents as different programs write them: archives and compound files, each as small as it can be."""

import io
import zipfile
from collections.abc import Mapping
from struct import pack
from typing import Final

MAIN: Final = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_NONE: Final = 0xFFFFFFFF
_END: Final = 0xFFFFFFFE
_FAT: Final = 0xFFFFFFFD
_DIFAT: Final = 0xFFFFFFFC
_IN_HEADER: Final = 109


class _Pipe(io.RawIOBase):
    """Takes what is written and cannot go back: an archive is streamed into it, sizes behind the data."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.written += data
        return len(data)


def types(
    part: str = "/word/document.xml", kind: str = MAIN, more: str = "", *, encoding: str | None = None
) -> str:
    """Return a ``[Content_Types].xml`` that names the main part."""
    declared = f' encoding="{encoding}"' if encoding else ""
    return (
        f'<?xml version="1.0"{declared}?>'
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>{more}'
        f'<Override PartName="{part}" ContentType="{kind}"/></Types>'
    )


def archive(entries: Mapping[str, str | bytes], *, comment: bytes = b"", streamed: bool = False) -> bytes:
    """Return a ZIP archive."""
    pipe, file = _Pipe(), io.BytesIO()
    with zipfile.ZipFile(pipe if streamed else file, "w", zipfile.ZIP_DEFLATED) as made:
        made.comment = comment
        for name, content in entries.items():
            made.writestr(name, content)
    return bytes(pipe.written) if streamed else file.getvalue()


def word(
    part: str = "word/document.xml", kind: str = MAIN, *, comment: bytes = b"", streamed: bool = False
) -> bytes:
    """Return what looks like a .docx whose main part is ``part``, and of this type."""
    entries = {"[Content_Types].xml": types(f"/{part}", kind), "_rels/.rels": "<x/>", part: "<x/>"}
    return archive(entries, comment=comment, streamed=streamed)


def word_stream(flags: int = 0) -> bytes:
    """Return the stream of a Word document with these flags."""
    return pack("<HHHHHH", 0xA5EC, 0xC1, 0, 1033, 0, flags).ljust(4096, b"\0")


def compound(
    streams: Mapping[str, bytes],
    *,
    within: Mapping[str, bytes] | None = None,
    filling: int = 0,
    shift: int = 9,
) -> bytes:
    """Return a compound file with these streams below its root, and others within a storage.

    ``filling`` sectors of nothing lie in front of its directory; sectors are of ``1 << shift`` bytes.
    """
    size = 1 << shift
    sectors: list[bytes] = [bytes(size)] * filling
    chains = [_NONE] * filling

    def put(content: bytes, mark: int | None = None) -> int:
        first, count = len(sectors), -(-len(content) // size)
        for number in range(count):
            sectors.append(content[number * size : (number + 1) * size].ljust(size, b"\0"))
            chains.append(mark or (first + number + 1 if number < count - 1 else _END))
        return first

    def entry(name: str, kind: int, right: int, child: int, content: bytes) -> bytes:
        text = name.encode("utf-16-le")
        start = put(content) if content else _END
        head = text.ljust(64, b"\0") + pack("<HBBLLL", len(text) + 2, kind, 1, _NONE, right, child)
        return head + bytes(36) + pack("<LQ", start, len(content))

    inner = dict(within or {})
    root_names, all_names = list(streams), [*streams, *(["Storage"] if inner else []), *inner]
    level = len(root_names) + bool(inner)
    directory = entry("Root Entry", 5, _NONE, 1 if level else _NONE, b"")
    for number, name in enumerate(all_names, 1):
        is_storage = bool(inner) and number == level
        right = number + 1 if number not in {level, len(all_names)} else _NONE
        content = b"" if is_storage else {**inner, **streams}[name]
        directory += entry(name, 1 if is_storage else 2, right, level + 1 if is_storage else _NONE, content)
    first_of_directory = put(directory)

    per_sector = size // 4
    tables = difats = 0
    while tables * per_sector < len(sectors) + tables + difats:
        tables += 1
        difats = max(0, -(-(tables - _IN_HEADER) // (per_sector - 1)))
    first_table = len(sectors)
    places = list(range(first_table, first_table + tables))
    first_difat = first_table + tables
    chains += [_FAT] * tables + [_DIFAT] * difats
    chains += [_NONE] * (tables * per_sector - len(chains))
    sectors += [
        pack(f"<{per_sector}L", *chains[at : at + per_sector]) for at in range(0, len(chains), per_sector)
    ]
    rest = places[_IN_HEADER:]
    for number in range(difats):
        some = rest[number * (per_sector - 1) : (number + 1) * (per_sector - 1)]
        following = first_difat + number + 1 if number < difats - 1 else _END
        sectors.append(pack(f"<{per_sector}L", *some, *[_NONE] * (per_sector - 1 - len(some)), following))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += pack("<HHHHH6xLLLLLLLLL", 0x3E, 3 if shift == 9 else 4, 0xFFFE, shift, 6, 0, tables,
                 first_of_directory, 0, 4096, _END, 0, first_difat if difats else _END, difats)  # fmt: skip
    in_header = places[:_IN_HEADER]
    head += pack("<109L", *in_header, *[_NONE] * (_IN_HEADER - len(in_header)))
    return head.ljust(size, b"\0") + b"".join(sectors)
