"""Builders of these tests: the real program, a real nix with its own store, and hand-made nars and narinfos."""

import hashlib
import json
import lzma
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import zstandard

from ci_service.cache.fingerprint import fingerprint
from ci_service.cache.narinfo import Compression, NarFile, NarInfo, print_narinfo
from schema.signing import SecretKey

TOKEN = "a-token-of-these-tests-0123456789"
CI_KEY = SecretKey.from_seed("ci-test-1", b"c" * 32)
OTHER_KEY = SecretKey.from_seed("other-1", b"o" * 32)
NIX_CONF = """experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
flake-registry =
narinfo-cache-negative-ttl = 0
narinfo-cache-positive-ttl = 0
connect-timeout = 30
download-attempts = 3
"""


@dataclass(frozen=True)
class Running:
    """The program while it runs."""

    url: str
    directory: Path
    pid: int
    log: Path

    def client(self, *, token: str | None = TOKEN) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def kept(self) -> set[str]:
        """Every file that the cache has, but nix-cache-info."""
        files = {str(path.relative_to(self.directory)) for path in self.directory.rglob("*") if path.is_file()}
        return files - {"nix-cache-info"}


@contextmanager
def a_running_cache(tmp_path: Path, *, keys: tuple[SecretKey, ...] = (CI_KEY,), extra: str = "") -> Iterator[Running]:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN + "\n")
    ready = tmp_path / "ready.json"
    config = tmp_path / "cache.toml"
    pinned = json.dumps([str(key.public) for key in keys])
    config.write_text(
        f'directory = "{tmp_path}/cache"\nupload_token_file = "{token}"\npublic_keys = {pinned}\n'
        f"{extra if not extra.startswith('[') else ''}\n"
        f'[listen]\nhttp = "127.0.0.1:0"\n[runtime]\nready_file = "{ready}"\n'
        f"{extra if extra.startswith('[') else ''}\n"
    )
    log = tmp_path / "cache.log"
    with log.open("wb") as output:
        argv = [sys.executable, "-m", "ci_service.cache", "--config", str(config)]
        process = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 90
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        address = json.loads(ready.read_text())["addresses"]["http"]
        yield Running(f"http://{address}", tmp_path / "cache", process.pid, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
        assert "Traceback" not in log.read_text(), log.read_text()
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Nix:
    """A real nix with configuration, caches and stores of its own."""

    root: Path
    key: SecretKey = CI_KEY
    stores: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.root / "conf").mkdir(parents=True)
        (self.root / "conf/nix.conf").write_text(NIX_CONF)

    def run(self, *argv: str, check: bool = True, netrc: Path | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "NIX_CONF_DIR": str(self.root / "conf"),
            "XDG_CACHE_HOME": str(self.root / "xdg"),
        }
        more = ["--option", "netrc-file", str(netrc)] if netrc else []
        command = ["nix", *argv, *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stderr}"
        return done

    def store(self, name: str) -> str:
        return f"local?root={self.root / name}"

    def netrc(self, host: str = "127.0.0.1", token: str = TOKEN) -> Path:
        path = self.root / "netrc"
        path.touch(mode=0o600)
        path.write_text(f"machine {host} login ci password {token}\n")
        return path

    def a_closure(self, text: str = "hello") -> tuple[str, str]:
        """Two store paths in the store `source`: one that refers to the other, and the other."""
        inner = f'builtins.toFile "inner" "{text}"'
        outer = f'builtins.toFile "outer" "refers to ${{{inner}}}"'
        paths = [
            self.run("eval", "--store", self.store("source"), "--raw", "--expr", expression).stdout
            for expression in (outer, inner)
        ]
        return paths[0], paths[1]

    def push(self, running: Running, *paths: str, key: SecretKey | None = None, **options: str) -> tuple[int, str]:
        secret = self.root / "secret"
        secret.touch(mode=0o600)
        secret.write_text((key or self.key).reveal())
        compression = options.get("compression", "zstd")
        target = f"{running.url}?compression={compression}&secret-key={secret}"
        netrc = self.netrc(token=options.get("token", TOKEN))
        done = self.run("copy", "--from", self.store("source"), "--to", target, *paths, check=False, netrc=netrc)
        return done.returncode, done.stderr

    def pull(self, running: Running, *paths: str, into: str = "worker") -> tuple[int, str]:
        pinned = ["--option", "trusted-public-keys", str(self.key.public)]
        done = self.run("copy", "--from", running.url, "--to", self.store(into), *pinned, *paths, check=False)
        return done.returncode, done.stderr


@dataclass(frozen=True)
class Made:
    """A hand-made path: what to upload."""

    info: NarInfo
    file: bytes

    @property
    def nar_url(self) -> str:
        return f"/{self.info.nar_file.url}"

    @property
    def narinfo_url(self) -> str:
        return f"/{self.info.hash_part}.narinfo"

    @property
    def narinfo(self) -> bytes:
        return print_narinfo(self.info)

    def changed(self, **fields: object) -> "Made":
        """Other claims under the signature of the first ones."""
        return replace(self, info=replace(self.info, **fields))  # type: ignore[arg-type] # the caller's test checks them

    def signed(self, *keys: SecretKey) -> "Made":
        signatures = tuple(key.sign(fingerprint(self.info)) for key in keys)
        return replace(self, info=replace(self.info, signatures=signatures))


def a_path(
    *,
    name: str = "hello",
    nar: bytes = b"not a real nar, and the cache does not look inside " * 20,
    compression: Compression = Compression.ZSTD,
    references: tuple[str, ...] = (),
    key: SecretKey = CI_KEY,
) -> Made:
    packed = pack(nar, compression)
    letters = hashlib.sha256(name.encode()).hexdigest()[:32].replace("e", "z")
    info = NarInfo(
        store_path=f"/nix/store/{letters}-{name}",
        nar_file=NarFile(hashlib.sha256(packed).digest(), compression),
        file_size=len(packed),
        nar_hash=hashlib.sha256(nar).digest(),
        nar_size=len(nar),
        references=references,
    )
    return Made(info, packed).signed(key)


def pack(nar: bytes, compression: Compression) -> bytes:
    match compression:
        case Compression.NONE:
            return nar
        case Compression.XZ:
            return lzma.compress(nar)
        case Compression.ZSTD:
            return zstandard.ZstdCompressor(level=1).compress(nar)
