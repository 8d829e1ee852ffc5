"""The way in: ``tradepost``, or ``python -m tradepost``."""

import gc


def main() -> None:
    """Run a command; what is imported for it is never garbage, and looking for some meanwhile is a fifth of a start."""
    gc.disable()
    from tradepost.cli import main as command  # noqa: PLC0415

    gc.freeze()
    gc.enable()
    command()


if __name__ == "__main__":
    main()
