"""``[Content_Types].xml`` of an Open XML document (ECMA-376, part 2): which of its parts is of which type."""

from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from tradepost.media.errors import UnsupportedFile

NAME: Final = "[content_types].xml"
"""In small letters: names of parts are compared without regard to case."""
_ENCODINGS: Final = frozenset({"utf-8", "utf-16", "us-ascii"})


@dataclass(frozen=True, slots=True)
class ContentTypes:
    """The types of parts by their names, and of those not named by their extensions; all in small letters."""

    by_name: dict[str, str] = field(default_factory=dict)
    by_extension: dict[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str | None:
        """Return the type of the part of this name, without a slash in front; None for an unknown one."""
        return self.by_name.get(name) or self.by_extension.get(name.rpartition(".")[2])


def read_content_types(content: bytes) -> ContentTypes:
    """Parse the file; one with a document type, which could define entities without end, is refused as the format asks.

    So is an encoding that the format does not have: expat would look for it among Python's codecs, where some are none of
    text, and where each unknown name is kept for good.
    """
    found = ContentTypes()
    parser = expat.ParserCreate(namespace_separator="}")

    def element(name: str, attributes: dict[str, str]) -> None:
        content_type = attributes.get("ContentType", "").lower()
        local = name.rpartition("}")[2]
        if local == "Override":
            found.by_name[attributes.get("PartName", "").lstrip("/").lower()] = content_type
        elif local == "Default":
            found.by_extension[attributes.get("Extension", "").lower()] = content_type

    def declaration(version: str, encoding: str | None, standalone: int) -> None:
        del version, standalone
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise UnsupportedFile("is a damaged document")

    def document_type(*_: object) -> None:
        raise UnsupportedFile("is a damaged document")

    parser.XmlDeclHandler = declaration
    parser.StartElementHandler = element
    parser.StartDoctypeDeclHandler = document_type
    try:
        parser.Parse(content, True)  # noqa: FBT003 - the parser's own signature
    except expat.ExpatError:
        raise UnsupportedFile("is a damaged document") from None
    return found
