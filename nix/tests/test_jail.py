"""What an evaluation can reach, tried with real nix; each refusal has its counterpart without the jail."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from nix import commands
from nix.environment import NixEnvironment
from nix.jail import Accounts, Jail, NotIsolated, build_argv, evaluation_argv, refusal
from nix.tests.flakes import a_flake
from schema.errors import CommandFailed, InvalidInput

SECRET = "the-secret-that-nobody-evaluates"


def reading(url: str) -> str:
    """A flake that reads the file `key` of another place."""
    return f"""
      {{
        inputs.other = {{ url = "{url}"; flake = false; }};
        outputs = {{ self, other }}: {{ x = builtins.readFile "${{other}}/key"; }};
      }}
    """


def an_environment(tmp_path: Path) -> NixEnvironment:
    return NixEnvironment(tmp_path / "nix").write()


async def evaluated(tmp_path: Path, flake_nix: str, *, jail: Jail | None) -> object:
    """Attribute `x` of that flake, by an environment that has seen nothing before."""
    number = len(list(tmp_path.glob("run-*")))
    nix = NixEnvironment(tmp_path / f"run-{number}").write()
    flake = await a_flake(tmp_path / f"flake-{number}", nix, flake_nix)
    return await commands.eval_json(nix, flake, "x", jail=jail, deadline=120)


def a_secret(tmp_path: Path) -> Path:
    directory = tmp_path / "secret"
    directory.mkdir()
    # The content differs between runs: what was once copied to the store could be found there again.
    (directory / "key").write_text(f"{SECRET} {tmp_path}")
    return directory


async def test_a_flake_evaluates_in_the_jail(tmp_path: Path) -> None:
    assert await evaluated(tmp_path, "{ outputs = _: { x = { a = 1; }; }; }", jail=Jail()) == {"a": 1}


async def test_a_path_input_is_reached_only_where_it_is_allowed(tmp_path: Path) -> None:
    secret = a_secret(tmp_path)
    with pytest.raises(CommandFailed, match="No such file") as caught:
        await evaluated(tmp_path, reading(f"path:{secret}"), jail=Jail())
    assert SECRET not in str(caught.value)
    for jail in (Jail(allowed_paths=(secret,)), None):
        assert SECRET in str(await evaluated(tmp_path, reading(f"path:{secret}"), jail=jail))


async def test_another_repository_is_not_reached(tmp_path: Path) -> None:
    secret = a_secret(tmp_path)
    other = await a_flake(tmp_path / "other", an_environment(tmp_path), f'{{ outputs = _: {{ }}; x = "{secret}"; }}')
    url = f"git+file://{other.repository}?ref=refs/heads/main"
    flake_nix = reading(url).replace("/key", "/flake.nix")
    assert str(secret) in str(await evaluated(tmp_path, flake_nix, jail=None))
    with pytest.raises(CommandFailed):
        await evaluated(tmp_path, flake_nix, jail=Jail())


async def test_the_host_is_not_reached_through_proc(tmp_path: Path) -> None:
    secret = a_secret(tmp_path)
    flake_nix = reading(f"path:/proc/{os.getpid()}/root{secret}")
    assert SECRET in str(await evaluated(tmp_path, flake_nix, jail=None))
    with pytest.raises(CommandFailed):
        await evaluated(tmp_path, flake_nix, jail=Jail())


async def test_what_the_store_holds_of_another_repository_is_not_reached(tmp_path: Path) -> None:
    secret = a_secret(tmp_path)
    source = str(await evaluated(tmp_path, reading(f"path:{secret}").replace("builtins.readFile", ""), jail=None))
    in_store = source.removesuffix("/key")
    assert SECRET in str(await evaluated(tmp_path, reading(f"path:{in_store}"), jail=None))
    with pytest.raises(CommandFailed) as caught:
        await evaluated(tmp_path, reading(f"path:{in_store}"), jail=Jail())
    assert SECRET not in str(caught.value)
    fetched = f'(builtins.fetchTree {{ type = "path"; path = "{in_store}"; rev = "{"0" * 40}"; }}) + "/key"'
    with pytest.raises(CommandFailed) as caught:
        await evaluated(tmp_path, f"{{ outputs = _: {{ x = builtins.readFile ({fetched}); }}; }}", jail=Jail())
    assert SECRET not in str(caught.value)


async def test_the_store_that_an_evaluation_sees_names_no_path_of_another(tmp_path: Path) -> None:
    secret = a_secret(tmp_path)
    source = str(await evaluated(tmp_path, reading(f"path:{secret}").replace("builtins.readFile", ""), jail=None))
    name = Path(source).parent.name
    listing = """{ inputs.s = { url = "path:/nix/store"; flake = false; };
      outputs = { self, s }: { x = builtins.attrNames (builtins.readDir s); }; }"""
    seen = await evaluated(tmp_path, listing, jail=Jail())
    assert isinstance(seen, list)
    assert name not in seen
    assert len(seen) < 10, "its own sources, and nothing else"
    database = """{ inputs.s = { url = "path:/nix/var/nix/db"; flake = false; };
      outputs = { self, s }: { x = "${s}"; }; }"""
    copied = await evaluated(tmp_path, database, jail=Jail())
    own = next(tmp_path.glob(f"run-*/evaluation{copied}/db.sqlite"))
    assert name.encode() not in own.read_bytes()


@pytest.mark.parametrize(
    "expression",
    ["builtins.readFile {key}", "builtins.readDir {directory}", 'builtins.getEnv "HOME" + builtins.readFile {key}'],
)
async def test_a_file_is_not_read_by_its_name(tmp_path: Path, expression: str) -> None:
    secret = a_secret(tmp_path)
    wanted = expression.format(key=secret / "key", directory=secret)
    with pytest.raises(CommandFailed) as caught:
        await evaluated(tmp_path, f"{{ outputs = _: {{ x = {wanted}; }}; }}", jail=Jail())
    assert SECRET not in str(caught.value)


@asynccontextmanager
async def a_listener() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A port of loopback, and what was sent to it."""
    heard: list[bytes] = []

    async def hear(stream: trio.SocketStream) -> None:
        async with stream:
            heard.append(await stream.receive_some())
            await stream.send_all(b"HTTP/1.0 404 no\r\nContent-Length: 0\r\n\r\n")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, hear, 0)
        yield listeners[0].socket.getsockname()[1], heard
        nursery.cancel_scope.cancel()


async def test_what_listens_on_loopback_is_not_reached(tmp_path: Path) -> None:
    async with a_listener() as (port, heard):
        flake_nix = reading(f"http://127.0.0.1:{port}/source.tar.gz")
        with pytest.raises(CommandFailed):
            await evaluated(tmp_path, flake_nix, jail=Jail())
        assert heard == []
        with pytest.raises(CommandFailed):
            await evaluated(tmp_path, flake_nix, jail=Jail(network=True))
        assert b"/source.tar.gz" in heard[0]


async def test_an_evaluation_does_not_build(tmp_path: Path) -> None:
    flake_nix = """
      { outputs = _: { x = import (derivation { name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; }); }; }
    """
    with pytest.raises(CommandFailed, match="disabled"):
        await evaluated(tmp_path, flake_nix, jail=Jail())


async def test_an_evaluation_does_not_take_the_machines_memory(tmp_path: Path) -> None:
    doubling = 'builtins.foldl\' (all: _: all + all) "xxxxxxxx" (builtins.genList (n: n) 36)'
    with pytest.raises(CommandFailed):
        await evaluated(tmp_path, f"{{ outputs = _: {{ x = builtins.stringLength ({doubling}); }}; }}", jail=Jail())


async def test_a_flake_does_not_configure_nix(tmp_path: Path) -> None:
    flake_nix = "{ nixConfig.sandbox = false; nixConfig.allow-import-from-derivation = true; outputs = _: { x = 1; }; }"
    assert await evaluated(tmp_path, flake_nix, jail=Jail()) == 1


async def test_an_allowed_path_that_is_not_there_is_told_as_no_isolation(tmp_path: Path) -> None:
    with pytest.raises(NotIsolated, match="gone"):
        await evaluated(tmp_path, "{ outputs = _: { x = 1; }; }", jail=Jail(allowed_paths=(tmp_path / "gone",)))


def test_the_jail_in_words() -> None:
    argv = evaluation_argv(
        ("nix", "eval"),
        jail=Jail(allowed_paths=(Path("/srv/parts"),)),
        store=Path("/srv/own/nix"),
        readable=(Path("/srv/repo.git"),),
        writable=(Path("/srv/cache"),),
        passwd=Path("/srv/conf/passwd"),
        programs=(Path("/nix/store/x-nix"),),
    )
    assert argv[:7] == ("choom", "--adjust", "1000", "--", "prlimit", "--data=4294967296", "--")
    assert argv[7:12] == ("bwrap", "--unshare-all", "--die-with-parent", "--cap-drop", "ALL")
    assert argv[-4:] == ("/", "--", "nix", "eval")
    text = " ".join(argv)
    assert "--ro-bind /srv/conf/passwd /etc/passwd --bind /srv/own/nix /nix" in text
    assert "--ro-bind /nix/store/x-nix /nix/store/x-nix --ro-bind /srv/parts /srv/parts" in text
    assert "--ro-bind /srv/repo.git /srv/repo.git --bind /srv/cache /srv/cache --chdir / --" in text
    assert "--share-net" not in text
    assert "resolv.conf" not in text
    with_network = evaluation_argv(
        ("true",), jail=Jail(network=True), store=Path("/n"), readable=(), writable=(), passwd=Path("/srv/passwd")
    )
    assert "--share-net" in with_network
    assert "/etc/resolv.conf" in with_network


def test_a_path_that_would_need_quoting_is_refused() -> None:
    with pytest.raises(InvalidInput):
        evaluation_argv(
            ("true",), jail=Jail((Path("relative"),)), store=Path("/n"), readable=(), writable=(), passwd=Path("/p")
        )


def test_builds_lose_the_network_unless_they_may_have_it() -> None:
    first_to_go = ("choom", "--adjust", "1000", "--")
    assert build_argv(("nix-store",)) == (*first_to_go, "unshare", "--net", "--", "nix-store")
    assert build_argv(("nix-store",), network=True) == (*first_to_go, "nix-store")
    accounts = Accounts(Path("/srv/passwd"), Path("/srv/group"))
    argv = build_argv(("nix-store", "--realise"), accounts=accounts)
    assert argv[4:10] == ("unshare", "--mount", "--propagation", "private", "--net", "--")
    assert argv[-5:] == ("sh", "/srv/passwd", "/srv/group", "nix-store", "--realise")
    assert "--net" not in build_argv(("nix-store",), accounts=accounts, network=True)


def test_refusals_are_told_from_failures() -> None:
    assert refusal("bwrap: setting up uid map: Permission denied\n") == "bwrap: setting up uid map: Permission denied"
    assert refusal("unshare: unshare failed: Operation not permitted") is not None
    text = "error: this system does not support the kernel namespaces that are required for sandboxing"
    assert refusal(f"building\n{text}") == text
    assert refusal("error: undefined variable 'bwrap: '") is None
