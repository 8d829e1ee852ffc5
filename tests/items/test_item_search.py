"""Finding items by letters in title, description and tags."""

from typing import Any

import httpx
import pytest

from tests.conftest import Person
from tests.items.market import ITEMS, SEARCH, faults, sell, titles


class TestSearch:
    async def test_looks_into_title_description_and_tags(
        self, client: httpx.AsyncClient, alice: Person
    ) -> None:
        await sell(alice, "A green lamp")
        await sell(alice, "Title", description="with a lamp in it")
        await sell(alice, "Tagged", tags=["old lamps", "lampshade"])
        await sell(alice, "Nothing", description="of the kind", tags=["amp"])
        for path in (SEARCH, ITEMS):
            assert await titles(client, path, q="lamp") == ["Tagged", "Title", "A green lamp"]
            assert await titles(client, path, q="LaMp") == ["Tagged", "Title", "A green lamp"]
            assert await titles(client, path, q="green lamp") == ["A green lamp"]
            assert await titles(client, path, q="lampoon") == []

    @pytest.mark.parametrize("where", ["title", "description", "tags"])
    async def test_wildcards_are_letters(self, client: httpx.AsyncClient, alice: Person, where: str) -> None:
        texts = [
            "100% wool",
            "a_b",
            "axb",
            r"back\slash",
            r"\%",
            "it's",
            'say "hi"',
            "[a-z]*",
            "a?c",
            "--;/*x*/",
            "$1",
        ]
        for number, text in enumerate(texts):
            fields: dict[str, Any] = {"title": str(number + 20), where: [text] if where == "tags" else text}
            await sell(alice, **fields)
        found = {
            "%": {0, 4},
            "0%": {0},
            "% w": {0},
            "_": {1},
            "a_b": {1},
            "axb": {2},
            "\\": {3, 4},
            r"\s": {3},
            r"\%": {4},
            r"\\": set(),
            "'": {5},
            "''": set(),
            '"': {6},
            '"hi"': {6},
            "[a-z]": {7},
            "[": {7},
            "*": {7, 9},
            "?": {8},
            "--": {9},
            ";/*": {9},
            "$1": {10},
            "%%": set(),
            "%_%": set(),
        }
        for path in (SEARCH, ITEMS):
            for q, wanted in found.items():
                answer = (await client.get(path, params={"q": q})).json()
                items = answer if isinstance(answer, list) else answer["items"]
                seen = {item["tags"][0] if where == "tags" else item[where] for item in items}
                assert seen == {texts[number] for number in wanted}, q

    async def test_case_is_that_of_all_letters(self, client: httpx.AsyncClient, alice: Person) -> None:
        for title in (
            "École",
            "éclair",
            "Straße",
            "STRASSE",
            "İstanbul",
            "istanbul",
            "ΟΔΟΣ",
            "Ёлка",
            "Ǆ",
            "日本",
        ):
            await sell(alice, title)
        for q, wanted in (
            ("é", ["éclair", "École"]),
            ("É", ["éclair", "École"]),
            ("ÉCOLE", ["École"]),
            ("e", ["STRASSE", "Straße", "École"]),
            ("ß", ["Straße"]),
            ("ẞ", ["Straße"]),
            ("ss", ["STRASSE"]),
            ("İ", ["İstanbul"]),
            ("i\u0307stanbul", ["İstanbul"]),
            ("stanbul", ["istanbul", "İstanbul"]),
            ("ISTANBUL", ["istanbul"]),
            ("οδος", ["ΟΔΟΣ"]),
            ("ОЛКА", []),
            ("ёЛКА", ["Ёлка"]),
            ("ǆ", ["Ǆ"]),
            ("本", ["日本"]),
        ):
            assert await titles(client, SEARCH, q=q) == wanted, q
            assert await titles(client, q=q) == wanted, q

    async def test_spaces_are_letters(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "one two")
        await sell(alice, "onetwo")
        assert await titles(client, SEARCH, q="e t") == ["one two"]
        assert await titles(client, SEARCH, q=" ") == ["one two"]

    async def test_what_cannot_be_looked_for(self, client: httpx.AsyncClient) -> None:
        assert faults(await client.get(SEARCH)) == [(["query", "q"], "missing")]
        for q, kind in (("", "string_too_short"), ("x" * 201, "string_too_long")):
            assert faults(await client.get(SEARCH, params={"q": q})) == [(["query", "q"], kind)]
        for raw in ("%00", "a%00b", "%ff", "%ed%a0%80", "%c0%af"):
            for path in (SEARCH, ITEMS):
                answer = await client.get(f"{path}?q={raw}")
                assert faults(answer) == [(["query", "q"], "string_unicode")], raw

    async def test_two_hundred_of_a_letter(self, client: httpx.AsyncClient, alice: Person) -> None:
        letters = ["%", "_", "\\", "'", "x", "🦊", "İ"]
        for letter in letters:
            await sell(alice, letter * 200)
        for letter in letters:
            assert await titles(client, SEARCH, q=letter * 200) == [letter * 200]
            assert await titles(client, q=letter * 200) == [letter * 200]

    async def test_an_item_is_found_once(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "red lamp", description="a red lamp", tags=["red", "very red", "reddish"])
        answer = await client.get(SEARCH, params={"q": "red"})
        assert (len(answer.json()), answer.headers["x-total-count"]) == (1, "1")

    async def test_last_given_counts(self, client: httpx.AsyncClient, alice: Person) -> None:
        await sell(alice, "lamp")
        assert len((await client.get(f"{SEARCH}?q=nothing&q=lamp")).json()) == 1
