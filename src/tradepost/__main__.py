"""The way in: ``tradepost``, or ``python -m tradepost``."""

import gc
from importlib import import_module


def main() -> None:
    """Run a command; what is imported for it is never garbage, and looking for some meanwhile is a fifth of the imports."""
    gc.disable()
    command_line = import_module("tradepost.cli")
    gc.freeze()
    gc.enable()
    command_line.main()


if __name__ == "__main__":
    main()
