"""Keys, signatures, hashes, and what a worker checks before it believes an assignment."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from schema.assignment import Seen, SignedAssignment, open_assignment
from schema.canonical import Sealed, canonical_bytes
from schema.errors import BadSignature, HashMismatch, InvalidInput, ProcuratorError, Stale
from schema.generation import Intent
from schema.signing import PublicKey, SecretKey, check_signature
from schema.tests.builders import (
    CI_KEY,
    CONTROL_PLANE_KEY,
    a_proof,
    a_publish,
    a_vm_spec,
    an_assignment,
    an_entry,
    as_signed,
)
from schema.vmspec import VmSpec


def opened(signed: SignedAssignment, **changes: object) -> object:
    arguments: dict[str, object] = {
        "worker_id": "worker-0",
        "last_seen": None,
        "control_plane_keys": (CONTROL_PLANE_KEY.public,),
        "publisher_keys": (CI_KEY.public,),
    }
    return open_assignment(signed, **(arguments | changes))  # type: ignore[arg-type]


def test_a_key_survives_its_text_form() -> None:
    assert SecretKey.parse(CI_KEY.reveal()) == CI_KEY
    assert PublicKey.parse(str(CI_KEY.public)) == CI_KEY.public


def test_the_public_half_is_that_of_rfc_8032() -> None:
    # The public half of the seed 00..1f, as any Ed25519 implementation has it.
    secret = SecretKey.from_seed("cache-1", bytes(range(32)))
    assert str(secret.public) == "cache-1:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="


def test_a_secret_key_does_not_show_itself() -> None:
    assert "seed" not in repr(CI_KEY)


@pytest.mark.parametrize("text", ["", "name", ":abc", "n:!!!", "n:YWJj"])
def test_a_malformed_key_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(InvalidInput, match="key"):
        PublicKey.parse(text)


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "is not signed"),
        ("ci-1:???", "is not base64"),
        ("ci-1:YWJj", "has 3 bytes"),
        ("other:" + "A" * 86 + "==", "unknown key 'other'"),
        ("ci-1:" + "A" * 86 + "==", "does not match"),
    ],
)
def test_wrong_signatures_are_told_apart(signature: str, reason: str) -> None:
    with pytest.raises(BadSignature, match=reason.replace("?", r"\?")):
        check_signature(message=b"m", signature=signature, keys=(CI_KEY.public,), what="the publish")


def test_two_live_keys_of_one_name_are_both_tried() -> None:
    old = SecretKey.from_seed("ci-1", b"9" * 32)
    found = check_signature(message=b"m", signature=CI_KEY.sign(b"m"), keys=(old.public, CI_KEY.public), what="x")
    assert found == CI_KEY.public


def test_a_publish_whose_content_is_another_names_the_right_hash() -> None:
    publish = a_publish(intent_hash="f" * 64)
    with pytest.raises(HashMismatch, match=publish.intent.sha256):
        publish.check_content()


def test_an_assignment_opens_for_its_worker() -> None:
    assignment = an_assignment(a_publish())
    assert opened(as_signed(assignment, CONTROL_PLANE_KEY)) == assignment


def test_an_assignment_of_another_worker_is_refused() -> None:
    signed = as_signed(an_assignment(a_publish()), CONTROL_PLANE_KEY)
    with pytest.raises(InvalidInput, match="'worker-0', and this is 'worker-1'"):
        opened(signed, worker_id="worker-1")


def test_a_lower_revision_is_stale_within_an_epoch_only() -> None:
    signed = as_signed(an_assignment(a_publish(), revision=3), CONTROL_PLANE_KEY)
    with pytest.raises(Stale):
        opened(signed, last_seen=Seen("e" * 32, 4))
    opened(signed, last_seen=Seen("f" * 32, 4))


def test_a_spec_that_ci_did_not_sign_is_refused_whoever_assigns_it() -> None:
    publish = a_publish()
    entry = an_entry(publish)
    forged = entry.model_copy(update={"spec": Sealed.of(a_vm_spec(memory_mb=4096)).text})
    signed = as_signed(an_assignment(publish, entries=(forged,)), CONTROL_PLANE_KEY)
    with pytest.raises(BadSignature, match="not the one that generation 1"):
        opened(signed)


def test_a_forged_fallback_is_refused_too() -> None:
    old, new = a_publish(number=1), a_publish(a_vm_spec(seed="3"), number=2)
    entry = an_entry(new, fallback=old)
    signed = as_signed(an_assignment(new, entries=(entry,)), CONTROL_PLANE_KEY)
    with pytest.raises(BadSignature, match="generation 1 of 'web' comes without"):
        opened(signed)
    opened(as_signed(an_assignment(new, old, entries=(entry,)), CONTROL_PLANE_KEY))


@pytest.mark.parametrize("change", [lambda intents: (), lambda intents: tuple(one + b" " for one in intents)])
def test_an_intent_document_is_the_one_that_the_proof_names(
    change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
) -> None:
    signed = as_signed(an_assignment(a_publish()), CONTROL_PLANE_KEY)
    with pytest.raises(InvalidInput, match="generation 1 comes without the intent document"):
        opened(replace(signed, intents=change(signed.intents)))


def test_a_document_that_no_generation_names_is_not_taken() -> None:
    signed = as_signed(an_assignment(a_publish()), CONTROL_PLANE_KEY)
    with pytest.raises(InvalidInput, match="no generation names the intent document"):
        opened(replace(signed, intents=(*signed.intents, b"x" * 100)))


def test_a_document_that_ci_did_not_sign_is_no_proof_whoever_names_it() -> None:
    other = a_publish(a_vm_spec(memory_mb=4096))
    forged = a_proof(a_publish()).model_copy(update={"intent_hash": other.intent.sha256, "intent": other.intent.text})
    assignment = an_assignment(other, generations=(forged,))
    with pytest.raises(BadSignature, match="generation 1"):
        opened(as_signed(assignment, CONTROL_PLANE_KEY))


def test_a_generation_signed_by_another_key_is_refused() -> None:
    stranger = SecretKey.from_seed("ci-1", b"8" * 32)
    signed = as_signed(an_assignment(a_publish(key=stranger)), CONTROL_PLANE_KEY)
    with pytest.raises(BadSignature, match="generation 1"):
        opened(signed)


def test_a_proof_of_another_number_does_not_verify() -> None:
    proof = a_proof(a_publish(number=1)).model_copy(update={"number": 2})
    signed = as_signed(an_assignment(a_publish(number=1), generations=(proof,)), CONTROL_PLANE_KEY)
    with pytest.raises(BadSignature):
        opened(signed)


@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=0, max_value=255))
def test_no_byte_of_a_signed_assignment_can_change(position: int, value: int) -> None:
    signed = as_signed(an_assignment(a_publish()), CONTROL_PLANE_KEY)
    data = bytearray(signed.data)
    position %= len(data)
    if data[position] == value:
        return
    data[position] = value
    with pytest.raises(BadSignature):
        opened(SignedAssignment(bytes(data), signed.signature, signed.intents))


def test_hashes_are_over_the_bytes_that_came_and_unknown_keys_are_tolerated() -> None:
    document = json.loads(Sealed.of(a_vm_spec()).data) | {"fromTheFuture": 1}
    document["health"]["alsoNew"] = True
    data = canonical_bytes(document)
    sealed = Sealed.parse(VmSpec, data)
    assert sealed.value == a_vm_spec()
    assert sealed.data == data
    assert sealed.sha256 != Sealed.of(a_vm_spec()).sha256


def test_what_cannot_be_parsed_names_field_and_reason() -> None:
    with pytest.raises(InvalidInput, match=r"Intent: vms: Field required"):
        Sealed.parse(Intent, b'{"cluster":"a","rollout":"' + b"0" * 64 + b'"}')


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(-(2.0**53), 2.0**53) | st.text(), st.lists))
def test_canonical_json_refuses_or_round_trips(value: object) -> None:
    try:
        data = canonical_bytes(value)
    except ProcuratorError:
        return
    assert json.loads(data) == value


ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT | st.integers(), inner),
    )
)
def test_canonical_json_is_what_the_reference_of_rfc_8785_writes(value: object) -> None:
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]  # also what is no JSON
    except rfc8785.CanonicalizationError:
        with pytest.raises(InvalidInput):
            canonical_bytes(value)
    else:
        assert canonical_bytes(value) == expected
