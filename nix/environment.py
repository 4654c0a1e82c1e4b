"""The nix configuration, cache and home that one piece of work uses; it starts nothing and inherits nothing."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from nix.jail import Accounts, build_accounts

BASE_SETTINGS: Mapping[str, str] = {
    "experimental-features": "nix-command flakes",
    "build-users-group": "",
    "sandbox-fallback": "false",
    # Nothing is trusted or fetched from unless a call names it: the built-in default is a public cache and its key.
    "substituters": "",
    "trusted-public-keys": "",
    "require-sigs": "true",
    "flake-registry": "",
    "accept-flake-config": "false",
    # Evaluation never builds: a build inside it would run in the evaluation's jail, where no sandbox can be made.
    "allow-import-from-derivation": "false",
    "warn-dirty": "false",
    # Otherwise "not in the cache" is remembered for an hour, also after it was uploaded.
    "narinfo-cache-negative-ttl": "0",
    "connect-timeout": "5",
    "download-attempts": "3",
    "keep-failed": "false",
}
"""What every nix of ours runs with (facts: nix 2.8 to 2.34)."""


@dataclass(frozen=True, slots=True)
class NixEnvironment:
    """Everything of nix but the store, under `state` (absolute). Make one per repository or run.

    The cache directory holds clones of the repositories that were evaluated, so two repositories must not share it.
    `sandbox` is for builds; `settings` go over `BASE_SETTINGS`.
    """

    state: Path
    sandbox: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def conf_dir(self) -> Path:
        """Holds `nix.conf`, and the `passwd` that the evaluation's jail shows; read-only there."""
        return self.state / "conf"

    @property
    def cache_dir(self) -> Path:
        """XDG_CACHE_HOME: clones, evaluation and narinfo caches."""
        return self.state / "cache"

    @property
    def home(self) -> Path:
        """An empty HOME."""
        return self.state / "home"

    @property
    def accounts(self) -> Accounts | None:
        """The accounts that builders run under; None where they run as who starts them."""
        return self._accounts if self.sandbox and os.geteuid() == 0 else None

    @property
    def _accounts(self) -> Accounts:
        return Accounts(self.conf_dir / "build-passwd", self.conf_dir / "build-group")

    @property
    def evaluation_root(self) -> Path:
        """The chroot store that evaluations in the jail see as `/nix`; nothing of another repository is in it."""
        return self.state / "evaluation"

    @property
    def env(self) -> Mapping[str, str]:
        """The whole environment of a nix or git that belongs to this work."""
        return {
            "NIX_CONF_DIR": str(self.conf_dir),
            "XDG_CACHE_HOME": str(self.cache_dir),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def conf_text(self) -> str:
        """The `nix.conf` that `write` writes."""
        settings = {**BASE_SETTINGS, "sandbox": "true" if self.sandbox else "false", **self.settings}
        return "".join(f"{name} = {value}".rstrip() + "\n" for name, value in settings.items())

    def write(self) -> Self:
        """Make the directories (0700) and the configuration; again is harmless. Returns itself."""
        for directory in (self.state, self.conf_dir, self.cache_dir, self.home, self.evaluation_root / "nix"):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(self.conf_dir / "nix.conf", self.conf_text())
        for path, text in zip((self._accounts.passwd, self._accounts.group), build_accounts(), strict=True):
            _replace(path, text)
        _replace(self.conf_dir / "passwd", f"nix:x:{os.geteuid()}:{os.getegid()}:nix:{self.home}:/bin/sh\n")
        return self


def _replace(path: Path, text: str) -> None:
    if path.exists() and path.read_text() == text:
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(path)
