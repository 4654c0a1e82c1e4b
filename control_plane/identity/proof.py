"""Whether a worker holds the key that it shows, at this moment; whether that key is admitted is asked elsewhere."""

from control_plane.identity.nonces import Nonces
from schema.errors import BadSignature, InvalidInput, Unauthenticated
from schema.interfaces import WorkerProof
from schema.signing import PublicKey, check_signature, login_message

SKEW_MS = 60_000
"""How far a worker's clock may be from ours."""
LOGIN = "login"
JOIN = "join"


def check_proof(
    proof: WorkerProof, *, purpose: str, realm: str, worker_id: str, nonces: Nonces, now_ms: int, wall_ms: int
) -> PublicKey:
    """The key that `proof` was made with; it takes the proof's nonce. `now_ms` never jumps, `wall_ms` is Unix time.

    Raises Unauthenticated, each told apart: malformed key, a key of another name, bad signature, the nonce's errors and
    a clock that is too far off. The signature comes first: what is said of nonces is said to the key's holder only.
    """
    what = f"the {purpose} of worker {worker_id!r}"
    try:
        key = PublicKey.parse(proof.public_key)
    except InvalidInput as error:
        raise Unauthenticated(f"{what}: {error.message}") from error
    if key.name != worker_id:
        raise Unauthenticated(f"{what}: its key is named {key.name[:100]!r}, and a worker's key has the worker's name")
    message = login_message(purpose=purpose, realm=realm, worker_id=worker_id, nonce=proof.nonce, time_ms=proof.time_ms)
    try:
        check_signature(message=message, signature=proof.signature, keys=(key,), what=what)
    except BadSignature as error:
        raise Unauthenticated(error.message) from error
    nonces.use(proof.nonce, worker_id, now_ms=now_ms)
    ahead_ms = proof.time_ms - wall_ms
    if abs(ahead_ms) > SKEW_MS:
        where = "ahead of" if ahead_ms > 0 else "behind"
        raise Unauthenticated(
            f"{what}: its clock is {abs(ahead_ms) / 1000:.0f} s {where} the control plane's, "
            f"and {SKEW_MS // 1000} s are allowed: set the clock"
        )
    return key
