"""Make a state directory ready before anything starts: directories, secrets, choices, settings; it starts nothing."""

import hashlib
import tomllib
from collections.abc import Iterator
from datetime import datetime
from ipaddress import IPv4Network
from pathlib import Path

import tomli_w
from pydantic import TypeAdapter, ValidationError

from cli.up.certificates import ensure_certificates
from cli.up.credentials import ensure_secrets, write_once
from cli.up.layout import Files, StateDir
from cli.up.plan import HOST, Choices, Ports, settings_of, tls_names, worker_name
from cli.up.ports import is_free
from cli.up.subnet import choose_range, networks_in_fib_trie
from schema.errors import Conflict, InvalidInput, Unavailable

_OFFSET_STEP = 100
_OFFSETS_TRIED = 50


def prepare(
    state: StateDir,
    *,
    workers: int,
    port_offset: int | None,
    executables: Path,
    allowed_paths: tuple[Path, ...],
    now: datetime,
    user_network: bool = False,
) -> Choices:
    """Write what is missing of `keys/`, `tls/`, `tokens/` and `etc/`; what is there stays as it is.

    Only certificates are renewed, when little of their time is left at `now` (which has a time zone). `port_offset`
    None keeps what was chosen before (0 at first). Raises Conflict when the directory was made with another one, or
    with taps where `user_network` is asked for, and InvalidInput for what is wrong in it.
    """
    kinds = ("control-plane", "cache", "ci", "repohub", *(f"worker-{number}" for number in range(workers)))
    # Hypervisors' own users pass through the state directory (0711) to their worker's; nobody lists it.
    below = (state.keys, state.tls, state.tokens, state.etc, state.logs, state.run, *map(state.data, kinds))
    for directory in (state.root, *below):
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o711 if directory == state.root else 0o700)
        except OSError as error:
            raise InvalidInput(f"the state directory cannot be made: {directory}: {error.strerror}") from error
    trust = ensure_secrets(state)
    choices = _choices(state, port_offset=port_offset)
    ensure_certificates(Files(state.tls), names=tls_names(choices), now=now)
    for name, settings in settings_of(
        state,
        choices=choices,
        workers=workers,
        trust=trust,
        executables=executables,
        allowed_paths=allowed_paths,
        user_network=user_network,
    ).items():
        text = tomli_w.dumps(settings)
        write_once(state.settings(name), lambda text=text: text)  # type: ignore[misc]  # mypy cannot infer the default
    if user_network:
        for number in range(workers):
            _check_user_network(state, worker_name(number))
    return choices


def _check_user_network(state: StateDir, worker: str) -> None:
    path = state.settings(worker)
    try:
        kept = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput(f"{path} is damaged: {error}") from error
    if kept.get("hypervisor", {}).get("user_mode_network") is not True:
        raise Conflict(
            f"{state.root} was made without --user-network; choose another --state, "
            f"or set `user_mode_network = true` below `[hypervisor]` in {path}"
        )


def _choices(state: StateDir, *, port_offset: int | None) -> Choices:
    path = state.choices

    def make() -> str:
        preference = int.from_bytes(hashlib.sha256(bytes(state.root)).digest()[:4], "big")
        chosen = choose_range(host_networks(), preference=preference)
        return tomli_w.dumps({"network_range": str(chosen), "port_offset": port_offset or 0})

    write_once(path, make)
    try:
        kept = TypeAdapter(Choices).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, tomllib.TOMLDecodeError) as error:
        raise InvalidInput(f"{path} is damaged: {error}; remove {state.root} to begin afresh") from error
    if port_offset is not None and port_offset != kept.port_offset:
        raise Conflict(
            f"{state.root} was made with --port-offset {kept.port_offset}, not {port_offset}; "
            f"leave the option out, choose another --state, or edit the ports in {state.etc}"
        )
    return kept


def host_networks() -> Iterator[IPv4Network]:
    """Where this machine has routes and addresses."""
    return networks_in_fib_trie(Path("/proc/net/fib_trie").read_text(encoding="ascii"))


def free_offset(*, workers: int) -> int:
    """The lowest offset (0, 100, …) with which every port is free. Raises Unavailable."""
    for offset in range(0, _OFFSET_STEP * _OFFSETS_TRIED, _OFFSET_STEP):
        if all(is_free(host=HOST, port=port) for port in Ports(offset).by_service(workers=workers)):
            return offset
    raise Unavailable("no port offset up to 5000 has all ports free")
