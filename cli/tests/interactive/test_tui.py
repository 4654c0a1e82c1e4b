"""`pcr tui` on Textual's own test driver, against a control plane over a real socket."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio
from textual.widgets import DataTable, Static

from cli.interactive.app import ClusterApp, Detail
from cli.interactive.panes import filter_of, panes, vm_detail
from cli.interactive.source import Scene, Source
from cli.settings import Target
from cli.tests.builders import a_generation, a_status, a_vm, a_worker
from cli.tests.serving import Cluster, a_cluster
from schema.status import Convergence, RolloutState

SECONDS = 60.0


class Screen:
    """The app under its driver."""

    def __init__(self, app: ClusterApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot

    def text(self, name: str) -> str:
        return str(self.app.screen_stack[0].query_one(name, Static).render())

    def rows(self, name: str = "vms") -> list[list[str]]:
        table: DataTable[Any] = self.app.screen_stack[0].query_one(f"#{name}", DataTable)
        return [[str(cell) for cell in table.get_row(key)] for key in table.rows]

    def detail(self) -> str:
        """All about a line, once it is shown; nothing before."""
        shown = self.app.screen.query("#detail-text").results(Static) if isinstance(self.app.screen, Detail) else ()
        return "".join(str(one.render()) for one in shown)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not true():
                await self.pilot.pause(0.05)


async def on_screen(cluster: Cluster, play: Callable[[Screen], Awaitable[None]]) -> None:
    target = Target(f"unix:{cluster.socket}", None, "http://127.0.0.1:1")

    async def driven() -> None:
        app = ClusterApp(target)
        async with app.run_test(size=(160, 40)) as pilot:
            await play(Screen(app, pilot))

    await trio.to_thread.run_sync(asyncio.run, driven())


async def test_the_cluster_is_shown_and_follows_what_changes(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:

        async def play(screen: Screen) -> None:
            await screen.until(lambda: bool(screen.rows()))
            assert screen.text("#headline").startswith("example")
            assert "converged" in screen.text("#headline")
            assert [row[0] for row in screen.rows()] == ["web-0", "web-1"]
            assert [row[0] for row in screen.rows("workers")] == ["worker-0"]
            assert "rollout of generation" in screen.text("#rollout")
            newer = a_generation(4, RolloutState.RUNNING)
            cluster.status = a_status(Convergence.PROGRESSING, newer, reason="web-0 boots")
            await screen.until(lambda: "web-0 boots" in screen.text("#headline"))
            await screen.until(lambda: "4" in [row[0] for row in screen.rows("generations")])

        await on_screen(cluster, play)


async def test_a_filter_keeps_lines_with_all_its_words_until_it_is_cleared(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:

        async def play(screen: Screen) -> None:
            await screen.until(lambda: bool(screen.rows()))
            await screen.pilot.press("slash", *"WEB-1", "enter")
            await screen.until(lambda: [row[0] for row in screen.rows()] == ["web-1"])
            await screen.pilot.press("escape")
            await screen.until(lambda: len(screen.rows()) == 2)

        await on_screen(cluster, play)


async def test_enter_shows_all_about_a_line_and_escape_goes_back(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:

        async def play(screen: Screen) -> None:
            await screen.until(lambda: bool(screen.rows()))
            await screen.pilot.press("enter")
            await screen.until(lambda: "placement" in screen.detail())
            assert screen.detail().startswith("web-0")
            await screen.pilot.press("escape")
            await screen.until(lambda: not isinstance(screen.app.screen, Detail))
            await screen.pilot.press("2", "enter")
            await screen.until(lambda: "worker-0" in screen.detail())

        await on_screen(cluster, play)


async def test_a_control_plane_that_is_away_is_told_and_the_last_state_stays(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status(), control_plane=False) as cluster:

        async def play(screen: Screen) -> None:
            away = screen.app.screen_stack[0].query_one("#away", Static)
            await screen.until(lambda: bool(away.display))
            assert "trying again" in str(away.render())
            await screen.pilot.press("q")

        await on_screen(cluster, play)


async def test_a_question_about_a_vm_that_has_just_left_is_no_lost_connection(tmp_path: Path) -> None:
    async with a_cluster(tmp_path, a_status()) as cluster:
        scenes: list[Scene] = []
        target = Target(f"unix:{cluster.socket}", None, "http://127.0.0.1:1")
        source = Source(target, on_scene=scenes.append, on_explained=lambda _: None)
        source.start()
        try:
            with trio.fail_after(SECONDS):
                while not scenes:  # noqa: ASYNC110 - it is another thread's
                    await trio.sleep(0.02)
                source.explain("nobody-0")
                seen = len(scenes)
                while len(scenes) < seen + 2:  # noqa: ASYNC110 - as above
                    await trio.sleep(0.02)
        finally:
            await trio.to_thread.run_sync(source.stop)
        assert [scene.away for scene in scenes] == [""] * len(scenes)


def test_what_others_wrote_cannot_act_on_the_terminal() -> None:
    hostile = a_vm(reason="\x1b[2Jgone [bold]x[/bold]\nline", healthy=False)
    status = a_status().model_copy(update={"vms": (hostile,), "workers": (a_worker("w\x1b[1m"),)})
    found = panes(status)
    cells = [cell for pane in (found.vms, found.workers) for row in pane.rows for cell in row.cells]
    shown = " ".join(cells) + vm_detail(hostile, None)
    assert "\x1b" not in shown
    assert "[bold]x[/bold]" in shown, "brackets are text, not markup"


def test_a_large_fleet_is_cut_and_says_so() -> None:
    many = tuple(a_vm(f"web-{number}") for number in range(1500))
    found = panes(a_status().model_copy(update={"vms": many})).vms
    assert (len(found.rows), found.left_out) == (1000, 500)


def test_every_word_of_a_filter_must_be_there() -> None:
    keep = filter_of("web HEALTHY")
    assert keep("web-0 3 worker-0 healthy")
    assert not keep("db-0 healthy")
