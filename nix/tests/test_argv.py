"""The exact words of every command."""

from pathlib import Path

import pytest

from nix import argv
from nix.flake import FlakeRef
from schema.errors import InvalidInput

REV = "a" * 40
FLAKE = FlakeRef(Path("/srv/repo.git"), "refs/procurator/7", REV)
URL = f"git+file:///srv/repo.git?ref=refs/procurator/7&rev={REV}"
PATH = "/nix/store/" + "0" * 32 + "-web"
DRV = PATH + ".drv"
KEY = "ci-1:" + "A" * 43 + "="
LIVE = ("--log-format", "internal-json", "-v")


def test_evaluation_names_ref_and_commit_and_writes_no_lock() -> None:
    assert argv.eval_json(FLAKE, "blueprintJSON") == (
        *("nix", "eval", *LIVE, "--json", "--no-write-lock-file", f"{URL}#blueprintJSON"),
    )
    assert argv.flake_metadata(FLAKE) == ("nix", "flake", "metadata", *LIVE, "--json", "--no-write-lock-file", URL)


def test_checks_are_listed_without_being_built() -> None:
    assert argv.check_names(FLAKE, "x86_64-linux") == (
        *("nix", "eval", *LIVE, "--json", "--no-write-lock-file", f"{URL}#checks.x86_64-linux"),
        *("--apply", "builtins.attrNames"),
    )


def test_builds() -> None:
    assert argv.build(FLAKE, "packages.x86_64-linux.web") == (
        *("nix", "build", *LIVE, "--json", "--no-link", "--no-write-lock-file", f"{URL}#packages.x86_64-linux.web"),
    )
    assert argv.realise([DRV]) == ("nix-store", *LIVE, "--realise", "--no-gc-warning", DRV)
    assert argv.realise([DRV], group="nixbld")[5:] == (
        "--no-gc-warning",
        "--option",
        "build-users-group",
        "nixbld",
        DRV,
    )
    assert argv.realise([DRV], root=Path("/srv/roots/web")) == (
        *("nix-store", *LIVE, "--realise", "--no-gc-warning", "--add-root", "/srv/roots/web", "--indirect", DRV),
    )
    assert argv.instantiate(FLAKE, "web")[:-1] == (
        *("nix", "eval", *LIVE, "--json", "--no-write-lock-file", f"{URL}#web", "--apply"),
    )


def test_copies_name_the_key_by_file_and_the_login_by_netrc() -> None:
    assert argv.copy_to_cache(
        [PATH], cache="http://127.0.0.1:7404/", secret_key=Path("/srv/keys/ci"), netrc=Path("/srv/netrc")
    ) == (
        *("nix", "copy", *LIVE, "--to", "http://127.0.0.1:7404?compression=zstd&secret-key=/srv/keys/ci"),
        *("--option", "narinfo-cache-positive-ttl", "0", "--option", "netrc-file", "/srv/netrc", PATH),
    )


def test_pulls_go_into_a_store_of_their_own_and_want_signatures() -> None:
    assert argv.copy_from_cache(
        [PATH], cache="http://127.0.0.1:7404", store=Path("/srv/worker/store"), trusted_keys=[KEY, KEY]
    ) == (
        *("nix", "copy", *LIVE, "--from", "http://127.0.0.1:7404", "--to", "local?root=/srv/worker/store"),
        *("--option", "trusted-public-keys", f"{KEY} {KEY}", "--option", "require-sigs", "true"),
        *("--option", "narinfo-cache-negative-ttl", "0", "--option", "connect-timeout", "5"),
        *("--option", "stalled-download-timeout", "20", "--option", "download-attempts", "3", PATH),
    )
    assert argv.copy_derivations([PATH + ".drv"], store=Path("/srv/own")) == (
        *("nix", "copy", *LIVE, "--derivation", "--from", "local?root=/srv/own", PATH + ".drv"),
    )
    assert argv.verify_signatures([PATH], store=Path("/srv/store"), trusted_keys=[KEY]) == (
        *("nix", "store", "verify", *LIVE, "--recursive", "--no-contents", "--sigs-needed", "1"),
        *("--store", "local?root=/srv/store", "--option", "trusted-public-keys", KEY, PATH),
    )
    assert argv.verify_contents([PATH], store=None) == (
        *("nix", "store", "verify", *LIVE, "--recursive", "--no-trust", PATH),
    )


def test_questions_to_a_store() -> None:
    store = Path("/srv/store")
    assert argv.path_info([PATH]) == ("nix", "path-info", "--json", "--recursive", PATH)
    assert argv.path_info([PATH], store=store, recursive=False) == (
        *("nix", "path-info", "--json", "--store", "local?root=/srv/store", PATH),
    )
    assert argv.build_log(DRV) == ("nix", "log", DRV)
    assert argv.collect_garbage(store=store) == ("nix", "store", "gc", "--store", "local?root=/srv/store")


def test_keys() -> None:
    assert argv.generate_key("ci-1") == ("nix", "key", "generate-secret", "--key-name", "ci-1")
    assert argv.public_of_secret() == ("nix", "key", "convert-secret-to-public")
    assert argv.sign([PATH], secret_key=Path("/srv/key")) == (
        *("nix", "store", "sign", "--key-file", "/srv/key", "--recursive", PATH),
    )
    assert argv.nix_version() == ("nix", "--version")
    assert argv.flake_lock(Path("/srv/clone")) == ("nix", "flake", "lock", "/srv/clone")


@pytest.mark.parametrize("ref", ["main", "-x", "refs/heads/../x", "refs/heads/-x", "refs/heads/a b", "refs/x.lock", ""])
def test_a_ref_is_full_and_plain(ref: str) -> None:
    with pytest.raises(InvalidInput, match="not a full git ref"):
        FlakeRef(Path("/srv/repo.git"), ref, REV)


@pytest.mark.parametrize("rev", ["HEAD", "abc", "A" * 40, "-" + "a" * 39, "a" * 40 + "\n"])
def test_a_commit_is_a_full_hash(rev: str) -> None:
    with pytest.raises(InvalidInput, match="not a full git commit"):
        FlakeRef(Path("/srv/repo.git"), "refs/heads/main", rev)


@pytest.mark.parametrize("path", ["repo", "/srv/../etc", "/srv/a?ref=x", "/srv/a#b", "/srv/a b", "/srv/%2e", "/srv/\n"])
def test_a_path_needs_no_quoting(path: str) -> None:
    with pytest.raises(InvalidInput):
        FlakeRef(Path(path), "refs/heads/main", REV)


@pytest.mark.parametrize("attribute", ["", "-x", "a..b", "a b", "a;b", "a.$(b)", "a\n", "--help", "a." * 20 + "a"])
def test_an_attribute_is_plain_names(attribute: str) -> None:
    with pytest.raises(InvalidInput, match="not an attribute path"):
        argv.eval_json(FLAKE, attribute)


@pytest.mark.parametrize(
    "cache", ["ssh://host", "s3://x", "http://u:p@host", "http://host?x=1", "-http://x", "http://", "https:///x", "x"]
)
def test_a_cache_is_a_plain_http_or_file_url(cache: str) -> None:
    with pytest.raises(InvalidInput, match="not a cache's URL"):
        argv.copy_to_cache([PATH], cache=cache, secret_key=Path("/k"))


@pytest.mark.parametrize(
    "path", ["/nix/store/x", "-x", PATH + "/bin", "/etc/passwd", PATH + "\n", PATH.replace("0", "e")]
)
def test_a_store_path_is_whole(path: str) -> None:
    with pytest.raises(InvalidInput, match="not a store path"):
        argv.path_info([path])


def test_only_derivations_are_realised_and_keys_are_keys() -> None:
    with pytest.raises(InvalidInput, match="not the path of a derivation"):
        argv.realise([PATH])
    with pytest.raises(InvalidInput, match="not a public key"):
        argv.copy_from_cache([PATH], cache="http://h", store=Path("/s"), trusted_keys=["ci-1:short"])
    with pytest.raises(InvalidInput, match="not a key's name"):
        argv.generate_key("--help")
