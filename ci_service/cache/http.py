"""The cache as an ASGI app: who may do what, and what an error looks like; it owns no socket and no clock."""

import logging
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from ci_service.cache.access import UploadToken
from ci_service.cache.answers import Answer, refusal
from ci_service.cache.files import CacheFiles
from ci_service.cache.narinfo import NarFile
from ci_service.cache.reading import SEND_FILE, open_nar, send_download, small_answer
from ci_service.cache.resources import resource_of
from ci_service.cache.uploading import ClientGone, Uploads
from schema.errors import ProcuratorError, Unauthenticated, Unimplemented
from schema.log import escape_controls

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheApp:
    """A binary cache over HTTP. Without a `token` nobody can upload."""

    files: CacheFiles
    uploads: Uploads
    token: UploadToken | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        method, path = scope["method"], scope["path"]
        try:
            answer = await self._answer(scope, headers=headers, receive=receive, send=send)
        except ProcuratorError as error:
            if method == "PUT":
                log.warning("refused PUT %s: %s: %s", escape_controls(path[:200]), error.code, error.message)
            answer = refusal(error, accept=headers.get("accept", ""))
        except ClientGone:
            log.warning("PUT %s was cut off by the client; nothing is kept", escape_controls(path[:200]))
            return
        if answer is not None:
            await _send(answer, send)

    async def _answer(self, scope: Scope, *, headers: dict[str, str], receive: Receive, send: Send) -> Answer | None:
        """The answer, or None when it was streamed already."""
        method, path = scope["method"], scope["path"]
        match method:
            case "GET" | "HEAD":
                resource = resource_of(path)
                if not isinstance(resource, NarFile):
                    return small_answer(resource, files=self.files, headers=headers)
                opened = open_nar(resource, files=self.files, headers=headers)
                if isinstance(opened, Answer):
                    return opened
                send_file = scope.get("extensions", {}).get(SEND_FILE, {}).get("send")
                await send_download(opened, head=method == "HEAD", receive=receive, send=send, send_file=send_file)
                return None
            case "PUT":
                if self.token is None:
                    raise Unauthenticated("this cache takes no uploads: its settings name no upload_token_file")
                self.token.check(headers.get("authorization"))
                return await self.uploads.put(resource_of(path), headers=headers, receive=receive)
        raise Unimplemented(f"{method[:20]} is not offered")


async def _send(answer: Answer, send: Send) -> None:
    headers = {**answer.headers, "content-length": str(len(answer.body))}
    if answer.status == 304:
        del headers["content-length"]
    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})
