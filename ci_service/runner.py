"""Run builds from the queue, one at a time, and write down every step before it is shown; each step lives elsewhere."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import trio

from ci_service import pipeline
from ci_service.building import Workshop, system_of
from ci_service.git import Commit, GitFetcher
from ci_service.logs import BuildLog, log_path
from ci_service.publishing import OpenMaster, Published, Publisher, Unchanged, directory_of, tracking_of
from ci_service.resolve import System, vm_specs
from ci_service.store import BuildStore
from ci_service.updates import Updates
from schema.blueprint import Blueprint
from schema.builds import Build, BuildState, CheckResult, StageName
from schema.errors import CommandFailed, Conflict, DeadlineExceeded, ProcuratorError, Unavailable
from schema.names import printable

log = logging.getLogger(__name__)

R = TypeVar("R")

AWAY_SECONDS = 2.0
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class StepFailed(Exception):
    """A stage could not do its work; carries its name and the story for the author."""

    def __init__(self, stage: StageName, error: str) -> None:
        super().__init__(error)
        self.stage = stage
        self.error = error


def explained(error: ProcuratorError) -> str:
    """One failure in words for its author: nix's `error:` line where a command failed, not the command."""
    if not isinstance(error, CommandFailed):
        return printable(error.message)
    lines = [line.strip() for line in printable(error.stderr.decode(errors="replace")).splitlines() if line.strip()]
    named = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    told = next((line for line in named if line), lines[-1] if lines else f"exit code {error.returncode}")
    why = next((line for line in lines if line.startswith("fatal:")), "")
    return f"{told}: {why}" if why and told.startswith("program '") else told  # nix names its git, and git the reason


@dataclass(slots=True)
class BuildRun:
    """One build on its way through the stages: its newest form, its log, and how both are kept."""

    build: Build
    log: BuildLog
    save: Callable[[Build], Awaitable[None]]
    now_ms: Callable[[], int]

    async def keep(self, build: Build) -> None:
        """Write the next form down, then show it."""
        self.build = build
        await self.save(build)

    @asynccontextmanager
    async def stage(self, name: StageName) -> AsyncIterator[list[str]]:
        """A stage around its work: what is put into the list becomes its detail. Raises StepFailed."""
        self.log.heading(name)
        await self.keep(pipeline.stage_started(self.build, name, now_ms=self.now_ms()))
        detail: list[str] = []
        try:
            yield detail
        except ProcuratorError as error:
            if not self.log.tail and isinstance(error, CommandFailed):
                self.log.line(error.stderr.decode(errors="replace"))
            raise StepFailed(name, explained(error)) from error
        if self.build.stage(name).duration_ms is None and self.build.state is BuildState.RUNNING:
            done = pipeline.stage_succeeded(self.build, name, now_ms=self.now_ms(), detail="; ".join(detail))
            await self.keep(done)


@dataclass(slots=True)
class Runner:
    """Takes builds from the store's queue. `wake` it on every push; it looks at the whole queue each time."""

    store: BuildStore
    updates: Updates
    fetcher: GitFetcher
    workshop: Workshop
    publisher: Publisher
    open_master: OpenMaster
    logs: Path
    now_ms: Callable[[], int]
    fetch_seconds: float
    publish_seconds: float
    push_seconds: float
    published: Callable[[], None]
    wake: trio.Event

    def nudge(self) -> None:
        """There may be something new to look at."""
        self.wake.set()

    async def run(self) -> None:
        """Work for ever: first what was left in the middle, then the queue. What cannot be written now waits."""
        while True:
            try:
                await self._work()
            except Unavailable as error:
                log.warning("builds wait: %s", error.message)
                await trio.sleep(AWAY_SECONDS)

    async def _work(self) -> None:
        for build in await self.store.in_state(BuildState.RUNNING):
            await self._run_build(build)
        while True:
            self.wake = trio.Event()
            queued = await self._next()
            if queued is None:
                await self.wake.wait()
            else:
                await self._run_build(queued)

    async def _next(self) -> Build | None:
        waiting = await self.store.in_state(BuildState.QUEUED)
        queue = [pipeline.Queued(build.id, build.repository, build.ref) for build in waiting]
        for build, queued in zip(waiting, queue, strict=True):
            newer = [other for other in queue if build.id in pipeline.superseded_by(other, [queued])]
            if not newer:
                return build
            await self._save(pipeline.superseded(build, by=newer[-1].id, now_ms=self.now_ms()))
        return None

    async def _save(self, build: Build) -> None:
        await self.store.save(build)
        self.updates.publish(build)

    async def _run_build(self, build: Build) -> None:
        build_log = BuildLog(log_path(self.logs, build.id))
        run = BuildRun(pipeline.started(build), build_log, self._save, self.now_ms)
        run.build = run.build.model_copy(update={"warnings": self.workshop.warnings})
        await run.keep(run.build)
        try:
            await self._stages(run)
        except StepFailed as failure:
            log.info("build %d: %s failed: %s", build.id, failure.stage, failure.error)
            await self._failed(run, failure.stage, failure.error)
        except Exception as error:  # the supervised edge: what a push makes of us must not stop the next one's build
            log.exception("build %d: a defect of CI", build.id)
            await self._failed(run, pipeline.running_stage(run.build), f"a defect of CI: {type(error).__name__}")

    async def _failed(self, run: BuildRun, stage: StageName, error: str) -> None:
        tail = tuple(run.log.tail)
        await run.keep(pipeline.failed(run.build, stage, now_ms=self.now_ms(), error=error, log_tail=tail))

    async def _stages(self, run: BuildRun) -> None:
        async with run.stage(StageName.EVALUATE) as detail:
            wanted = run.build
            commit = await self._patiently(
                lambda: self.fetcher.fetch(repository=wanted.repository, sha=wanted.commit, run_id=wanted.id),
                seconds=self.fetch_seconds,
                run=run,
            )
            await run.keep(run.build.model_copy(update={"subject": commit.subject, "author": commit.author}))
            commit = replace(commit, directory=await self._directory(run.build))
            blueprint = await self.workshop.evaluate(commit, run.log)
            detail.append(f"{sum(vm.replicas for vm in blueprint.vms.values())} VMs")
        await self._checks(run, commit)
        systems = await self._build(run, commit, blueprint)
        async with run.stage(StageName.PUSH) as detail:
            paths = sorted({system.toplevel for system in systems.values()})
            await self._patiently(
                lambda: self.workshop.push(run.build.repository, paths, run.log), seconds=self.push_seconds, run=run
            )
            detail.append(f"{len(paths)} closures")
        async with run.stage(StageName.PUBLISH):
            await self._publish(run, commit, blueprint, systems)

    async def _directory(self, build: Build) -> str:
        """Where the flake is; while the control plane is away it is taken to be at the root, and publishing checks."""
        try:
            async with self.open_master() as master:
                return directory_of(build, await master.get_cluster_status())
        except ProcuratorError as error:
            if not error.transient:
                raise
            return "."

    async def _checks(self, run: BuildRun, commit: Commit) -> None:
        async with run.stage(StageName.CHECKS) as detail:
            derivations = await self.workshop.check_derivations(commit, run.log)
            for name, derivation in sorted(derivations.items()):
                begun = self.now_ms()
                error = await _error_of(self.workshop.realise(commit, derivation, run.log, keep_as=f"check-{name}"))
                result = CheckResult(
                    name=name,
                    passed=error is None,
                    detail=explained(error) if error else "",
                    duration_ms=max(0, self.now_ms() - begun),
                )
                await run.keep(run.build.model_copy(update={"checks": (*run.build.checks, result)}))
            failed = [check.name for check in run.build.checks if not check.passed]
            if failed:
                words = f"{len(failed)} of {len(derivations)} flake checks failed: {', '.join(failed)}"
                raise StepFailed(StageName.CHECKS, words)
            detail.append(f"{len(derivations)} passed" if derivations else "the flake has no checks")

    async def _build(self, run: BuildRun, commit: Commit, blueprint: Blueprint) -> dict[str, System]:
        async with run.stage(StageName.BUILD) as detail:
            derivations = await self.workshop.system_derivations(commit, blueprint, run.log)
            built: dict[str, System] = {}
            for vm, derivation in sorted(derivations.items()):
                if derivation in built:
                    continue  # several VMs of one System
                run.log.line(f"building {vm}")
                try:
                    toplevel = await self.workshop.realise(commit, derivation, run.log, keep_as=f"system-{vm}")
                except ProcuratorError as error:
                    raise StepFailed(StageName.BUILD, f"{vm}: {explained(error)}") from error
                built[derivation] = system_of(toplevel)
            detail.append(f"{len(built)} Systems")
        return {vm: built[derivation] for vm, derivation in derivations.items()}

    async def _publish(self, run: BuildRun, commit: Commit, blueprint: Blueprint, systems: dict[str, System]) -> None:
        specs = vm_specs(blueprint, systems)
        build_id = run.build.id
        default_branch = await self.store.default_branch(build_id)

        async def attempt() -> None:
            async with self.open_master() as master:
                status = await master.get_cluster_status()
                tracking = tracking_of(run.build, status=status, default_branch=default_branch)
                if tracking.origin is None:
                    await run.keep(
                        pipeline.not_published(
                            run.build, BuildState.SUCCEEDED, now_ms=self.now_ms(), detail=tracking.reason
                        )
                    )
                    return
                if tracking.origin.path != commit.directory:
                    raise Conflict(
                        f"the realm tracks {tracking.origin}, and {commit.directory!r} was evaluated while the control "
                        "plane could not be asked: push again"
                    )
                result = await self.publisher.publish(
                    master,
                    build=run.build,
                    origin=tracking.origin,
                    blueprint=blueprint,
                    vm_specs=specs,
                    reserved=await self.store.reservation(build_id),
                    highest_reserved=await self.store.highest_reserved(),
                    reserve=lambda reservation: self.store.reserve(build_id, reservation),
                )
            await self._published(run, result)

        await self._patiently(attempt, seconds=self.publish_seconds, run=run)

    async def _published(self, run: BuildRun, result: Published | Unchanged) -> None:
        now = self.now_ms()
        await run.keep(run.build.model_copy(update={"generation": result.number}))
        if isinstance(result, Unchanged):
            detail = f"equal to generation {result.number}"
            await run.keep(pipeline.not_published(run.build, BuildState.UNCHANGED, now_ms=now, detail=detail))
            return
        await run.keep(pipeline.published(run.build, now_ms=now, detail=f"generation {result.number}"))
        self.published()

    async def _patiently(self, attempt: Callable[[], Awaitable[R]], *, seconds: float, run: BuildRun) -> R:
        """Try again what failed for a passing reason, for at most `seconds`."""
        give_up = trio.current_time() + seconds
        delays = iter(RETRY_SECONDS)
        while True:
            try:
                with trio.fail_at(give_up):
                    return await attempt()
            except trio.TooSlowError as error:
                raise DeadlineExceeded(f"not done within {seconds:g} s") from error
            except ProcuratorError as error:
                passing = error.transient or isinstance(error, CommandFailed)
                delay = next(delays, RETRY_SECONDS[-1])
                if not passing or trio.current_time() + delay >= give_up:
                    raise
                run.log.line(f"{explained(error)}; trying again in {delay:g} s")
                await trio.sleep(delay)


async def _error_of(work: Awaitable[object]) -> ProcuratorError | None:
    try:
        await work
    except ProcuratorError as error:
        return error
    return None
