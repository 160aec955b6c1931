"""docs/examples/serve.py over real HTTP on the loopback interface."""

import http.client
import importlib.util
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from skrr2qc import TfidfLinearClassifier
from skrr2qc.persistence import load_model

pytest.importorskip("fastapi", reason="the example needs fastapi: pip install skrr2qc[serve]")
uvicorn = pytest.importorskip("uvicorn", reason="the example needs uvicorn: skrr2qc[serve]")

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "serve.py"
TEXTS = ["area of a circle", "the mean of a sample", "", "解方程 \\frac{1}{2}x = 3"]


@pytest.fixture(scope="module")
def serve():
    spec = importlib.util.spec_from_file_location("serve_example", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(questions, tmp_path_factory):
    from skrr2qc import ClassCenterHead, RCPTEncoder, RetrievalRerankClassifier

    classifier = RetrievalRerankClassifier(
        RCPTEncoder(hidden_size=16, n_epochs=0),
        ClassCenterHead(n_epochs=1),
        labels=questions.labels,
        random_state=0,
    )
    with pytest.warns(UserWarning, match="rows could be held out"):
        classifier.fit(list(questions.texts), questions.Y)
    return classifier.save(tmp_path_factory.mktemp("served") / "model")


class Running:
    """A server on a free port of the loopback interface."""

    def __init__(self, app):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        config = uvicorn.Config(app, log_level="critical", lifespan="on")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *exception):
        self.server.should_exit = True
        self.thread.join(30)
        self.socket.close()

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            if body is not None and not isinstance(body, (bytes, list)):
                body = json.dumps(body).encode()
            headers = {"Content-Type": "application/json"} | (headers or {})
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def predict(self, **body):
        return self.ask("POST", "/predict", body)


@pytest.fixture(scope="module")
def server(serve, folder):
    limits = serve.Limits(n_texts=8, n_characters=200, n_bytes=3_000, k=5)
    with Running(serve.create_app(folder, limits)) as running:
        yield running


def test_health(server, questions):
    assert server.ask("GET", "/health") == (200, {"status": "ok", "n_labels": 12})


def test_answers_are_those_of_the_model(server, folder):
    status, answer = server.predict(texts=TEXTS, k=3)
    assert status == 200
    names, scores = load_model(folder).predict_topk(TEXTS, k=3)
    rows = answer["predictions"]
    assert [[p["label"] for p in row] for row in rows] == names.tolist()
    assert_allclose([[p["score"] for p in row] for row in rows], scores, rtol=1e-7)
    assert server.predict(texts=["mean"])[1]["predictions"][0][4]  # k is 5 unless said


def test_requests_at_the_same_time_get_their_own_answers(server):
    bodies = [{"texts": [f"{text} {i}" for text in TEXTS], "k": 2} for i in range(24)]
    expected = [server.predict(**body) for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda body: server.predict(**body), bodies))
    assert found == expected
    assert all(status == 200 for status, _ in found)


BAD = [
    ({"texts": []}, 422, "texts"),
    ({"texts": ["a"] * 9}, 422, "at most 8"),
    ({"texts": ["short", "x" * 201]}, 422, "texts[1] has 201 characters"),
    ({"texts": "one text"}, 422, "texts: Input should be a valid list"),
    ({"texts": ["a", 3]}, 422, "texts.1"),
    ({"texts": [None]}, 422, "texts.0"),
    ({"texts": ["a"], "k": 0}, 422, "k: "),
    ({"texts": ["a"], "k": 6}, 422, "k: "),
    ({"texts": ["a"], "k": 2.5}, 422, "k: "),
    ({"texts": ["a"], "k": True}, 422, "k: "),
    ({"texts": ["a"], "folder": "/"}, 422, "folder: "),
    ({}, 422, "texts: Field required"),
    ([], 422, "body"),
    (b"{", 422, "body: JSON decode error"),
    (b"", 422, "body"),
    (b'{"texts": ["\\ud800"]}', 422, "texts[0] holds half"),
    (b'{"texts": ["\xff"]}', 400, "body"),
    (b"[" * 2_900, 400, "body"),
    (b'{"texts": ["' + b"a" * 3_000 + b'"]}', 413, "more than 3000 bytes"),
]


@pytest.mark.parametrize(("body", "status", "words"), BAD)
def test_bad_requests_are_told_what_is_wrong(server, body, status, words):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    found, answer = server.ask("POST", "/predict", body)
    assert found == status
    assert list(answer) == ["detail"]
    assert words in answer["detail"]
    assert len(answer["detail"]) < 300
    assert "Traceback" not in answer["detail"]
    assert server.predict(texts=["mean"])[0] == 200  # and the next one is served


def test_a_body_without_a_declared_length_is_cut_off(server):
    chunks = [b'{"texts": ["'] + [b"a" * 1_000] * 20
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", "/predict")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    try:
        for chunk in chunks:  # the end never comes: it has to be refused before
            connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
    except OSError:
        pass  # refused, and closed
    answer = connection.getresponse()
    assert answer.status == 413
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/predict", 405), ("POST", "/health", 405), ("GET", "/nothing", 404)],
)
def test_other_addresses_and_methods(server, method, path, status):
    found, answer = server.ask(method, path)
    assert found == status
    assert list(answer) == ["detail"]


def test_failures_of_the_server_tell_clients_nothing(serve, tmp_path, monkeypatch):
    """What goes wrong inside is no business of a client: neither the reason nor a line of code."""
    texts, Y = ["area of a circle", "mean of a sample"] * 4, [[1, 0], [0, 1]] * 4
    TfidfLinearClassifier(random_state=0).fit(texts, Y).save(tmp_path / "model")
    model = load_model(tmp_path / "model")

    class Broken:
        classes_ = model.classes_

        def predict_topk(self, X, k):
            if X == ["warm up"]:
                return None
            raise RuntimeError("a secret place")

    monkeypatch.setattr(serve, "load_model", lambda folder: Broken())
    with Running(serve.create_app("anywhere")) as running:
        status, answer = running.predict(texts=["a"], k=1)
        assert status == 500
        assert answer == {"detail": "The server failed; the request was not at fault."}
        assert running.ask("GET", "/health")[0] == 200
