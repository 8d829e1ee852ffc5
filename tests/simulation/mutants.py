"""Mutants: what would the tests of a module say if one place in it were wrong? ``make mutants`` draws some by a seed.

Each is the module with one comparison, one operator, one number, one condition or one statement changed: what is left out
stands under ``if False``. The simulations and the module's own tests are run on it, on SQLite; those that pass all of them
are shown, for somebody to look at.
"""

import argparse
import ast
import copy
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.simulation.examination import ROOT, Mutant, examine
from tests.syntax import parsed

_READS: Final = "tests/simulation/test_coalescer.py tests/core/batching/test_coalescer.py tests/core/batching/test_read_coalescer.py tests/core/test_deadlines.py"
_MESSAGES: Final = "tests/simulation/test_leases.py tests/core/messaging/test_dispatcher.py tests/core/messaging/test_deliveries.py tests/core/messaging/test_repository.py"
TESTS: Final = {
    "core/batching/coalescer.py": _READS,
    "core/batching/read_coalescer.py": _READS,
    "core/batching/group_writer.py": "tests/simulation/test_group_writer.py tests/core/batching/test_group_writer.py",
    "core/messaging/deliveries.py": _MESSAGES,
    "core/messaging/repository.py": _MESSAGES,
    "core/rate_limiter.py": "tests/simulation/test_rate_limiter.py tests/core/test_rate_limiter.py",
    "core/overload/control.py": "tests/core/overload/test_control.py tests/core/overload/test_simulation.py",
    "core/overload/arrivals.py": "tests/core/overload/test_arrivals.py",
    "core/overload/growth.py": "tests/core/overload/test_growth.py",
    "core/overload/waits.py": "tests/core/overload/test_waits.py",
}

_OTHER: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Break: ast.Continue,
}


def mutants_of(source: str) -> Iterator[tuple[str, str]]:
    """Yield every mutant of a module, with what was changed: within functions, and in what is not only logged."""
    tree: ast.AST = parsed(source)
    for path in list(_places(tree)):
        for which, _ in enumerate(_changes(_at(tree, path))):
            mutated = copy.deepcopy(tree)
            parent, (field, at) = _at(mutated, path[:-1]), path[-1]
            before = _at(mutated, path)
            words = _shown(parent, before)
            after = list(_changes(before))[which]
            if at is None:
                setattr(parent, field, after)
            else:
                getattr(parent, field)[at] = after
            ast.fix_missing_locations(mutated)
            line = getattr(before, "lineno", getattr(parent, "lineno", 0))
            yield f"line {line}: {words} -> {_shown(parent, after)}", ast.unparse(mutated)


_Path = tuple[tuple[str, int | None], ...]


def _places(node: ast.AST, path: _Path = (), *, within: bool = False) -> Iterator[_Path]:
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for at, child in children:
            if not isinstance(child, ast.AST) or _is_idle(child):
                continue
            here: _Path = (*path, (field, at))
            if within and not (field == "args" and isinstance(child, ast.arguments)):
                yield here
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _places(child, here, within=within or (is_function and field == "body"))


def _at(node: ast.AST, path: "_Path") -> ast.AST:
    for field, at in path:
        node = getattr(node, field) if at is None else getattr(node, field)[at]
    return node


def _is_idle(node: ast.AST) -> bool:
    """Tell whether a statement is words for people: a docstring, a line of a log, an error's text."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Raise() | ast.Assert():
            return True
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="log")))):
            return True
    return False


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be changed to."""
    other = _OTHER.get(type(node))
    if other is not None:
        yield other()
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield from (ast.Constant(value + 1), ast.Constant(value - 1))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Name(id="min" | "max" as name, ctx=ast.Load()):
            yield ast.Name("max" if name == "min" else "min", ast.Load())
        case ast.stmt():
            yield from _statements(node)


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.If(test=test) | ast.While(test=test):
            for wrong in (
                ast.UnaryOp(ast.Not(), test),
                *([ast.Constant(value=False)] if isinstance(node, ast.If) else ()),
            ):
                changed = copy.deepcopy(node)
                changed.test = wrong
                yield changed
        case ast.Return(value=ast.expr() as value):
            yield ast.Return(ast.IfExp(ast.Constant(value=False), value, ast.Constant(None)))
        case (
            ast.Expr()
            | ast.AugAssign()
            | ast.Delete()
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield ast.If(ast.Constant(value=False), [node], [])


def _shown(parent: ast.AST, node: ast.AST) -> str:
    if isinstance(node, ast.operator | ast.cmpop | ast.boolop):
        return f"{type(node).__name__} in {ast.unparse(parent)[:60]!r}"
    return repr(ast.unparse(node).partition("\n")[0][:80])


def main() -> None:
    """Draw mutants, run the tests on each, and say how many were noticed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=80)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only", default="", help="modules whose path has this in it: their part of the number"
    )
    options = parser.parse_args()
    drawn: list[Mutant] = []
    for at, module in enumerate(TESTS):
        if options.only in module:
            found = mutants_of((ROOT / "src/tradepost" / module).read_text())
            mutants = [Mutant(module, *mutant) for mutant in found]
            share = options.number // len(TESTS) + (at < options.number % len(TESTS))
            # Of each module by a chance of its own: the same ones when it is looked at alone.
            chance = random.Random(f"{options.seed} {module}")
            drawn += chance.sample(mutants, min(share, len(mutants)))
    tests = {module: files.split() for module, files in TESTS.items()}
    with tempfile.TemporaryDirectory() as directory:
        survived = examine(drawn, tests, directory=Path(directory), say=_say)
    noticed = len(drawn) - len(survived)
    _say(f"{noticed} of {len(drawn)} were noticed: {noticed / len(drawn):.0%} (seed {options.seed})")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
