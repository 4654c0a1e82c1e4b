"""One cluster status: by HTTP from the local control plane, which is quick, else over RPC; it prints nothing."""

from cli.quick import local_http, read_status
from cli.settings import Target
from schema.status import ClusterStatus


def cluster_status(target: Target) -> ClusterStatus:
    """What `target` says now. Raises what `cli.session.control_plane` raises."""
    where = local_http(target.local_ready) if target.local_ready else None
    answer = read_status(where) if where else None
    if answer is not None:
        from pydantic import ValidationError

        try:
            return ClusterStatus.model_validate_json(answer)
        except ValidationError:
            pass  # not our control plane, or another version of it: RPC says which
    return _over_rpc(target)


def _over_rpc(target: Target) -> ClusterStatus:
    from cli.session import control_plane, run_command
    from schema.interfaces import Role

    async def ask() -> ClusterStatus:
        async with control_plane(target, Role.VIEWER) as master:
            return await master.get_cluster_status()

    return run_command(ask)
