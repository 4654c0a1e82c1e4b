"""cloud-hypervisor's command line, as far as the dev hypervisor has it; it opens nothing."""

from typing import NamedTuple

USAGE = """Usage: {program} --api-socket PATH|path=PATH|fd=N [OPTIONS]

  --api-socket PATH           the REST API's unix socket
  --event-monitor path=FILE|fd=N
  --log-file FILE             log there instead of stderr
  --seccomp true|false|log|errno
  --no-shutdown               keep the process when the guest powers off
  -v                          log more (repeatable)
  -V, --version
  -h, --help
"""
DEV_USAGE = """
Only the dev hypervisor (QEMU) has:
  --dev-accel tcg|kvm         tcg by default; kvm is never tried unasked
  --dev-user-net DIRECTORY    no taps: a card called NAME gets what DIRECTORY/NAME.json says, by QEMU's user-mode
                              network. Needs no root. What leaves a guest is not enforced, and guests see nobody.
"""
SECCOMP = ("true", "false", "log", "errno")
ACCELERATORS = ("tcg", "kvm")


class UsageProblem(Exception):
    """Arguments that no run can start from: exit 2, with the usage on stderr."""


class Place(NamedTuple):
    """A path, or a file descriptor that the parent handed down."""

    path: str | None = None
    fd: int | None = None


class Options(NamedTuple):
    """What was asked for on the command line."""

    api_socket: Place | None = None
    event_monitor: Place | None = None
    log_file: str | None = None
    seccomp: str = "true"
    no_shutdown: bool = False
    verbosity: int = 0
    version: bool = False
    help: bool = False
    accelerator: str = "tcg"
    user_net: str | None = None


def parse(arguments: list[str]) -> Options:
    """Read the arguments after the program's name; raises UsageProblem."""
    if not arguments:
        raise UsageProblem("no API socket given")
    options = Options()
    rest = list(arguments)
    while rest:
        flag, equals, attached = rest.pop(0).partition("=")
        if flag in _SWITCHES or (flag.startswith("-v") and set(flag[1:]) == {"v"}):
            options = _switch(flag, options)
            continue
        if flag not in _VALUED:
            raise UsageProblem(f"unexpected argument '{flag}' found")
        if not equals and not rest:
            raise UsageProblem(f"a value is required for '{flag}'")
        options = _valued(flag, attached if equals else rest.pop(0), options)
    if options.api_socket is None and not (options.version or options.help):
        raise UsageProblem("no API socket given")
    return options


_SWITCHES = ("--no-shutdown", "-V", "--version", "-h", "--help")
_VALUED = ("--api-socket", "--event-monitor", "--log-file", "--seccomp", "--dev-accel", "--dev-user-net")


def _switch(flag: str, options: Options) -> Options:
    match flag:
        case "--no-shutdown":
            return options._replace(no_shutdown=True)
        case "-V" | "--version":
            return options._replace(version=True)
        case "-h" | "--help":
            return options._replace(help=True)
    return options._replace(verbosity=options.verbosity + len(flag) - 1)


def _valued(flag: str, value: str, options: Options) -> Options:
    match flag:
        case "--api-socket":
            return options._replace(api_socket=_place(flag, value))
        case "--event-monitor":
            return options._replace(event_monitor=_place(flag, value))
        case "--log-file":
            return options._replace(log_file=value)
        case "--dev-user-net":
            if not value.startswith("/"):
                raise UsageProblem(f"invalid value '{value}' for '{flag}': an absolute path is needed")
            return options._replace(user_net=value)
        case "--seccomp":
            return options._replace(seccomp=_choice(flag, value, SECCOMP))
    return options._replace(accelerator=_choice(flag, value, ACCELERATORS))


def _choice(flag: str, value: str, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise UsageProblem(f"invalid value '{value}' for '{flag}': one of {', '.join(choices)}")
    return value


def _place(flag: str, value: str) -> Place:
    if value.startswith("fd="):
        number = value.removeprefix("fd=")
        if not (number.isascii() and number.isdigit()):
            raise UsageProblem(f"invalid value '{value}' for '{flag}': fd=N needs a number")
        return Place(fd=int(number))
    path = value.removeprefix("path=")
    if not path:
        raise UsageProblem(f"invalid value '{value}' for '{flag}': an empty path")
    return Place(path=path)
