"""A real nix with a store of its own, a file cache and keys: what CI does, small."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from nix.environment import NixEnvironment
from schema.signing import SecretKey

KEY = SecretKey.from_seed("ci-1", b"\x01" * 32)
NIX = shutil.which("nix") or "/nix-is-not-installed"
OTHER_KEY = SecretKey.from_seed("stranger-1", b"\x02" * 32)


@dataclass
class Publisher:
    """Adds paths to the store below `root` and publishes their closures to a cache folder."""

    root: Path
    nix: NixEnvironment = field(init=False)

    def __post_init__(self) -> None:
        self.nix = NixEnvironment(self.root / "nix-state").write()

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def url(self) -> str:
        return f"file://{self.cache}"

    def run(self, *words: str) -> str:
        done = subprocess.run(
            (NIX, *words), check=False, env={"PATH": os.environ["PATH"], **self.nix.env}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def store(self) -> tuple[str, str]:
        return "--store", f"local?root={self.root / 'source'}"

    def a_text_closure(self, text: str = "hello") -> tuple[str, str]:
        """A file that refers to another."""
        inner = f'builtins.toFile "inner" "{text}"'
        outer = self.run("eval", "--raw", *self.store, "--expr", f'builtins.toFile "outer" "refers to ${{{inner}}}"')
        found = re.search(r"/nix/store/\S+", Path(f"{self.root}/source{outer}").read_text())
        assert found
        return outer, found.group()

    def a_folder(self, name: str, files: dict[str, str]) -> str:
        """A folder of the given files; a text that begins with `-> ` is a link."""
        folder = self.root / "folders" / name
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            if text.startswith("-> "):
                file.symlink_to(text[3:])
            else:
                file.write_text(text)
        return self.run("store", "add-path", *self.store, "--name", name, str(folder))

    def publish(self, *paths: str, key: SecretKey = KEY, compression: str = "none") -> None:
        """Sign and upload; the narinfos say nothing of content addresses, as those of built paths."""
        secret = self.root / f"{key.name}.secret"
        secret.write_text(key.reveal())
        secret.chmod(0o600)
        self.run(
            "copy", "--to", f"{self.url}?compression={compression}&secret-key={secret}", *self.store_from(), *paths
        )
        for narinfo in self.cache.glob("*.narinfo"):
            narinfo.write_text(re.sub("CA: .*\n", "", narinfo.read_text()))

    def store_from(self) -> tuple[str, str]:
        return "--from", f"local?root={self.root / 'source'}"
