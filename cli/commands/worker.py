"""`pcr worker`: who may work, who takes new VMs, and who leaves; how it looks is `cli.render.operations`."""

import click

from cli import completing
from cli.options import SECONDS, OutputFormat, output_option


@click.group("worker")
def command() -> None:
    """Look at workers, let them in, and take them out of service."""


_REASON = click.option("--reason", default="", metavar="TEXT", help="Kept in the audit and shown.")


@command.command("ls")
@output_option
@click.pass_context
def list_workers(context: click.Context, *, output: OutputFormat) -> None:
    """List every worker that ever asked to join, the pending ones first."""
    from cli.calling import ask, show
    from cli.render.operations import worker_table
    from schema.interfaces import Master, Role
    from schema.operations import WorkerAdmission
    from schema.status import ClusterStatus

    async def look(master: Master) -> tuple[tuple[WorkerAdmission, ...], ClusterStatus]:
        return await master.list_workers(), await master.get_cluster_status()

    admissions, status = ask(context, Role.VIEWER, look)
    show(admissions, lambda: worker_table(admissions, status), output=output)


@command.command("approve")
@click.argument("worker", shell_complete=completing.workers)
@output_option
@click.pass_context
def approve(context: click.Context, *, worker: str, output: OutputFormat) -> None:
    """Let WORKER in. Compare its key with what `pcr worker ls` shows first."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    ask(context, Role.ADMIN, lambda master: master.approve_worker(worker))
    done(f"{worker} may work", output=output, worker=worker, admission="approved")


@command.command("reject")
@click.argument("worker", shell_complete=completing.workers)
@_REASON
@output_option
@click.pass_context
def reject(context: click.Context, *, worker: str, reason: str, output: OutputFormat) -> None:
    """Refuse WORKER, which waits to be let in."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    ask(context, Role.ADMIN, lambda master: master.reject_worker(worker, reason=reason))
    done(f"{worker} is rejected", output=output, worker=worker, admission="rejected")


@command.command("retire")
@click.argument("worker", shell_complete=completing.workers)
@_REASON
@output_option
@click.pass_context
def retire(context: click.Context, *, worker: str, reason: str, output: OutputFormat) -> None:
    """Take WORKER out for good; its key is worth nothing any more. Drain it first."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    ask(context, Role.ADMIN, lambda master: master.retire_worker(worker, reason=reason))
    done(f"{worker} is retired", output=output, worker=worker, admission="retired")


@command.command("cordon")
@click.argument("worker", shell_complete=completing.workers)
@_REASON
@output_option
@click.pass_context
def cordon(context: click.Context, *, worker: str, reason: str, output: OutputFormat) -> None:
    """Place nothing new on WORKER; what runs there stays."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    ask(context, Role.OPERATOR, lambda master: master.cordon_worker(worker, cordoned=True, reason=reason))
    done(f"{worker} takes no new VMs", output=output, worker=worker, cordoned=True)


@command.command("uncordon")
@click.argument("worker", shell_complete=completing.workers)
@output_option
@click.pass_context
def uncordon(context: click.Context, *, worker: str, output: OutputFormat) -> None:
    """Let WORKER take new VMs again; this ends a drain, too."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    ask(context, Role.OPERATOR, lambda master: master.cordon_worker(worker, cordoned=False, reason=""))
    done(f"{worker} takes new VMs", output=output, worker=worker, cordoned=False)


@command.command("drain")
@click.argument("worker", shell_complete=completing.workers)
@click.option("--deadline", type=SECONDS, default=0, help="Seconds; 0: as long as it needs.")
@_REASON
@output_option
@click.pass_context
def drain(context: click.Context, *, worker: str, deadline: float, reason: str, output: OutputFormat) -> None:
    """Move the VMs of WORKER elsewhere, one of a kind at a time; those with a kept volume stop until `uncordon`."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    limit_ms = int(deadline * 1000)
    ask(context, Role.OPERATOR, lambda master: master.drain_worker(worker, deadline_ms=limit_ms, reason=reason))
    done(f"{worker} is being drained: follow it with `pcr worker ls`", output=output, worker=worker, draining=True)


@command.command("token")
@click.option("--worker", default="", help="The only worker that it lets in; default: any one.")
@output_option
@click.pass_context
def token(context: click.Context, *, worker: str, output: OutputFormat) -> None:
    """Make a secret that lets one worker join within 15 minutes. It is printed once."""
    from cli.calling import ask, done
    from schema.interfaces import Role

    secret = ask(context, Role.ADMIN, lambda master: master.create_join_token(worker_id=worker))
    done(secret, output=output, worker=worker, secret=secret)
