"""Documents by their content: what different programs write is taken, and whatever only looks alike is refused by name."""

from struct import pack, unpack_from

import pytest

from tests.conftest import Person, World
from tests.items.market import sell
from tests.media.documents import MAIN, archive, compound, types, word, word_stream
from tests.uploading import nothing_left, pdf, png, send
from tradepost.media.documents.inspections import DocInspection, DocxInspection, Inspection
from tradepost.media.documents.stored_bytes import WINDOW, StoredBytes
from tradepost.media.errors import UnsupportedFile
from tradepost.media.file_types import DOCUMENTS

PDF = "application/pdf"
TEXT = "text/plain; charset=utf-8"
DOC = "application/msword"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MACROS = "application/vnd.ms-word.document.macroEnabled.main+xml"
TEMPLATE = "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml"
MACRO_TEMPLATE = "application/vnd.ms-word.template.macroEnabledTemplate.main+xml"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"
SLIDES = "application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
BY_EXTENSION = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    f'<Default Extension="XML" ContentType="{MAIN}"/></Types>'
)
BILLIONS = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + types(more="<x>&b;</x>")


def encrypted(data: bytes) -> bytes:
    """Return an archive whose directory says that its first entry is encrypted."""
    at = data.index(b"PK\x01\x02")
    return data[: at + 8] + b"\x01\x00" + data[at + 10 :]


def in_64_bits(data: bytes) -> bytes:
    """Return an archive with the 64-bit end of a directory in front of the other."""
    at = data.rindex(b"PK\x05\x06")
    count, size, start = unpack_from("<HLL", data, at + 10)
    record = b"PK\x06\x06" + pack("<Q2H2L4Q", 44, 45, 45, 0, 0, count, count, size, start)
    locator = b"PK\x06\x07" + pack("<LQL", 0, at, 1)
    return (
        data[:at]
        + record
        + locator
        + b"PK\x05\x06"
        + pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, *[0xFFFFFFFF] * 2, 0)
    )


TAKEN = {
    "docx": (word(), DOCX),
    "docx of Word Online": (word("word/document2.xml"), DOCX),
    "docx with its main part elsewhere": (word("Main/Story.xml"), DOCX),
    "docx that is named in other cases": (
        archive({"[content_types].XML": types("/Word/Document.xml"), "word/document.XML": "<x/>"}),
        DOCX,
    ),
    "docx typed by extension": (
        archive({"[Content_Types].xml": BY_EXTENSION, "word/document.xml": "<x/>"}),
        DOCX,
    ),
    "docx whose types say that they are in UTF-8": (
        archive({"[Content_Types].xml": types(encoding="UTF-8"), "word/document.xml": "<x/>"}),
        DOCX,
    ),
    "docx whose types are in UTF-16": (
        archive(
            {"[Content_Types].xml": types(encoding="UTF-16").encode("utf-16"), "word/document.xml": "<x/>"}
        ),
        DOCX,
    ),
    "docx with a comment": (word(comment=b"made by nobody"), DOCX),
    "docx with an end in its comment": (word(comment=b"PK\x05\x06" + bytes(30)), DOCX),
    "docx that was streamed": (word(streamed=True), DOCX),
    "docx that was streamed, with a comment": (word(comment=b"x" * 65_535, streamed=True), DOCX),
    "docx with a 64-bit end": (in_64_bits(word()), DOCX),
    "doc": (compound({"WordDocument": word_stream(), "1Table": b"x"}), DOC),
    "doc whose streams are named in other cases": (compound({"WORDDOCUMENT": word_stream()}), DOC),
    "doc with large sectors": (compound({"a": b"x", "worddocument": word_stream()}, shift=12), DOC),
    "doc with a workbook within": (
        compound({"WordDocument": word_stream()}, within={"Workbook": b"x"}),
        DOC,
    ),
    "pdf": (pdf(), PDF),
    "pdf behind blank lines": (b"\r\n\n  \n" + pdf(), PDF),
    "pdf behind a byte order mark": (b"\xef\xbb\xbf" + pdf(), PDF),
    "pdf behind junk": (b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n" + pdf(), PDF),
    "pdf behind junk that is no text": (b"\x00\xff" * 64 + pdf(), PDF),
    "pdf at the last place": (b" " * (1024 - len(b"%PDF-1")) + pdf(), PDF),
    "text": (b"plain", TEXT),
    "text with a byte order mark": (b"\xef\xbb\xbfplain", TEXT),
    "text about PDF": (b"A PDF begins with %PDF- and a number.", TEXT),
    "text about RTF": (b"It begins with {\\rtf1.", TEXT),
    "a page, as text": (b"<html></html>", TEXT),
    "a drawing, as text": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", TEXT),
}

REFUSED = {
    "docm": (word(kind=MACROS), "is a Word document with macros (.docm)"),
    "dotx": (word(kind=TEMPLATE), "is a Word template (.dotx)"),
    "dotm": (word(kind=MACRO_TEMPLATE), "is a Word template with macros (.dotm)"),
    "xlsx": (word("xl/workbook.xml", SHEET), "is an Excel workbook"),
    "pptx": (word("ppt/presentation.xml", SLIDES), "is a PowerPoint presentation"),
    "rtf": (b"{\\rtf1\\ansi hello}", "is an RTF document"),
    "rtf behind blank lines": (b"\xef\xbb\xbf\r\n {\\rt hello}", "is an RTF document"),
    "a zip": (archive({"readme.txt": "x"}), "is an archive and no Word document"),
    "an archive without its main part": (
        archive({"[Content_Types].xml": types(), "word/other.xml": "<x/>"}),
        "is an archive and no Word document",
    ),
    "an archive with an empty list of types": (
        archive({"[Content_Types].xml": "<x/>", "word/document.xml": "<x/>"}),
        "is an archive and no Word document",
    ),
    "an archive whose types are no XML": (
        archive({"[Content_Types].xml": "x", "word/document.xml": "<x/>"}),
        "is a damaged document",
    ),
    **{
        f"an archive whose types are in {encoding}": (
            archive({"[Content_Types].xml": types(encoding=encoding), "word/document.xml": "<x/>"}),
            "is a damaged document",
        )
        for encoding in ("no-such-encoding", "rot13", "utf-7", "idna")
    },
    "an archive with entities": (
        archive({"[Content_Types].xml": BILLIONS, "word/document.xml": "<x/>"}),
        "is a damaged document",
    ),
    "an archive whose types unpack to much": (
        archive({"[Content_Types].xml": types(more=" " * 2**21), "word/document.xml": "<x/>"}),
        "is a damaged archive",
    ),
    "an encrypted archive": (encrypted(word()), "is encrypted"),
    "an encrypted docx": (
        compound({"EncryptionInfo": b"x", "EncryptedPackage": b"x" * 5000}),
        "is encrypted",
    ),
    "an encrypted docx in which a name lies": (
        compound({"EncryptedPackage": "WordDocument".encode("utf-16-le").ljust(128, b"\0") * 40}),
        "is encrypted",
    ),
    "an encrypted docx with a stream of a doc": (
        compound({"WordDocument": word_stream(), "EncryptedPackage": b"x"}),
        "is encrypted",
    ),
    "dot": (compound({"WordDocument": word_stream(flags=1)}), "is a Word template (.dot)"),
    "xls": (compound({"Workbook": b"x"}), "is an Excel workbook"),
    "old xls": (compound({"Book": b"x"}), "is an Excel workbook"),
    "ppt": (compound({"PowerPoint Document": b"x"}), "is a PowerPoint presentation"),
    "xls with a document within": (
        compound({"Workbook": b"x"}, within={"WordDocument": word_stream()}),
        "is an Excel workbook",
    ),
    "msg": (compound({"__properties_version1.0": b"x"}), "is no Word document"),
    "an empty compound file": (compound({}), "is no Word document"),
    "a compound file without a directory": (compound({"WordDocument": b"x"})[:512], "is damaged"),
    "half a header": (compound({"WordDocument": b"x"})[:100], "is damaged"),
    "a broken zip": (word()[:-10], "is a damaged archive"),
    "a zip with nothing behind its head": (b"PK\x03\x04" + bytes(1000), "is a damaged archive"),
    "a zip that lies about its directory": (
        word()[:-12] + b"\xff\xff\xff\xff" + word()[-8:],
        "is a damaged archive",
    ),
    "a program": (b"MZ\x90\x00\x03\x00\x00\x00", "is no text in UTF-8"),
    "latin-1": ("Tür".encode("latin-1"), "is no text in UTF-8"),
    "utf-16": ("text".encode("utf-16"), "is no text in UTF-8"),
    "text with a NUL": (b"text\x00", "is no text in UTF-8"),
    "text with half a character at its end": ("Tür 🚪".encode()[:-1], "is no text in UTF-8"),
    "a late header of a PDF": (b"\x00" * 1019 + pdf(), "is no text in UTF-8"),
    "a picture": (png(), "is a PNG picture"),
    "nothing": (b"", "is empty"),
}


def stored(data: bytes) -> tuple[StoredBytes, list[int]]:
    """Return bytes as they are read from a storage, and where each read began."""
    reads: list[int] = []

    async def read(start: int, end: int) -> bytes:
        reads.append(start)
        return data[start:end]

    return StoredBytes(read, len(data)), reads


async def judge(data: bytes, *, size: int) -> str:
    """Return the type of a file that comes in blocks of this size, or what is wrong with it."""
    try:
        file_type = DOCUMENTS.recognise(data[:size])
        inspection = file_type.inspection()
        for at in range(0, len(data), size):
            inspection.see(data[at : at + size])
        whole, _ = stored(data)
        await inspection.finish(whole)
    except UnsupportedFile as refused:
        return refused.reason
    return file_type.content_type


@pytest.mark.parametrize("what", [*TAKEN, *REFUSED])
@pytest.mark.parametrize("size", [1500, 200_000])
async def test_documents_are_known_by_their_content(what: str, size: int) -> None:
    content, expected = (TAKEN | REFUSED)[what]
    assert await judge(content, size=size) == expected


async def test_one_that_is_taken_is_served_as_it_came(alice: Person) -> None:
    item = await sell(alice)
    for content, content_type in (TAKEN["docx of Word Online"], TAKEN["doc"], TAKEN["pdf behind junk"]):
        answer = await send(alice, item, content, to="documents")
        assert answer.status_code == 200, answer.text
        (file,) = answer.json()["uploaded_files"]
        assert file["content_type"] == content_type
        assert (await alice.api.get(file["url"])).content == content


@pytest.mark.parametrize("what", ["docm", "xls", "rtf", "utf-16", "nothing"])
async def test_one_that_is_refused_is_named(world: World, alice: Person, what: str) -> None:
    content, reason = REFUSED[what]
    item = await sell(alice)
    answer = await send(alice, item, b"good", content, to="documents")
    assert answer.status_code == 415, answer.text
    assert answer.json()["detail"] == (
        f'File 2 ("file1") {reason}; allowed are PDF, text in UTF-8, .doc and .docx'
    )
    assert await nothing_left(world)


@pytest.mark.parametrize(
    ("inspection", "data"),
    [
        (DocInspection(), compound({"WordDocument": word_stream()}, filling=30_000)),
        (DocxInspection(), word() + b""),
        (DocxInspection(), bytes(3 * WINDOW) + word()),
        (DocxInspection(), archive({"a": "x" * 10} | {f"word/{number}": "" for number in range(5000)} | {
            "[Content_Types].xml": types(), "word/document.xml": ""})),
    ],
    ids=["tables beyond the header", "small", "with something in front", "many entries"],
)  # fmt: skip
async def test_large_documents_are_read_in_few_pieces(inspection: Inspection, data: bytes) -> None:
    whole, reads = stored(data)
    await inspection.finish(whole)
    assert len(reads) == len(set(reads)) <= 12


@pytest.mark.parametrize("where", range(76, 520, 12))
async def test_a_compound_file_with_a_fault_is_refused_or_read(where: int) -> None:
    data = bytearray(compound({"WordDocument": word_stream(), "x": b"y"}))
    for value in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00", b"\xfa\xff\xff\x7f"):
        data[where : where + 4] = value
        whole, _ = stored(bytes(data))
        try:
            await DocInspection().finish(whole)
        except UnsupportedFile:
            continue


async def test_a_chain_that_never_ends_is_refused() -> None:
    data = bytearray(compound({"WordDocument": word_stream(), "x": b"y"}, filling=8))
    (directory,), (table,) = unpack_from("<L", data, 48), unpack_from("<L", data, 76)
    at = (table + 1) * 512 + 4 * directory
    data[at : at + 4] = pack("<L", directory)
    whole, reads = stored(bytes(data))
    with pytest.raises(UnsupportedFile, match="is damaged"):
        await DocInspection().finish(whole)
    assert len(reads) == 1


async def test_a_document_that_is_scattered_over_a_file_is_read_for_so_long() -> None:
    whole, reads = stored(bytes(WINDOW * 257))
    for number in range(256):
        assert await whole.read(number * WINDOW, 4) == bytes(4)
    with pytest.raises(UnsupportedFile, match="scattered"):
        await whole.read(256 * WINDOW, 4)
    assert len(reads) == 256
