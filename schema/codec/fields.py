"""The parts that the codec's tables are made of: how one field, and one struct of them, is written and read.

Writers are strict: what the wire cannot carry is `InvalidInput`, never cut or rounded. Readers ignore what they do not
know and end in the model's own validation. A field that equals the wire's default is not written.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import capnp
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel

from schema.canonical import Sealed, explain_validation
from schema.errors import InvalidInput

M = TypeVar("M", bound=BaseModel)
E = TypeVar("E", bound=StrEnum)


class Kind(Protocol):
    """How a field that needs more than its plain value is written and read. `field` is pycapnp's handle."""

    def write(self, builder: Any, field: Any, value: Any) -> None:
        """Set the field."""

    def read(self, reader: Any, field: Any) -> Any:
        """The plain value that the model validates."""


class Choice(Generic[E]):
    """An enum: the model's members in the order of the wire's enumerants."""

    def __init__(self, enum: type[E], *, unknown: E) -> None:
        self.enum = enum
        self.members = tuple(enum)
        self.unknown = unknown
        self._numbers = {member: number for number, member in enumerate(self.members)}

    def number(self, member: E) -> int:
        """The enumerant of `member`."""
        return self._numbers[member]

    def member(self, number: int) -> E:
        """The member of an enumerant; one of a newer version is the declared unknown."""
        return self.members[number] if number < len(self.members) else self.unknown

    def write(self, builder: Any, field: Any, value: E) -> None:
        """Set the field."""
        builder._set_by_field(field, self._numbers[value])

    def read(self, reader: Any, field: Any) -> E:
        """The member."""
        return self.member(reader._get_by_field(field).raw)


class Choices(Generic[E]):
    """A list of enum members; unknown ones are left out."""

    def __init__(self, enum: type[E]) -> None:
        self._choice = Choice(enum, unknown=next(iter(enum)))

    def write(self, builder: Any, field: Any, value: Sequence[E]) -> None:
        """Set the field."""
        if value:
            builder._set_by_field(field, [wire_name(member.value) for member in value])

    def read(self, reader: Any, field: Any) -> list[E]:
        """The known members."""
        known = self._choice.members
        return [known[item.raw] for item in reader._get_by_field(field) if item.raw < len(known)]


class PlainList:
    """A list of texts or numbers."""

    def write(self, builder: Any, field: Any, value: Sequence[Any]) -> None:
        """Set the field."""
        if value:
            builder._set_by_field(field, list(value))

    def read(self, reader: Any, field: Any) -> list[Any]:
        """Its items."""
        return list(reader._get_by_field(field))


class Nullable:
    """A pointer field that may be missing: None is null."""

    def __init__(self, inner: Kind | None = None) -> None:
        self._inner = inner

    def write(self, builder: Any, field: Any, value: Any) -> None:
        """Set the field, if there is a value."""
        if value is None:
            return
        if self._inner is None:
            builder._set_by_field(field, value)
            return
        if isinstance(value, Sequence | Mapping) and not value:
            builder._init_by_field(field, 0)
        self._inner.write(builder, field, value)

    def read(self, reader: Any, field: Any) -> Any:
        """The value, or None."""
        if not reader._has_by_field(field):
            return None
        return reader._get_by_field(field) if self._inner is None else self._inner.read(reader, field)


class ZeroIsNone:
    """A number for which 0 stands for None."""

    def write(self, builder: Any, field: Any, value: int | None) -> None:
        """Set the field, if there is a number."""
        if value is not None:
            builder._set_by_field(field, value)

    def read(self, reader: Any, field: Any) -> int | None:
        """The number, or None."""
        return reader._get_by_field(field) or None


class Nested:
    """A struct field."""

    def __init__(self, struct: "Struct[Any]") -> None:
        self._struct = struct

    def write(self, builder: Any, field: Any, value: Any) -> None:
        """Fill the struct."""
        self._struct.fill(builder._init_by_field(field), value)

    def read(self, reader: Any, field: Any) -> dict[str, Any]:
        """Its plain values."""
        return self._struct.plain(reader._get_by_field(field))


class ListOf:
    """A list of structs."""

    def __init__(self, struct: "Struct[Any]") -> None:
        self._struct = struct

    def write(self, builder: Any, field: Any, value: Sequence[Any]) -> None:
        """Fill the list."""
        if value:
            items, fill = builder._init_by_field(field, len(value)), self._struct.fill
            for at, item in enumerate(value):
                fill(items[at], item)

    def read(self, reader: Any, field: Any) -> list[dict[str, Any]]:
        """Plain values of each."""
        plain = self._struct.plain
        return [plain(item) for item in reader._get_by_field(field)]


class MapOf:
    """A map as a list of entries; values are plain, or structs of `struct`."""

    def __init__(self, entry: Any, struct: "Struct[Any] | None" = None) -> None:
        fields = entry.schema.fields
        self._key, self._value = fields["key"], fields["value"]
        self._struct = struct

    def write(self, builder: Any, field: Any, value: Mapping[str, Any]) -> None:
        """Fill the entries, sorted by key."""
        if not value:
            return
        entries = builder._init_by_field(field, len(value))
        for at, key in enumerate(sorted(value)):
            entry = entries[at]
            entry._set_by_field(self._key, key)
            if self._struct is None:
                entry._set_by_field(self._value, value[key])
            else:
                self._struct.fill(entry.init("value"), value[key])

    def read(self, reader: Any, field: Any) -> dict[str, Any]:
        """The map. Raises InvalidInput when a key comes twice."""
        found: dict[str, Any] = {}
        for entry in reader._get_by_field(field):
            key, value = entry._get_by_field(self._key), entry._get_by_field(self._value)
            if key in found:
                raise InvalidInput(f"key {key!r} comes twice in a map")
            found[key] = value if self._struct is None else self._struct.plain(value)
        return found


class Struct(Generic[M]):
    """The table of one message: its model, its wire struct, and a kind for each field that is not plain.

    Fields are all of the model's, by their names; on the wire they are the same in camelCase.
    """

    def __init__(self, model: type[M], wire: Any, **kinds: Kind) -> None:
        self.model = model
        self.wire = wire
        fields = wire.schema.fields
        blank = wire.new_message().as_reader()
        self.names = {name: wire_name(name) for name in model.model_fields}
        self._plain = tuple(
            (name, fields[self.names[name]], blank._get_by_field(fields[self.names[name]]))
            for name in model.model_fields
            if name not in kinds
        )
        self._kinds = tuple((name, fields[self.names[name]], kind) for name, kind in kinds.items())

    def fill(self, builder: Any, value: M) -> None:
        """Write `value` into a fresh builder, strictly but with pycapnp's own errors: `write` is for borders."""
        for name, field, default in self._plain:
            item = getattr(value, name)
            if item != default:
                builder._set_by_field(field, item)
        for name, field, kind in self._kinds:
            kind.write(builder, field, getattr(value, name))

    def plain(self, reader: Any) -> dict[str, Any]:
        """The fields as plain values, by the model's names, not validated."""
        get = reader._get_by_field
        found = {name: get(field) for name, field, _ in self._plain}
        for name, field, kind in self._kinds:
            found[name] = kind.read(reader, field)
        return found

    def validate(self, plain: dict[str, Any]) -> M:
        """The model of plain values. Raises InvalidInput naming field and reason."""
        try:
            return self.model.model_validate(plain)
        except ValidationError as error:
            raise InvalidInput(f"{self.model.__name__}: {explain_validation(error)}") from error

    def write(self, builder: Any, value: M) -> None:
        """Write `value` into a fresh builder. Raises InvalidInput for what the wire cannot carry."""
        with writing(self.model.__name__):
            self.fill(builder, value)

    def read(self, reader: Any) -> M:
        """The validated value of a message. Raises InvalidInput."""
        return self.validate(self.plain(reader))

    def to_bytes(self, value: M) -> bytes:
        """A message of its own, as it is kept in files."""
        message = self.wire.new_message()
        self.write(message, value)
        return bytes(message.to_bytes())

    def from_bytes(self, data: bytes) -> M:
        """Read such a message. Raises InvalidInput."""
        try:
            with self.wire.from_bytes(data) as reader:
                return self.read(reader)
        except (capnp.KjException, ValueError) as error:  # ValueError: not UTF-8, or not whole words
            raise InvalidInput(f"{self.model.__name__}: a malformed message") from error


class SealedStruct(Generic[M]):
    """A struct whose `data` is canonical JSON beside typed fields that say the same."""

    def __init__(self, struct: Struct[M]) -> None:
        self._struct = struct
        self._data = struct.wire.schema.fields["data"]

    def fill(self, builder: Any, value: Sealed[M]) -> None:
        """Write both forms."""
        builder._set_by_field(self._data, value.data)
        self._struct.fill(builder, value.value)

    def read(self, reader: Any) -> Sealed[M]:
        """The value with its bytes. Raises InvalidInput, also where the two forms disagree."""
        sealed = Sealed.parse(self._struct.model, reader._get_by_field(self._data))
        typed = self._struct.read(reader)
        if typed != sealed.value:
            wrong = [name for name in self._struct.names if getattr(typed, name) != getattr(sealed.value, name)]
            raise InvalidInput(f"{self._struct.model.__name__}: {', '.join(wrong)} differ from the signed bytes")
        return sealed


class writing:  # noqa: N801 # a context manager that reads as a word
    """Turn what pycapnp says of a value that does not fit into `InvalidInput`."""

    __slots__ = ("_what",)

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Translate."""
        if isinstance(error, capnp.KjException | OverflowError | UnicodeEncodeError | TypeError):
            reason = str(error).partition("\n")[0]
            raise InvalidInput(f"{self._what} has a value that the wire cannot carry: {reason}") from error


def wire_name(name: str) -> str:
    """`memory_mb` and `rolled-back` as the wire spells them: `memoryMb`, `rolledBack`."""
    return to_camel(name.replace("-", "_"))
