"""Syntax trees that are made while what is garbage parses, too."""

import ast
import gc
from pathlib import Path

from tests.syntax import parsed, parsed_file

SOURCE = Path(__file__).read_text(encoding="utf-8")


class Ends:
    """Something in a cycle, which only the garbage collector finds."""

    ended = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        # As the formatting of a traceback does.
        ast.parse("1 + 1")
        Ends.ended += 1


def at_depth(depth: int) -> ast.Module:
    """Parse at another depth than what is garbage does."""
    return at_depth(depth - 1) if depth else parsed(SOURCE)


def test_the_end_of_garbage_does_not_get_in_between() -> None:
    wanted = ast.dump(parsed_file(Path(__file__)))
    before = gc.get_threshold()
    gc.collect()
    ended = Ends.ended
    gc.set_threshold(20, 1, 1)
    try:
        for depth in range(50):
            Ends()
            assert ast.dump(at_depth(depth)) == wanted
            assert gc.isenabled()
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert Ends.ended == ended + 50


def test_a_collector_that_is_off_stays_off() -> None:
    gc.disable()
    try:
        parsed("1")
        assert not gc.isenabled()
    finally:
        gc.enable()
