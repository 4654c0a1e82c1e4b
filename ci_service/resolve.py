"""From a Blueprint and its built Systems to VmSpecs; it reads no store."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from schema.blueprint import Blueprint
from schema.canonical import Sealed, explain_validation
from schema.errors import InvalidInput
from schema.vmspec import VmSpec


@dataclass(frozen=True, slots=True)
class System:
    """A built System as read from its toplevel: `kernel` and `initrd` with links resolved, its kernel-params."""

    toplevel: str
    kernel: str
    initrd: str
    kernel_params: str

    @property
    def cmdline(self) -> str:
        """The kernel's command line: the NixOS contract (DESIGN §5)."""
        return f"{self.kernel_params} init={self.toplevel}/init".strip()


def vm_specs(blueprint: Blueprint, systems: Mapping[str, System]) -> tuple[Sealed[VmSpec], ...]:
    """One sealed VmSpec a VM, by name. Raises InvalidInput naming the VM whose System cannot be booted."""
    specs = []
    for name, vm in sorted(blueprint.vms.items()):
        system = systems[name]
        wanted = vm.model_dump(mode="python", by_alias=False)
        try:
            spec = VmSpec(
                name=name,
                toplevel=system.toplevel,
                kernel=system.kernel,
                initrd=system.initrd,
                cmdline=system.cmdline,
                **wanted,
            )
        except ValidationError as error:
            raise InvalidInput(f"the System of VM {name!r} cannot be booted: {explain_validation(error)}") from error
        specs.append(Sealed.of(spec))
    return tuple(specs)
