from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_service.cache.base32 import encode
from ci_service.cache.narinfo import (
    MAX_NARINFO_BYTES,
    Compression,
    NarFile,
    NarInfo,
    parse_narinfo,
    print_narinfo,
)
from ci_service.tests.cache.running import a_path
from schema.errors import InvalidInput, ProcuratorError, TooLarge

# Written by `nix copy --to file://…?compression=zstd&secret-key=…` (nix 2.8).
OF_NIX = b"""StorePath: /nix/store/xb8bs4aq3mmb1mvmyr3wj1kj2n0a8s0y-outer
URL: nar/0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73.nar.zst
Compression: zstd
FileHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73
FileSize: 180
NarHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73
NarSize: 200
References: 3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-inner xb8bs4aq3mmb1mvmyr3wj1kj2n0a8s0y-outer
Deriver: 3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-outer.drv
Sig: ci-1:7t8OR0JrSRUYYQnCTiY4u0f0sZ2pQ0l6b8JTxMkxJ0xq3sRzYb2z1s4b7rQXkq9yqz4Zo4oD0n0M5c8A0cFmBA==
CA: text:sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73
"""


def test_what_nix_prints_is_read_and_printed_the_same() -> None:
    assert print_narinfo(parse_narinfo(OF_NIX)) == OF_NIX


def test_no_references_are_printed_as_nix_does() -> None:
    made = a_path()
    assert b"\nReferences: \n" in made.narinfo
    assert parse_narinfo(made.narinfo) == made.info


@st.composite
def narinfos(draw: st.DrawFn) -> NarInfo:
    names = st.from_regex(r"[0-9a-df-np-sv-z]{32}-[0-9a-zA-Z+_?=][0-9a-zA-Z+_?=.-]{0,40}", fullmatch=True)
    digest = st.binary(min_size=32, max_size=32)
    size = st.integers(0, 2**53 - 1)
    return NarInfo(
        store_path="/nix/store/" + draw(names),
        nar_file=NarFile(draw(digest), draw(st.sampled_from(Compression))),
        file_size=draw(size),
        nar_hash=draw(digest),
        nar_size=draw(size),
        references=tuple(sorted(draw(st.sets(names, max_size=5)))),
        deriver=draw(st.none() | names),
        system=draw(st.none() | st.just("x86_64-linux")),
    )


@given(narinfos())
def test_every_narinfo_survives_its_text(info: NarInfo) -> None:
    assert parse_narinfo(print_narinfo(info)) == info


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode(errors="replace")))
def test_garbage_is_refused_with_a_typed_error(data: bytes) -> None:
    with pytest.raises(ProcuratorError):
        parse_narinfo(data)


@given(st.integers(0, len(OF_NIX) - 1), st.integers(0, 255))
def test_one_changed_byte_is_refused_or_read_as_something_else(position: int, byte: int) -> None:
    changed = OF_NIX[:position] + bytes([byte]) + OF_NIX[position + 1 :]
    try:
        assert (parse_narinfo(changed) == parse_narinfo(OF_NIX)) == (changed == OF_NIX)
    except ProcuratorError:
        assert changed != OF_NIX


def test_every_truncation_is_refused_or_lacks_what_was_cut() -> None:
    for length in range(len(OF_NIX)):
        try:
            read = parse_narinfo(OF_NIX[:length])
        except ProcuratorError:
            continue
        assert OF_NIX[:length].endswith(b"\n")
        assert read != parse_narinfo(OF_NIX)


HASH = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73"
INNER = "3a2h1c8ydlzrmmkx5nv8c5a4r7y1b0s4-inner"
HOSTILE = {
    "a repeated field": (b"NarSize: 200", b"NarSize: 200\nNarSize: 1"),
    "a repeated signature": (b"CA: ", b"Sig: " + OF_NIX.split(b"Sig: ")[1].split(b"\n")[0] + b"\nCA: "),
    "an unknown field": (b"CA: ", b"Ca: "),
    "an empty line": (b"CA: ", b"\nCA: "),
    "a carriage return": (b"NarSize: 200", b"NarSize: 200\r"),
    "a NUL": (b"NarSize: 200", b"NarSize: 200\0"),
    "an escape sequence": (b"-outer\nURL", b"-\x1b[31mouter\nURL"),
    "no space after the colon": (b"NarSize: 200", b"NarSize:200"),
    "two spaces": (b"NarSize: 200", b"NarSize:  200"),
    "a negative size": (b"NarSize: 200", b"NarSize: -1"),
    "a signed size": (b"NarSize: 200", b"NarSize: +200"),
    "a size with a leading zero": (b"NarSize: 200", b"NarSize: 0200"),
    "a size over 2^53": (b"NarSize: 200", b"NarSize: 9007199254740992"),
    "a size of many digits": (b"NarSize: 200", b"NarSize: " + b"9" * 5000),
    "a size in words": (b"NarSize: 200", b"NarSize: 1e9"),
    "another store": (b"StorePath: /nix/store/", b"StorePath: /gnu/store/"),
    "a path above the store": (b"/nix/store/xb8", b"/nix/store/../xb8"),
    "a file below a store path": (b"-outer\nURL", b"-outer/etc\nURL"),
    "a store path of dots": (b"-outer\nURL", b"-..\nURL"),
    "a store path with a dotted start": (b"-outer\nURL", b"-..-x\nURL"),
    "a name over 211 characters": (b"-outer\nURL", b"-" + b"o" * 212 + b"\nURL"),
    "a URL that climbs": (b"URL: nar/", b"URL: nar/../"),
    "a URL to elsewhere": (b"URL: nar/", b"URL: http://example.org/nar/"),
    "an absolute URL": (b"URL: nar/", b"URL: /nar/"),
    "a URL of another hash": (b"URL: nar/0mdq", b"URL: nar/1mdq"),
    "a URL of another compression": (b".nar.zst", b".nar.xz"),
    "a compression that is not kept": (b"Compression: zstd", b"Compression: bzip2"),
    "a hash by md5": (b"NarHash: sha256:", b"NarHash: md5:"),
    "a hash in hexadecimal": (f"NarHash: sha256:{HASH}".encode(), b"NarHash: sha256:" + b"0" * 64),
    "unsorted references": (f"{INNER} xb8".encode(), b"z" * 32 + b"-inner xb8"),
    "a repeated reference": (f"{INNER} xb8".encode(), f"{INNER} {INNER} xb8".encode()),
    "a reference that is a whole path": (b"References: ", b"References: /nix/store/"),
    "a trailing space in the references": (b"-outer\nDeriver", b"-outer \nDeriver"),
    "a deriver that climbs": (b"Deriver: ", b"Deriver: ../"),
    "a signature that is not base64": (b"cFmBA==", b"cFm*A=="),
    "a signature of another length": (b"cFmBA==", b"cFmB"),
    "a content address with a newline": (b"CA: text:", b"CA: text:\ntext:"),
    "no end of line": (OF_NIX[-4:], OF_NIX[-4:-1]),
}  # fmt: skip


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_hostile_text_is_refused(what: str) -> None:
    before, after = HOSTILE[what]
    assert OF_NIX.count(before) >= 1
    with pytest.raises(InvalidInput):
        parse_narinfo(OF_NIX.replace(before, after, 1))


@pytest.mark.parametrize(
    "field",
    ["StorePath", "URL", "Compression", "FileHash", "FileSize", "NarHash", "NarSize", "References"],
)
def test_a_missing_field_is_named(field: str) -> None:
    without = b"".join(line for line in OF_NIX.splitlines(keepends=True) if not line.startswith(field.encode() + b":"))
    with pytest.raises(InvalidInput, match=f"no {field}"):
        parse_narinfo(without)


def test_a_narinfo_over_the_limit_is_too_large() -> None:
    with pytest.raises(TooLarge):
        parse_narinfo(b"Sig: " + b"x" * MAX_NARINFO_BYTES)


def test_too_many_signatures_are_refused() -> None:
    made = a_path()
    many = tuple(f"key-{number}:{'A' * 86}==" for number in range(33))
    with pytest.raises(InvalidInput, match="more than 32"):
        parse_narinfo(print_narinfo(replace(made.info, signatures=many)))


def test_a_nars_name_has_one_spelling() -> None:
    digest = bytes(range(32))
    for compression in Compression:
        nar = NarFile(digest, compression)
        assert NarFile.parse(nar.name) == nar
    for name in (encode(digest), f"{encode(digest)}.nar.ZST", f"{encode(digest)}.nar.zst/", f"x{encode(digest)}.nar"):
        with pytest.raises(InvalidInput):
            NarFile.parse(name)
