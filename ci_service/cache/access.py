"""Who may upload: the one token, by HTTP Basic (as a netrc file gives it) or Bearer; it reads no file."""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass, field

from schema.errors import InvalidInput, Unauthenticated

_TOKEN = re.compile(rb"[\x21-\x7e]{16,512}")


@dataclass(frozen=True, slots=True)
class UploadToken:
    """The secret that an upload must show; it has no repr of it."""

    secret: bytes = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> "UploadToken":
        """Read a token file's content: one line of 16 to 512 printable characters. Raises InvalidInput."""
        secret = data.strip()
        if not _TOKEN.fullmatch(secret):
            raise InvalidInput("the upload token is not one line of 16 to 512 printable characters without spaces")
        return cls(secret)

    def check(self, authorization: str | None) -> None:
        """Compare in constant time. Raises Unauthenticated; the message never quotes what was sent."""
        shown = _shown(authorization)
        if shown is None:
            raise Unauthenticated(
                "uploads need the token: by netrc (machine HOST login ci password TOKEN) or Authorization: Bearer TOKEN"
            )
        if not hmac.compare_digest(shown, self.secret):
            raise Unauthenticated("this is not the upload token: compare with the file that upload_token_file names")


def _shown(authorization: str | None) -> bytes | None:
    scheme, _, rest = (authorization or "").partition(" ")
    match scheme.lower():
        case "bearer":
            return rest.strip().encode("latin-1", "replace")
        case "basic":
            try:
                decoded = base64.b64decode(rest.strip(), validate=True)
            except (binascii.Error, ValueError):
                return None
            _, colon, password = decoded.partition(b":")
            return password if colon else None
    return None
