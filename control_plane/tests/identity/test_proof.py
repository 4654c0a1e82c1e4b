"""A worker's signed login: what holds, and that everything that does not is told apart."""

from dataclasses import replace

import pytest

from control_plane.identity.nonces import MOST_REMEMBERED, NONCE_MS, Nonces
from control_plane.identity.proof import SKEW_MS, check_proof
from control_plane.tests.builders import key_of
from schema.errors import Unauthenticated, Unavailable
from schema.interfaces import WorkerProof
from schema.signing import SecretKey, login_message

NOW, WALL = 1_000_000, 1_700_000_000_000


def some_nonces(*, starts: int = 3, secret: bytes = b"s" * 32) -> Nonces:
    return Nonces(starts=starts, secret=secret)


def a_nonce(nonces: Nonces, worker_id: str = "w0", *, now: int = NOW, random: bytes = b"r" * 16) -> str:
    return nonces.give(worker_id, now_ms=now, random=random)


def a_proof(
    nonce: str, *, key: SecretKey | None = None, purpose: str = "login", realm: str = "default", time_ms: int = WALL
) -> WorkerProof:
    key = key or key_of("w0")
    message = login_message(purpose=purpose, realm=realm, worker_id="w0", nonce=nonce, time_ms=time_ms)
    return WorkerProof(str(key.public), nonce, time_ms, key.sign(message))


def check(nonces: Nonces, proof: WorkerProof, *, now: int = NOW, purpose: str = "login") -> str:
    key = check_proof(proof, purpose=purpose, realm="default", worker_id="w0", nonces=nonces, now_ms=now, wall_ms=WALL)
    return key.fingerprint


def test_a_fresh_signature_over_our_nonce_shows_the_key() -> None:
    nonces = some_nonces()
    assert check(nonces, a_proof(a_nonce(nonces))) == key_of("w0").public.fingerprint


def test_the_same_login_again_is_a_replay() -> None:
    nonces = some_nonces()
    proof = a_proof(a_nonce(nonces))
    check(nonces, proof)
    with pytest.raises(Unauthenticated, match="a replay"):
        check(nonces, proof)
    with pytest.raises(Unauthenticated, match="has expired"):
        check(nonces, proof, now=NOW + NONCE_MS + 1)


def test_a_login_recorded_before_a_restart_is_worth_nothing_after_it() -> None:
    before = some_nonces(starts=3)
    used, unused = a_proof(a_nonce(before)), a_proof(a_nonce(before, random=b"q" * 16))
    check(before, used)
    after = some_nonces(starts=4, secret=b"t" * 32)
    for proof in (used, unused):
        with pytest.raises(Unauthenticated, match="before the control plane's last start"):
            check(after, proof)


def test_not_even_a_restored_copy_of_the_database_brings_a_used_nonce_back() -> None:
    before = some_nonces(starts=3)
    proof = a_proof(a_nonce(before))
    check(before, proof)
    with pytest.raises(Unauthenticated, match="never gave that nonce"):
        check(some_nonces(starts=3, secret=b"t" * 32), proof)


@pytest.mark.parametrize("nonce", ["", "x", "3.1.2.3", "3." + "0" * 100, "...", "3.٣.a.b"])
def test_a_nonce_that_was_never_given_is_told(nonce: str) -> None:
    nonces = some_nonces()
    with pytest.raises(Unauthenticated, match="never gave that nonce to worker 'w0'"):
        check(nonces, a_proof(nonce))


def test_a_nonce_is_good_for_the_worker_that_asked_only() -> None:
    nonces = some_nonces()
    with pytest.raises(Unauthenticated, match="never gave that nonce to worker 'w0'"):
        check(nonces, a_proof(a_nonce(nonces, "w1")))


@pytest.mark.parametrize(("ahead", "word"), [(SKEW_MS + 1000, "61 s ahead of"), (-SKEW_MS - 1000, "61 s behind")])
def test_a_clock_that_is_too_far_off_is_told_with_how_far(ahead: int, word: str) -> None:
    nonces = some_nonces()
    with pytest.raises(Unauthenticated, match=f"its clock is {word} the control plane's"):
        check(nonces, a_proof(a_nonce(nonces), time_ms=WALL + ahead))
    check(nonces, a_proof(a_nonce(nonces, random=b"q" * 16), time_ms=WALL + SKEW_MS))


def test_a_signature_by_another_key_or_over_something_else_is_told_as_that() -> None:
    nonces = some_nonces()
    nonce = a_nonce(nonces)
    right = a_proof(nonce)
    thief = SecretKey.from_seed("w0", b"t" * 32)
    for wrong in (
        replace(right, signature=a_proof(nonce, key=thief).signature),
        a_proof(nonce, purpose="join"),
        a_proof(nonce, realm="other"),
        replace(right, time_ms=WALL + 1),
    ):
        with pytest.raises(Unauthenticated, match="signature of the login of worker 'w0' by 'w0' does not match"):
            check(nonces, wrong)
    with pytest.raises(Unauthenticated, match="is not signed"):
        check(nonces, replace(right, signature=""))
    with pytest.raises(Unauthenticated, match="is not of the form name:base64"):
        check(nonces, replace(right, signature="rubbish"))
    assert check(nonces, right), "what was refused for its signature took no nonce"


def test_a_key_that_is_malformed_or_named_otherwise_is_told_as_that() -> None:
    nonces = some_nonces()
    proof = a_proof(a_nonce(nonces))
    with pytest.raises(Unauthenticated, match="public key 'w0' is not base64"):
        check(nonces, replace(proof, public_key="w0:@@"))
    with pytest.raises(Unauthenticated, match="its key is named 'other'"):
        check(nonces, replace(proof, public_key=str(SecretKey.from_seed("other", b"o" * 32).public)))


def test_used_nonces_are_forgotten_once_they_have_expired_and_a_flood_is_refused() -> None:
    nonces = some_nonces()
    for number in range(MOST_REMEMBERED):
        nonces.use(a_nonce(nonces, random=number.to_bytes(16, "big")), "w0", now_ms=NOW)
    with pytest.raises(Unavailable, match="too many workers"):
        nonces.use(a_nonce(nonces), "w0", now_ms=NOW)
    later = NOW + NONCE_MS + 1
    nonces.use(a_nonce(nonces, now=later), "w0", now_ms=later)
