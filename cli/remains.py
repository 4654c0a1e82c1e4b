"""Finds a VM, or the worker that still has the log of one that left; it prints nothing."""

from schema.errors import InvalidInput, NotFound, ProcuratorError, Unavailable
from schema.interfaces import Vm
from schema.rpc.client import RemoteMaster


async def vm_or_its_remains(master: RemoteMaster, instance: str, *, worker: str = "") -> Vm:
    """The instance on `worker`, else where it is placed, else on any worker that answers and knows of it.

    Raises NotFound.
    """
    if worker:
        return await (await master.get_worker(worker)).get_vm(instance)
    try:
        return await master.get_vm(instance)
    except (NotFound, Unavailable, InvalidInput) as error:
        for each in (await master.get_cluster_status()).workers:
            try:
                return await (await master.get_worker(each.worker_id)).get_vm(instance)
            except ProcuratorError:
                continue
        raise error from None
