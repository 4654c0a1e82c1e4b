"""The dev hypervisor's program `procurator-vmm`: cloud-hypervisor's API and life over QEMU; the parts decide."""

import sys
from collections.abc import Callable

from worker.vmm.dev.command_line import Options
from worker.vmm.dev.process import run
from worker.vmm.dev.qemu_guest import QemuGuest

PROGRAM = "procurator-vmm"


def make_guest(options: Options, log: Callable[[str], None]) -> QemuGuest:
    """The QEMU guest that the command line asks for."""
    if options.user_net is not None:
        log("user-mode network: what leaves a guest is not enforced")
    return QemuGuest(
        accelerator=options.accelerator, sandbox=options.seccomp == "true", user_net=options.user_net, log=log
    )


def main() -> None:
    """Run the dev hypervisor; exits as the real one does."""
    sys.exit(run(PROGRAM, sys.argv[1:], make_guest))


if __name__ == "__main__":
    main()
