"""Names of files as browsers, libraries and frameworks write them in the parts of a form."""

import encodings

import pytest

from tradepost.web.bodies.content_disposition import Disposition, parse_disposition

NAMES = {
    "a plain one": (b'filename="photo.jpg"', "photo.jpg"),
    "without quotes": (b"filename=photo.jpg", "photo.jpg"),
    "in another case": (b'FileName="photo.jpg"', "photo.jpg"),
    "in UTF-8, as browsers do": ('filename="Tür 🚪.jpg"'.encode(), "Tür 🚪.jpg"),
    "no name, as of an unfilled input": (b'filename=""', ""),
    "no file": (b"", None),
    "RFC 8187 alone, as urllib3 before 1.25": (b"filename*=utf-8''T%C3%BCr.jpg", "Tür.jpg"),
    "with a language": (b"filename*=UTF-8'de'T%C3%BCr.jpg", "Tür.jpg"),
    "RFC 5987 in latin-1": (b"filename*=iso-8859-1''T%FCr.jpg", "Tür.jpg"),
    "in quotes against the rule": (b"filename*=\"utf-8''T%C3%BCr.jpg\"", "Tür.jpg"),
    "both, as .NET does": (
        b"filename=\"=?utf-8?B?5paw5bu6LnBuZw==?=\"; filename*=utf-8''%E6%96%B0%E5%BB%BA.png",
        "新建.png",
    ),
    "both in the other order": (b"filename*=utf-8''T%C3%BCr.jpg; filename=\"Tur.jpg\"", "Tür.jpg"),
    "an encoded word alone": (b'filename="=?utf-8?B?5paw5bu6LnBuZw==?="', "新建.png"),
    "encoded words in Q": (b'filename="=?utf-8?q?T=C3=BC?= =?utf-8?q?r=5F1.jpg?="', "Tür_1.jpg"),
    "what only looks like an encoded word": (b'filename="=?no-such?B?AAAA?="', "=?no-such?B?AAAA?="),
    "part of it is like an encoded word": (b'filename="a =?utf-8?B?eA==?="', "a =?utf-8?B?eA==?="),
    "a broken extended one beside a good one": (b"filename*=utf-8''%FF; filename=\"x.jpg\"", "x.jpg"),
    "an extended one in a foreign charset": (b"filename*=utf-7''x; filename=\"x.jpg\"", "x.jpg"),
    "an extended one that makes half a character": (
        b"filename*=unicode_escape''%5Cud800; filename=\"x.jpg\"",
        "x.jpg",
    ),
    "what browsers escape": (b'filename="a%22b%0D%0Ac.jpg"', 'a"b\r\nc.jpg'),
    "what browsers do not escape": (b'filename="100%25 %20 %2F %0d.jpg"', "100%25 %20 %2F %0d.jpg"),
    "what curl escapes": (b'filename="a\\"b\\\\c.jpg"', 'a"b\\c.jpg'),
    "a backslash of a browser": (b'filename="a\\b.jpg"', "a\\b.jpg"),
    "a backslash at the end": (b'filename="a\\"', "a\\"),
    "a semicolon": (b'filename="a;b=c.jpg"; size=3', "a;b=c.jpg"),
    "a path of Windows": (b'filename="C:\\Users\\me\\new.jpg"', "new.jpg"),
    "a path of a share": (b'filename="\\\\\\\\host\\share\\new.jpg"', "new.jpg"),
    "twice": (b'filename="a.jpg"; filename="b.jpg"', "a.jpg"),
    "parameters without a value": (b'x; filename="a.jpg"; y', "a.jpg"),
}


@pytest.mark.parametrize("what", NAMES)
def test_the_name_is_what_the_person_calls_the_file(what: str) -> None:
    parameters, expected = NAMES[what]
    found = parse_disposition(b'form-data; name="files"; ' + parameters)
    assert found == Disposition("form-data", "files", expected)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (b"Form-Data; name=files", "files"),
        (b'form-data ; name = "files" ', "files"),
        (b"form-data; name*=utf-8''files", "files"),
        (b'form-data; name="a%22b"', 'a"b'),
        (b"form-data", None),
        (b"form-data;", None),
        (b"form-data; name", None),
        (b'form-data; name="', ""),
    ],
)
def test_names_of_fields(value: bytes, name: str | None) -> None:
    assert parse_disposition(value) == Disposition("form-data", name)


@pytest.mark.parametrize(
    "piece", [b";", b'"', b'="', b'x="\\', b"; x=y", b'="\\"', b"=?utf-8?B?", b"filename*="]
)
def test_hostile_values_are_read_at_once(piece: bytes) -> None:
    # No time is asserted: what is not linear does not end.
    for end in (b"", b'"', b"?="):
        parse_disposition(b"form-data; filename=" + piece * 20_000 + end)


def test_no_name_of_a_charset_is_kept() -> None:
    for number in range(100):
        value = f"form-data; name=file; filename=\"=?odd-{number}?Q?x?=\"; filename*=strange-{number}''x"
        parse_disposition(value.encode())
    assert not [name for name in encodings._cache if name.startswith(("odd", "strange"))]
