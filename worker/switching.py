"""Whether a running VM can become its next System in place; pure, and it switches nothing.

In place goes what differs in its System alone: kernel, initrd, size, volumes and devices are a VM's for its life.
"""

import hashlib

from schema.blueprint import UpdateStrategy
from schema.errors import ProcuratorError
from schema.vmspec import VmSpec
from worker.vm_state import Content

MOST_LAYERS = 6
"""Closures that one VM has mounted at most, the booted one included; beyond it the VM is replaced (DESIGN §7)."""


class CannotSwitch(ProcuratorError):
    """The machine or the guest has no way to switch in place: the VM is to be replaced instead."""


class SwitchFailed(ProcuratorError):
    """The guest tried, the new System refused, and it is back at the one before."""


def layer_serial(content: Content) -> str:
    """By which the guest finds the disk of a further closure: 20 bytes, all that virtio has room for."""
    return f"layer-{hashlib.sha256(content.spec.toplevel.encode()).hexdigest()[:14]}"


def why_not_in_place(running: Content | None, target: Content, *, layers: tuple[str, ...]) -> str | None:
    """Why `target` needs a VM of its own instead of a switch; None where it can take the place of `running`."""
    if target.spec.update.strategy is not UpdateStrategy.SWITCH:
        return "its strategy is replace"
    if running is None:
        return "what runs is not known"
    if target.content_hash not in layers and len(layers) >= MOST_LAYERS:
        return f"{len(layers)} closures are mounted already"
    old, new = running.spec, target.spec
    differences = [name for name, same in _same(old, new).items() if not same]
    return f"another {differences[0]}" if differences else None


def _same(old: VmSpec, new: VmSpec) -> dict[str, bool]:
    return {
        "kernel": old.kernel == new.kernel,
        "initrd": old.initrd == new.initrd,
        "kernel command line": _without_init(old.cmdline) == _without_init(new.cmdline),
        "number of CPUs": old.cpu == new.cpu,
        "memory size": old.memory_mb == new.memory_mb,
        "set of volumes": {name: volume.size_mb for name, volume in old.volumes.items()}
        == {name: volume.size_mb for name, volume in new.volumes.items()},
        "network card": old.network.nic == new.network.nic,
        "set of extras": old.extras == new.extras,
        "kind of image": old.disk_image_path is None and new.disk_image_path is None,
    }


def _without_init(cmdline: str) -> list[str]:
    return [word for word in cmdline.split() if not word.startswith("init=")]
