"""What a new domain has to be named in besides its own directory, and what is missing there, in words that say what to do.

Everything is read from the sources, nothing is run: a domain that is half there cannot be imported yet.
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from tests.syntax import parsed_file

FACES = {"routes", "handlers", "dependencies", "service", "repository", "models"}


class House:
    """The sources of a checkout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.package = root / "src" / "tradepost"

    @cached_property
    def modules(self) -> dict[str, ast.Module]:
        """Every module of the package by its path within it."""
        return {
            path.relative_to(self.package).as_posix(): parsed_file(path)
            for path in sorted(self.package.rglob("*.py"))
        }

    @cached_property
    def contracts(self) -> dict[str, dict[str, object]]:
        """The import contracts by their ids."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
        return {contract["id"]: contract for contract in project["tool"]["importlinter"]["contracts"]}

    def omissions(self) -> list[str]:
        """Return what was forgotten, a sentence each."""
        return [
            *self._routers(),
            *self._subscribers(),
            *self._openers(),
            *self._tags(),
            *self._tables(),
            *self._floors(),
            *self._faces(),
            *self._plants(),
            *self._tests(),
            *self._map(),
        ]

    def _routers(self) -> Iterator[str]:
        used = self._uses("api.py") | self._uses("main.py")
        for path, tree in self.modules.items():
            for name in assigned(tree, call="Router"):
                if f"{dotted(path)}.{name}" not in used and not path.startswith("web/"):
                    yield (
                        f"the routes of src/tradepost/{path} are served nowhere: "
                        f"add its `{name}` to ROUTERS in src/tradepost/api.py"
                    )

    def _subscribers(self) -> Iterator[str]:
        handlers = [path for path in self.modules if path.endswith("/handlers.py")]
        # A domain's handlers may be put together from those of its parts.
        used = {name for path in ("bootstrap.py", *handlers) for name in self._uses(path)}
        for path in handlers:
            subscribe = f"{dotted(path)}.subscribe"
            if "subscribe" in functions(self.modules[path]) and subscribe not in used:
                yield (
                    f"src/tradepost/{path} hears of no message: "
                    f"add its `subscribe` to SUBSCRIBERS in src/tradepost/bootstrap.py"
                )

    def _openers(self) -> Iterator[str]:
        used = self._uses("bootstrap.py")
        for path, tree in self.modules.items():
            for name, function in functions(tree).items():
                if (
                    path.endswith("/dependencies.py")
                    and name.startswith("open_")
                    and [argument.arg for argument in function.args.args[:1]] == ["resources"]
                    and f"{dotted(path)}.{name}" not in used
                ):
                    yield (
                        f"what `{name}` of src/tradepost/{path} opens is missing at run time: "
                        f"add it to OPENERS in src/tradepost/bootstrap.py"
                    )

    def _tags(self) -> Iterator[str]:
        described = keys(self.modules["web/openapi/document.py"], "_TAGS")
        for path, tree in self.modules.items():
            for tag in tags(tree):
                if tag not in described:
                    yield (
                        f"the OpenAPI's tag `{tag}` of src/tradepost/{path} has no description: "
                        f"add one to _TAGS in src/tradepost/web/openapi/document.py"
                    )

    def _tables(self) -> Iterator[str]:
        listed = {name.rpartition(".")[2] for name in self._elements("bootstrap.py", "MODELS")}
        rows = keys(parsed_file(self.root / "tests" / "migrations" / "rows.py"), "ROWS")
        history = "".join(
            path.read_text(encoding="utf-8")
            for path in sorted((self.root / "migrations" / "versions").glob("*.py"))
        )
        for path, tree in self.modules.items():
            for model, table in tables(tree):
                if model not in listed:
                    yield (
                        f"migrations do not see the table `{table}` of src/tradepost/{path}: "
                        f"add {model} to MODELS in src/tradepost/bootstrap.py"
                    )
                if f'"{table}"' not in history:
                    yield f'no migration makes the table `{table}`: run `make revision M="add {table}"`'
                if table not in rows:
                    yield (
                        f"migrations are not tried with a row in `{table}`: "
                        f"add one to ROWS in tests/migrations/rows.py (the rows that others refer to have the id 1)"
                    )

    def _floors(self) -> Iterator[str]:
        for contract, package in (("floors", ""), ("core-floors", "core/")):
            layers = self.contracts[contract]["layers"]
            assert isinstance(layers, list)
            named = {word.strip(" ()") for layer in layers for word in re.split(r"[:|]", layer)}
            for name in self._rooms(package):
                if name not in named:
                    yield (
                        f"src/tradepost/{package}{name} stands on no floor: "
                        f"add it to the layers of the contract `{contract}` in pyproject.toml, "
                        "above all that it imports and below all that import it"
                    )

    def _faces(self) -> Iterator[str]:
        containers = self.contracts["faces"]["containers"]
        assert isinstance(containers, list)
        for directory in sorted({path.rpartition("/")[0] for path in self.modules}):
            if directory.split("/")[0] in {"", "core", "web"}:
                continue
            faces = FACES & set(self._rooms(f"{directory}/"))
            domain = dotted(f"{directory}/__init__.py")
            if len(faces) > 1 and domain not in containers:
                yield (
                    f"nothing keeps the imports within src/tradepost/{directory} in order: "
                    f"add {domain} to the containers of the contract `faces` in pyproject.toml"
                )

    def _plants(self) -> Iterator[str]:
        planted = keys(parsed_file(self.root / "tests" / "architecture" / "test_contracts.py"), "PLANTS")
        for contract in self.contracts.values():
            if contract["name"] not in planted:
                yield (
                    f"nothing shows that the contract `{contract['id']}` can be broken: "
                    f'add "{contract["name"]}" to PLANTS in tests/architecture/test_contracts.py'
                )

    def _tests(self) -> Iterator[str]:
        # The command line is tried as people use it, in tests/flows.
        packages = [name for name in self._rooms("") if (self.package / name).is_dir() and name != "cli"]
        for name in packages:
            if not any((self.root / "tests" / name).rglob("test_*.py")):
                yield f"src/tradepost/{name} has no tests: put some into tests/{name}"

    def _map(self) -> Iterator[str]:
        page = (self.root / "docs" / "architecture.md").read_text(encoding="utf-8")
        for package in ("", "core/"):
            for name in self._rooms(package):
                entry = self.package / package / name
                shown = f"{package}{name}/" if entry.is_dir() else f"{package}{name}.py"
                if f"`{shown}`" not in page:
                    yield f"`{shown}` is missing on the map: add it to its floor in docs/architecture.md"

    def _rooms(self, package: str) -> Sequence[str]:
        """Return the names of the modules and packages in a package."""
        return sorted(
            entry.stem
            for entry in (self.package / package).iterdir()
            if (entry.suffix == ".py" and entry.stem != "__init__") or (entry / "__init__.py").exists()
        )

    def _uses(self, path: str) -> set[str]:
        """Return the full names of everything that a module imports and goes on to use."""
        tree = self.modules[path]
        known = imported(tree)
        used = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in known:
                used.add(known[node.id])
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in known
            ):
                used.add(f"{known[node.value.id]}.{node.attr}")
        return used

    def _elements(self, path: str, variable: str) -> Iterator[str]:
        value = value_of(self.modules[path], variable)
        if isinstance(value, ast.Tuple | ast.List):
            yield from (ast.unparse(element) for element in value.elts)


def dotted(path: str) -> str:
    """Return the name of the module at a path within the package."""
    return ".".join(["tradepost", *path.removesuffix(".py").removesuffix("/__init__").split("/")])


def imported(tree: ast.Module) -> dict[str, str]:
    """Return the full name of each thing that a module imports, by the name it has there."""
    return {
        (name.asname or name.name): f"{node.module}.{name.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def functions(tree: ast.Module) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return the functions at the top of a module by their names."""
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def assigned(tree: ast.Module, *, call: str) -> Iterator[str]:
    """Yield the names at the top of a module that are given what a call of ``call`` returns."""
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and getattr(node.value.func, "id", None) == call
        ):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def value_of(tree: ast.Module, variable: str) -> ast.expr | None:
    """Return the expression that a variable at the top of a module is given."""
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == variable for target in targets):
            value: ast.expr | None = getattr(node, "value", None)
            return value
    return None


def keys(tree: ast.Module, variable: str) -> set[object]:
    """Return the constant keys of a dictionary at the top of a module."""
    value = value_of(tree, variable)
    found = value.keys if isinstance(value, ast.Dict) else []
    return {key.value for key in found if isinstance(key, ast.Constant)}


def tags(tree: ast.Module) -> Iterator[str]:
    """Yield the OpenAPI tags that routers and routes of a module bear."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "tags" and isinstance(node.value, ast.List):
            yield from (str(tag.value) for tag in node.value.elts if isinstance(tag, ast.Constant))


def tables(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the classes of a module that are tables, with the tables' names."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            table = value_of(ast.Module(node.body, []), "__tablename__")
            if isinstance(table, ast.Constant):
                yield node.name, str(table.value)
