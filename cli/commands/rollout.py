"""`pcr rollout`: wait for one to end; what its end means is `cli.waiting`."""

import sys
from functools import partial

import click

from cli.options import OutputFormat, output_option, target_of
from schema.errors import DeadlineExceeded, InvalidInput


@click.group("rollout")
def command() -> None:
    """Follow rollouts."""


EXIT_CODES = """\b
Exit codes: 0 converged, 1 failed (with --commit: also before it was published),
3 rolled back, 4 aborted, 6 held, 75 not over within --timeout.
"""


@command.command("wait", epilog=EXIT_CODES)
@click.option("--commit", help="Wait for this commit (at least 7 of its characters): its build, then its rollout.")
@click.option("--timeout", type=click.FloatRange(0), default=600, show_default=True, help="Seconds.")
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
