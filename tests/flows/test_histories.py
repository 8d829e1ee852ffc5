"""The judge of histories, held against one that tries every order."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.flows.histories import (
    IMPOSSIBLE,
    Operation,
    State,
    changed,
    created,
    deleted,
    is_linearizable,
    refused,
    was_read,
    went_back,
)

NEW = State(1, "a", None, "active")
SECOND = State(2, "b", None, "active")
THIRD = State(3, "b", "c", "active")
HIDDEN = State(2, "a", None, "draft")


def seen(asked: int, answered: int, told: State | None, *, by_stranger: bool = False) -> Operation:
    return was_read(asked, answered, "read", told, by_stranger=by_stranger)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [created(0, 1, NEW), seen(2, 3, NEW), changed(4, 5, "title", "b", SECOND), seen(6, 7, SECOND)],
        # Whoever asks while it is being changed may see either, but not go back.
        [created(0, 1, NEW), changed(2, 9, "title", "b", SECOND), seen(3, 4, NEW), seen(5, 6, SECOND)],
        [created(0, 1, NEW), changed(2, 9, "title", "b", SECOND), seen(3, 6, SECOND), seen(4, 5, NEW)],
        # A list can show what its maker has not been told of yet.
        [created(0, 9, NEW), seen(1, 2, None), seen(3, 4, NEW)],
        [created(0, 1, NEW), changed(2, 3, "title", "a", NEW), changed(4, 5, "title", "b", SECOND)],
        [created(0, 1, NEW), changed(2, 9, "description", "c", THIRD), changed(3, 8, "title", "b", SECOND)],
        [created(0, 1, NEW), deleted(2, 5, was_there=True), deleted(3, 4, was_there=False), seen(6, 7, None)],
        [created(0, 1, NEW), deleted(2, 5, was_there=True), changed(3, 4, "title", "b", None)],
        [created(0, 1, NEW), changed(2, 3, "status", "draft", HIDDEN), seen(4, 5, None, by_stranger=True)],
        # Of two that expect one version, the second is told of what the first has made.
        [
            created(0, 1, NEW),
            changed(2, 9, "title", "b", SECOND, expected=1),
            refused(3, 8, expected=1, current=2),
        ],
        [created(0, 1, NEW), deleted(2, 3, was_there=True, expected=1), seen(4, 5, None)],
    ],
    ids=lambda history: "-then-".join(operation.words for operation in history) or "nothing",
)
def test_what_can_have_been(history: list[Operation]) -> None:
    assert is_linearizable(history)
    assert not went_back(history)


@pytest.mark.parametrize(
    ("history", "goes_back"),
    [
        # A stale read.
        ([created(0, 1, NEW), changed(2, 3, "title", "b", SECOND), seen(4, 5, NEW)], True),
        # Two that looked one after the other, during one change.
        (
            [created(0, 1, NEW), changed(2, 9, "title", "b", SECOND), seen(3, 4, SECOND), seen(5, 6, NEW)],
            True,
        ),
        # Something that was never there.
        ([created(0, 1, NEW), seen(2, 3, SECOND)], False),
        # Known before it was asked for.
        ([seen(0, 1, NEW), created(2, 3, NEW)], False),
        # Gone before its time, and back from the dead.
        ([created(0, 1, NEW), seen(2, 3, None)], False),
        ([created(0, 1, NEW), deleted(2, 3, was_there=True), seen(4, 5, NEW)], True),
        # Two who deleted it.
        ([created(0, 1, NEW), deleted(2, 9, was_there=True), deleted(3, 8, was_there=True)], False),
        ([created(0, 1, NEW), deleted(2, 3, was_there=False)], False),
        # A lost update: both began with the first version.
        (
            [
                created(0, 1, NEW),
                changed(2, 9, "title", "b", SECOND),
                changed(3, 8, "description", "c", State(2, "a", "c", "active")),
            ],
            False,
        ),
        # Two that changed one version.
        (
            [
                created(0, 1, NEW),
                changed(2, 9, "title", "b", SECOND, expected=1),
                changed(3, 8, "description", "c", THIRD, expected=1),
            ],
            False,
        ),
        # Changed though another version was expected, and deleted likewise.
        ([created(0, 1, NEW), changed(2, 3, "title", "b", SECOND, expected=2)], False),
        (
            [
                created(0, 1, NEW),
                changed(2, 3, "title", "b", SECOND),
                deleted(4, 5, was_there=True, expected=1),
            ],
            False,
        ),
        # Refused though it was as expected, for a version that it had no more, or not yet.
        ([created(0, 1, NEW), refused(2, 3, expected=1, current=1)], False),
        (
            [
                created(0, 1, NEW),
                changed(2, 3, "title", "b", SECOND),
                refused(4, 5, expected=2, current=1),
            ],
            False,
        ),
        ([created(0, 1, NEW), refused(2, 3, expected=1, current=2)], False),
        # Refused after it was gone.
        (
            [created(0, 1, NEW), deleted(2, 3, was_there=True), refused(4, 5, expected=2, current=1)],
            False,
        ),
        # A request that was sent twice, and done twice.
        ([created(0, 9, NEW), created(1, 8, NEW)], False),
        # A secret told to a stranger.
        (
            [
                created(0, 1, NEW),
                changed(2, 3, "status", "draft", HIDDEN),
                seen(4, 5, HIDDEN, by_stranger=True),
            ],
            False,
        ),
    ],
)
def test_what_cannot_have_been(history: list[Operation], goes_back: bool) -> None:  # noqa: FBT001
    assert not is_linearizable(history)
    assert bool(went_back(history)) == goes_back


def explained_by_some_order(history: Sequence[Operation]) -> bool:
    """Try every order that keeps to who was answered before who asked."""
    for order in itertools.permutations(history):
        if any(late.answered < early.asked for early, late in itertools.combinations(order, 2)):
            continue
        state: State | None = None
        for operation in order:
            after = operation.effect(state)
            if after is IMPOSSIBLE:
                break
            state = after  # type: ignore[assignment]
        else:
            return True
    return False


states = st.none() | st.builds(
    State,
    version=st.integers(1, 3),
    title=st.sampled_from("ab"),
    description=st.none(),
    status=st.sampled_from(["active", "draft"]),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Let things happen to an item in some order, stretch each over its neighbours, and falsify an answer or none."""
    happened: list[Operation] = []
    state: State | None = None
    for at in range(draw(st.integers(1, 6))):
        moment = 10 * at + 100
        asked = moment - draw(st.integers(1, 25))
        answered = moment + draw(st.integers(1, 25))
        kind = draw(st.sampled_from(["create", "change", "delete", "refuse", "read", "read"]))
        expected = draw(st.none() | st.integers(1, 3))
        stranger = draw(st.booleans())
        lie = draw(states) if draw(st.integers(0, 4)) == 0 else state
        if kind == "create" and state is None:
            operation = created(asked, answered, NEW)
        elif kind == "change":
            field, value = draw(st.sampled_from([("title", "a"), ("title", "b"), ("status", "draft")]))
            told = lie
            if told is not None and getattr(told, field) != value:
                told = State(**{**vars(told), field: value, "version": told.version + 1})
            operation = changed(asked, answered, field, value, told, expected=expected)
        elif kind == "delete":
            operation = deleted(asked, answered, was_there=lie is not None, expected=expected)
        elif kind == "refuse":
            current = 1 if lie is None else lie.version
            operation = refused(asked, answered, expected=expected or 1, current=current)
        else:
            visible = lie if lie is not None and (lie.is_public or not stranger) else None
            operation = seen(asked, answered, visible, by_stranger=stranger)
        after = operation.effect(state)
        if after is not IMPOSSIBLE:
            state = after  # type: ignore[assignment]
        happened.append(operation)
    return draw(st.permutations(happened))


@settings(deadline=None, max_examples=300)
@given(history=histories())
def test_the_search_finds_what_trying_every_order_finds(history: list[Operation]) -> None:
    assert is_linearizable(history) == explained_by_some_order(history)
