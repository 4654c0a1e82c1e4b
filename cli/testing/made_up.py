"""Publishes and reports that are made up for tests of a throw-away control plane; nothing here could boot."""

import hashlib

from schema.blueprint import RolloutPolicy
from schema.canonical import Sealed
from schema.errors import InvalidInput
from schema.generation import Publish, sign_publish
from schema.origin import Origin
from schema.signing import SecretKey
from schema.vmspec import VmSpec

NIX_DIGITS = "0123456789abcdfghijklmnpqrsvwxyz"


def made_up_publish(
    *,
    commit: str,
    number: int,
    count: int,
    origin: Origin,
    cluster: str,
    key: SecretKey,
    intent_hash: str | None = None,
) -> Publish:
    """`count` VMs, each of its own content that only `commit` decides: the same arguments give the same bytes."""
    return sign_publish(
        cluster=cluster,
        number=number,
        commit=commit,
        origin=origin,
        vm_specs=tuple(Sealed.of(made_up_spec(f"vm-{index:05}", commit=commit)) for index in range(count)),
        rollout=Sealed.of(RolloutPolicy()),
        key=key,
        intent_hash=intent_hash,
    )


def made_up_spec(name: str, *, commit: str) -> VmSpec:
    """A VM whose store paths exist nowhere."""
    toplevel, kernel, initrd = (
        _store_path(f"{name} {what} {commit}", what) for what in ("toplevel", "kernel", "initrd")
    )
    return VmSpec(
        name=name,
        system=f"nixosConfigurations.{name}.config.system.build.toplevel",
        toplevel=toplevel,
        kernel=f"{kernel}/bzImage",
        initrd=f"{initrd}/initrd",
        cmdline=f"console=ttyS0 init={toplevel}/init",
        cpu=1,
        memory_mb=64,
    )


def _store_path(seed: str, name: str) -> str:
    digest = hashlib.sha256(seed.encode()).digest()
    return f"/nix/store/{''.join(NIX_DIGITS[byte % 32] for byte in digest)}-{name}"


def parse_origin(text: str) -> Origin:
    """`owner/name`, `owner/name:branch` or `owner/name:branch:path`. Raises InvalidInput."""
    repository, _, rest = text.partition(":")
    branch, _, path = rest.partition(":")
    try:
        return Origin(repository=repository, branch=branch or "main", path=path or ".")
    except ValueError as error:
        raise InvalidInput(f"--origin {text!r}: write owner/name[:branch[:path]]") from error
