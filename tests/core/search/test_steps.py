"""The steps of a search: which classes of results it asks for, and in which order."""

from tradepost.core.search.question import Term, parse
from tradepost.core.search.steps import Choice, Step, resolve, steps_of

FIELDS = [("title", 4), ("tags", 2), ("description", 1)]
LAMP = Choice(("lamp",))
OLD = Choice(("old",))


def test_one_word_is_looked_for_in_one_field_after_the_other() -> None:
    steps = steps_of(resolve(parse("lamp"), {Term("lamp", begins=True, typos=1): ["lamp"]}, {}), FIELDS)
    title, tags = (LAMP.within("title"),), (LAMP.within("tags"),)
    assert steps == [
        Step(0, (title,), (), 4),
        Step(0, (tags,), (title,), 2),
        Step(0, ((LAMP,),), (title, tags), 1),
    ]


def test_each_score_of_two_words_is_a_step() -> None:
    steps = steps_of(resolve(parse('old "lamp"'), {}, {}), FIELDS)
    in_title, in_tags = (OLD.within("title"), LAMP.within("title")), (OLD.within("tags"), LAMP.within("tags"))
    assert [step.score for step in steps] == [8, 6, 5, 4, 3, 2]
    assert steps[0] == Step(0, (in_title,), (), 8)
    assert steps[1].wanted == ((in_title[0], in_tags[1]), (in_tags[0], in_title[1]))
    assert steps[1].without == (in_title,)
    assert steps[5].wanted == ((OLD, LAMP),)
    assert len(steps[5].without) == 8


def test_several_words_come_first_where_all_are_in_the_title() -> None:
    new = Choice(("new",))
    steps = steps_of(resolve(parse('old new "lamp"'), {}, {}), FIELDS)
    top = tuple(choice.within("title") for choice in (OLD, new, LAMP))
    assert steps == [Step(0, (top,), (), 13), Step(0, ((OLD, new, LAMP),), (top,), None)]


def test_begun_words_come_after_whole_ones_and_typos_last() -> None:
    term = Term("lamp", begins=True, typos=1)
    found = resolve(parse("lamp"), {term: ["lamp", "lampshade"]}, {term: ["lomp"]})
    assert [rank for rank, _ in found.tiers] == [0, 1, 2]
    assert found.widest == (Choice(("lamp", "lampshade", "lomp")),)
    assert found.forms == {term: ("lamp", "lampshade", "lomp")}
    steps = steps_of(found, FIELDS)
    assert [(step.rank, step.score) for step in steps] == [
        (rank, score) for rank in range(3) for score in (4, 2, 1)
    ]
    # What a better tier has found, no later one finds again.
    assert steps[3].without == ((LAMP,),)


def test_a_tier_that_lets_nothing_new_in_is_left_out() -> None:
    term = Term("lamp", begins=True, typos=1)
    assert [rank for rank, _ in resolve(parse("lamp"), {term: ["lamp"]}, {term: ["lomp"]}).tiers] == [0, 2]


def test_a_beginning_of_too_many_words_is_asked_for_as_such() -> None:
    term = Term("la", begins=True)
    found = resolve(parse("la"), {term: None}, {}, dense=frozenset({"la"}))
    assert found.widest == (Choice(("la",), "la", is_dense=True),)
    steps = steps_of(found, FIELDS)
    assert [(step.rank, step.score) for step in steps] == [(0, 4), (0, 2), (0, 1), (1, 5), (1, None)]


def test_exclusions_alone_are_one_step() -> None:
    assert steps_of(resolve(parse("-lamp"), {}, {}), FIELDS) == [Step(0, ((),), (), 0)]
