"""The order in which a generation's instances change: what others depend on comes first; it knows no health."""

from control_plane.state import Generation


def dependency_order(generation: Generation) -> tuple[str, ...]:
    """All instances, by the depth of their VM in the graph of `dependsOn`, then by name; cycles do not hang it."""
    depths: dict[str, int] = {}
    for vm in sorted(generation.vms):
        _depth(generation, vm, depths, above=())
    return tuple(sorted(generation.instances, key=lambda one: depths[_vm_of(one)]))  # which are in order by name


def _depth(generation: Generation, vm: str, depths: dict[str, int], *, above: tuple[str, ...]) -> int:
    if vm in depths:
        return depths[vm]
    needed = [other for other in generation.vms[vm].value.depends_on if other in generation.vms and other not in above]
    found = 1 + max((_depth(generation, other, depths, above=(*above, vm)) for other in needed), default=-1)
    depths[vm] = found
    return found


def _vm_of(instance: str) -> str:
    return instance.rpartition("-")[0]
