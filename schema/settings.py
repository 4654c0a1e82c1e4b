"""Load a service's settings from TOML and the environment, with each value's origin; it starts nothing."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from schema.errors import InvalidInput, NotFound

_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/@:\s]*):[^@\s]*@")


class Section(BaseModel):
    """One table of a settings file: frozen, snake_case keys, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class RuntimeSettings(Section):
    """`[runtime]`, which every service has."""

    ready_file: Path | None = None
    """Where the service writes `{"pid", "addresses"}` once it listens; none by default."""


class ServiceSettings(Section):
    """The root of a service's settings. They name files that hold secrets and never hold a secret themselves."""

    runtime: RuntimeSettings = RuntimeSettings()


M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[M]):
    """Validated settings, the file they came from (none: environment and defaults only), and each value's origin.

    `origins` maps a dotted key (`http.port`) to `file PATH`, `environment NAME` or `default`.
    """

    settings: M
    path: Path | None
    origins: Mapping[str, str]

    def lines(self) -> Iterator[str]:
        """What `--print-config` shows: `key = value  # origin`, secrets and passwords in URLs blanked."""
        for key, value in _leaves(self.settings.model_dump(mode="python")):
            yield f"{key} = {_shown(value)}  # {self.origins[key]}"


def env_prefix(service: str) -> str:
    """`PROCURATOR_CONTROL_PLANE` of `control-plane`."""
    return "PROCURATOR_" + service.upper().replace("-", "_")


def config_path(*, service: str, path: Path | None, environ: Mapping[str, str], default: Path | None = None) -> Path:
    """The file that settings come from: `--config`, else `$PROCURATOR_<SERVICE>_CONFIG`, else the default one."""
    named = environ.get(f"{env_prefix(service)}_CONFIG")
    if path is not None:
        return path
    if named:
        return Path(named)
    return default if default is not None else Path(f"/etc/procurator/{service}.toml")


def load(
    model: type[M],
    *,
    service: str,
    path: Path | None = None,
    environ: Mapping[str, str],
    default: Path | None = None,
    file_required: bool = True,
) -> Loaded[M]:
    """Read, override and validate the settings of `service`.

    `path` is what `--config` named. `PROCURATOR_<SERVICE>__SECTION__KEY` overrides one value; a list or table is
    written as a TOML value. Without a file the environment alone is enough when it sets something, or when
    `file_required` is false. Raises NotFound (no file, with every way to give one) and InvalidInput (all that is
    wrong, each with key, value and reason).
    """
    chosen = config_path(service=service, path=path, environ=environ, default=default)
    overrides = _overrides(service, environ)
    from_file = _read(chosen)
    if from_file is None:
        named = path is not None or chosen == Path(environ.get(f"{env_prefix(service)}_CONFIG") or "/")
        if named or (file_required and not overrides):
            raise NotFound(_no_file(service, chosen, default))
    merged = dict(from_file or {})
    origins = {key: f"file {chosen}" for key, _ in _leaves(merged)}
    for name, (keys, text) in overrides.items():
        _put(merged, keys, _env_value(model, keys, text), name)
        origins = {key: origin for key, origin in origins.items() if not _under(key, ".".join(keys))}
        origins[".".join(keys)] = f"environment {name}"
    try:
        settings = model.model_validate(merged)
    except ValidationError as error:
        hint = "" if from_file is not None else f"\n(no file was read: {chosen} does not exist)"
        raise InvalidInput(_explain(model, error, service, origins, chosen) + hint) from None
    known = {key: _origin(key, origins) for key, _ in _leaves(settings.model_dump(mode="python"))}
    return Loaded(settings=settings, path=chosen if from_file is not None else None, origins=known)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the settings file {path} is not TOML: {error}") from error


def _overrides(service: str, environ: Mapping[str, str]) -> dict[str, tuple[list[str], str]]:
    prefix = env_prefix(service) + "__"
    return {
        name: (name.removeprefix(prefix).lower().split("__"), value)
        for name, value in sorted(environ.items())
        if name.startswith(prefix)
    }


def _no_file(service: str, chosen: Path, default: Path | None) -> str:
    prefix = env_prefix(service)
    return (
        f"no settings for {service}: {chosen} does not exist. Give them by one of\n"
        f"  --config FILE\n"
        f"  {prefix}_CONFIG=FILE in the environment\n"
        f"  the file {default or Path('/etc/procurator') / (service + '.toml')}\n"
        f"  {prefix}__SECTION__KEY=VALUE in the environment, one for each value"
    )


def _leaves(value: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        path = f"{above}{key}"
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, f"{path}.")
        else:
            yield path, item


def _put(into: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    table = into
    for key in keys[:-1]:
        nested = table.get(key, {})
        if not isinstance(nested, Mapping):
            raise InvalidInput(f"{name} names a key inside {key!r}, which is a single value")
        table[key] = dict(nested)
        table = table[key]
    table[keys[-1]] = value


def _annotation(model: type[BaseModel], keys: list[str]) -> Any:
    """The type that the settings give to the value at `keys`; None where there is none."""
    field = model.model_fields.get(keys[0])
    if field is None or len(keys) == 1:
        return field.annotation if field else None
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return _annotation(kind, keys[1:])
    return None


def _takes_text(annotation: Any) -> bool:
    if get_origin(annotation) in {Union, UnionType}:
        return any(_takes_text(choice) for choice in get_args(annotation))
    return annotation in {str, Path}


def _env_value(model: type[BaseModel], keys: list[str], text: str) -> Any:
    """A variable is text; only where the settings want a list or a table is it read as a TOML value."""
    if text[:1] not in {"[", "{"} or _takes_text(_annotation(model, keys)):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _under(key: str, above: str) -> bool:
    return key == above or key.startswith(above + ".")


def _origin(key: str, origins: Mapping[str, str]) -> str:
    return next((origin for known, origin in origins.items() if _under(key, known)), "default")


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "(hidden)"
    if value is None:
        return "(none)"
    return _PASSWORD_IN_URL.sub(r"\1:(hidden)@", str(value))


def _known_keys(model: type[BaseModel], where: tuple[int | str, ...]) -> list[str]:
    kind: Any = model
    for step in where:
        kind = _annotation(kind, [str(step)])
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
    return list(kind.model_fields)


def _explain(
    model: type[BaseModel], error: ValidationError, service: str, origins: Mapping[str, str], path: Path
) -> str:
    found = [_reason(model, dict(item), service, origins) for item in error.errors(include_url=False)]
    return f"wrong settings for {service} ({path}):\n" + "\n".join(f"  {line}" for line in found)


def _reason(model: type[BaseModel], item: dict[str, Any], service: str, origins: Mapping[str, str]) -> str:
    where: tuple[int | str, ...] = item["loc"]
    key = ".".join(str(step) for step in where)
    origin = _origin(key, origins)
    source = "" if origin == "default" else f" (from {origin})"
    match item["type"]:
        case "extra_forbidden":
            near = difflib.get_close_matches(str(where[-1]), _known_keys(model, where[:-1]), n=1)
            hint = f"; did you mean {'.'.join([*map(str, where[:-1]), near[0]])}?" if near else ""
            return f"{key}: unknown key{hint}{source}"
        case "missing":
            variable = f"{env_prefix(service)}__{'__'.join(str(step).upper() for step in where)}"
            return f"{key}: is needed and has no default (or set {variable})"
        case _:
            return f"{key} = {_shown(item['input'])!r}: {item['msg']}{source}"
