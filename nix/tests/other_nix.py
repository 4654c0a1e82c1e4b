"""Unpacks the nix of other Debian suites beside this machine's, for tests in several versions; it installs nothing.

`python -m nix.tests.other_nix DIRECTORY [SUITE …]` (trixie and sid by default) leaves `DIRECTORY/<suite>/bin/nix`.
Packages come from wherever this machine's own apt gets Debian's: some 35 MB a suite. The tests do the same for
themselves in the user's cache, unless PROCURATOR_OTHER_NIX names directories of programs.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from nix.run import run
from schema.errors import NotFound, ProcuratorError

SUITES = ("trixie", "sid")
PROGRAMS = ("nix", "nix-build", "nix-env", "nix-instantiate", "nix-store")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_OF_THE_SYSTEM = re.compile(r"^(dpkg|apt|perl|systemd|passwd|adduser|debconf|tar|mount|util-linux|coreutils|base-)")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def mirror() -> str:
    """Where this machine's apt has Debian from; raises NotFound."""
    files = [*sorted(Path("/etc/apt/sources.list.d").glob("*")), Path("/etc/apt/sources.list")]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    found = re.search(r"^URIs:\s*(\S*/debian/?)\s*$|^deb\s+(?:\[[^]]*\]\s+)?(\S*/debian/?)\s", text, re.MULTILINE)
    if found is None:
        raise NotFound("there is no source of Debian's packages in /etc/apt")
    return found[1] or found[2]


def settings(place: Path, suite: str) -> str:
    """An apt of its own, which knows of no installed package."""
    for directory in ("lists/partial", "cache/archives/partial", "empty"):
        (place / directory).mkdir(parents=True, exist_ok=True)
    (place / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror()} {suite} main\n")
    return (
        f'Dir::Etc::sourcelist "{place}/sources.list";\nDir::Etc::sourceparts "{place}/empty";\n'
        f'Dir::State::Lists "{place}/lists";\nDir::Cache "{place}/cache";\nDir::State::status "/dev/null";\n'
        f'APT::Default-Release "{suite}";\nAcquire::Retries "1";\nAcquire::http::Timeout "10";\n'
    )


async def unpack(directory: Path, suite: str) -> Path:
    """The directory with the programs of that suite's nix, unpacked unless it is there. Raises ProcuratorError."""
    place = directory / suite
    if (place / "bin" / PROGRAMS[-1]).exists():
        return place / "bin"
    place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="unpacking-", dir=place) as work:
        root = await _fetched(Path(work), suite)
        if not (place / "root").exists():
            root.rename(place / "root")
    return wrappers(place)


async def _fetched(work: Path, suite: str) -> Path:
    (work / "apt.conf").write_text(settings(work, suite))
    env = {"APT_CONFIG": str(work / "apt.conf")}
    await run(("apt-get", "update"), deadline=120, env=env)
    listed = ("apt-get", "--print-uris", "-y", "--no-install-recommends", "install", "nix-bin")
    printed = (await run(listed, deadline=60, env=env)).stdout.decode()
    names = [name for name in wanted(printed) if not _OF_THE_SYSTEM.match(name)]
    archives, root = work / "debs", work / "root"
    archives.mkdir()
    await run(("apt-get", "download", "--", *names), deadline=300, env=env, cwd=archives)
    for archive in sorted(archives.glob("*.deb")):
        await run(("dpkg-deb", "-x", str(archive), str(root)), deadline=60, env={})
    return root


def wanted(printed: str) -> Iterator[str]:
    """The packages' names of `apt-get --print-uris`: `'URL' NAME_VERSION_ARCH.deb SIZE HASH`."""
    for line in printed.splitlines():
        found = re.match(r"'[^']+' ([a-z0-9.+-]+)_", line)
        if found is not None:
            yield found[1]


def wrappers(place: Path) -> Path:
    """Programs that start that nix with its own C library."""
    libraries, program = place / "root" / _LIBRARIES, place / "root/usr/bin/nix"
    (place / "bin").mkdir(exist_ok=True)
    for name in PROGRAMS:
        file = place / "bin" / name
        start = f"{libraries}/ld-linux-x86-64.so.2 --argv0 {name} --library-path {libraries}"
        # The build hook is nix again, and is looked for there.
        file.write_text(f'#!/bin/sh\nNIX_BIN_DIR={place}/bin exec {start} {program} "$@"\n')
        file.chmod(0o755)
    return place / "bin"


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    if not arguments or arguments[0].startswith("-"):
        print("usage: python -m nix.tests.other_nix DIRECTORY [SUITE …]", file=sys.stderr)
        return 2
    try:
        found = [trio.run(unpack, Path(arguments[0]).absolute(), suite) for suite in arguments[1:] or SUITES]
    except ProcuratorError as error:
        print(f"other_nix: {error}", file=sys.stderr)
        return 1
    print("PROCURATOR_OTHER_NIX=" + ":".join(map(str, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
