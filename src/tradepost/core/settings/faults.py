"""The faults of settings, all of them in one error: an operator mends them in one go, not one at each start."""

from pydantic import ValidationError


class SettingsError(Exception):
    """The settings do not let Tradepost start; ``faults`` names each one as ``NAME: what is wrong``."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n  - ".join([f"Tradepost cannot start: {count} in its settings", *faults]))


def faults_in(error: ValidationError) -> list[str]:
    """Put pydantic's findings in words; a default that waited for a faulty setting is no fault of its own."""
    faults = [
        f"{found['loc'][0]}: {found['msg'].removeprefix('Value error, ').removeprefix('Input ')}"
        for found in error.errors(include_url=False, include_context=False, include_input=False)
        if found["type"] != "default_factory_not_called"
    ]
    return list(dict.fromkeys(faults))  # a list may hold the same fault twice
