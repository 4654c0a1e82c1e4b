"""How long autonix takes for a tree of 50,000 files, first and again, and whether it sees the language GitHub sees.

The peer of a first scan is one `git ls-files` of all files that count, plus reading those that autonix parses. Runs are
interleaved; a ratio is the median of the rounds' ratios, by wall time and by CPU seconds (user and system, git's
included), of which the latter are nearly the same on a busy machine. What is measured is the library call, as CI and
repohub make it; `pcr scan` as a process also starts Python, which a rescan cannot shorten. `--repository DIR` (again
and again) also compares the top language of real repositories with github-linguist's; without that program (Debian's
ruby-github-linguist) no language is compared.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from autonix.cache import Cache
from autonix.findings import Analysis
from autonix.listings import GIT, GIT_ENV
from autonix.scan import analyse, analyse_commit
from autonix.tests.archive import Repository, held_out, repositories
from autonix.understand import sifted
from benchmarks._figures import Figure

FILES = 50_000
IN_A_DIRECTORY = 50
ENDINGS = ("py", "ts", "go", "rs")
LISTING = (*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
LABELS = {
    "files": "first",
    "next commit": "after one commit",
    "next manifest": "after a manifest's",
    "files again": "files after one commit",
}
RATIOS = (
    ("files", "peer", "<=3", "git ls-files and reading what is parsed"),
    ("next commit", "commit", "<=0.05", "the first scan of a commit"),
    ("next manifest", "commit", "", "the first scan of a commit"),
    ("files again", "files", "", "the first scan of the files"),
)


def git(root: Path, *words: str) -> bytes:
    """Run git in `root`; its output."""
    environment = {**GIT_ENV, "PATH": os.environ["PATH"]}
    author = ("-c", "user.name=bench", "-c", "user.email=bench@example.org", "-c", "gc.auto=0")
    return subprocess.run(
        [GIT[0], *author, *words], cwd=root, env=environment, check=True, capture_output=True, timeout=120
    ).stdout


def a_tree(root: Path) -> None:
    """Every labelled repository as a service of its own, and sources between them: one commit, packed."""
    written = 0
    for repository in (*repositories(), *held_out()):
        repository.write(root / "services" / repository.name)
        written += len(repository.files)
    for number in range(FILES - written):
        group = number // IN_A_DIRECTORY
        directory = root / "src" / f"m{group // 20}" / f"p{group}"
        if number % IN_A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        name = f"f{number % IN_A_DIRECTORY}.{ENDINGS[group % len(ENDINGS)]}"
        (directory / name).write_text(f"line {number}\n" * (5 + number % 40))
    git(root, "init", "-q")
    git(root, "add", "-A", "-f")
    git(root, "commit", "-qm", "all")
    git(root, "repack", "-adq")


def peer(root: Path, paths: list[str]) -> None:
    """What no scan can do without: git's list, and the bytes of what is parsed."""
    git_ended = subprocess.run(
        LISTING, cwd=root, env={**GIT_ENV, "PATH": os.environ["PATH"]}, check=True, capture_output=True, timeout=120
    )
    assert git_ended.stdout
    for path in paths:
        (root / path).read_bytes()


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of one run: on the clock, and of CPU with that of the programs it started."""

    wall: float
    cpu: float


def spent(work: Callable[[], object]) -> Spent:
    """What one run takes."""
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return Spent(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def scanned(root: Path, cache: Cache | None = None) -> Analysis:
    """The files of a directory."""
    return trio.run(partial(analyse, root, cache=cache))


def scanned_commit(root: Path, cache: Cache | None = None) -> Analysis:
    """The last commit of a repository."""
    return trio.run(partial(analyse_commit, root, "HEAD", cache=cache))


def commit(root: Path, path: str, text: str) -> None:
    """One more commit, with one more file and one that is changed."""
    target = root / path
    target.write_text(text)
    fresh = root / "src" / "m0" / f"new{time.monotonic_ns()}.py"
    fresh.write_text(text)
    git(root, "add", "--", path, str(fresh.relative_to(root)))
    git(root, "commit", "-qm", "one more")


def measured(root: Path, *, runs: int) -> dict[str, list[Spent]]:
    """What each kind of run takes, a round after the other."""
    listing = git(root, "ls-files", "-z").decode().split("\0")[:-1]
    paths = sifted(listing)[1]
    found: dict[str, list[Spent]] = {
        name: [] for name in ("peer", "files", "files again", "commit", "next commit", "next manifest")
    }
    manifest = "services/javascript-pnpm-workspace/package.json"
    for number in range(runs):
        cache = Cache(root.parent / f"cache{number}")
        found["peer"].append(spent(partial(peer, root, paths)))
        found["files"].append(spent(partial(scanned, root)))
        found["commit"].append(spent(partial(scanned_commit, root)))
        scanned(root, cache)
        scanned_commit(root, cache)
        commit(root, "src/m0/p0/f0.py", f"x = {number}\n")
        found["files again"].append(spent(partial(scanned, root, cache)))
        found["next commit"].append(spent(partial(scanned_commit, root, cache)))
        document = json.loads((root / manifest).read_text())
        commit(root, manifest, json.dumps({**document, "version": f"9.0.{number}"}, indent=2))
        found["next manifest"].append(spent(partial(scanned_commit, root, cache)))
        assert scanned_commit(root, cache) == scanned_commit(root)
    return found


def linguist_top(program: str, root: Path) -> str | None:
    """The language that GitHub would show first."""
    command = [program, str(root), "--json"]
    printed = subprocess.run(command, check=True, capture_output=True, timeout=600).stdout
    sizes = {name: int(each["size"]) for name, each in json.loads(printed or b"{}").items()}
    return max(sizes, key=lambda name: sizes[name]) if sizes else None


def agreement(program: str, roots: list[Path]) -> tuple[int, int]:
    """How many of the repositories that both see a language in have the same on top, and how many there are."""
    same = compared = 0
    for root in roots:
        languages = scanned_commit(root).languages
        theirs = linguist_top(program, root)
        if languages and theirs:
            compared += 1
            same += languages[0].language == theirs
            if languages[0].language != theirs:
                print(f"{root.name}: {languages[0].language} here, {theirs} there", file=sys.stderr)
    return same, compared


def committed(repository: Repository, root: Path) -> Path:
    """A labelled repository as one of git."""
    repository.write(root)
    git(root, "init", "-q")
    git(root, "add", "-A", "-f")
    git(root, "commit", "-qm", "all")
    return root


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--repository", action="append", type=Path, default=[])
    options = parser.parse_args()
    runs = 2 if options.quick else 7

    def show(name: str, value: float, goal: str, peer_name: str, *, unit: str = "ratio", of: int = runs) -> None:
        Figure(f"autonix.{name}", round(value, 3), unit, goal, peer_name, of).show(as_json=options.json)

    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "tree"
        root.mkdir()
        a_tree(root)
        found = measured(root, runs=runs)
        for name, of, goal, peer_name in RATIOS:
            pairs = list(zip(found[name], found[of], strict=True))
            show(LABELS[name], statistics.median(one.wall / other.wall for one, other in pairs), goal, peer_name)
            cpu = statistics.median(one.cpu / other.cpu for one, other in pairs)
            show(f"{LABELS[name]}, CPU", cpu, goal, peer_name)
        for name, values in found.items():
            show(name, statistics.median(each.wall for each in values) * 1000, "", "", unit="ms")
            show(f"{name}, CPU", statistics.median(each.cpu for each in values) * 1000, "", "", unit="ms")
        program = shutil.which("github-linguist")
        if program is not None:
            small = [*repositories(), *held_out()][:: 24 if options.quick else 1]
            roots = [committed(each, Path(directory) / "small" / each.name) for each in small]
            same, compared = agreement(program, [*roots, *options.repository])
            show("top language", same / compared, "1", "github-linguist", unit="share", of=compared)


if __name__ == "__main__":
    main()
