import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_service.cache.base32 import ALPHABET, decode, encode
from schema.errors import InvalidInput


def test_it_prints_what_nix_hash_prints() -> None:
    # nix-hash --type sha256 --base32 --flat of an empty file
    assert encode(hashlib.sha256(b"").digest()) == "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"


@given(st.binary(min_size=32, max_size=32))
def test_decoding_gives_back_what_was_encoded(data: bytes) -> None:
    assert decode(encode(data), size=32) == data


@given(st.text(alphabet=ALPHABET, min_size=52, max_size=52))
def test_a_hash_has_one_spelling(text: str) -> None:
    try:
        assert encode(decode(text, size=32)) == text
    except InvalidInput:
        assert text[0] not in "01"


@pytest.mark.parametrize("text", ["", "0" * 51, "0" * 53, "e" * 52, "z" * 52, "0" * 51 + "\n", "0" * 51 + "٣"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        decode(text, size=32)
