"""Keys, copies, signatures and collection with real nix, through a cache of files."""

from pathlib import Path

import pytest

from nix import commands
from nix.commands import KeyPair
from nix.environment import NixEnvironment
from nix.jail import Jail
from nix.log import CopyStarted, Event
from nix.run import run
from nix.tests.flakes import a_flake
from schema.errors import CommandFailed, DeadlineExceeded, NotFound
from schema.signing import SecretKey
from schema.tests.processes import until_none_names

OTHER = "other-1:" + "A" * 43 + "="


def an_environment(tmp_path: Path) -> NixEnvironment:
    return NixEnvironment(tmp_path / "nix").write()


async def a_built_path(tmp_path: Path, nix: NixEnvironment) -> str:
    """One that is not content-addressed: those need no signature."""
    flake = await a_flake(
        tmp_path / "flake",
        nix,
        f"""
          {{ outputs = _: {{ x = derivation {{
            name = "x"; system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo {tmp_path} >$out" ];
          }}; }}; }}
        """,
    )
    plain = NixEnvironment(tmp_path / "plain", sandbox=False).write()
    return (await commands.build(plain, flake, "x", jail=None, deadline=120)).out


async def a_key_file(tmp_path: Path, nix: NixEnvironment, name: str = "test-1") -> tuple[Path, KeyPair]:
    pair = await commands.generate_key(nix, name)
    file = tmp_path / f"key-{name}"
    file.touch(mode=0o600)
    file.write_text(pair.secret)
    return file, pair


async def test_keys_are_nix_s_and_the_schema_s(tmp_path: Path) -> None:
    pair = await commands.generate_key(an_environment(tmp_path), "ci-1")
    assert pair.secret.startswith("ci-1:")
    assert str(SecretKey.parse(pair.secret).public) == pair.public
    assert pair.secret not in repr(pair)


async def test_a_closure_goes_through_a_cache_into_a_store_of_its_own(tmp_path: Path) -> None:
    nix, store, cache = an_environment(tmp_path), tmp_path / "store", f"file://{tmp_path}/cache"
    path, (key, pair) = await a_built_path(tmp_path, nix), await a_key_file(tmp_path, nix)
    events: list[Event] = []
    await commands.copy_to_cache(nix, [path], cache=cache, secret_key=key, deadline=120, on_event=events.append)
    await commands.copy_to_cache(nix, [path], cache=cache, secret_key=key, deadline=120)
    assert CopyStarted(path) in events
    pull = {"cache": cache, "store": store, "deadline": 30.0}

    with pytest.raises(CommandFailed, match="lacks a"):
        await commands.copy_from_cache(nix, [path], trusted_keys=[OTHER], **pull)  # type: ignore[arg-type] # one dict
    assert (await commands.path_info(nix, [path], store=store, deadline=120))[path] is None

    await commands.copy_from_cache(nix, [path], trusted_keys=[OTHER, pair.public], **pull)  # type: ignore[arg-type] # it
    assert Path(f"{store}{path}").read_text() == f"{tmp_path}\n"
    found = (await commands.path_info(nix, [path], store=store, deadline=120))[path]
    assert found is not None
    assert found.signatures[0].startswith("test-1:")

    await commands.verify_signatures(nix, [path], store=store, trusted_keys=[pair.public], deadline=120)
    with pytest.raises(CommandFailed):
        await commands.verify_signatures(nix, [path], store=store, trusted_keys=[OTHER], deadline=120)


async def test_no_paths_are_nothing_to_do_also_where_the_working_directory_has_no_flake(tmp_path: Path) -> None:
    nix, (key, pair) = an_environment(tmp_path), await a_key_file(tmp_path, an_environment(tmp_path))
    cache, store = f"file://{tmp_path}/cache", tmp_path / "store"
    await commands.copy_to_cache(nix, [], cache=cache, secret_key=key, deadline=120)
    await commands.copy_from_cache(nix, [], cache=cache, store=store, trusted_keys=[pair.public], deadline=120)
    await commands.verify_signatures(nix, [], store=store, trusted_keys=[pair.public], deadline=120)
    await commands.verify_contents(nix, [], store=store, deadline=120)
    await commands.sign(nix, [], secret_key=key, deadline=120, store=store)
    assert await commands.path_info(nix, [], deadline=120, store=store) == {}
    assert not (tmp_path / "cache").exists()


async def test_changed_content_is_found(tmp_path: Path) -> None:
    nix, store, cache = an_environment(tmp_path), tmp_path / "store", f"file://{tmp_path}/cache"
    path, (key, pair) = await a_built_path(tmp_path, nix), await a_key_file(tmp_path, nix)
    await commands.copy_to_cache(nix, [path], cache=cache, secret_key=key, deadline=120)
    await commands.copy_from_cache(nix, [path], cache=cache, store=store, trusted_keys=[pair.public], deadline=120)
    await commands.verify_contents(nix, [path], store=store, deadline=120)
    real = Path(f"{store}{path}")
    real.chmod(0o644)
    real.write_text("tampered")
    with pytest.raises(CommandFailed, match="was modified"):
        await commands.verify_contents(nix, [path], store=store, deadline=120)


async def test_a_signature_can_be_added_later(tmp_path: Path) -> None:
    nix = an_environment(tmp_path)
    path, (key, pair) = await a_built_path(tmp_path, nix), await a_key_file(tmp_path, nix)
    await commands.sign(nix, [path], secret_key=key, deadline=120)
    await commands.verify_signatures(nix, [path], store=None, trusted_keys=[pair.public], deadline=120)


async def test_a_collection_keeps_what_a_root_names(tmp_path: Path) -> None:
    nix, store, cache = an_environment(tmp_path), tmp_path / "store", f"file://{tmp_path}/cache"
    path, (key, pair) = await a_built_path(tmp_path, nix), await a_key_file(tmp_path, nix)
    await commands.copy_to_cache(nix, [path], cache=cache, secret_key=key, deadline=120)
    await commands.copy_from_cache(nix, [path], cache=cache, store=store, trusted_keys=[pair.public], deadline=120)
    root = store / "nix/var/nix/gcroots/web-0"
    root.symlink_to(path)
    assert await commands.collect_garbage(nix, store=store, deadline=120) == 0
    root.unlink()
    assert await commands.collect_garbage(nix, store=store, deadline=120) == 1
    assert not Path(f"{store}{path}").exists()


async def test_an_unknown_path_is_none_and_has_no_log(tmp_path: Path) -> None:
    nix = an_environment(tmp_path)
    unknown = "/nix/store/" + "0" * 32 + "-nothing"
    for recursive in (False, True):
        assert await commands.path_info(nix, [unknown], deadline=120, recursive=recursive) == {unknown: None}
    with pytest.raises(NotFound):
        await commands.build_log(nix, unknown + ".drv")


async def test_metadata_and_the_lack_of_checks(tmp_path: Path) -> None:
    nix = an_environment(tmp_path)
    flake = await a_flake(tmp_path / "flake", nix, "{ outputs = _: { y.x86_64-linux = { b = 1; a = 2; }; }; }")
    metadata = await commands.flake_metadata(nix, flake, jail=Jail(), deadline=120)
    assert metadata.rev == flake.rev
    assert await commands.check_names(nix, flake, "x86_64-linux", jail=Jail(), deadline=120) == ()


async def test_a_commit_of_another_branch_of_a_bare_repository_is_found(tmp_path: Path) -> None:
    nix = an_environment(tmp_path)
    work = await a_flake(tmp_path / "work", nix, "{ outputs = _: { x = 7; }; }")
    bare = tmp_path / "bare.git"
    await run(("git", "init", "--quiet", "--bare", str(bare)), deadline=120, env=nix.env)
    await run(
        ("git", "push", "--quiet", str(bare), f"{work.rev}:refs/procurator/1"),
        deadline=120,
        env=nix.env,
        cwd=work.repository,
    )
    flake = type(work)(bare, "refs/procurator/1", work.rev)
    assert await commands.eval_json(nix, flake, "x", jail=Jail(), deadline=120) == 7


async def test_a_failing_evaluation_says_why_and_leaves_no_half_result(tmp_path: Path) -> None:
    nix = an_environment(tmp_path)
    flake = await a_flake(tmp_path / "flake", nix, '{ outputs = _: { x = { a = 1; b = throw "out of luck"; }; }; }')
    with pytest.raises(CommandFailed, match="error: out of luck") as caught:
        await commands.eval_json(nix, flake, "x", jail=Jail(), deadline=120)
    assert "@nix" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


async def test_an_endless_evaluation_ends_at_its_deadline(tmp_path: Path) -> None:
    nix = an_environment(tmp_path)
    endless = "let f = n: if n < 2 then n else f (n - 1) + f (n - 2); in f 90"
    flake = await a_flake(tmp_path / "flake", nix, f"{{ outputs = _: {{ x = {endless}; }}; }}")
    with pytest.raises(DeadlineExceeded):
        await commands.eval_json(nix, flake, "x", jail=Jail(), deadline=1)
    await until_none_names(str(tmp_path))
