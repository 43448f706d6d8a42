"""What the tests of the data rooms share: real files, small files, and a server on 127.0.0.1."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

Reply = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Serves the replies it is given; every other path answers 404.

    Attributes:
        url: where it listens.
        replies: path -> what to do; may change between requests.
        requests: the paths asked for, in order.
    """

    def __init__(self) -> None:
        self.replies: dict[str, Reply] = {}
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.requests.append(self.path)
                reply = server.replies.get(self.path)
                if reply is None:
                    self.send_error(404)
                else:
                    reply(self)

            def log_message(self, *args: object) -> None:
                del args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def send(content: bytes, *, upto: int | None = None, length: bool = True) -> Reply:
    """A reply with the first `upto` bytes of the content, its whole length announced or none."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        if length:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:upto])

    return reply


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that the loaders take for their mirror."""
    running = Server()
    monkeypatch.setenv("REMJAX_MIRROR", running.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield running
    running.close()


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("REMJAX_DATA_DIR", "REMJAX_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REMJAX_CACHE_DIR", str(tmp_path / "cache"))
