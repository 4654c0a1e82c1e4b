"""Whether this kernel has Landlock; the hypervisor puts itself under it, by the rules in `vm.create`."""

import ctypes

_CREATE_RULESET = 444
_WHICH_VERSION = 1


def has_landlock() -> bool:
    """Ask the kernel for the version of its Landlock (landlock_create_ruleset(2))."""
    return int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, 0, _WHICH_VERSION)) > 0
