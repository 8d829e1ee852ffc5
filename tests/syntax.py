"""Syntax trees of source text, made where nothing else of this process can run in between.

CPython 3.11 counts how deep a tree is in one place for all of a process. A garbage collection in the middle may run a
finalizer, which may format a traceback or let another thread run: both parse, too, and the outer one ends in ``SystemError: AST
constructor recursion depth mismatch``.
"""

import ast
import gc
from pathlib import Path


def parsed(source: str) -> ast.Module:
    """Return the syntax tree of a text; ``SyntaxError`` if it is none of Python's."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if collects:
            gc.enable()


def parsed_file(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    return parsed(path.read_text(encoding="utf-8"))
