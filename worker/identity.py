"""The worker's key, and its way in: ask to join until somebody lets it in, then log in with each connection.

The key is made on the first start and never leaves the state directory; the control plane knows the worker by it alone.
Why the worker is not let in is kept for `/ping` and told in the log, with the key's fingerprint, for an operator to
compare. What is done with a session is the agent's.
"""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from schema.errors import DeadlineExceeded, InvalidInput, PermissionDenied, ProcuratorError, Unauthenticated
from schema.interfaces import Challenge, WorkerHello, WorkerProof, WorkerSession
from schema.operations import Admission, JoinAnswer
from schema.rpc.client import LOGIN_SECONDS, Prove, RemoteGateway
from schema.service import causes
from schema.signing import SecretKey, login_message
from worker.records import write_durably

KEY_FILE = "worker.key"
SEED_BYTES = 32

log = logging.getLogger(__name__)


def own_key(state: Path, *, worker_id: str, draw: Callable[[int], bytes]) -> SecretKey:
    """The key in the worker's state directory; made there (0600, durable) on the first start.

    Raises InvalidInput, and never makes another, for one that others can read, is damaged or is another worker's.
    """
    path = state / KEY_FILE
    try:
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        key = SecretKey.from_seed(worker_id, draw(SEED_BYTES))
        write_durably(path, key.reveal().encode() + b"\n")
        return key
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the worker's key {path}: {error}") from error
    if mode & 0o077:
        raise InvalidInput(f"the worker's key {path} has mode {mode:04o}, so others can read it; run: chmod 600 {path}")
    key = SecretKey.parse(text)
    if key.name != worker_id:
        raise InvalidInput(f"{path} is the key of worker {key.name!r}, and the settings name {worker_id!r}")
    return key


def prover(key: SecretKey, *, purpose: str, realm: str, wall_ms: Callable[[], int]) -> Prove:
    """Signs a challenge for `purpose` (`login` or `join`) by our own clock."""

    def prove(challenge: Challenge) -> WorkerProof:
        time_ms = wall_ms()
        message = login_message(
            purpose=purpose, realm=realm, worker_id=key.name, nonce=challenge.nonce, time_ms=time_ms
        )
        return WorkerProof(str(key.public), challenge.nonce, time_ms, key.sign(message))

    return prove


def read_token(path: Path | None) -> str:
    """The join token in `path`; empty where there is no such file (any more).

    Raises InvalidInput, and shows nothing of it, for a file that others can read.
    """
    if path is None:
        return ""
    try:
        mode = path.stat().st_mode & 0o777
        token = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the join token {path}: {type(error).__name__}") from error
    if mode & 0o077:
        raise InvalidInput(f"the join token {path} has mode {mode:04o}, so others can read it; run: chmod 600 {path}")
    return token


@dataclass(frozen=True, slots=True)
class Wire:
    """How the control plane is reached: a connection that has not logged in, and a session by signed challenge."""

    gateway: Callable[[], AbstractAsyncContextManager[RemoteGateway]]
    session: Callable[[Prove], AbstractAsyncContextManager[WorkerSession]]


class Door:
    """One worker's way in. `hello` is asked at each try, so that changed facts are told."""

    def __init__(
        self,
        wire: Wire,
        *,
        key: SecretKey,
        realm: str,
        hello: Callable[[], WorkerHello],
        token_file: Path | None,
        wall_ms: Callable[[], int],
    ) -> None:
        self._wire = wire
        self._key = key
        self._hello = hello
        self._token_file = token_file
        self._login = prover(key, purpose="login", realm=realm, wall_ms=wall_ms)
        self._join = prover(key, purpose="join", realm=realm, wall_ms=wall_ms)
        self._told = ""
        self.admission: Admission | None = None
        """What the control plane said last; None: nothing yet, or that it does not know us (any more)."""
        self.reason = ""
        """Why there is no session, for people; empty while there is one."""

    @property
    def fingerprint(self) -> str:
        """Of our key, to compare with what the control plane shows."""
        return self._key.public.fingerprint

    @asynccontextmanager
    async def session(self) -> AsyncIterator[WorkerSession]:
        """A session, for as long as the context is open.

        Raises PermissionDenied while nobody has let us in, and what connecting and logging in raise. When the session
        ends because the worker was taken out, the next try asks to join.
        """
        try:
            if self.admission is not Admission.APPROVED:
                await self._ask()
            async with self._wire.session(self._login) as session:
                self.reason = ""
                yield session
        except ProcuratorError as error:
            self._note(error)
            raise
        except BaseExceptionGroup as group:
            for found in causes(group):
                if isinstance(found, ProcuratorError):
                    self._note(found)
            raise

    async def _ask(self) -> None:
        hello, token = self._hello(), read_token(self._token_file)
        async with self._wire.gateway() as gateway:
            proof = await gateway.prove(hello.worker_id, self._join, LOGIN_SECONDS)
            answer = await _answered(gateway, hello, proof, token)
        self.admission = answer.admission
        if answer.admission is not Admission.APPROVED:
            raise PermissionDenied(self._waiting(answer))
        log.info("worker %s is let in with key %s", self._key.name, self.fingerprint)

    def _waiting(self, answer: JoinAnswer) -> str:
        why = f": {answer.reason}" if answer.reason else ""
        name, key = self._key.name, f"its key's SHA-256 is {self.fingerprint}"
        match answer.admission:
            case Admission.PENDING:
                return f"worker {name} waits to be let in; {key}; let it in with: pcr worker approve {name}"
            case Admission.REJECTED:
                return f"worker {name} was rejected{why}; {key}"
            case _:
                return f"worker {name} was retired{why}; {key}; a new key is made when {KEY_FILE} is gone"

    def _note(self, error: ProcuratorError) -> None:
        if isinstance(error, Unauthenticated | PermissionDenied) and self.admission is Admission.APPROVED:
            self.admission = None
        self.reason = error.message
        if self.reason != self._told:
            log.warning("no session: %s", self.reason)
        self._told = self.reason


async def _answered(gateway: RemoteGateway, hello: WorkerHello, proof: WorkerProof, token: str) -> JoinAnswer:
    with trio.move_on_after(LOGIN_SECONDS):
        return await gateway.join(hello, proof, token=token)
    raise DeadlineExceeded(f"no answer to the request to join within {LOGIN_SECONDS:g} s")
