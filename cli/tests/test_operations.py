"""The verbs that steer a cluster, each through a real session with a control plane in memory."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import CliRunner, Result

from cli.calling import in_pages
from cli.commands.token import milliseconds
from cli.executing import shown_exit_code
from cli.main import pcr
from cli.render.generations import diff_text
from cli.render.operations import rollout_text, worker_table
from cli.render.text import share
from cli.tests.builders import a_status, a_worker
from cli.tests.serving import Cluster, LoggingVm, a_cluster
from schema.errors import InvalidInput, ProcuratorError, Unavailable
from schema.generation_diff import Effect, FieldChange, GenerationDiff, VmChange
from schema.status import RolloutState
from schema.tests.rpc.operating import ADMISSION, EXPLANATION, GENERATION, HOLD, ROLLOUT


class Operated:
    """A cluster, `pcr` against it in this process, and what the control plane was asked to do."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    @property
    def did(self) -> list[tuple[object, ...]]:
        return self.cluster.did

    async def pcr(self, *argv: str, answer: str | None = None) -> Result:
        env = {"PROCURATOR_STATE": str(self.cluster.root), "HOME": str(self.cluster.root)}
        call = partial(CliRunner().invoke, pcr, argv, env=env, input=answer)
        return await trio.to_thread.run_sync(call)


class SilentVm(LoggingVm):
    """A VM whose worker cannot reach it."""

    async def get_logs(self, *_: Any, **__: Any) -> None:
        raise Unavailable("no guest channel")


@asynccontextmanager
async def operated(root: Path) -> AsyncIterator[Operated]:
    async with a_cluster(root, a_status()) as cluster:
        cluster.vms["web-0"] = LoggingVm("web-0", [])
        yield Operated(cluster)


@pytest.mark.parametrize(
    ("argv", "did"),
    [
        ("worker approve w-1", ("approve_worker", "w-1")),
        ("worker reject w-1 --reason no", ("reject_worker", "w-1", "no")),
        ("worker retire w-1 --reason old", ("retire_worker", "w-1", "old")),
        ("worker cordon w-1 --reason ram", ("cordon_worker", "w-1", True, "ram")),
        ("worker uncordon w-1", ("cordon_worker", "w-1", False, "")),
        ("worker drain w-1 --deadline 90 --reason ram", ("drain_worker", "w-1", 90_000, "ram")),
        ("rollout pause 3 --reason look", ("pause_rollout", 3, "look")),
        ("rollout pause", ("pause_rollout", ROLLOUT.generation, "")),
        ("rollout resume 3", ("resume_rollout", 3)),
        ("rollout abort 3 --reason bad", ("abort_rollout", 3, "bad")),
        ("hold lift h-1", ("lift_hold", "h-1")),
        ("rollback --to 2 --vm web --vm db --reason bad", ("hold", ("web", "db"), 2, "bad")),
        ("volume release db-0 --volume data --yes", ("release_volume", "db-0", "data")),
        ("token revoke ci", ("revoke_token", "ci")),
    ],
)
async def test_a_verb_asks_for_exactly_its_operation_and_says_what_was_done(
    tmp_path: Path, argv: str, did: tuple[object, ...]
) -> None:
    async with operated(tmp_path) as world:
        done = await world.pcr(*argv.split())
        assert done.exit_code == 0, done.output
        assert done.stdout.strip()
        assert world.did[-1] == did
        as_json = await world.pcr(*argv.split(), "-o", "json")
        assert as_json.exit_code == 0, as_json.output
        assert json.loads(as_json.stdout)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("worker ls", [ADMISSION.worker_id, "WORKER"]),
        ("rollout ls", [str(ROLLOUT.generation), "STATE"]),
        ("rollout status", ["generation", ROLLOUT.state.value]),
        ("generation ls", [str(GENERATION.number), "COMMIT"]),
        ("generation show 3", ["generation 3", "MEMORY"]),
        ("generation diff 3 3", ["generation 3 -> 3", "unchanged"]),
        ("hold ls", [HOLD.id]),
        ("token ls", ["TOKEN"]),
        ("audit", ["ACTION"]),
        ("audit verify", ["audit"]),
    ],
)
async def test_a_list_is_a_table_and_the_same_as_json(tmp_path: Path, argv: str, words: list[str]) -> None:
    async with operated(tmp_path) as world:
        shown = await world.pcr(*argv.split())
        assert not isinstance(shown.exception, ProcuratorError), shown.exception
        for word in words:
            assert word in shown.stdout, shown.stdout
        json.loads((await world.pcr(*argv.split(), "-o", "json")).stdout)


async def test_a_list_is_asked_for_until_there_are_as_many_as_were_wanted() -> None:
    asked: list[tuple[int, int]] = []

    async def page(*, limit: int, before: int) -> tuple[int, ...]:
        asked.append((limit, before))
        newest = (before or 301) - 1
        return tuple(range(newest, max(0, newest - min(limit, 100)), -1))

    assert await in_pages(page, number=int, limit=250, before=None) == tuple(range(300, 50, -1))
    assert asked == [(250, 0), (150, 201), (50, 101)]
    assert await in_pages(page, number=int, limit=20, before=4) == (3, 2, 1)


@pytest.mark.parametrize(
    "argv", ["worker drain w-1 --deadline {}", "rollout wait --timeout {}", "vm exec --timeout {} web-0 ls"]
)
@pytest.mark.parametrize("number", ["nan", "inf", "-1", "1e300"])
def test_what_is_no_number_of_seconds_is_refused(argv: str, number: str) -> None:
    assert CliRunner().invoke(pcr, argv.format(number).split()).exit_code == 2


async def test_a_rollout_that_waits_for_an_operator_says_what_goes_on() -> None:
    waiting = ROLLOUT.model_copy(update={"state": RolloutState.RUNNING})
    assert "`pcr rollout promote`" in rollout_text(waiting)
    assert "`pcr rollout resume`" in rollout_text(ROLLOUT.model_copy(update={"state": RolloutState.PAUSED}))
    assert "pcr rollout" not in rollout_text(ROLLOUT.model_copy(update={"state": RolloutState.SUCCEEDED}))


async def test_explain_says_why_there_and_why_not_elsewhere(tmp_path: Path) -> None:
    async with operated(tmp_path) as world:
        shown = await world.pcr("explain", EXPLANATION.instance)
        assert EXPLANATION.reasons[0] in shown.stdout
        assert "LACKS" in shown.stdout
        unknown = await world.pcr("explain", "nobody-0")
        assert unknown.exit_code == 1 and "nobody-0" in str(unknown.exception)


async def test_a_secret_is_printed_alone_and_once(tmp_path: Path) -> None:
    async with operated(tmp_path) as world:
        made = await world.pcr("token", "create", "ci", "--role", "publisher", "--lasts", "12h")
        assert made.exit_code == 0, made.output
        assert len(made.stdout.split()) == 1
        assert world.did[-1][0] == "create_token" and 12 * 3600 * 1000 in world.did[-1]
        joined = await world.pcr("worker", "token", "--worker", "w-2")
        assert len(joined.stdout.split()) == 1
        as_json = await world.pcr("worker", "token", "--worker", "w-2", "-o", "json")
        assert json.loads(as_json.stdout) == {"worker": "w-2", "secret": joined.stdout.strip()}


async def test_giving_up_a_volume_is_asked_about_when_there_is_one(tmp_path: Path) -> None:
    async with operated(tmp_path) as world:
        unknown = await world.pcr("volume", "release", "db-7", answer="y\n")
        assert "there is no instance 'db-7'" in str(unknown.exception) and "Go on?" not in unknown.output
        unknown = await world.pcr("volume", "release", "web-0", "--volume", "log", answer="y\n")
        assert "no volume 'log', only data" in str(unknown.exception) and "Go on?" not in unknown.output
        refused = await world.pcr("volume", "release", "web-0", answer="n\n")
        assert refused.exit_code == 1 and "Go on?" in refused.output
        assert not [one for one in world.did if one[0] == "release_volume"]
        await world.pcr("volume", "release", "web-0", "--volume", "data", answer="y\n")
        assert world.did[-1] == ("release_volume", "web-0", "data")


def test_what_is_placed_beyond_what_there_is_says_that_it_is_meant_so() -> None:
    assert (share(2, 2), share(3, 2), share(0, 0)) == ("2/2", "3/2 (1.5x, overcommitted)", "0/0")
    crowded = a_worker(ADMISSION.worker_id, cpu_used=ADMISSION.facts.cpu + 1)
    assert "overcommitted" in worker_table([ADMISSION], a_status(workers=(crowded,)))


def test_a_difference_names_a_new_toplevel_once() -> None:
    def changed(*fields: FieldChange) -> str:
        return diff_text(
            GenerationDiff(old=1, new=2, changed=(VmChange(vm="web", effect=Effect.CONTENT, fields=fields),))
        )

    old, new = "/nix/store/a-system", "/nix/store/b-system"
    toplevel = FieldChange(field="toplevel", old=f'"{old}"', new=f'"{new}"')
    same = FieldChange(field="cmdline", old=f'"quiet init={old}/init"', new=f'"quiet init={new}/init"')
    assert changed(same, toplevel).count(new) == 1 and "cmdline" not in changed(same, toplevel)
    other = same.model_copy(update={"new": f'"loud init={new}/init"'})
    shown = changed(other, toplevel)
    assert '"quiet init=<toplevel>/init" -> "loud init=<toplevel>/init"' in shown and shown.count(new) == 1
    assert "cmdline" in changed(same)


async def test_a_command_in_a_guest_has_its_output_and_its_exit_code(tmp_path: Path) -> None:
    async with operated(tmp_path) as world:
        done = await world.pcr("vm", "exec", "-i", "--timeout", "7", "web-0", "--", "ls", "-l", "/", answer="in")
        assert (done.exit_code, done.stdout_bytes, done.stderr_bytes) == (3, b"ls -l /in", b"\xff\x00")
        assert world.cluster.vms["web-0"].deadlines == [7000]
        as_json = json.loads((await world.pcr("vm", "exec", "-o", "json", "web-0", "ls")).stdout)
        assert (as_json["exitCode"], as_json["stdout"]) == (3, "ls")
        assert (await world.pcr("vm", "exec", "web-0")).exit_code == 2
        no_text = await world.pcr("vm", "exec", "web-0", "ls", "\udcff")
        assert "no text in UTF-8" in str(no_text.exception)


async def test_what_needs_a_terminal_says_so(tmp_path: Path) -> None:
    async with operated(tmp_path) as world:
        for argv in (("vm", "console", "web-0"), ("tui",)):
            refused = await world.pcr(*argv)
            assert refused.exit_code == 1 and "needs a terminal" in str(refused.exception)


def test_exit_codes_are_a_shells() -> None:
    assert [shown_exit_code(code) for code in (0, 3, -9, -15)] == [0, 3, 137, 143]


@pytest.mark.parametrize("text", ["", "0d", "12", "1w", "-1h", "9999999h", "1.5h"])
def test_a_wrong_time_is_named_with_the_right_form(text: str) -> None:
    with pytest.raises(InvalidInput, match="12h"):
        milliseconds(text)


def test_times_are_milliseconds() -> None:
    assert [milliseconds(text) for text in ("30m", "12h", "90d", "forever")] == [
        1_800_000,
        43_200_000,
        7_776_000_000,
        0,
    ]


async def test_what_fails_in_a_session_is_not_told_as_a_control_plane_that_is_not_there(tmp_path: Path) -> None:
    async with operated(tmp_path) as world:
        world.cluster.vms["web-0"] = SilentVm("web-0", [])
        refused = await world.pcr("vm", "logs", "web-0")
        assert str(refused.exception) == "no guest channel"
    unreached = await trio.to_thread.run_sync(
        partial(CliRunner().invoke, pcr, ["--connect", f"unix:{tmp_path}/nothing", "worker", "ls"])
    )
    assert "pcr up" in str(unreached.exception)
