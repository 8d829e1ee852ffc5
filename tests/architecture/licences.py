"""Print each component of a CycloneDX file with its licences, a line each; fail where one names none."""

import json
import sys
from pathlib import Path


def main(path: str) -> None:
    """Print the components of the file at ``path``."""
    components = json.loads(Path(path).read_text(encoding="utf-8"))["components"]
    unnamed: list[str] = []
    for one in sorted(components, key=lambda component: component["name"].lower()):
        found = (licence.get("expression") or licence["license"] for licence in one.get("licenses", ()))
        names = {
            licence if isinstance(licence, str) else licence.get("id") or licence["name"] for licence in found
        }
        print(f"{one['name']} {one['version']}: {', '.join(sorted(names)) or 'no licence named'}")  # noqa: T201
        if not names:
            unnamed.append(one["name"])
    if unnamed:
        sys.exit(f"Without a licence: {', '.join(unnamed)}")


if __name__ == "__main__":
    main(sys.argv[1])
