"""The way in: ``tradepost``, or ``python -m tradepost``."""

import gc
import sys
from importlib import import_module


def main() -> None:
    """Run a command; what is imported for it is never garbage, and looking for some meanwhile is a fifth of the imports."""
    gc.disable()
    command_line = import_module("tradepost.cli").main
    # Imported now, not when it is called.
    command_line.commands.get(" ".join(sys.argv[1:2]))
    gc.freeze()
    gc.enable()
    command_line()


if __name__ == "__main__":
    main()
