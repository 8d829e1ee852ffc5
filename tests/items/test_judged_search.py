"""The judged set: questions in many languages, what each must find at once, and what it must not find."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import Person
from tests.items.market import ITEMS, SEARCH

JUDGED: dict[str, Any] = json.loads(Path(__file__).with_name("judged_search.json").read_text("utf-8"))
FIRST = 5


async def test_every_question_finds_what_it_should(client: httpx.AsyncClient, alice: Person) -> None:
    items = [{**item, "price": 10} for item in JUDGED["items"].values()]
    made = await alice.api.post(f"{ITEMS}bulk", json=items)
    assert made.status_code == 200, made.text
    ids = [json.loads(line)["id"] for line in made.text.splitlines()[:-1]]
    names = dict(zip(ids, JUDGED["items"], strict=True))
    faults = []
    for one in JUDGED["questions"]:
        found = await client.get(SEARCH, params={"q": one["q"], "fields": "id"})
        assert found.status_code == 200, found.text
        shown = [names[item["id"]] for item in found.json()]
        missing = set(one["first"]) - set(shown[:FIRST])
        wrong = set(one["never"]) & set(shown)
        is_best = "best" not in one or shown[:1] == [one["best"]]
        if missing or wrong or not is_best:
            faults.append((one["q"], shown[:FIRST], missing, wrong))
    assert faults == []


def test_the_judged_set_is_large_and_of_many_scripts() -> None:
    questions = JUDGED["questions"]
    assert len(questions) >= 100
    assert len({one["q"] for one in questions}) == len(questions)
    named = {name for one in questions for name in (*one["first"], *one["never"])}
    assert named == set(JUDGED["items"])
