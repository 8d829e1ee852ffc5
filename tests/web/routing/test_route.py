from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
import pytest_asyncio
from fastapi import File, Form, Query, Request, UploadFile
from pydantic import BaseModel, ConfigDict

from tests.web.apps import caller, new_app, new_router
from tradepost.web.bodies.checked_request import MAX_FORM_BYTES

JSON = {"content-type": "application/json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    count: int = 0


class Login(BaseModel):
    username: str
    password: str


router = new_router()


@router.post("/things/")
async def create_thing(thing: Thing) -> Thing:
    return thing


@router.post("/maybe")
async def maybe(thing: Thing | None = None) -> Thing | None:
    return thing


@router.post("/login")
async def login(form: Annotated[Login, Form()]) -> Login:
    return form


@router.post("/upload")
async def upload(file: Annotated[UploadFile, File()], note: Annotated[str, Form()] = "") -> dict[str, Any]:
    return {"size": len(await file.read()), "note": note}


@router.get("/search")
async def search(q: Annotated[str, Query()] = "") -> dict[str, str]:
    return {"q": q}


@router.get("/names/{name}")
async def read_name(name: str) -> dict[str, str]:
    return {"name": name}


@router.post("/stream")
async def stream(request: Request) -> dict[str, int]:
    return {"size": sum([len(chunk) async for chunk in request.stream()])}


@pytest_asyncio.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with caller(new_app(router)) as client:
        yield client


def assert_refused(response: httpx.Response, location: list[str | int], kind: str | None = None) -> None:
    assert response.status_code == 422, response.text
    problem = response.json()
    assert (problem["error_code"], problem["detail"]) == ("VALIDATION_ERROR", "Validation error")
    (error,) = problem["errors"]
    assert set(error) == {"location", "message", "type"}
    assert error["location"] == location
    assert kind is None or error["type"] == kind


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/merge-patch+json",
    ],
)
async def test_json_is_read(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(
        "/api/v1/things/",
        content='{"name": "é", "count": 9007199254740993}',
        headers={"content-type": content_type},
    )
    assert response.json() == {"name": "é", "count": 9007199254740993}


@pytest.mark.parametrize(
    ("body", "location", "kind"),
    [
        (b'{"name": ', ["body", 9], "json_invalid"),
        (b'{"name": "a", "count": NaN}', ["body", "count"], "finite_number"),
        (b'{"name": "a", "count": -Infinity}', ["body", "count"], "finite_number"),
        (b'{"name": "a", "name": "b"}', ["body", "name"], "repeated_key"),
        (b'{"name": "\\ud800"}', ["body", "name"], "string_unicode"),
        (b'{"name": "\\u0000"}', ["body", "name"], "string_unicode"),
        (b'{"name": "\xff"}', ["body", 10], "json_encoding"),
        (b'{"name": "a", "count": 9223372036854775808}', ["body", "count"], "int_out_of_range"),
        (b'{"name": "a", "count": ' + b"9" * 10_000 + b"}", ["body", "count"], "int_out_of_range"),
        (b"[" * 9_999, ["body"], "json_depth"),
        (b"[" * 100_000, ["body"], "too_many_values"),
        (b'"text"', ["body"], "model_attributes_type"),
        (b"null", ["body"], "model_attributes_type"),
        (b"", ["body"], "missing"),
        (b'{"name": "a", "other": 1}', ["body", "other"], "extra_forbidden"),
    ],
)
async def test_what_cannot_be_read_is_422(
    client: httpx.AsyncClient, body: bytes, location: list[str | int], kind: str
) -> None:
    assert_refused(await client.post("/api/v1/things/", content=body, headers=JSON), location, kind)


async def test_an_unknown_name_is_not_repeated_at_full_length(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/v1/things/", json={"name": "a", "x" * 10_000: 1})
    assert response.status_code == 422
    assert len(response.content) < 1000


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/xml"},
        FORM,
        {"content-type": "application/json,x"},
    ],
)
async def test_a_body_that_is_not_sent_as_json_is_415(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.post("/api/v1/things/", content=b'{"name": "a"}', headers=headers)
    assert (response.status_code, response.json()["error_code"]) == (415, "HTTP_415")


async def test_chunks_that_are_not_sent_as_json_are_415(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    assert (await client.post("/api/v1/things/", content=chunks())).status_code == 415


async def test_no_body_needs_no_type(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/maybe")).json() is None
    assert (await client.post("/api/v1/maybe", headers={"content-type": "text/plain"})).json() is None
    assert_refused(await client.post("/api/v1/things/"), ["body"], "missing")


async def test_a_route_that_reads_the_stream_gets_it_whole(client: httpx.AsyncClient) -> None:
    assert (await client.post("/api/v1/stream", content=b"x" * 70_000)).json() == {"size": 70_000}


MIB = 2**20
LARGE = {
    "unknown keys": b"{" + b",".join(b'"%06x":1' % number for number in range(95_000)) + b"}",
    "arrays": b"[" + b",".join([b"[]"] * 349_000) + b"]",
    "objects": b"[" + b",".join([b'{"a":1}'] * 131_000) + b"]",
    "unknown keys, just few enough": b"{" + b",".join(b'"%x":1' % number for number in range(9_990)) + b"}",
}


@pytest.mark.parametrize("body", LARGE.values(), ids=LARGE)
async def test_large_bodies_get_short_answers(client: httpx.AsyncClient, body: bytes) -> None:
    assert len(body) <= MIB
    response = await client.post("/api/v1/things/", content=body, headers=JSON)
    assert response.status_code == 422
    assert 1 <= len(response.json()["errors"]) <= 100


# --- forms ------------------------------------------------------------------------------------------------------------


async def test_forms_are_read_in_both_encodings(client: httpx.AsyncClient) -> None:
    fields = {"username": "zoë@example.com", "password": "a+b &=%"}
    assert (await client.post("/api/v1/login", data=fields)).json() == fields
    parts = {name: (None, value) for name, value in fields.items()}
    assert (await client.post("/api/v1/login", files=parts)).json() == fields


@pytest.mark.parametrize("value", [b"%00", b"%ff", b"\xff", b"a%ED%A0%80"])
async def test_form_fields_are_text(client: httpx.AsyncClient, value: bytes) -> None:
    body = b"username=" + value + b"&password=x"
    assert_refused(
        await client.post("/api/v1/login", content=body, headers=FORM), ["body", "username"], "string_unicode"
    )


@pytest.mark.parametrize("value", [b"a\x00b", b"\xff\xfe"])
async def test_multipart_fields_are_text(client: httpx.AsyncClient, value: bytes) -> None:
    response = await client.post("/api/v1/login", files={"username": (None, value), "password": (None, b"x")})
    assert_refused(response, ["body", "username"], "string_unicode")


def multipart(charset: str, value: bytes) -> dict[str, Any]:
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name, value)
        for name in (b"username", b"password")
    )
    content_type = f"multipart/form-data; boundary=x; charset={charset}"
    return {"content": body + b"--x--\r\n", "headers": {b"content-type": content_type.encode("latin-1")}}


@pytest.mark.parametrize(
    "charset",
    [
        "undefined",
        "punycode",
        "unicode_escape",
        '"unicode_escape"',
        "latin-1",
        "utf-7",
        "x" * 5000,
        "\xff",
        '""',
    ],
)
@pytest.mark.parametrize("value", [b"a", b"a\\x00b", b"\xc3\xa9"])
async def test_multipart_in_another_charset_is_415(
    client: httpx.AsyncClient, charset: str, value: bytes
) -> None:
    response = await client.post("/api/v1/login", **multipart(charset, value))
    assert (response.status_code, response.json()["error_code"]) == (415, "HTTP_415"), response.text


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
async def test_multipart_may_say_that_it_is_utf8(client: httpx.AsyncClient, charset: str) -> None:
    response = await client.post("/api/v1/login", **multipart(charset, "é\\x00".encode()))
    assert response.json() == {"username": "é\\x00", "password": "é\\x00"}


async def test_missing_fields_are_422(client: httpx.AsyncClient) -> None:
    assert_refused(
        await client.post("/api/v1/login", data={"username": "a"}), ["body", "password"], "missing"
    )
    response = await client.post("/api/v1/login")
    assert [error["location"] for error in response.json()["errors"]] == [
        ["body", "username"],
        ["body", "password"],
    ]


@pytest.mark.parametrize("headers", [{}, JSON, {"content-type": "text/plain"}])
async def test_a_body_that_is_not_sent_as_a_form_is_415(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    response = await client.post("/api/v1/login", content=b"username=a&password=b", headers=headers)
    assert response.status_code == 415


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"nothing of the kind"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nBad Header: \x00\r\n\r\na\r\n--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 5000, b"--x\r\n"),
        ("multipart/form-data; boundary=\xff", b"--x\r\n"),
        ("application/x-www-form-urlencoded", b"a=1&" * 200),
    ],
)
async def test_a_broken_form_is_a_400_or_422(
    client: httpx.AsyncClient, content_type: str, body: bytes
) -> None:
    response = await client.post(
        "/api/v1/login",
        content=body,
        headers={b"content-type": content_type.encode("latin-1")},
    )
    assert response.status_code in {400, 422}, response.text
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_form_in_one_text_has_an_end(client: httpx.AsyncClient) -> None:
    for size, status in ((MAX_FORM_BYTES, 200), (MAX_FORM_BYTES + 1, 413)):
        body = b"username=a&password=".ljust(size, b"x")
        assert (await client.post("/api/v1/login", content=body, headers=FORM)).status_code == status


async def test_files_come_through(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/api/v1/upload", files={"file": ("a.bin", bytes(range(256)))}, data={"note": "né"}
    )
    assert response.json() == {"size": 256, "note": "né"}


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "text"), [("q=%C3%A9", "é"), ("q=a+b%20c", "a b c"), ("q=%25", "%"), ("q=%zz", "%zz")]
)
async def test_query_text_is_read(client: httpx.AsyncClient, query: str, text: str) -> None:
    assert (await client.get(f"/api/v1/search?{query}")).json() == {"q": text}


@pytest.mark.parametrize("query", ["q=%00", "q=a%00b", "q=%ff", "q=%c3", "q=%ED%A0%80", "x=1&q=%FE"])
async def test_query_text_is_utf8_without_nul(client: httpx.AsyncClient, query: str) -> None:
    assert_refused(await client.get(f"/api/v1/search?{query}"), ["query", "q"], "string_unicode")


async def test_names_in_the_query_are_text_too(client: httpx.AsyncClient) -> None:
    assert_refused(await client.get("/api/v1/search?%ff=1"), ["query"], "string_unicode")


@pytest.mark.parametrize(("raw", "status"), [("é".encode(), 200), (b"\xff", 422), (b"\x00", 422)])
async def test_bytes_that_were_not_escaped(raw: bytes, status: int) -> None:
    answers: list[Any] = []

    async def send(message: Any) -> None:
        answers.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/api/v1/search", "raw_path": b"/api/v1/search",
        "query_string": b"q=" + raw, "headers": [(b"host", b"testserver")], "root_path": "", "scheme": "http",
    }  # fmt: skip
    await new_app(router)(scope, receive, send)
    assert answers[0]["status"] == status
    if status == 200:
        assert answers[1]["body"] == '{"q":"é"}'.encode()


async def test_path_text_is_read(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/names/zo%C3%AB")).json() == {"name": "zoë"}


@pytest.mark.parametrize("name", ["%00", "a%00", "%ff", "%C3", "%ED%A0%80"])
async def test_path_text_is_utf8_without_nul(client: httpx.AsyncClient, name: str) -> None:
    assert_refused(await client.get(f"/api/v1/names/{name}"), ["path"], "string_unicode")
