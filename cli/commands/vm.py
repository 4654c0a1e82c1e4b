"""`pcr vm`: the instances, what their guests write, and commands in them; how they look is `cli.render`."""

import json
import sys
from typing import TextIO

import click

from cli import completing
from cli.options import SECONDS, OutputFormat, output_option, target_of
from schema.errors import InvalidInput

_MAX_TAIL = 1_000_000
MOST_INPUT = 1 << 20
"""Bytes, as `schema.interfaces.MAX_STDIN_BYTES`, which is not imported for `--help`."""


@click.group("vm")
def command() -> None:
    """Look at VMs and act in them."""


@command.command("ls")
@output_option
@click.pass_context
def list_vms(context: click.Context, *, output: OutputFormat) -> None:
    """List every instance, where it runs, how it is, and why."""
    from cli.asking import cluster_status
    from cli.render.values import as_json
    from cli.render.vms import vm_lines, vm_table

    found = vm_lines(cluster_status(target_of(context)))
    click.echo(as_json(found) if output == "json" else vm_table(found, wide=True))


@command.command("logs")
@click.argument("instance", shell_complete=completing.instances)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until the VM ends or Ctrl-C.")
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(0, _MAX_TAIL),
    default=0,
    show_default="all that is kept",
    help="Begin with the last N lines.",
)
@click.option("--hypervisor", is_flag=True, help="What its hypervisor said, instead of the guest's console.")
@click.option(
    "--worker",
    metavar="WORKER",
    default="",
    shell_complete=completing.workers,
    help="Where it is or was; default: the one that has it, else whichever still has its log.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Lines, or JSON a line.")
@click.pass_context
def show_logs(
    context: click.Context,
    *,
    instance: str,
    follow: bool,
    tail: int,
    hypervisor: bool,
    worker: str,
    output: OutputFormat,
) -> None:
    """Print what INSTANCE (`web-0`) wrote to its serial console, without its terminal escapes.

    Of a VM that has left its worker, that worker keeps the log for a week.
    """
    from cli.remains import vm_or_its_remains
    from cli.render.logs import LogLines
    from cli.session import control_plane, run_command
    from schema.interfaces import Role

    target = target_of(context)
    log = LogLines()

    def say(lines: list[str]) -> None:
        for line in lines:
            click.echo(json.dumps({"instance": instance, "line": line}) if output == "json" else line)

    class Printing:
        async def write(self, data: bytes) -> None:
            """`LogSink`."""
            say(log.feed(data))

    async def ask() -> None:
        async with control_plane(target, Role.VIEWER) as master:
            vm = await vm_or_its_remains(master, instance, worker=worker)
            await vm.get_logs(follow=follow, tail_lines=tail, sink=Printing(), hypervisor=hypervisor)

    try:
        run_command(ask)
    finally:
        say(log.end())


@command.command("exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("instance", shell_complete=completing.instances)
@click.argument("words", nargs=-1, required=True, metavar="[--] COMMAND [ARG]...", type=click.UNPROCESSED)
@click.option("-i", "--stdin", "with_input", is_flag=True, help="Feed the command with what comes in (1 MiB at most).")
@click.option("--timeout", type=SECONDS, default=60, show_default=True, help="Seconds until it is killed.")
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", help="Its words, or all as JSON."
)
@click.pass_context
def execute(
    context: click.Context, *, instance: str, words: tuple[str, ...], with_input: bool, timeout: float, output: str
) -> None:
    """Run COMMAND in INSTANCE (`web-0`), as root and without a shell in between; its exit code becomes ours.

    A command that a signal ended gives 128 and the signal's number. Its words lose their terminal escapes where they
    are shown on a terminal; into a file or a pipe they go as they are.
    """
    from cli.executing import execute_in, shown_exit_code

    given = words[1:] if words[:1] == ("--",) else words
    if not given:
        raise click.UsageError("no command was given")
    if any(map(_is_no_text, given)):
        raise InvalidInput("an argument is no text in UTF-8; feed such bytes with --stdin")
    data = sys.stdin.buffer.read(MOST_INPUT + 1) if with_input else b""
    if len(data) > MOST_INPUT:
        raise InvalidInput(f"more than {MOST_INPUT} bytes of input: copy them in pieces")
    done = execute_in(target_of(context), instance, given, stdin=data, timeout=timeout)
    if output == "json":
        texts = {"stdout": done.stdout.decode(errors="replace"), "stderr": done.stderr.decode(errors="replace")}
        click.echo(json.dumps({"instance": instance, "exitCode": done.exit_code, **texts}))
    else:
        _say(sys.stdout, done.stdout)
        _say(sys.stderr, done.stderr)
    sys.exit(shown_exit_code(done.exit_code))


@command.command("console")
@click.argument("instance", shell_complete=completing.instances)
@click.pass_context
def console(context: click.Context, *, instance: str) -> None:
    """Attach to the serial console of INSTANCE (`web-0`). Ctrl-] detaches; the VM goes on.

    What the guest writes goes to the terminal as it is, as any console's does: look at a VM that you do not trust with
    `pcr vm logs -f`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InvalidInput("pcr vm console needs a terminal; `pcr vm logs -f` and `pcr vm exec` are for programs")
    from cli.interactive.console import attach

    attach(target_of(context), instance)


def _is_no_text(word: str) -> bool:
    """Whether bytes of the command line stand in it that are no UTF-8 (PEP 383)."""
    return any("\ud800" <= character <= "\udfff" for character in word)


def _say(stream: TextIO, data: bytes) -> None:
    if not stream.isatty():
        stream.buffer.write(data)
        stream.buffer.flush()
        return
    from cli.render.text import lines

    stream.write(lines(data.decode(errors="replace")))
