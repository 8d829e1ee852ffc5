"""What clients saw of one item, and whether there is an order of events that explains it.

An operation takes effect at one moment between its question and its answer. A history is linearizable (Herlihy and Wing,
1990) when such moments can be found for all its operations together. The search is that of Wing and Gong (1993), with
Lowe's memory (2017) of the points where it has been.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class State:
    """An item as it is at one moment; one that is not there is None."""

    version: int
    title: str
    description: str | None
    status: str

    @property
    def is_public(self) -> bool:
        return self.status == "active"


class _Impossible:
    """Stands for: this operation cannot have had its answer from there."""


IMPOSSIBLE: Final = _Impossible()
Outcome = State | None | _Impossible


@dataclass(frozen=True)
class Operation:
    """What a client did to one item, when it asked and was answered (numbers of one counter), and what it was told."""

    asked: int
    answered: int
    words: str
    told: State | None
    """The item as the answer shows it, None when it says that there is none."""
    effect: Callable[[State | None], Outcome]
    """Returns the state after the operation, if from this state it can have had its answer."""
    deletes: bool = False

    def __str__(self) -> str:
        return f"{self.asked:5} to {self.answered:5}  {self.words}: {self.told or 'none'}"


def created(asked: int, answered: int, told: State) -> Operation:
    """Return the operation that made the item."""

    def effect(before: State | None) -> Outcome:
        return told if before is None else IMPOSSIBLE

    return Operation(asked, answered, "create", told, effect)


def changed(
    asked: int, answered: int, field: str, value: str, told: State | None, *, expected: int | None = None
) -> Operation:
    """Return a change of one field, which leaves the others alone; what is so already is no change.

    ``expected`` is the version that it was a change of, if it named one.
    """

    def effect(before: State | None) -> Outcome:
        if before is not None and expected not in {None, before.version}:
            return IMPOSSIBLE
        after = before
        if before is not None and getattr(before, field) != value:
            values = {"title": before.title, "description": before.description, "status": before.status}
            after = State(version=before.version + 1, **values | {field: value})  # type: ignore[arg-type]
        return after if after == told else IMPOSSIBLE

    return Operation(asked, answered, f"set {field} to {value}{_if_it_is(expected)}", told, effect)


def deleted(asked: int, answered: int, *, was_there: bool, expected: int | None = None) -> Operation:
    """Return a deletion, of an expected version or of any, or one that came too late."""

    def effect(before: State | None) -> Outcome:
        as_expected = before is None or expected in {None, before.version}
        return None if (before is not None) == was_there and as_expected else IMPOSSIBLE

    words = "delete" if was_there else "delete in vain"
    return Operation(asked, answered, f"{words}{_if_it_is(expected)}", None, effect, deletes=was_there)


def refused(asked: int, answered: int, *, expected: int, current: int) -> Operation:
    """Return a change or a deletion of an expected version that found another one: the refusal names it."""

    def effect(before: State | None) -> Outcome:
        is_true = before is not None and before.version == current != expected
        return before if is_true else IMPOSSIBLE

    return Operation(asked, answered, f"refused{_if_it_is(expected)}, it is {current}", None, effect)


def _if_it_is(expected: int | None) -> str:
    return "" if expected is None else f" if it is version {expected}"


def was_read(asked: int, answered: int, how: str, told: State | None, *, by_stranger: bool) -> Operation:
    """Return a look at the item, by itself or in a list; strangers see only what is public."""

    def effect(before: State | None) -> Outcome:
        seen = before if before is not None and (before.is_public or not by_stranger) else None
        return before if seen == told else IMPOSSIBLE

    return Operation(asked, answered, f"{how} by {'stranger' if by_stranger else 'owner'}", told, effect)


def is_linearizable(history: Iterable[Operation]) -> bool:
    """Tell whether the operations on one item, which was not there before them, have an order that explains them."""
    operations = sorted(history, key=lambda operation: operation.asked)
    everything = (1 << len(operations)) - 1
    start: tuple[int, State | None] = (0, None)
    seen, ways = {start}, [start]
    while ways:
        done, state = ways.pop()
        if done == everything:
            return True
        for point in _continued(operations, done, state):
            if point not in seen:
                seen.add(point)
                ways.append(point)
    return False


def _continued(
    operations: Sequence[Operation], done: int, state: State | None
) -> list[tuple[int, State | None]]:
    """Return where one more operation leads: one that was asked before any of the others was answered."""
    rest = [(at, operation) for at, operation in enumerate(operations) if not done >> at & 1]
    first_answer = min(operation.answered for _, operation in rest)
    points: list[tuple[int, State | None]] = []
    for at, operation in rest:
        if operation.asked > first_answer:
            break
        after = operation.effect(state)
        if isinstance(after, _Impossible):
            continue
        point = (done | 1 << at, after)
        if after == state:
            # What changes nothing may as well be the next: whatever order explains the rest explains it after this too.
            return [point]
        points.append(point)
    return points


def went_back(history: Iterable[Operation]) -> list[tuple[Operation, Operation]]:
    """Return pairs of which the second was asked after the first was answered, and was told of something older."""
    operations = sorted(history, key=lambda operation: operation.answered)
    return [
        (one, other)
        for at, one in enumerate(operations)
        for other in operations[at + 1 :]
        if other.told is not None
        and one.answered < other.asked
        and (one.deletes or (one.told is not None and one.told.version > other.told.version))
    ]
