"""Alembic's autogenerate, taught the habits of this house: what ``make revision`` writes runs on both engines as it is.

A migration spells our types out in SQLAlchemy's own, so that it means the same for ever, whatever becomes of ours.
CHECKs are compared too: Alembic alone would miss that an enum got a value. A table whose ids are never used again stays
so when SQLite rebuilds it, and a new column that may not be null has a value for the rows that exist.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op
from alembic.migration import MigrationContext
from alembic.operations import ops
from sqlalchemy import Column, Connection, MetaData, Table
from sqlalchemy.sql.elements import False_, True_, conv
from sqlalchemy.types import TypeDecorator, TypeEngine

from tradepost.core.database.models import Hundredths, UtcDateTime

CONSTANTS: Final = {
    "BIG_ID": 'sa.BigInteger().with_variant(sa.Integer(), "sqlite")',
    "MONEY": 'sa.Numeric(12, 2).with_variant(sa.BigInteger(), "sqlite")',
    "PERCENT": 'sa.Numeric(5, 2).with_variant(sa.BigInteger(), "sqlite")',
    "MOMENT": 'sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")',
    "JSON": 'sa.JSON().with_variant(postgresql.JSONB(), "postgresql")',
}
"""Our types as migrations spell them, each a constant at the top of the file that uses it."""

Operation = ops.MigrateOperation
SEARCH: Final = "_search"
"""In the names of what no model declares because only one engine has it: the indexes of full-text search."""


class CannotWriteMigrationError(Exception):
    """The models lack what a migration needs; the message says what to add and where."""


def is_declared(name: str | None, kind: str, _parents: Any) -> bool:
    """Tell whether models declare what a database has: not SQLite's tables, nor PostgreSQL's index, of a search."""
    return kind not in {"table", "index"} or name is None or SEARCH not in name


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Render types, CHECKs and truth values in our way, everything else in Alembic's (``False``)."""
    if kind == "type":
        return _render_type(item, context)
    if kind == "check":
        return f"sa.CheckConstraint({_condition(item)!r}, name=op.f({_name(item)!r}))"
    if kind == "server_default" and isinstance(getattr(item, "arg", None), True_ | False_):
        # A number on SQLite, a word on PostgreSQL.
        return "sa.true()" if isinstance(item.arg, True_) else "sa.false()"
    return False


def _render_type(kind: TypeEngine[Any], context: AutogenContext) -> str | Literal[False]:
    constant = _constant(kind)
    if constant is not None:
        context.imports.add(f"{constant} = {CONSTANTS[constant]}")
        if "postgresql." in CONSTANTS[constant]:
            context.imports.add("from sqlalchemy.dialects import postgresql")
        return constant
    if isinstance(kind, Hundredths):
        return f'sa.Numeric({kind.precision}, 2).with_variant(sa.BigInteger(), "sqlite")'
    if isinstance(kind, sa.Enum | sa.VARCHAR):
        # An enum is text here; its CHECK is rendered with the table's others.
        return f"sa.String({kind.length})"
    if isinstance(kind, TypeDecorator):
        raise CannotWriteMigrationError(
            f"{type(kind).__name__} has no portable spelling: give it one in CONSTANTS of {__name__}"
        )
    return False


def _constant(kind: TypeEngine[Any]) -> str | None:
    """Return the name of the constant that stands for a type of the models, or for one that SQLite says a column has."""
    match kind:
        case UtcDateTime() | sa.DateTime():
            name = "MOMENT"
        case Hundredths(precision=12):
            name = "MONEY"
        case Hundredths(precision=5):
            name = "PERCENT"
        case sa.JSON():
            name = "JSON"
        case sa.INTEGER():
            # Read from SQLite, where ids and other numbers look alike.
            name = "BIG_ID"
        case sa.BigInteger() if "sqlite" in kind._variant_mapping:  # noqa: SLF001 - has no public name
            name = "BIG_ID"
        case _:
            return None
    return name


def _condition(check: sa.CheckConstraint) -> str:
    """Return the condition of a CHECK as SQL that both engines understand."""
    return str(check.sqltext.compile(compile_kwargs={"literal_binds": True, "include_table": False}))


def _name(check: sa.CheckConstraint) -> str:
    """Return the whole name: Alembic's copy of a table gives an enum's CHECK without what comes of the convention."""
    return check.name if isinstance(check.name, conv) else f"ck_{check.table.name}_{check.name}"


def checks_of(table: Table) -> dict[str, str]:
    """Return the conditions of a table's CHECKs by name, those of its enums too."""
    return {
        _name(check): _condition(check)
        for check in table.constraints
        if isinstance(check, sa.CheckConstraint)
    }


def check_differences(
    connection: Connection, metadata: MetaData
) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Yield table, name, condition there and condition wanted of each CHECK that differs.

    PostgreSQL writes conditions in words of its own: there only the names are compared.
    """
    inspector = sa.inspect(connection)
    for table in metadata.sorted_tables:
        if not inspector.has_table(table.name):
            continue
        there = {
            str(check["name"]): check["sqltext"] for check in inspector.get_check_constraints(table.name)
        }
        wanted = checks_of(table)
        for name in sorted(there.keys() | wanted.keys()):
            before, after = there.get(name), wanted.get(name)
            if (before is None) != (after is None) or (
                connection.dialect.name == "sqlite" and _words(before) != _words(after)
            ):
                yield table.name, name, before, after


def _words(condition: str | None) -> list[str]:
    return (condition or "").split()


def complete(context: MigrationContext, _revision: object, directives: list[ops.MigrationScript]) -> None:
    """Make what Alembic found into what runs on both engines with rows in every table; nothing found, nothing written."""
    (script,) = directives
    if script.upgrade_ops is None or script.downgrade_ops is None or context.connection is None:
        return
    connection, metadata = context.connection, context.opts["target_metadata"]
    found = list(script.upgrade_ops.ops)
    for table, name, before, after in check_differences(connection, metadata):
        changes = next(
            (op for op in found if isinstance(op, ops.ModifyTableOps) and op.table_name == table), None
        )
        if changes is None:
            changes = ops.ModifyTableOps(table, [])
            found.append(changes)
        if before is not None:
            old = ops.CreateCheckConstraintOp(conv(name), table, before)
            # First, or a column that goes as well could not.
            changes.ops.insert(0, ops.DropConstraintOp(conv(name), table, type_="check", _reverse=old))
        if after is not None:
            changes.ops.append(ops.CreateCheckConstraintOp(conv(name), table, after))
    if not found:
        directives.clear()
        return
    script.upgrade_ops.ops = found
    script.upgrade_ops.reverse_into(script.downgrade_ops)
    script.upgrade_ops.ops = list(_runnable(script.upgrade_ops.ops, connection))
    script.downgrade_ops.ops = list(_runnable(script.downgrade_ops.ops, connection, anew=True))


def _runnable(
    found: Iterable[Operation], connection: Connection, *, anew: bool = False
) -> Iterator[Operation]:
    """Yield what can be run in this order. ``anew``: columns that come back are empty, for nobody knows their values."""
    found = list(found)
    dropped = {operation.table_name for operation in found if isinstance(operation, ops.DropTableOp)}
    for operation in found:
        if isinstance(operation, ops.CreateTableOp):
            if _is_never_reused(connection, operation.table_name):
                operation.kw["sqlite_autoincrement"] = True
            yield operation
        elif isinstance(operation, ops.ModifyTableOps):
            # What hangs on a table goes with it.
            if operation.table_name in dropped:
                continue
            then: list[Operation] = []
            for change in operation.ops:
                if isinstance(change, ops.AddColumnOp):
                    then += _filled(change, anew=anew)
            yield operation
            if then:
                yield ops.ModifyTableOps(operation.table_name, then)
        else:
            yield operation


def _filled(added: ops.AddColumnOp, *, anew: bool) -> Iterator[Operation]:
    """Give a new column a value for the rows that exist, and yield what takes it back when they have it."""
    column: Column[Any] = added.column
    if column.nullable or column.server_default is not None:
        return
    if anew:
        column.nullable = True
        return
    column.server_default = sa.DefaultClause(_value_for_rows(column, added.table_name))
    yield ops.AlterColumnOp(
        added.table_name,
        column.name,
        modify_server_default=None,
        existing_type=column.type,
        existing_nullable=False,
    )


def _value_for_rows(column: Column[Any], table: str) -> Any:
    default = column.default.arg if isinstance(column.default, sa.ColumnDefault) else None
    match default:
        case bool():
            return sa.true() if default else sa.false()
        case int():
            return sa.text(str(default))
        case str():
            return str(default)
    raise CannotWriteMigrationError(
        f"{table}.{column.name} may not be null, and the rows that exist have no value for it: let the model say it "
        f"(default=, a text, number or bool), or let it be null"
    )


def _is_never_reused(connection: Connection, table: str) -> bool:
    """Tell whether SQLite numbers the rows of a table without ever using an id again, which a rebuild must keep."""
    created = sa.text("SELECT sql FROM sqlite_master WHERE name = :name")
    return "AUTOINCREMENT" in str(connection.scalar(created, {"name": table}))


@renderers.dispatch_for(ops.ModifyTableOps, replace=True)
def _render_changes(context: AutogenContext, operation: ops.ModifyTableOps) -> list[str]:
    """Render the changes of a table: indexes as they are, others within one rebuild."""
    indexes = [op for op in operation.ops if isinstance(op, ops.CreateIndexOp | ops.DropIndexOp)]
    others = [op for op in operation.ops if op not in indexes]
    before = [line for op in indexes if isinstance(op, ops.DropIndexOp) for line in render_op(context, op)]
    after = [line for op in indexes if isinstance(op, ops.CreateIndexOp) for line in render_op(context, op)]
    if not others:
        return before + after
    kept = ""
    if context.connection is not None and _is_never_reused(context.connection, operation.table_name):
        kept = ', table_kwargs={"sqlite_autoincrement": True}'
    with context._within_batch():  # noqa: SLF001 - as Alembic's own renderer
        lines = [line for op in others for line in render_op(context, op)]
    return [
        *before,
        f"with op.batch_alter_table({operation.table_name!r}{kept}) as batch_op:",
        *lines,
        "",
        *after,
    ]
