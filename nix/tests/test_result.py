"""The parsers on what nix 2.8, 2.26 and 2.34 print."""

import json
from typing import Any

import pytest

from nix import result
from nix.result import PathInfo
from schema.errors import Internal, InvalidInput

A = "/nix/store/" + "a" * 32 + "-a"
B = "/nix/store/" + "b" * 32 + "-b"
DRV = "/nix/store/" + "d" * 32 + "-b.drv"
HASH = "sha256-" + "A" * 43 + "="
EXPECTED = PathInfo(path=B, nar_hash=HASH, nar_size=120, references=(A, B), signatures=("k:sig",), deriver=DRV)

NIX_2_8: list[dict[str, Any]] = [
    {"path": B, "narHash": HASH, "narSize": 120, "references": [B, A], "signatures": ["k:sig"], "deriver": DRV},
]
NIX_2_26 = {
    B: {
        **{"ca": None, "deriver": DRV, "narHash": HASH, "narSize": 120, "references": [A, B]},
        **{"registrationTime": 1, "signatures": ["k:sig"], "ultimate": False},
    }
}
NIX_2_34 = {
    B: {**NIX_2_26[B], "storeDir": "/nix/store", "version": 1},
    "version": 1,
    "storeDir": "/nix/store",
}
NIX_2_34_FORMAT_2 = {
    "info": {
        B.removeprefix("/nix/store/"): {
            **NIX_2_26[B],
            "deriver": DRV.removeprefix("/nix/store/"),
            "references": [path.removeprefix("/nix/store/") for path in (A, B)],
        }
    },
    "storeDir": "/nix/store",
    "version": 2,
}


@pytest.mark.parametrize("printed", [NIX_2_8, NIX_2_26, NIX_2_34, NIX_2_34_FORMAT_2])
def test_every_shape_of_path_info_is_one_record(printed: object) -> None:
    assert result.parse_path_info(json.dumps(printed).encode()) == {B: EXPECTED}


@pytest.mark.parametrize(
    "printed", [[{"path": A, "valid": False}], {A: None}, {"info": {A.removeprefix("/nix/store/"): None}, "version": 2}]
)
def test_a_path_that_is_not_valid_is_none_although_nix_succeeds(printed: object) -> None:
    assert result.parse_path_info(json.dumps(printed).encode()) == {A: None}


def test_structured_hashes_and_signatures_are_read_too() -> None:
    entry = {
        "narHash": {"algorithm": "sha256", "format": "base64", "hash": "A" * 43 + "="},
        "narSize": 1,
        "references": [],
        "signatures": [{"keyName": "k", "sig": "s"}],
        "ca": {"method": "nar"},
    }
    found = result.parse_path_info(json.dumps({A: entry}).encode())[A]
    assert found is not None
    assert (found.nar_hash, found.signatures, found.content_address) == (HASH, ("k:s",), '{"method": "nar"}')


def test_the_output_that_stands_for_a_derivation() -> None:
    one = {"drv": DRV, "outputs": {"bin": A}}
    two = {"drv": DRV, "outputs": {"dev": A, "out": B}}
    assert [result.parse_instantiated(json.dumps(entry).encode()).out for entry in (one, two)] == [A, B]
    assert result.parse_realised(f"{A}\n{B}\n".encode()) == (A, B)


def test_metadata_of_a_flake() -> None:
    printed = {
        "path": A,
        "revision": "c" * 40,
        "lastModified": 5,
        "locked": {"narHash": HASH, "rev": "c" * 40, "ref": "refs/heads/main", "__final": True},
    }
    found = result.parse_flake_metadata(json.dumps(printed).encode())
    assert (found.rev, found.last_modified, found.nar_hash, found.source) == ("c" * 40, 5, HASH, A)


@pytest.mark.parametrize(
    ("printed", "version"),
    [("nix (Nix) 2.8.0\n", (2, 8, 0)), ("nix (Nix) 2.34.8", (2, 34, 8)), ("nix (Nix) 3.0pre", (3, 0, 0))],
)
def test_versions(printed: str, version: tuple[int, int, int]) -> None:
    assert result.parse_version(printed.encode()) == version


def test_what_is_not_json_or_not_names_is_refused() -> None:
    with pytest.raises(Internal):
        result.parse_json(b'{"vms":{"web":}')
    with pytest.raises(InvalidInput):
        result.parse_names(b'{"a":1}')
    with pytest.raises(Internal):
        result.parse_path_info(b"3")
    with pytest.raises(Internal):
        result.parse_version(b"who knows")


def test_the_failed_derivations_of_either_wording() -> None:
    old = f"error: builder for '{DRV}' failed with exit code 3;\nerror: 1 dependencies of derivation '{A}.drv' failed"
    new = f"error: Cannot build '{DRV}'.\n Reason: builder failed with exit code 3."
    assert result.failed_derivations(old) == (DRV, A + ".drv")
    assert result.failed_derivations(new) == (DRV,)


def test_how_much_was_collected() -> None:
    assert result.parse_collected(b"deleting ...\n12 store paths deleted, 3.40 MiB freed\n") == 12
    assert result.parse_collected(b"") == 0


def test_what_an_author_nested_beyond_reading_is_the_authors_affair() -> None:
    with pytest.raises(InvalidInput, match="nested too deeply"):
        result.parse_json(b"[" * 100_000 + b"]" * 100_000)
