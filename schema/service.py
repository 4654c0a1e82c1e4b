"""The frame of a service's program: options, settings, signals, readiness, exit codes; it knows no service.

`trio.run` holds two nested nurseries: the outer one listens to signals, the inner one is the service. The first
SIGTERM or SIGINT cancels the inner one and lets its clean-up run; a second one ends the process at once.

Exit codes: 0 told to stop and stopped; 1 an expected failure; 2 wrong options or settings; 70 a bug; 128 + n when a
second signal n cut the clean-up short.
"""

import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Generic, TypeVar

import click
import trio

from schema.errors import ProcuratorError
from schema.log import LogFormat, escape_controls, set_up_logging
from schema.settings import ServiceSettings, load

EXIT_FAILED = 1
EXIT_SETTINGS = 2
EXIT_BUG = 70

log = logging.getLogger(__name__)

S = TypeVar("S", bound=ServiceSettings)

Ready = Callable[[Mapping[str, str]], None]
"""What a service calls once with its addresses (`{"http": "127.0.0.1:7401", "socket": "/run/…"}`) when it listens."""

Run = Callable[[S, Ready], Awaitable[None]]
"""A service: runs until cancelled. It returns only when there is nothing left to do."""


@dataclass(frozen=True, slots=True)
class Instead(Generic[S]):
    """What a program does instead of serving when `flag` is given, as `procurator-worker --stop-vms` does."""

    flag: str
    help: str
    run: Callable[[S], Awaitable[None]]


def write_ready(path: Path, addresses: Mapping[str, str]) -> None:
    """Write `{"pid", "addresses"}` to `path` so that a reader sees all of it or nothing."""
    text = json.dumps({"pid": os.getpid(), "addresses": dict(addresses)}, sort_keys=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def procurator_version() -> str:
    """The installed version; `unknown` in a tree that is not installed."""
    try:
        return version("procurator")
    except PackageNotFoundError:
        return "unknown"


def service_main(name: str, settings: type[S], run: Run[S], *, instead: Sequence[Instead[S]] = ()) -> click.Command:
    """Make the program of the service `name`, which an `app.py` keeps as its `main`.

    The click command loads `settings` (`schema.settings.load`), sets up logging and runs `run(settings, ready)`
    under trio, or one of `instead` where its flag is given.
    """

    @click.command(name=f"procurator-{name}", context_settings={"help_option_names": ["-h", "--help"]})
    @click.option("--config", type=click.Path(path_type=Path), help="The settings file (TOML).")
    @click.option("--print-config", is_flag=True, help="Show each setting and where it came from, and exit.")
    @click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
    @click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
    @click.version_option(procurator_version())
    def command(
        *, config: Path | None, print_config: bool, log_format: LogFormat, log_level: str, **flags: bool
    ) -> None:
        try:
            loaded = load(settings, service=name, path=config, environ=os.environ)
        except ProcuratorError as error:
            click.echo(f"procurator-{name}: {error.message}", err=True)
            sys.exit(EXIT_SETTINGS)
        if print_config:
            for line in loaded.lines():
                click.echo(line)
            return
        set_up_logging(log_format=log_format, level=log_level)
        ready = partial(_announce, name, loaded.settings.runtime.ready_file)
        body: Callable[[], Awaitable[None]] = partial(run, loaded.settings, ready)
        for other in instead:
            if flags[_parameter(other.flag)]:
                body = partial(other.run, loaded.settings)
        sys.exit(run_until_signalled(name, body))

    for other in instead:
        command.params.append(click.Option([other.flag], is_flag=True, help=other.help))
    command.help = f"Run Procurator's {name} service."
    return command


def _parameter(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def _announce(name: str, ready_file: Path | None, addresses: Mapping[str, str]) -> None:
    log.info("%s listens on %s", name, ", ".join(f"{what} {where}" for what, where in addresses.items()))
    if ready_file is not None:
        write_ready(ready_file, addresses)


def run_until_signalled(name: str, body: Callable[[], Awaitable[None]]) -> int:
    """Run `body` under trio until it returns, fails or is told to stop; the program's exit code (see above).

    This is the one supervised edge of a service: what nobody below handled is logged here.
    """
    try:
        trio.run(until_signalled, name, body)
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:
        return _exit_code(name, error)
    return 0


async def until_signalled(name: str, body: Callable[[], Awaitable[None]]) -> None:
    """Run `body` until it returns or SIGTERM, SIGINT or a closed terminal (SIGHUP, unless under nohup) cancels it.

    A second SIGTERM or SIGINT ends the process at once; a second SIGHUP does not, for a shell repeats the kernel's.
    """
    async with trio.open_nursery() as signals:
        stopping = trio.CancelScope()
        await signals.start(_watch_signals, name, stopping)
        with stopping:
            await body()
        signals.cancel_scope.cancel()


async def _watch_signals(
    name: str, stopping: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, *hangup) as received:
        task_status.started()
        async for number in received:
            if stopping.cancel_called and number == signal.SIGHUP:
                continue
            if stopping.cancel_called:
                os._exit(128 + number)  # told twice: the clean-up is not waited for
            log.info("%s stops: %s", name, signal.Signals(number).name)
            stopping.cancel()


def causes(error: BaseException) -> Iterator[BaseException]:
    """What is behind an error that nurseries may have wrapped in groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from causes(inner)
    else:
        yield error


def _exit_code(name: str, error: BaseException) -> int:
    found = list(causes(error))
    expected = [cause for cause in found if isinstance(cause, ProcuratorError)]
    if len(expected) == len(found):
        for cause in expected:
            log.error("%s ends: %s", name, escape_controls(cause.message, keep_newlines=True))
        return EXIT_FAILED
    if all(isinstance(cause, KeyboardInterrupt) for cause in found):
        return 128 + signal.SIGINT
    log.critical("%s ends by a bug", name, exc_info=error)
    return EXIT_BUG
