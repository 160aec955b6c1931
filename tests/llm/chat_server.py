"""A chat-completions server on loopback that does what its script says, good or bad."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Request:
    """What a client sent."""

    path: str
    headers: dict
    payload: dict

    @property
    def said(self):
        return self.payload["messages"][-1]["content"]


class ChatServer(ThreadingHTTPServer):
    """Calls ``script(request, n)`` for the n-th request; the action it returns is carried out."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.requests = []
        self.lock = threading.Lock()
        self.closing = threading.Event()

    @property
    def base_url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def asked(self):
        """Texts of the prompts, in the order in which they came."""
        return [request.said for request in self.requests]

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = Request(self.path, dict(self.headers), json.loads(body))
        with self.server.lock:
            n = len(self.server.requests)
            self.server.requests.append(request)
        self.server.script(request, n)(self, request)

    def log_message(self, *args):
        """Stay silent."""


@contextmanager
def serving(script):
    """Serve until the block ends: a function ``(request, n) -> action``, or a list of actions."""
    if not callable(script):
        actions = list(script)
        script = lambda request, n: actions[n] if n < len(actions) else echo  # noqa: E731
    server = ChatServer(script)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


# ---------------------------------------------------------------------------------- actions


def raw(body, status=200, **headers):
    """Action: send this body."""
    content = body if isinstance(body, bytes) else body.encode()

    def act(handler, request):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return act


def completion(text, **usage):
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    counts = {"prompt_tokens": 3, "completion_tokens": 5} | usage
    return {"choices": [{**choice, "finish_reason": "stop"}], "usage": counts}


def say(text, **usage):
    """Action: answer with this text."""
    return raw(json.dumps(completion(text, **usage)), content_type="application/json")


def echo(handler, request):
    """Action: answer with the prompt in capitals."""
    say(request.said.upper())(handler, request)


def refuse(status, message="no", **headers):
    """Action: fail with a status, in OpenAI's words."""
    return raw(json.dumps({"error": {"message": message}}), status, **headers)


def stall(handler, request):
    """Action: say nothing until the test is over."""
    handler.server.closing.wait(60)
    handler.close_connection = True


def trickle(handler, request):
    """Action: send headers without end, a few bytes at a time, so that no read times out."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.closing.wait(0.02):
        handler.wfile.write(b"z")
    handler.close_connection = True


def cut(handler, request):
    """Action: close the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def flood(handler, request):
    """Action: send a body without end."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    block = b" " * 65536
    while not handler.server.closing.is_set():
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
