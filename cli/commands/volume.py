"""`pcr volume`: what volumes there are, giving up what keeps an instance on its worker, and deleting what is kept."""

import click

from cli import completing
from cli.options import OutputFormat, output_option


@click.group("volume")
def command() -> None:
    """Look at volumes, and act on them."""


@command.command("ls")
@output_option
@click.pass_context
def list_volumes(context: click.Context, *, output: OutputFormat) -> None:
    """List every volume on every worker that answers: in use, or kept of an instance that left."""
    from cli.calling import ask, show
    from cli.render.volumes import volume_table, volumes_of
    from schema.errors import ProcuratorError
    from schema.interfaces import Master, Role
    from schema.status import WorkerReport

    async def look(master: Master) -> tuple[tuple[WorkerReport, ...], tuple[str, ...]]:
        reports, silent = [], []
        for worker in (await master.get_cluster_status()).workers:
            try:
                reports.append(await (await master.get_worker(worker.worker_id)).read())
            except ProcuratorError:
                silent.append(worker.worker_id)
        return tuple(reports), tuple(silent)

    reports, silent = ask(context, Role.VIEWER, look)
    found = volumes_of(reports)
    show(found, lambda: volume_table(found), output=output)
    for worker_id in silent:
        click.echo(f"{worker_id} does not answer: what it has is not listed", err=True)


@command.command("rm")
@click.argument("worker", shell_complete=completing.workers)
@click.argument("volume", metavar="INSTANCE/NAME")
@click.option("--yes", is_flag=True, help="Do not ask: what is on it is lost.")
@output_option
@click.pass_context
def remove(context: click.Context, *, worker: str, volume: str, yes: bool, output: OutputFormat) -> None:
    """Delete a volume that WORKER keeps of an instance which is not there any more. Nothing else ever deletes one."""
    from cli.calling import ask, done
    from schema.interfaces import Master, Role

    instance, slash, name = volume.partition("/")
    if not (instance and slash and name):
        raise click.UsageError("name the volume as INSTANCE/NAME, as `pcr volume ls` does")
    if not yes:
        click.confirm(f"What is on {volume} of {worker} is lost for good. Go on?", abort=True, err=True)

    async def delete(master: Master) -> None:
        await (await master.get_worker(worker)).delete_volume(instance, name)

    ask(context, Role.ADMIN, delete)
    done(f"{volume} of {worker} is deleted", output=output, worker=worker, volume=volume)


@command.command("release")
@click.argument("instance", shell_complete=completing.instances)
@click.option("--volume", default="", help="Only this one; default: all of the instance.")
@click.option("--yes", is_flag=True, help="Do not ask: what is on it is not carried elsewhere.")
@output_option
@click.pass_context
def release(context: click.Context, *, instance: str, volume: str, yes: bool, output: OutputFormat) -> None:
    """Let INSTANCE be placed without its volume, which stays behind on its worker."""
    from cli.calling import ask, done
    from cli.render.volumes import check_there
    from schema.interfaces import Master, Role

    async def check(master: Master) -> None:
        status = await master.get_cluster_status()
        found = next((vm for vm in status.vms if vm.instance == instance), None)
        published = await master.get_generation(found.generation) if found and found.generation else None
        check_there(found, published, instance=instance, volume=volume)

    if not yes:
        ask(context, Role.OPERATOR, check)
        click.confirm(f"{instance} starts with an empty volume elsewhere. Go on?", abort=True, err=True)
    ask(context, Role.OPERATOR, lambda master: master.release_volume(instance, volume=volume))
    done(f"{instance} is no longer bound to its worker", output=output, instance=instance, volume=volume)
