"""`pcr-test`: calls to a throw-away control plane that no person makes; made-up content is `cli.testing.made_up`.

Exit codes as `pcr`. The session's role is admin: over the unix socket that is root's and the control plane's own uid.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

import click
import trio
from pydantic import ValidationError

from cli.lazy import fail
from cli.options import target_of
from cli.session import control_plane, run_command
from cli.settings import Options, Target
from cli.testing.made_up import made_up_publish, parse_origin
from schema.assignment import Seen
from schema.canonical import Sealed, explain_validation
from schema.errors import InvalidInput, ProcuratorError
from schema.interfaces import Role
from schema.rpc.client import RemoteMaster
from schema.signing import SecretKey
from schema.status import WorkerReport

T = TypeVar("T")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--connect", metavar="ADDRESS", help="The control plane: unix:/path, /path or host:port.")
@click.option("--token-file", type=click.Path(path_type=Path), help="The token for host:port (mode 0600).")
@click.pass_context
def pcr_test(context: click.Context, *, connect: str | None, token_file: Path | None) -> None:
    """Speak to a throw-away control plane as CI or a worker would."""
    context.obj = Options(connect=connect, token_file=token_file)


@pcr_test.group()
def state() -> None:
    """As CI."""


@state.command("publish")
@click.option("-c", "--commit", required=True, help="40 hexadecimal characters.")
@click.option("-g", "--generation", type=click.IntRange(1), required=True)
@click.option("-i", "--intent-hash", help="Claim this hash instead of the right one.")
@click.option("-n", "--count", type=click.IntRange(0, 100_000), required=True, help="How many VMs.")
@click.option("--key", type=click.Path(path_type=Path), required=True, help="The secret key of a pinned publisher.")
@click.option("--origin", default="demo/example", show_default=True, help="owner/name[:branch[:path]]")
@click.option("--cluster", default="example", show_default=True)
@click.pass_context
def publish(
    context: click.Context,
    *,
    commit: str,
    generation: int,
    intent_hash: str | None,
    count: int,
    key: Path,
    origin: str,
    cluster: str,
) -> None:
    """Publish made-up VMs; a wrong hash is refused, and the refusal names the right one."""
    try:
        made_up = made_up_publish(
            commit=commit,
            number=generation,
            count=count,
            origin=parse_origin(origin),
            cluster=cluster,
            key=_read_key(key),
            intent_hash=intent_hash,
        )
    except ValidationError as error:  # a commit or a cluster that is none
        raise InvalidInput(f"no such publish can be made: {explain_validation(error)}") from error
    receipt = _call(target_of(context), lambda master: master.publish_state(made_up))
    word = "created" if receipt.created else "was there already"
    click.echo(f"generation {receipt.number} {word}, intentHash {receipt.intent_hash}")


@pcr_test.group()
def worker() -> None:
    """As a worker."""


@worker.command("get-assignment")
@click.argument("worker_id")
@click.option("--epoch", help="With --revision: what the worker has seen.")
@click.option("--revision", type=click.IntRange(0))
@click.option("--timeout", type=click.FloatRange(0), default=30.0, show_default=True, help="Seconds.")
@click.pass_context
def get_assignment(
    context: click.Context, *, worker_id: str, epoch: str | None, revision: int | None, timeout: float
) -> None:
    """Print the assignment of WORKER_ID as it was signed; nothing when it has not changed."""
    if (epoch is None) != (revision is None):
        raise click.UsageError("--epoch and --revision go together")
    seen = Seen(epoch, revision) if epoch is not None and revision is not None else None
    signed = _call(target_of(context), lambda master: master.get_assignment(worker_id, seen), timeout=timeout)
    if signed is None:
        click.echo("unchanged", err=True)
        return
    click.echo(signed.data)
    click.echo(f"signature {signed.signature}", err=True)


@worker.command("push-data")
@click.argument("worker_id")
@click.option("--report", type=click.File("rb"), help="A WorkerReport as JSON (- for stdin); else an empty one.")
@click.option("--generation", type=click.IntRange(0), default=0, help="The observed generation of the empty one.")
@click.pass_context
def push_data(context: click.Context, *, worker_id: str, report: BinaryIO | None, generation: int) -> None:
    """Report for WORKER_ID, and print what the control plane answers."""
    if report is not None:
        pushed = Sealed.parse(WorkerReport, report.read()).value.model_copy(update={"worker_id": worker_id})
    else:
        pushed = WorkerReport(worker_id=worker_id, observed_generation=generation)
    reply = _call(target_of(context), lambda master: master.push_data(pushed))
    click.echo(reply.model_dump_json(by_alias=True, indent=2))


@pcr_test.group()
def control() -> None:
    """As anybody who may look."""


@control.command("status")
@click.pass_context
def status(context: click.Context) -> None:
    """Print the whole cluster status as JSON, as it came."""
    found = _call(target_of(context), lambda master: master.get_cluster_status())
    click.echo(found.model_dump_json(by_alias=True, indent=2))


def _call(target: Target, call: Callable[[RemoteMaster], Awaitable[T]], *, timeout: float = 60.0) -> T:
    async def body() -> T:
        with trio.fail_after(timeout):
            async with control_plane(target, Role.ADMIN) as master:
                return await call(master)

    return run_command(body)


def _read_key(path: Path) -> SecretKey:
    try:
        return SecretKey.parse(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--key {path}: {error}") from error


def main() -> None:
    """The program `pcr-test`."""
    try:
        pcr_test(prog_name="pcr-test")
    except ProcuratorError as error:
        sys.exit(fail("pcr-test", error))


if __name__ == "__main__":
    main()
