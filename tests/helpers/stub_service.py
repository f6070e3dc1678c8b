"""A service that answers the page of `beamtune serve` as a test says: states that the real one is rarely in."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse, JSONResponse

PAGE = Path(__file__).resolve().parents[2] / "trainer" / "serve" / "page"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src blob:; "
    "connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
# More genres than there are colours, and one that would run if it were HTML.
HOSTILE = "<img src=x onerror=document.title='run'>"
_TEN = ("ambient", "blues", "country", "disco", "electronic", "folk", "grunge", "house", "industrial", "jazz")
LABELS = (*_TEN, HOSTILE)
PROBABILITIES = {label: 0.01 * index for index, label in enumerate(LABELS)} | {"blues": 0.4321}
# Genre and probability of each segment of 3 s.
TIMELINE = (("blues", 0.61251), ("blues", 0.5), ("jazz", 0.34), (HOSTILE, 0.999))


def error(reason: str, message: str) -> dict[str, Any]:
    return {"error": {"reason": reason, "message": message}}


def _result() -> dict[str, Any]:
    ranked = sorted(PROBABILITIES.items(), key=lambda item: -item[1])
    duration_s = 3.0 * len(TIMELINE)
    return {
        "duration_s": duration_s,
        "expected_duration_s": duration_s,
        "is_partial": False,
        "num_segments": len(TIMELINE),
        "label": ranked[0][0],
        "genres": [{"genre": genre, "probability": probability} for genre, probability in ranked],
        "timeline": [
            {"start_s": 3.0 * index, "duration_s": 3.0, "genre": genre, "probability": probability}
            for index, (genre, probability) in enumerate(TIMELINE)
        ],
    }


@dataclass
class StubService:
    """What the service answers, which a test may change at any time, and what it has received."""

    result: dict[str, Any] = field(default_factory=_result)
    token: str | None = None
    limits: dict[str, float] = field(default_factory=dict)
    model_status: int = 200
    # Status and body of /v1/predict, in place of the result.
    failure: tuple[int, str] | None = None
    # Whether uploads are read and whether answers are given; a test closes one to see the page wait.
    reads: threading.Event = field(default_factory=threading.Event)
    answers: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    num_disconnected: int = 0
    url: str = ""

    def reset(self) -> None:
        """Back to a service that answers at once."""
        self.result = _result()
        self.limits = {"max_upload_bytes": 64 * 2**20, "max_duration_s": 600.0}
        self.token, self.model_status, self.failure = None, 200, None
        self.reads.set()
        self.answers.set()
        self.bodies.clear()
        self.headers.clear()

    def refusal(self, request: Request) -> Response | None:
        if self.token is not None and request.headers.get("authorization") != f"Bearer {self.token}":
            return JSONResponse(error("unauthorized", "The token is missing or wrong."), 401)
        return None

    def application(self) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.get("/v1/model")
        def model(request: Request) -> Response:
            if self.model_status != 200:
                return JSONResponse(error("not_ready", "The model is being loaded."), self.model_status)
            return self.refusal(request) or JSONResponse(
                {
                    "name": "a-model",
                    "kind": "run",
                    "labels": LABELS,
                    "segment_duration_s": 3.0,
                    "limits": self.limits,
                    "min_confidence": 0.5,
                    "beamtune_version": "0.1.0",
                }
            )

        @app.post("/v1/predict")
        async def predict(request: Request) -> Response:
            self.headers.append(dict(request.headers))
            while not self.reads.is_set():
                await asyncio.sleep(0.02)
            try:
                self.bodies.append(await request.body())
            except Exception:
                self.num_disconnected += 1
                raise
            while not self.answers.is_set():
                await asyncio.sleep(0.02)
            if self.failure is not None:
                return Response(self.failure[1], self.failure[0])
            return self.refusal(request) or JSONResponse(self.result)

        @app.get("/{name:path}")
        def file(name: str) -> Response:
            return FileResponse(PAGE / (name or "index.html"), headers={"Content-Security-Policy": POLICY})

        return app


@contextmanager
def serving(service: StubService) -> Iterator[StubService]:
    """Serves it on a free port of this computer."""
    server = uvicorn.Server(uvicorn.Config(service.application(), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
    service.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    service.reset()
    yield service
    service.reset()
    server.should_exit = True
    thread.join(30)
