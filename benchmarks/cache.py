"""`nix copy --from` our cache against the same files from Debian's nginx; it measures reads only.

Both serve one directory, runs are interleaved, each pull goes into a fresh store with a fresh nix cache. Figures are
ratios of medians of wall time (ours ÷ nginx). Without nginx our seconds are shown alone.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks._figures import Figure
from schema.signing import SecretKey

KEY = SecretKey.from_seed("bench-1", b"b" * 32)
SMALL_PATHS = 500
BIG_BYTES = 150_000_000
NIX_CONF = """experimental-features = nix-command flakes
build-users-group =
sandbox = false
substituters =
flake-registry =
"""
NGINX_CONF = """daemon off;
user root;
pid {root}/nginx.pid;
error_log {root}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000;
  client_body_temp_path {root}/t1; proxy_temp_path {root}/t2; fastcgi_temp_path {root}/t3;
  uwsgi_temp_path {root}/t4; scgi_temp_path {root}/t5;
  server {{ listen 127.0.0.1:{port}; root {directory}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """A directory for all that a run needs."""

    root: Path
    program: str

    def nix(self, *argv: str) -> str:
        """Run nix with a configuration and a cache of its own; its output."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root / "home"),
            "NIX_CONF_DIR": str(self.root / "conf"),
            "XDG_CACHE_HOME": str(self.root / "xdg"),
        }
        return subprocess.run(
            [self.program, *argv], env=environment, check=True, capture_output=True, text=True, timeout=120
        ).stdout

    def prepare(self) -> tuple[list[str], str]:
        """A signed cache with many small paths and a big one; their store paths."""
        (self.root / "conf").mkdir()
        (self.root / "conf/nix.conf").write_text(NIX_CONF)
        secret = self.root / "secret"
        secret.write_text(KEY.reveal())
        source = f"local?root={self.root}/source"
        text = "x" * 2000
        item = f"n: builtins.toFile (''small-'' + toString n) (toString n + ''{text}'')"
        expression = f"builtins.genList ({item}) {SMALL_PATHS}"
        small: list[str] = json.loads(self.nix("eval", "--store", source, "--json", "--expr", expression))
        blob = self.root / "blob"
        with blob.open("wb") as out:  # half of it compresses, as binaries do
            for _ in range(BIG_BYTES // 2_000_000):
                out.write(os.urandom(1_000_000) + b"0123456789" * 100_000)
        big = self.nix("store", "add-file", "--store", source, str(blob)).strip()
        blob.unlink()
        target = f"file://{self.root}/cache?compression=zstd&secret-key={secret}"
        self.nix("copy", "--from", source, "--to", target, *small, big)
        return small, big

    def pull(self, url: str, *paths: str) -> float:
        """Seconds of one pull into a fresh store."""
        shutil.rmtree(self.root / "xdg", ignore_errors=True)
        target = f"local?root={self.root}/target"
        started = time.perf_counter()
        self.nix("copy", "--option", "trusted-public-keys", str(KEY.public), "--from", url, "--to", target, *paths)
        took = time.perf_counter() - started
        shutil.rmtree(self.root / "target")
        return took

    @contextmanager
    def ours(self) -> Iterator[str]:
        """Our cache, as it runs in production."""
        ready, config = self.root / "ready.json", self.root / "cache.toml"
        config.write_text(
            f'directory = "{self.root}/cache"\n[listen]\nhttp = "127.0.0.1:0"\n[runtime]\nready_file = "{ready}"\n',
            encoding="utf-8",
        )
        with _process([sys.executable, "-m", "ci_service.cache", "--config", str(config), "--log-level", "warning"]):
            _wait(ready.exists)
            yield "http://" + json.loads(ready.read_text())["addresses"]["http"]

    @contextmanager
    def nginx(self, program: str) -> Iterator[str]:
        """The peer over the same directory."""
        port = 20_000 + os.getpid() % 10_000
        config = self.root / "nginx.conf"
        config.write_text(NGINX_CONF.format(root=self.root, port=port, directory=self.root / "cache"))
        url = f"http://127.0.0.1:{port}"
        with _process([program, "-c", str(config), "-p", str(self.root), "-e", str(self.root / "nginx.err")]):
            _wait(lambda: _answers(url))
            yield url


def _nix() -> str:
    program = shutil.which("nix")
    return program if program else sys.exit("nix is not installed (apt-get install nix-bin)")


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/nix-cache-info", trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


@contextmanager
def _process(argv: list[str]) -> Iterator[None]:
    process = subprocess.Popen(argv, start_new_session=True)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _wait(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        if time.monotonic() > deadline:
            sys.exit("a server did not start within 20 s")
        time.sleep(0.02)


def measure(bench: Bench, *, program: str | None, rounds: int) -> Iterator[Figure]:
    """Both figures; each round pulls once from each server, and the order changes every round."""
    small, big = bench.prepare()
    cases = {"cache.small_500": (small, "<= 1.10"), "cache.big_150mb": ([big], "<= 1.05")}
    with ExitStack() as servers:
        urls = {"ours": servers.enter_context(bench.ours())}
        if program:
            urls["nginx"] = servers.enter_context(bench.nginx(program))
        for name, (paths, goal) in cases.items():
            times: dict[str, list[float]] = {server: [] for server in urls}
            for number in range(rounds + 1):
                for server in sorted(urls, reverse=bool(number % 2)):
                    took = bench.pull(urls[server], *paths)
                    if number:  # the first round warms the page cache
                        times[server].append(took)
            ours = statistics.median(times["ours"])
            yield Figure(f"{name}.seconds", round(ours, 3), "s", "", "", rounds)
            if program:
                peer = statistics.median(times["nginx"])
                yield Figure(name, round(ours / peer, 3), "ratio", goal, f"nginx {peer:.3f} s", rounds)


def main() -> None:
    """Parse the options, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object a line for each figure")
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--nginx", default=shutil.which("nginx"), help="the peer's program")
    options = parser.parse_args()
    if not options.nginx:
        print("nginx is not installed (apt-get install nginx-light): no ratios", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="procurator-bench-") as root:
        for figure in measure(Bench(Path(root), _nix()), program=options.nginx, rounds=3 if options.quick else 9):
            figure.show(as_json=options.json)


if __name__ == "__main__":
    main()
