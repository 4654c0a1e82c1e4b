"""A real HTTP cache that ails as a test says: refuses for a while, cuts a nar short, or falls silent in the middle."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Ailment:
    """`refusals`: so many answers are 503; `cut`: nars end after half; `silent`: nars stop for ever after half."""

    refusals: int = 0
    cut: bool = False
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, *args: object, ailment: Ailment, directory: str) -> None:
        self.ailment = ailment
        super().__init__(*args, directory=directory)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass

    def do_GET(self) -> None:
        ailment = self.ailment
        ailment.asked.append(self.path)
        if ailment.refusals > 0:
            ailment.refusals -= 1
            self.send_error(503)
        elif "/nar/" in self.path and (ailment.cut or ailment.silent):
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            if ailment.silent:
                ailment.over.wait(60)
        else:
            super().do_GET()


@contextmanager
def an_ill_cache(folder: Path, ailment: Ailment) -> Iterator[str]:
    """Serve `folder`; the cache's URL."""
    handler = partial(_Handler, ailment=ailment, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            ailment.over.set()
            server.shutdown()
            thread.join()
