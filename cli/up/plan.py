"""Which services make a local cluster, on which ports and by which settings; it writes and starts nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.up.layout import Files, StateDir
from schema.errors import InvalidInput
from schema.signing import PublicKey

HOST = "127.0.0.1"
WORKER_PORT_STEP = 10
MAX_WORKERS = 100
_HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports of a local cluster: DESIGN §2's plus an offset."""

    offset: int

    @property
    def rpc(self) -> int:
        """The control plane's Cap'n Proto."""
        return 7400 + self.offset

    @property
    def control_plane(self) -> int:
        """The control plane's HTTP."""
        return 7401 + self.offset

    @property
    def ci(self) -> int:
        """CI's HTTP."""
        return 7403 + self.offset

    @property
    def cache(self) -> int:
        """The binary cache."""
        return 7404 + self.offset

    @property
    def repohub(self) -> int:
        """Pages and git."""
        return 3001 + self.offset

    def worker(self, number: int) -> int:
        """The HTTP port of worker `number`, from 0."""
        return 7402 + self.offset + WORKER_PORT_STEP * number

    def by_service(self, *, workers: int) -> dict[int, str]:
        """Every port with who wants it. Raises InvalidInput where there is no such port."""
        found = {
            self.rpc: "control-plane",
            self.control_plane: "control-plane",
            self.ci: "ci",
            self.cache: "cache",
            self.repohub: "repohub",
        }
        found |= {self.worker(number): worker_name(number) for number in range(workers)}
        if min(found) < 1 or max(found) > _HIGHEST_PORT:
            raise InvalidInput(f"a port offset of {self.offset} leads outside of 1 to {_HIGHEST_PORT}")
        return found


@dataclass(frozen=True, slots=True)
class Trust:
    """The public keys that the services pin."""

    ci: PublicKey
    control_plane: PublicKey


@dataclass(frozen=True, slots=True)
class Choices:
    """What is decided once for a state directory. `network_range` is the /16 that the workers' subnets come from.

    `tls_names` are further names and addresses that the control plane's certificate is for: who lets other machines
    reach it adds them in `etc/up.toml`.
    """

    network_range: str
    port_offset: int
    tls_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A service to run: its name here (`worker-0`), its program and the settings file.

    `reads` are files that it reads at its start only: it is started again where one has changed.
    """

    name: str
    executable: str
    settings: Path
    reads: tuple[Path, ...] = ()


def worker_name(number: int) -> str:
    """`worker-0`."""
    return f"worker-{number}"


def programs(state: StateDir, *, workers: int) -> tuple[Program, ...]:
    """The services in the order in which they are started."""
    if not 1 <= workers <= MAX_WORKERS:
        raise InvalidInput(f"a local cluster has 1 to {MAX_WORKERS} workers, not {workers}")
    fixed = {"control-plane": "control-plane", "repohub": "repohub", "ci": "ci", "cache": "cache"}
    named = fixed | {worker_name(number): "worker" for number in range(workers)}
    reads = {"control-plane": (Files(state.tls).certificate,)}
    return tuple(
        Program(name, f"procurator-{kind}", state.settings(name), reads.get(name, ())) for name, kind in named.items()
    )


def tls_names(choices: Choices) -> tuple[str, ...]:
    """What the control plane is called: by this machine, and by `choices`."""
    return ("localhost", HOST, "::1", *choices.tls_names)


def settings_of(
    state: StateDir,
    *,
    choices: Choices,
    workers: int,
    trust: Trust,
    executables: Path,
    allowed_paths: tuple[Path, ...],
    user_network: bool = False,
) -> dict[str, dict[str, Any]]:
    """Each service's settings by its name, as its own loader takes them.

    `executables` is the directory of our programs; `allowed_paths` are what CI's evaluations may read beside the
    pushed commit. `user_network` gives the VMs the network for development without root.
    """
    ports = Ports(choices.port_offset)
    services: dict[str, dict[str, Any]] = {
        "control-plane": _control_plane(state, ports, trust, network_range=choices.network_range),
        "cache": _cache(state, ports, trust),
        "ci": _ci(state, ports, allowed_paths=allowed_paths),
        "repohub": _repohub(state, ports),
    }
    for number in range(workers):
        worker = _worker(state, ports, trust, number=number, executables=executables)
        if user_network:
            worker["hypervisor"]["user_mode_network"] = True
        services[worker_name(number)] = worker
    for name, settings in services.items():
        settings["runtime"] = {"ready_file": str(state.ready(name))}
    return services


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _control_plane(state: StateDir, ports: Ports, trust: Trust, *, network_range: str) -> dict[str, Any]:
    return {
        "listen": {
            "rpc": f"{HOST}:{ports.rpc}",
            "socket": str(state.socket),
            "http": f"{HOST}:{ports.control_plane}",
        },
        "tls": {"certificate": str(Files(state.tls).certificate), "key": str(Files(state.tls).key)},
        "database": {"url": f"sqlite:///{state.data('control-plane') / 'state.sqlite'}"},
        "keys": {"assignment": str(state.keys / "control-plane"), "publishers": [str(trust.ci)]},
        "network": {"range": network_range},
        # Our own workers ask over the unix socket as our own uid: nobody has to let them in.
        "workers": {"policy": "auto"},
    }


def _cache(state: StateDir, ports: Ports, trust: Trust) -> dict[str, Any]:
    return {
        "directory": str(state.data("cache")),
        "upload_token_file": str(state.tokens / "cache-upload"),
        "public_keys": [str(trust.ci)],
        "listen": {"http": f"{HOST}:{ports.cache}"},
    }


def _ci(state: StateDir, ports: Ports, *, allowed_paths: tuple[Path, ...]) -> dict[str, Any]:
    return {
        "state": str(state.data("ci")),
        "signing_key_file": str(state.keys / "ci"),
        "listen": {"http": f"{HOST}:{ports.ci}"},
        "repositories": {"base_url": _url(ports.repohub), "hook_token_file": str(state.tokens / "ci-hook")},
        "cache": {"url": _url(ports.cache), "upload_token_file": str(state.tokens / "cache-upload")},
        "control_plane": {"socket": str(state.socket)},
        "evaluation": {"allowed_paths": [str(path) for path in allowed_paths]},
    }


def _repohub(state: StateDir, ports: Ports) -> dict[str, Any]:
    return {
        "state": str(state.data("repohub")),
        "listen": {"http": f"{HOST}:{ports.repohub}"},
        "ci": {"url": _url(ports.ci), "hook_token_file": str(state.tokens / "ci-hook")},
        "control_plane": {"socket": str(state.socket)},
    }


def _worker(state: StateDir, ports: Ports, trust: Trust, *, number: int, executables: Path) -> dict[str, Any]:
    name = worker_name(number)
    return {
        "name": name,
        "state": str(state.data(name)),
        "control_plane": {"socket": str(state.socket), "public_keys": [str(trust.control_plane)]},
        "publishers": {"public_keys": [str(trust.ci)]},
        "caches": {"urls": [_url(ports.cache)], "public_keys": [str(trust.ci)]},
        "hypervisor": {"command": [str(executables / "procurator-vmm")]},
        "listen": {"http": f"{HOST}:{ports.worker(number)}"},
    }
