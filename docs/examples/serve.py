"""A saved model behind HTTP: ``python serve.py FOLDER`` answers POST /predict and GET /health.

Needs ``pip install ".[serve]"``.
"""

import argparse
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio.to_thread
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from skrr2qc.persistence import load_model

logger = logging.getLogger("skrr2qc.serve")


@dataclass(frozen=True)
class Limits:
    """What one request may ask for."""

    n_texts: int = 64
    n_characters: int = 20_000  # of one text; the model reads fewer, but is given all
    n_bytes: int = 1_000_000  # of the body
    k: int = 50
    n_threads: int = 4  # requests that are computed at the same time; others wait


class Prediction(BaseModel):
    label: str | int  # a column number where the model knows no names
    score: float


class Answer(BaseModel):
    predictions: list[list[Prediction]]  # one list a text, best label first


def request_type(limits):
    """Body of a request, with the limits in it, so that /docs shows them."""

    class Request(BaseModel):
        model_config = ConfigDict(strict=True, extra="forbid")

        texts: list[str] = Field(min_length=1, max_length=limits.n_texts)
        k: int = Field(default=5, ge=1, le=limits.k)

    return Request


def create_app(folder, limits=None):
    """Application that shares one model, loaded here, between the threads of its requests."""
    limits = Limits() if limits is None else limits
    model = load_model(folder)
    n_labels = len(model.classes_)
    model.predict_topk(["warm up"], k=1)  # so that the first caller does not wait for imports

    @asynccontextmanager
    async def lifespan(app):
        anyio.to_thread.current_default_thread_limiter().total_tokens = limits.n_threads
        yield

    app = FastAPI(title="skrr2qc", lifespan=lifespan)
    app.add_middleware(BodyLimit, n_bytes=limits.n_bytes)
    app.add_exception_handler(RequestValidationError, say_what_is_wrong)
    app.add_exception_handler(StarletteHTTPException, say_no_more)
    app.add_exception_handler(Exception, say_nothing)
    request = request_type(limits)

    @app.get("/health")
    async def health() -> dict[str, str | int]:  # no thread: answers while all are busy
        return {"status": "ok", "n_labels": n_labels}

    @app.post("/predict")
    def predict(body: request) -> Answer:
        check_texts(body.texts, limits)
        if body.k > n_labels:
            raise HTTPException(422, f"k is {body.k}, but the model has {n_labels} labels.")
        names, scores = model.predict_topk(body.texts, k=body.k)
        rows = zip(names.tolist(), scores.tolist(), strict=True)
        answers = [
            [Prediction(label=n, score=s) for n, s in zip(*row, strict=True)] for row in rows
        ]
        return Answer(predictions=answers)

    return app


def check_texts(texts, limits):
    """Refuse what is too long, and what JSON can say but no encoding of text can hold."""
    for i, text in enumerate(texts):
        if len(text) > limits.n_characters:
            detail = f"texts[{i}] has {len(text)} characters, at most {limits.n_characters}"
            raise HTTPException(422, f"{detail} are taken.")
        if any("\ud800" <= c <= "\udfff" for c in text):
            raise HTTPException(422, f"texts[{i}] holds half of a surrogate pair.")


async def say_what_is_wrong(request, error):
    """Place and reason of each mistake; what was sent is not sent back."""
    found = []
    for mistake in error.errors()[:5]:
        is_json = mistake["type"] != "json_invalid"
        place = ".".join(str(part) for part in mistake["loc"][1:] if is_json)
        found.append(f"{place or 'body'}: {mistake['msg']}")
    return JSONResponse({"detail": "; ".join(found)}, 422)


async def say_no_more(request, error):
    return JSONResponse({"detail": error.detail}, error.status_code, headers=error.headers)


async def say_nothing(request, error):
    """The traceback is for the log (the server writes it), not for the client."""
    return JSONResponse({"detail": "The server failed; the request was not at fault."}, 500)


class BodyLimit:
    """Refuse bodies that are too long as soon as that is known, whatever their header says."""

    def __init__(self, app, n_bytes):
        self.app = app
        self.n_bytes = n_bytes

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.n_bytes:
            return await self.refuse(send)
        messages, n_read, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":  # the client has gone
                return None
            n_read += len(message.get("body", b""))
            if n_read > self.n_bytes:
                return await self.refuse(send)
            messages.append(message)
            more = message.get("more_body", False)

        async def replay():
            return messages.pop(0) if messages else await receive()

        return await self.app(scope, replay, send)

    async def refuse(self, send):
        content = json.dumps({"detail": f"The body has more than {self.n_bytes} bytes."}).encode()
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        headers.append((b"content-length", str(len(content)).encode()))
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": content})


def main():
    import uvicorn

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="what save() has written")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    app = create_app(options.folder)
    # Slow clients are cut off after a while; connections beyond a hundred get a 503.
    uvicorn.run(
        app,
        host=options.host,
        port=options.port,
        limit_concurrency=100,
        timeout_keep_alive=10,
    )


if __name__ == "__main__":
    main()
