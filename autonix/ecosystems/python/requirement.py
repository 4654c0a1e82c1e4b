"""Python's dependency specifiers (PEP 508, by `packaging`) as findings; it reads no file."""

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from autonix.findings import Dependency, Group

LONGEST = 1000


def dependency(text: str, group: Group) -> Dependency | None:
    """`requests[socks]>=2 ; python_version < "3.12"` → a dependency on `requests`; None where it is no specifier."""
    if len(text) > LONGEST:
        return None
    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return None
    return Dependency(
        normal_name(parsed.name),
        f"@ {parsed.url}" if parsed.url else str(parsed.specifier),
        group,
        features=tuple(sorted(parsed.extras)),
    )


def normal_name(name: str) -> str:
    """PEP 503: `Flask_SQLAlchemy` → `flask-sqlalchemy`."""
    return str(canonicalize_name(name))
