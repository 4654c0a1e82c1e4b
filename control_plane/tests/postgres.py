"""A real PostgreSQL for tests: Debian's, as an unprivileged user, in a temporary directory on a unix socket."""

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from control_plane.store.database import Database, open_database
from control_plane.tests.builders import EPOCH

USER = "procurator"
SOCKET = ".s.PGSQL.5432"
OPTIONS = {
    "listen_addresses": "",
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "16MB",
    "max_connections": "20",
    "max_wal_size": "64MB",
    "autovacuum": "off",
    "logging_collector": "off",
}


_LOCKS = (
    "SELECT 1 FROM pg_locks JOIN pg_database ON pg_locks.database = pg_database.oid WHERE locktype = 'advisory'"
    " AND datname = current_database() AND objid::bigint = hashtext(current_schema())::bigint & 4294967295"
)
"""The writers' locks of a schema (`control_plane.store.postgresql`)."""


@dataclass(frozen=True)
class Home:
    """An empty database of one kind; `execute` is another client of it, who keeps no rule of ours."""

    kind: str
    url: str
    execute: Callable[..., list[tuple[object, ...]]]

    def open(self, epoch: str = EPOCH) -> Database:
        """The store on it."""
        return open_database(self.url, new_epoch=lambda: epoch)

    def wait_unlocked(self) -> None:
        """Wait until the server has noticed that a writer which was killed is gone."""
        deadline = time.monotonic() + 60
        while self.kind == "postgresql" and self.execute(_LOCKS):
            assert time.monotonic() < deadline, "the writer's lock is still held"
            time.sleep(0.02)


def programs() -> Path:
    """Where Debian puts initdb and postgres: the newest version that is there."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    assert found, "PostgreSQL is not installed: apt-get install postgresql-15"
    return found[-1].parent


def account() -> tuple[int, int]:
    """Uid and gid of its processes: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    known = pwd.getpwnam("postgres")
    return known.pw_uid, known.pw_gid


class Postgres:
    """One server. `directory` belongs to its user."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = 0
        self.account = account()
        os.chown(directory, *self.account)
        self._run(
            "initdb", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", f"--username={USER}", "-D", "data"
        )
        self.start()

    def _run(self, program: str, *argv: str) -> None:
        argv = (str(programs() / program), *argv)
        user, group = self.account
        done = subprocess.run(
            argv,
            cwd=self.directory,
            capture_output=True,
            timeout=180,
            user=user,
            group=group,
            extra_groups=[],
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self, **options: str) -> None:
        """Start it and wait until it serves."""
        settings = [f"-c{name}={value}" for name, value in {**OPTIONS, **options}.items()]
        argv = [str(programs() / "postgres"), "-D", "data", "-k", str(self.directory), *settings]
        log = (self.directory / "log").open("ab")
        with log:
            user, group = self.account
            self._process = subprocess.Popen(
                argv, cwd=self.directory, stderr=log, stdout=log, user=user, group=group, extra_groups=[]
            )
        self._wait()

    def _wait(self) -> None:
        for _ in range(1800):
            assert self._process is not None
            assert self._process.poll() is None, (self.directory / "log").read_text()
            try:
                psycopg.connect(self.conninfo("postgres"), connect_timeout=30).close()
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("PostgreSQL did not start")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends sessions and shuts down, SIGQUIT is a crash that recovery follows."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(90)
        self._process = None

    def conninfo(self, database: str) -> str:
        """For psycopg and psql."""
        return f"host={self.directory} user={USER} dbname={database}"

    def url(self, database: str, *, schema: str = "public") -> str:
        """For our settings."""
        return f"postgresql://{USER}@/{database}?host={self.directory}&options=-csearch_path%3D{schema}"

    def new_schema(self) -> str:
        """The name of a fresh, empty schema: much cheaper than a database of its own."""
        self._schemas += 1
        name = f"test{self._schemas}"
        self.execute("postgres", f"CREATE SCHEMA {name}")
        return name

    def execute(self, database: str, *statements: str) -> list[tuple[object, ...]]:
        """Run statements as another client; the rows of the last one."""
        with psycopg.connect(self.conninfo(database), autocommit=True) as connection:
            rows: list[tuple[object, ...]] = []
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
            return rows


@contextmanager
def a_postgres() -> Iterator[Postgres]:
    """A server of one's own."""
    directory = Path(tempfile.mkdtemp(prefix="procurator-postgres-"))
    try:
        server = Postgres(directory)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory)


class Proxy:
    """Stands between a client and the server, and breaks a connection at a word that the client sends."""

    def __init__(self, directory: Path, server: Postgres) -> None:
        self.directory = directory
        self._server = server.directory / SOCKET
        self._word = b""
        self._delivered = False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / SOCKET))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._serve, daemon=True)]
        self._threads[0].start()

    def before(self, home: Home) -> Home:
        """The same database, through us."""
        return replace(home, url=home.url.replace(str(self._server.parent), str(self.directory)))

    def break_at(self, word: bytes, *, delivered: bool) -> None:
        """Break once, where the client sends `word`: before or after the server has carried it out."""
        self._word, self._delivered = word, delivered

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            thread = threading.Thread(target=self._pass_on, args=(client, server), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        return
                    if ready is client and self._word and self._word in data:
                        self._word = b""
                        if self._delivered:
                            server.sendall(data)
                            server.recv(65536)
                        return
                    (server if ready is client else client).sendall(data)


@contextmanager
def a_proxy(server: Postgres) -> Iterator[Proxy]:
    """A proxy in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="procurator-proxy-") as directory:
        proxy = Proxy(Path(directory), server)
        try:
            yield proxy
        finally:
            proxy.close()
