from dataclasses import replace

import pytest

from ci_service.cache.fingerprint import check_signed, fingerprint, with_signatures_of
from ci_service.tests.cache.running import CI_KEY, OTHER_KEY, a_path
from schema.errors import BadSignature

PINNED = (CI_KEY.public,)
REFERENCES = ("3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-inner", "4a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-inner")


def test_it_is_nixs_fingerprint() -> None:
    text = fingerprint(a_path(references=REFERENCES).info).decode()
    version, path, nar_hash, size, references = text.split(";")
    assert version == "1"
    assert path.startswith("/nix/store/")
    assert nar_hash.startswith("sha256:")
    assert size.isdigit()
    assert (
        references
        == "/nix/store/3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-inner,/nix/store/4a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-inner"
    )


def test_a_path_without_references_ends_in_an_empty_list() -> None:
    assert fingerprint(a_path().info).endswith(b";")


def test_a_pinned_key_is_found_among_others() -> None:
    made = a_path().signed(OTHER_KEY, CI_KEY)
    assert check_signed(made.info, PINNED) == CI_KEY.public


@pytest.mark.parametrize("field", [{"nar_size": 1}, {"nar_hash": b"\0" * 32}, {"references": REFERENCES}])
def test_what_the_signature_covers_cannot_be_changed(field: dict[str, object]) -> None:
    with pytest.raises(BadSignature, match="does not match"):
        check_signed(a_path().changed(**field).info, PINNED)


def test_another_key_no_signature_and_no_pinned_key_are_told_apart() -> None:
    with pytest.raises(BadSignature, match="unknown key 'other-1'"):
        check_signed(a_path(key=OTHER_KEY).info, PINNED)
    with pytest.raises(BadSignature, match="is not signed"):
        check_signed(a_path().signed().info, PINNED)
    with pytest.raises(BadSignature, match="pinned: none"):
        check_signed(a_path().info, ())


def test_a_content_addressed_path_needs_a_signature_too() -> None:
    made = a_path().signed()
    with pytest.raises(BadSignature):
        check_signed(replace(made.info, content_address="text:sha256:" + "0" * 52), PINNED)


def test_signing_anew_keeps_the_earlier_signature_of_a_live_key_only() -> None:
    both = (CI_KEY.public, OTHER_KEY.public)
    earlier, later = a_path(key=CI_KEY).info, a_path(key=OTHER_KEY).info
    assert with_signatures_of(later, earlier, both).signatures == later.signatures + earlier.signatures
    assert with_signatures_of(later, earlier, (OTHER_KEY.public,)).signatures == later.signatures
    assert with_signatures_of(earlier, earlier, both) == earlier
