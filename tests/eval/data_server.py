"""A local HTTP server that misbehaves on request, for the tests of downloads."""

from __future__ import annotations

import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TRUE_LENGTH = "true"


class DataServer:
    """Serves ``files`` by decoded path, with ranges and entity tags.

    Attributes:
        files: Contents by path, ``/refcoco+/refs(unc).p``.
        requests: The raw path and the ``Range`` header of each request, in order.
        drops: How many of the next answers of a path end after half of what they owe.
        errors: Status codes that the next requests of a path get, first to last.
        ranges: The server understands ``Range``.
        tags: The server sends entity tags, and ``If-Range`` is held against them.
        moved: Offset added to the range that is answered, to answer with a wrong one.
        named_ranges: Partial answers say which range they are.
        resets: How many of the next answers of a path end by a reset after a third of what they
            owe, sent in small pieces.
        length: The Content-Length that is named instead of the true one; None for no such header.
        moved_to: Where requests of a path are sent on to.
        held: While it is set, answers stop after half of what they owe.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.drops: dict[str, int] = {}
        self.errors: dict[str, list[int]] = {}
        self.ranges = True
        self.tags = True
        self.moved = 0
        self.named_ranges = True
        self.resets: dict[str, int] = {}
        self.length: str | None = TRUE_LENGTH
        self.moved_to: dict[str, str] = {}
        self.held: threading.Event | None = None
        self.url = ""

    def paths(self) -> list[str]:
        """The decoded paths that were asked for."""
        return [unquote(path) for path, _ in self.requests]


def _tag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


@contextmanager
def serving() -> Iterator[DataServer]:
    """Run a server on a free port of 127.0.0.1."""
    state = DataServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            state.requests.append((self.path, self.headers.get("Range")))
            path = unquote(self.path)
            if path in state.moved_to:
                self.send_response(302)
                self.send_header("Location", state.moved_to[path])
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            codes = state.errors.get(path, [])
            if codes or path not in state.files:
                self.send_response(codes.pop(0) if codes else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = state.files[path]
            start = self._start(content)
            if start is not None and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            first = (start or 0) + (state.moved if start is not None else 0)
            body = content[first:]
            self.send_response(200 if start is None else 206)
            if start is not None and state.named_ranges:
                self.send_header(
                    "Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}"
                )
            if state.tags:
                self.send_header("ETag", _tag(content))
            if state.length is None:
                self.close_connection = True
            else:
                true = state.length is TRUE_LENGTH
                self.send_header("Content-Length", str(len(body)) if true else state.length)
            self.end_headers()
            if state.resets.get(path, 0) > 0:
                state.resets[path] -= 1
                self._reset(body[: len(body) // 3])
                return
            if state.drops.get(path, 0) > 0:
                state.drops[path] -= 1
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                self.close_connection = True
                return
            half = len(body) // 2
            self.wfile.write(body[:half])
            self.wfile.flush()
            if state.held is not None:
                state.held.wait(30)
            with suppress(ConnectionError):  # the client may be gone by now
                self.wfile.write(body[half:])

        def _reset(self, body: bytes) -> None:
            for first in range(0, len(body), 1000):
                self.wfile.write(body[first : first + 1000])
                self.wfile.flush()
            time.sleep(0.05)  # what was sent is received before the reset
            now = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
            self.close_connection = True
            self.connection.close()

        def _start(self, content: bytes) -> int | None:
            asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
            if asked is None or not state.ranges or (condition and condition != _tag(content)):
                return None
            return int(asked.removeprefix("bytes=").partition("-")[0])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
