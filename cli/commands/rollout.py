"""`pcr rollout`: see a rollout, steer it, wait for its end; what its end means is `cli.waiting`."""

import sys
from functools import partial

import click

from cli import completing
from cli.options import SECONDS, OutputFormat, output_option, target_of
from schema.errors import DeadlineExceeded, InvalidInput


@click.group("rollout")
def command() -> None:
    """Look at rollouts and steer them."""


_GENERATION = click.argument(
    "generation", shell_complete=completing.generations, type=click.IntRange(1), required=False
)
_REASON = click.option("--reason", default="", metavar="TEXT", help="Kept in the audit and shown.")


@command.command("ls")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--before", type=click.IntRange(1), default=None, help="Only generations below this number.")
@output_option
@click.pass_context
def list_rollouts(context: click.Context, *, limit: int, before: int | None, output: OutputFormat) -> None:
    """List rollouts, the newest first."""
    from cli.calling import ask, in_pages, show
    from cli.render.operations import rollout_table
    from schema.interfaces import Role

    found = ask(
        context,
        Role.VIEWER,
        lambda master: in_pages(master.list_rollouts, number=lambda one: one.generation, limit=limit, before=before),
    )
    show(found, lambda: rollout_table(found), output=output)


@command.command("status")
@_GENERATION
@output_option
@click.pass_context
def status(context: click.Context, *, generation: int | None, output: OutputFormat) -> None:
    """Show the rollout of GENERATION (default: the newest): its waves, and what did not get healthy."""
    from cli.calling import ask, show
    from cli.render.operations import rollout_text
    from schema.errors import NotFound
    from schema.interfaces import Role

    before = generation + 1 if generation else 0
    found = ask(context, Role.VIEWER, lambda master: master.list_rollouts(limit=1, before=before))
    if not found or generation not in (None, found[0].generation):
        raise NotFound(f"there is no rollout of generation {generation}" if generation else "nothing is published yet")
    show(found[0], lambda: rollout_text(found[0]), output=output)


@command.command("pause")
@_GENERATION
@_REASON
@output_option
@click.pass_context
def pause(context: click.Context, *, generation: int | None, reason: str, output: OutputFormat) -> None:
    """Begin nothing more of a rollout; what has begun goes on."""
    _steer(context, "pause", generation, reason=reason, output=output)


@command.command("resume")
@_GENERATION
@output_option
@click.pass_context
def resume(context: click.Context, *, generation: int | None, output: OutputFormat) -> None:
    """Go on with a paused rollout."""
    _steer(context, "resume", generation, reason="", output=output)


@command.command("promote")
@_GENERATION
@output_option
@click.pass_context
def promote(context: click.Context, *, generation: int | None, output: OutputFormat) -> None:
    """Open the next wave, which waits for approval."""
    _steer(context, "promote", generation, reason="", output=output)


@command.command("abort")
@_GENERATION
@_REASON
@output_option
@click.pass_context
def abort(context: click.Context, *, generation: int | None, reason: str, output: OutputFormat) -> None:
    """End a rollout where it is: nothing goes on, and nothing goes back."""
    _steer(context, "abort", generation, reason=reason, output=output)


def _steer(context: click.Context, verb: str, generation: int | None, *, reason: str, output: OutputFormat) -> None:
    """Carry out one operation on a rollout, by default on the newest, and say so."""
    from cli.calling import ask, done
    from schema.errors import NotFound
    from schema.interfaces import Master, Role

    async def call(master: Master) -> int:
        newest = await master.list_rollouts(limit=1, before=0)
        if not newest:
            raise NotFound("nothing is published yet")
        number = generation or newest[0].generation
        match verb:
            case "pause":
                await master.pause_rollout(number, reason=reason)
            case "resume":
                await master.resume_rollout(number)
            case "promote":
                await master.promote_rollout(number)
            case _:
                await master.abort_rollout(number, reason=reason)
        return number

    number = ask(context, Role.OPERATOR, call)
    words = {"pause": "paused", "resume": "resumed", "promote": "promoted", "abort": "aborted"}[verb]
    done(f"the rollout of generation {number} is {words}", output=output, generation=number, done=words)


EXIT_CODES = """\b
Exit codes: 0 converged, 1 failed (with --commit: also before it was published),
3 rolled back, 4 aborted, 6 held, 75 not over within --timeout.
"""


@command.command("wait", epilog=EXIT_CODES)
@click.option("--commit", help="Wait for this commit (at least 7 of its characters): its build, then its rollout.")
@click.option("--timeout", type=SECONDS, default=600, show_default=True, help="Seconds.")
@output_option
@click.pass_context
def wait(context: click.Context, *, commit: str | None, timeout: float, output: OutputFormat) -> None:
    """Wait until the newest generation, or that of a commit, has converged or will not."""
    from cli.render.text import cell, lines
    from cli.render.values import as_json
    from cli.render.verdict import verdict_text, verdict_view
    from cli.session import run_command
    from cli.watching import wait_until_over

    if commit is not None and not _is_commit(commit):
        raise InvalidInput(f"--commit {cell(commit)!r}: give 7 to 64 hexadecimal characters of a commit")

    def say(stage: str) -> None:
        click.echo(f"waiting: {cell(stage)}", err=True)

    target = target_of(context)
    verdict = run_command(partial(wait_until_over, target, commit=commit, timeout=timeout, on_stage=say))
    if verdict is None:
        raise DeadlineExceeded(
            f"not over after {timeout:g} s: look with `pcr status`, or wait on with a longer --timeout"
        )
    click.echo(as_json(verdict_view(verdict)) if output == "json" else lines(verdict_text(verdict)))
    sys.exit(verdict.outcome.exit_code)


def _is_commit(text: str) -> bool:
    return 7 <= len(text) <= 64 and all(character in "0123456789abcdef" for character in text)
