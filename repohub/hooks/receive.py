"""The hook of every repository: refuses refs that nobody could name, and notes each accepted update in the outbox.

Run as `receive.py pre-receive` and `receive.py post-receive` by two one-line shell scripts beside it, as children of
git; it needs nothing but Python's standard library and talks to nobody: repohub's delivery task carries the notes to
CI. What it reads on its standard input is data: it never becomes an argument, a path or a format.
"""

import json
import os
import sys
import time
import uuid
from pathlib import Path

MAX_UPDATES = 10_000
MAX_REF_BYTES = 255
RESERVED = b"refs/procurator/"


def updates(raw: bytes) -> list[tuple[str, str, bytes]]:
    """The lines `<old> SP <new> SP <ref> LF` that git writes to a receive hook."""
    parsed = []
    for line in raw.split(b"\n"):
        if line:
            old, new, ref = line.split(b" ", 2)
            parsed.append((old.decode("ascii"), new.decode("ascii"), ref))
    return parsed


def refusal(pushed: list[tuple[str, str, bytes]]) -> str | None:
    """Why this push cannot be taken, or None."""
    if len(pushed) > MAX_UPDATES:
        return f"{len(pushed)} refs in one push; at most {MAX_UPDATES} are taken at once"
    for _, _, ref in pushed:
        shown = ref.decode("ascii", "backslashreplace")
        if len(ref) > MAX_REF_BYTES:
            return f"the ref {shown[:80]}... is longer than {MAX_REF_BYTES} bytes"
        if ref.startswith(RESERVED):
            return f"{shown}: refs/procurator/ belongs to the pipeline"
        try:
            ref.decode("utf-8")
        except UnicodeDecodeError:
            return f"the name of {shown} is not UTF-8"
    return None


def note(outbox: Path, name: str, content: bytes) -> None:
    """Write one durable file: whoever sees it sees all of it, also after a power cut."""
    temporary = outbox / f".{name}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(outbox / name)


def post_receive(pushed: list[tuple[str, str, bytes]], *, outbox: Path, page: str, now_ns: int) -> None:
    """Note every update and tell the pusher where to look."""
    outbox.mkdir(parents=True, exist_ok=True)
    for index, (old, new, ref) in enumerate(pushed):
        delivery = str(uuid.uuid4())
        event = {"delivery": delivery, "ref": ref.decode("utf-8", "replace"), "old": old, "new": new}
        note(outbox, f"{now_ns:020d}-{index:05d}-{delivery}.json", json.dumps(event).encode())
    descriptor = os.open(outbox, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if page and any(set(new) != {"0"} for _, new, _ in pushed):
        print(f"\n  Procurator builds this push:\n  {page}\n", file=sys.stderr)


def main(kind: str) -> int:
    """Run as the hook that `kind` names; git has made the repository the working directory."""
    pushed = updates(sys.stdin.buffer.read())
    if kind == "pre-receive":
        reason = refusal(pushed)
        if reason:
            print(f"refused: {reason}", file=sys.stderr)
        return 1 if reason else 0
    repository = Path(os.environ.get("GIT_DIR", "."))
    page = os.environ.get("PROCURATOR_PAGE", "")
    try:
        post_receive(pushed, outbox=repository / "procurator" / "outbox", page=page, now_ns=time.time_ns())
    except OSError as error:
        print(f"The push is taken, but could not be noted for CI ({error.strerror}).", file=sys.stderr)
        print("It will be told as soon as that is mended.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
