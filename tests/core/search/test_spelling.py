"""The languages of the two indexes."""

from tradepost.core.search.spelling import Fts5, Gin
from tradepost.core.search.steps import Choice

OLD, LAMP = Choice(("old",)), Choice(("lamp", "lamps"), "lampsh")
TITLE = OLD.within("title")


def test_each_choice_is_a_condition_of_its_own_for_gin() -> None:
    gin = Gin(["title", "tags"])
    assert gin.conditions([(OLD, LAMP)], ()) == ["('old')", "('lamp' | 'lamps' | 'lampsh':*)"]
    assert gin.conditions([(TITLE,)], ()) == ["('\u2039old')"]
    assert gin.conditions([(OLD.within("tags"),)], ()) == ["('\u203aold')"]
    assert gin.conditions([(OLD, TITLE), (LAMP,)], ((OLD,),)) == [
        "((('old') & ('\u2039old')) | (('lamp' | 'lamps' | 'lampsh':*))) & !(('old'))"
    ]
    assert gin.conditions([(OLD, LAMP)], ((TITLE,), (OLD, LAMP)))[0] == (
        "('old') & !(('\u2039old')) & !(('old') & ('lamp' | 'lamps' | 'lampsh':*))"
    )


def test_fts5_is_asked_one_question() -> None:
    fts, fact = Fts5(["title", "tags"]), Choice(("\u00a7sactive",))
    assert fts.question([(OLD, LAMP)], (), ()) == '((("old") AND ("lamp" OR "lamps" OR "lampsh"*)))'
    assert fts.question([()], (fact,), ()) == '("\u00a7sactive")'
    assert fts.question([(TITLE,), (LAMP,)], (fact,), ((OLD,),)) == (
        '(((("\u2039old")) OR (("lamp" OR "lamps" OR "lampsh"*))) AND ("\u00a7sactive")) NOT (((("old"))))'
    )
