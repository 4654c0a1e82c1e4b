"""Tells CI of pushes (`POST /v1/pushes`); it keeps nothing and retries nothing."""

from dataclasses import dataclass
from pathlib import Path

import httpx
import trio

from repohub.tokens import read_token
from repohub.verdict import Retry, Verdict, verdict_of
from schema.builds import PushNotice
from schema.errors import InvalidInput

DEADLINE = 10.0
"""Seconds for one delivery."""
ANSWER = 4096
"""Characters of CI's answer that are looked at."""


@dataclass(frozen=True, slots=True)
class CiHook:
    """CI's end of the post-receive hook. `http` has CI's address as its base_url."""

    http: httpx.AsyncClient
    token_file: Path

    async def tell(self, notice: PushNotice) -> Verdict:
        """Deliver one update; whatever goes wrong on the way is a Retry with its reason."""
        try:
            token = await trio.to_thread.run_sync(read_token, self.token_file)
        except InvalidInput as error:
            return Retry(error.message)
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        content = notice.model_dump_json(by_alias=True).encode()
        try:
            with trio.fail_after(DEADLINE):
                answer = await self.http.post("/v1/pushes", content=content, headers=headers)
            return verdict_of(answer.status_code, answer.text[:ANSWER])
        except (httpx.HTTPError, trio.TooSlowError) as error:
            said = str(error) or type(error).__name__
            return Retry(f"CI at {self.http.base_url} cannot be reached: {said}")
