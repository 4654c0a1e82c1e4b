"""A real Chromium looks at the pages: they change by themselves, without a reload, and work without JavaScript."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from playwright.sync_api import Browser, Page, expect, sync_playwright

from repohub.tests.running import FakeCi, FakeMaster, a_build, a_ci, a_repohub, a_status
from repohub.tests.test_pages import stages
from schema.builds import BuildState, StageState
from schema.status import Convergence

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

PATIENCE_MS = 60_000
"""The machine may be busy with others."""

pytestmark = pytest.mark.browser
expect.set_options(timeout=PATIENCE_MS)


def drive(script: Callable[[Browser], None]) -> Callable[[], None]:
    """`script` with a browser, to be run in a thread: Playwright's synchronous face has its own loop."""

    def run() -> None:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=PATIENCE_MS)
            try:
                script(browser)
            finally:
                browser.close()

    return run


def watched(browser: Browser, *, java_script_enabled: bool = True) -> tuple[Page, list[str]]:
    """A page that notes every complaint of the browser: script errors and breaches of the content policy."""
    page = browser.new_page(java_script_enabled=java_script_enabled)
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    return page, complaints


def in_trio(call: Callable[[], None]) -> None:
    """Change the world outside, from the browser's thread."""
    trio.from_thread.run_sync(call)


async def test_builds_log_and_cluster_change_on_the_page_without_a_reload(tmp_path: Path) -> None:
    ci, master = FakeCi(), FakeMaster(a_status(convergence=Convergence.PROGRESSING, reason="wave 1 of 2"))
    ci.show(a_build(1, stages=stages(StageState.RUNNING)), log="evaluating\n")

    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url, connect=master.connect) as hub:
        await hub.create()

        def script(browser: Browser) -> None:
            page, complaints = watched(browser)
            page.goto(f"{hub.url}/demo/example")
            page.evaluate("window.untouched = true")
            expect(page.locator("#part-builds")).to_contain_text("evaluate")
            expect(page.locator("#part-header")).to_contain_text("progressing")
            in_trio(lambda: ci.show(a_build(2, subject="A second push", state=BuildState.QUEUED)))
            expect(page.locator("#part-builds")).to_contain_text("A second push")
            in_trio(lambda: master.show(a_status(convergence=Convergence.CONVERGED, reason="all healthy")))
            expect(page.locator("#part-header")).to_contain_text("converged")
            assert page.evaluate("window.untouched") is True

            page.get_by_role("link", name="Say hello").click()
            expect(page.locator("#log")).to_have_text("evaluating\n")
            failed = stages(StageState.SUCCEEDED, StageState.FAILED)
            over = a_build(1, state=BuildState.FAILED, stages=failed, error="a check failed")
            in_trio(lambda: ci.show(over, log="evaluating\nchecks: <b>no</b>\n"))
            expect(page.locator("#log")).to_have_text("evaluating\nchecks: <b>no</b>\n")
            expect(page.locator("#part-build")).to_contain_text("a check failed")

            page.get_by_role("link", name="Cluster", exact=True).click()
            expect(page.locator("#part-cluster")).to_contain_text("all healthy")
            in_trio(lambda: master.show(a_status(convergence=Convergence.FAILED, reason="web-0 is not healthy")))
            expect(page.locator("#part-cluster")).to_contain_text("web-0 is not healthy")
            assert complaints == []

        await trio.to_thread.run_sync(drive(script))


async def test_without_javascript_everything_is_there_and_refreshes_itself(tmp_path: Path) -> None:
    ci = FakeCi()
    ci.show(a_build(1, stages=stages(StageState.RUNNING)), log="evaluating\n")

    async with a_ci(ci) as ci_url, a_repohub(tmp_path, ci_url=ci_url) as hub:
        await hub.create()

        def script(browser: Browser) -> None:
            page, complaints = watched(browser, java_script_enabled=False)
            page.goto(f"{hub.url}/demo/example/builds/1")
            expect(page.locator("#log")).to_have_text("evaluating\n")
            in_trio(lambda: ci.show(a_build(1, state=BuildState.SUCCEEDED), log="evaluating\ndone\n"))
            expect(page.locator("#log")).to_have_text("evaluating\ndone\n")
            assert complaints == []

        await trio.to_thread.run_sync(drive(script))
