"""The settings that may change while the worker runs, until its next start; the rest say so. It applies none itself."""

from collections.abc import Callable, Mapping

from pydantic import ValidationError

from schema.canonical import explain_validation
from schema.errors import InvalidInput, NotFound
from worker.settings import Settings

CHANGEABLE = frozenset(
    {
        "collection.interval_ms",
        "collection.min_free_mb",
        "limits.boot_timeout_ms",
        "limits.parallel_boots",
        "limits.parallel_pulls",
        "limits.pull_timeout_ms",
        "report_interval_ms",
        "stop_timeout_ms",
    }
)
"""Everything else is a matter of the file and of a start: who believes whom, what listens where, what there is."""


class LiveSettings:
    """The settings as they are now. `apply` puts a changed set into force."""

    def __init__(self, settings: Settings, apply: Callable[[Settings], None]) -> None:
        self._settings = settings
        self._apply = apply

    def shown(self) -> dict[str, str]:
        """All by their full keys; they name files of secrets and hold none."""
        return dict(_flat(self._settings.model_dump(mode="json")))

    def change(self, key: str, value: str) -> str:
        """Set one; the old value. Raises NotFound (no such key) and InvalidInput (wrong, or not while it runs)."""
        before = self.shown()
        if key not in before:
            raise NotFound(f"there is no setting {key[:100]!r}")
        if key not in CHANGEABLE:
            raise InvalidInput(f"{key} cannot change while the worker runs: set it in its file and start it again")
        plain = self._settings.model_dump(mode="json")
        *path, last = key.split(".")
        section = plain
        for name in path:
            section = section[name]
        section[last] = value
        try:
            changed = Settings.model_validate(plain)
        except ValidationError as error:
            raise InvalidInput(f"{key} = {value[:100]!r}: {explain_validation(error)}") from error
        self._apply(changed)
        self._settings = changed
        return before[key]


def _flat(value: Mapping[str, object], above: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, item in value.items():
        key = f"{above}.{name}" if above else name
        found += _flat(item, key) if isinstance(item, Mapping) else [(key, str(item))]
    return found
