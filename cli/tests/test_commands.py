"""`pcr` as a program, against a control plane over a real unix socket and a CI over real HTTP."""

import json
import os
import sys
from pathlib import Path

import trio
from click.testing import CliRunner

from cli.main import COMMANDS, pcr
from cli.tests.builders import COMMIT, a_build, a_generation, a_status
from cli.tests.serving import LoggingVm, a_cluster
from nix.run import run
from schema.builds import BuildState
from schema.interfaces import Role
from schema.status import Convergence, RolloutState


async def test_status_is_a_table_or_json(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:
        shown = await cluster.pcr("status")
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.startswith(b"example  converged")
        as_json = json.loads((await cluster.pcr("status", "-o", "json")).stdout)
        assert as_json["cluster"] == "example"
        assert cluster.roles == [Role.VIEWER] * 2


async def test_vm_ls_lists_every_instance(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:
        shown = await cluster.pcr("vm", "ls")
        assert [line.split()[0] for line in shown.stdout.splitlines()] == [b"VM", b"web-0", b"web-1"]
        found = json.loads((await cluster.pcr("vm", "ls", "-o", "json")).stdout)
        assert [vm["instance"] for vm in found] == ["web-0", "web-1"]


async def test_vm_logs_are_safe_lines(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:
        vm = cluster.vms["web-0"] = LoggingVm("web-0", [b"boot\n\x1b[2", b"Jclean\n", b"tick\n"])
        assert (await cluster.pcr("vm", "logs", "web-0", "--tail", "5")).stdout == b"boot\nclean\ntick\n"
        followed = await cluster.pcr("vm", "logs", "-f", "web-0", "-o", "json")
        assert [json.loads(line)["line"] for line in followed.stdout.splitlines()][1:] == ["clean", *["tick"] * 4]
        assert vm.asked == [(False, 5), (True, 0)]


async def test_an_unknown_vm_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:
        failed = await cluster.pcr("vm", "logs", "nope-0")
        assert (failed.returncode, failed.stdout) == (1, b"")
        assert failed.stderr == b"pcr: no VM 'nope-0'\n"


async def test_where_nothing_listens_the_way_out_is_named_and_the_exit_code_is_75(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PROCURATOR_STATE": str(tmp_path)}
    failed = await run([sys.executable, "-m", "cli.main", "status"], deadline=120, env=env, check=False)
    assert failed.returncode == 75
    assert failed.stderr.count(b"\n") == 1
    assert b"pcr up" in failed.stderr
    assert b"--connect" in failed.stderr


async def test_over_tcp_a_token_file_must_be_private(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("x")
    (tmp_path / "token").chmod(0o644)
    argv = ["--connect", "127.0.0.1:1", "--token-file", str(tmp_path / "token"), "status"]
    env = {"HOME": str(tmp_path)}
    failed = await run([sys.executable, "-m", "cli.main", *argv], deadline=120, env=env, check=False)
    assert failed.returncode == 1
    assert b"chmod 0600" in failed.stderr


async def test_waiting_ends_with_the_rollout_and_its_exit_code(tmp_path: Path) -> None:
    running = a_status(Convergence.PROGRESSING, a_generation(4, RolloutState.RUNNING), reason="web-0 boots")
    async with a_cluster(tmp_path, running) as cluster, trio.open_nursery() as nursery:

        async def roll_back() -> None:
            await cluster.until_asked(2)
            failed = a_generation(4, RolloutState.ROLLED_BACK, reason="web-0: no answer")
            cluster.status = a_status(Convergence.FAILED, failed)

        nursery.start_soon(roll_back)
        ended = await cluster.pcr("rollout", "wait")
        assert ended.returncode == 3, ended.stderr
        assert ended.stdout == b"rolled-back: generation 4 (cccccccccc): web-0: no answer\n"
        assert ended.stderr == b"waiting: generation 4: web-0 boots\n"


async def test_waiting_for_a_commit_follows_its_build_to_its_rollout(tmp_path: Path) -> None:
    old = a_generation(2, commit="d" * 40)
    async with a_cluster(tmp_path, a_status(Convergence.CONVERGED, old)) as cluster, trio.open_nursery() as nursery:

        async def publish() -> None:
            await cluster.until_asked(2)
            cluster.builds = [a_build(BuildState.RUNNING)]
            await cluster.until_asked(4)
            cluster.status = a_status(Convergence.CONVERGED, a_generation(3), old)
            cluster.builds = [a_build(BuildState.PUBLISHED, generation=3)]

        nursery.start_soon(publish)
        ended = await cluster.pcr("rollout", "wait", "--commit", COMMIT, "-o", "json")
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["generation"] == 3
        assert ended.stderr.splitlines()[:2] == [
            f"waiting: no build of {COMMIT} is known yet".encode(),
            b"waiting: build 7: running",
        ]


async def test_a_commit_that_fails_before_it_is_published_exits_1_even_without_a_control_plane(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status(), control_plane=False) as cluster:
        cluster.builds = [a_build(BuildState.FAILED, error="evaluate failed", log_tail=("\x1b[31merror: x",))]
        ended = await cluster.pcr("rollout", "wait", "--commit", COMMIT[:9])
        assert ended.returncode == 1
        assert ended.stdout == b"failed: nothing published (cccccccccc): evaluate failed\n  | error: x\n"


async def test_waiting_has_an_end(tmp_path: Path) -> None:
    running = a_status(Convergence.PROGRESSING, a_generation(4, RolloutState.RUNNING))
    async with a_cluster(tmp_path, running) as cluster:
        ended = await cluster.pcr("rollout", "wait", "--timeout", "0.3")
        assert ended.returncode == 75
        assert b"not over after 0.3 s" in ended.stderr


def test_every_command_has_help_and_the_list_says_the_same() -> None:
    runner = CliRunner()
    listed = runner.invoke(pcr, ["--help"])
    assert listed.exit_code == 0
    for name in COMMANDS:
        assert name in listed.output
        assert runner.invoke(pcr, [name, "--help"]).exit_code == 0
    for nested in (["vm", "ls"], ["vm", "logs"], ["rollout", "wait"]):
        assert runner.invoke(pcr, [*nested, "--help"]).exit_code == 0


def test_wrong_options_are_exit_code_2() -> None:
    runner = CliRunner()
    for argv in (["nope"], ["status", "-o", "xml"], ["vm", "logs"], ["--connect", "a:1", "--socket", "/b", "status"]):
        assert runner.invoke(pcr, argv).exit_code == 2


def test_every_shell_gets_its_completion() -> None:
    for shell in ("bash", "zsh", "fish"):
        made = CliRunner().invoke(pcr, ["completion", shell])
        assert made.exit_code == 0
        assert "_PCR_COMPLETE" in made.output


async def test_completion_completes(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "_PCR_COMPLETE": "bash_complete", "COMP_WORDS": "pcr st", "COMP_CWORD": "1"}
    done = await run([sys.executable, "-m", "cli.main"], deadline=120, env=env, check=False)
    assert done.stdout == b"plain,status\n"


async def test_a_mistyped_commit_is_refused(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:
        for commit in ("main", "abc", "--", "x" * 40):
            refused = await cluster.pcr("rollout", "wait", f"--commit={commit}")
            assert refused.returncode == 1
            assert b"hexadecimal" in refused.stderr


async def test_the_start_of_status_loads_no_more_than_it_needs() -> None:
    """`pcr status` is asked for all the time: httpx, starlette, sqlalchemy and rich cost more than the answer."""
    code = (
        "import sys, cli.main, cli.commands.status, cli.asking, cli.render.status;"
        "print([name for name in ('trio', 'capnp', 'httpx', 'starlette', 'hypercorn', 'sqlalchemy', 'rich')"
        " if name in sys.modules])"
    )
    done = await run([sys.executable, "-c", code], deadline=120, env={})
    assert done.stdout == b"[]\n"


async def test_the_local_control_plane_is_asked_by_http_while_it_lives(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster, cluster.http() as address:
        ready = cluster.socket.parent / "control-plane.json"
        ready.write_text(json.dumps({"pid": os.getpid(), "addresses": {"http": address}}))
        assert (await cluster.pcr("status")).stdout.startswith(b"example  converged")
        assert cluster.roles == []
        ready.write_text(json.dumps({"pid": 2**22 + 1, "addresses": {"http": address}}))
        assert (await cluster.pcr("status")).stdout.startswith(b"example  converged")
        assert cluster.roles == [Role.VIEWER]


async def test_what_answers_by_http_but_is_no_control_plane_is_not_believed(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:
        ready = cluster.socket.parent / "control-plane.json"
        for address in (cluster.ci_url[7:], "127.0.0.1:1", "nonsense"):
            ready.write_text(json.dumps({"pid": os.getpid(), "addresses": {"http": address}}))
            assert (await cluster.pcr("vm", "ls")).stdout.startswith(b"VM")
        assert cluster.roles == [Role.VIEWER] * 3
