"""Tiny HTTP servers in threads, for the generators and checks to meet."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """What a server says to a request; None in place of one closes the connection."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"


Answering = Callable[[bytes], Reply | None]


class Patient(ThreadingHTTPServer):
    """Ends when every connection is closed, so that none of its threads is left."""

    daemon_threads = False
    block_on_close = True
    request_queue_size = 256


@contextmanager
def serving(answering: Answering) -> Iterator[int]:
    """Serve on a free port, which is what the block gets, until it ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer goes out as a whole

        def do_POST(self) -> None:
            reply = answering(self.rfile.read(int(self.headers["Content-Length"])))
            if reply is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:  # who asked is gone
                self.close_connection = True

        def finish(self) -> None:
            try:
                super().finish()
            except ConnectionError:
                self.rfile.close()

    with Patient(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
