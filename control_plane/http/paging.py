"""Pages of lists by opaque tokens; it reads no list itself.

A token names the last item of the page before, not a position: what comes or goes meanwhile neither repeats an item
nor skips one. It grants nothing; one that was made up is at worst another place in the same list.
"""

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field

from control_plane.http.problems import invalid
from schema.names import StrictModel

T = TypeVar("T")
Key = tuple[str | int, ...]
"""What a list is ordered by; unique for each item."""

LARGEST = 2**53 - 1


def _digits(text: Any) -> Any:
    """Numbers of a query are digits and nothing else."""
    if isinstance(text, str) and not (text.isascii() and text.isdigit()):
        raise ValueError("a number is digits and nothing else")
    return text


def _flag(text: Any) -> Any:
    if isinstance(text, str) and text not in ("true", "false"):
        raise ValueError("it is true or false")
    return text


DIGITS = BeforeValidator(_digits)
Flag = Annotated[bool, BeforeValidator(_flag)]


class PageQuery(StrictModel):
    """The parameters of every paged list."""

    limit: Annotated[int, Field(ge=1, le=100, description="Items of a page at most."), DIGITS] = 100
    page: Annotated[
        str | None, Field(max_length=400, description="`next` of the page before; none for the first page.")
    ] = None


def token(kind: str, key: Key) -> str:
    """An opaque token for the page behind `key` in lists of `kind`."""
    return base64.urlsafe_b64encode(json.dumps([kind, *key], separators=(",", ":")).encode()).decode().rstrip("=")


def opened(text: str, kind: str, *, like: Key) -> Key:
    """The key in a token. `like` has the right types. Raises Refused for what is no token of this list."""
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _no_token() from error
    if not isinstance(found, list) or [type(one) for one in found] != [type(one) for one in (kind, *like)]:
        raise _no_token()
    if found[0] != kind or any(isinstance(one, int) and not 0 <= one <= LARGEST for one in found):
        raise _no_token()
    return tuple(found[1:])


def _no_token() -> Exception:
    way_out = "use `next` of the page before unchanged, or leave `page` out to begin at the first"
    return invalid("query.page", "this is not a token of this list", way_out=way_out)


def cut(
    items: Iterable[T], *, kind: str, key: Callable[[T], Key], query: PageQuery, like: Key
) -> tuple[tuple[T, ...], str | None]:
    """One page of `items` in the order of `key`, and the token of the next one (None: this is the last)."""
    after: Any = opened(query.page, kind, like=like) if query.page is not None else None
    ordered = sorted(((key(item), item) for item in items), key=lambda pair: pair[0])
    rest = [pair for pair in ordered if after is None or pair[0] > after]
    page = rest[: query.limit]
    more = token(kind, page[-1][0]) if len(rest) > len(page) else None
    return tuple(item for _, item in page), more


def before(query: PageQuery, kind: str) -> int:
    """For lists of numbers, the newest first: below which number the page is; 0 for the first page."""
    return int(opened(query.page, kind, like=(0,))[0]) if query.page is not None else 0


def next_before(numbers: Iterable[int], *, kind: str, query: PageQuery) -> str | None:
    """The token behind a page of `numbers`; None where the page is not full or ends the list."""
    page = list(numbers)
    return token(kind, (page[-1],)) if len(page) == query.limit and page[-1] > 1 else None
