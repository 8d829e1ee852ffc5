"""The declarative base, the naming of constraints, and column types that mean the same on both engines."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

from sqlalchemy import BigInteger, DateTime, Dialect, Enum, Integer, MetaData, Numeric, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column
from sqlalchemy.types import JSON, TypeDecorator, TypeEngine

T = TypeVar("T")

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit id. SQLite's INTEGER is 64-bit too, and only that spelling may be AUTOINCREMENT."""

# None is SQL's NULL, whoever writes it: a copy of a row would have JSON's in its place.
PortableJson = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class ConvertedOnSqlite(TypeDecorator[T]):
    """A type decorator that converts results on SQLite only: PostgreSQL's driver returns the wanted values already.

    A function that is called for each value of each row is most of the cost of reading many rows.
    """

    impl: TypeEngine[Any] | type[TypeEngine[Any]] = String
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], T | None] | None:
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None


class UtcDateTime(ConvertedOnSqlite[datetime]):
    """An aware moment in UTC to the microsecond; refuses naive ones. ``timestamptz``, or naive UTC text on SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name != "sqlite"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            message = "a time without a zone"
            raise ValueError(message)
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Hundredths(ConvertedOnSqlite[Decimal]):
    """An exact decimal with two places: NUMERIC on PostgreSQL; whole hundredths on SQLite, whose NUMERIC is a float.

    Both compare and sort alike; arithmetic in SQL would not, so there is none.
    """

    impl = Numeric
    cache_ok = True

    def __init__(self, precision: int) -> None:
        self.precision = precision
        super().__init__(precision, 2)

    @property
    def highest(self) -> Decimal:
        """The highest value that fits."""
        return Decimal(10**self.precision - 1).scaleb(-2)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            BigInteger() if dialect.name == "sqlite" else Numeric(self.precision, 2)
        )

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        if value is None or dialect.name != "sqlite":
            return value
        return int(value.scaleb(2))

    def process_result_value(self, value: Any, _dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-2)


Money = Hundredths(12)
Percent = Hundredths(5)


def choice(kind: type[StrEnum], name: str) -> Enum:
    """Return a column type that holds the values of ``kind`` as text, kept to them by a CHECK named ``name``."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


class Base(DeclarativeBase):
    """The root of every mapped class."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime()}


NEVER_REUSED: dict[str, Any] = {"sqlite_autoincrement": True}
"""Table arguments against handing out an id twice: a deleted user's old token would open the next account."""


class Identified:
    """A mixin for an integer primary key that is never used again."""

    id: Mapped[int] = mapped_column(BigId, primary_key=True)


class Timestamped:
    """A mixin for the times of creation and last change; the service sets both, from the clock."""

    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Versioned:
    """A mixin for optimistic locking: ``version`` counts the changes of what is shown of a row, from 1.

    What the ORM writes, it writes ``WHERE id = … AND version = …``, and raises the number. Every other statement that changes
    what is shown says ``version=Model.version + 1``. A trigger raises it for a writer that does not know it, such as the
    previous release (migration 0022).
    """

    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:  # noqa: N805 - SQLAlchemy calls it with the class
        return {"version_id_col": cls.version}
