"""The routes of the service."""

import errno
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from beam_pipelines.audio.unexpected import UNEXPECTED
from beam_pipelines.common.package_builds import beamtune_version
from beam_pipelines.features.frontend import AudioError
from trainer.serve.api_types import ModelAnswer, PredictionAnswer, StateAnswer, audio_body, error_responses
from trainer.serve.body import received_audio, received_json
from trainer.serve.drain import Drain
from trainer.serve.guard import Guard
from trainer.serve.instances import failure_message, predict_instances
from trainer.serve.page_files import PageFile, docs_files, page_files
from trainer.serve.platform import Platform
from trainer.serve.request_log import CLIENT_GONE, RequestLog, error_text, record_of
from trainer.serve.service import Service
from trainer.serve.service_error import ServiceError, error_response, unavailable

# Errors of the system that may be over soon, by what is used up.
_USED_UP = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "no_space"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "too_many_files"),
}
HEALTH_PATHS = ("/healthz", "/readyz")
_REASONS = {404: "not_found", 405: "method_not_allowed"}


def make_app(
    service: Service, *, platform: Platform, token: str | None = None, hosts: Sequence[str] | None = None
) -> ASGIApp:
    """Returns the application.

    Args:
        service: The model, the threads and the settings.
        platform: The routes of Vertex AI.
        token: What clients must send; None where no token is needed.
        hosts: The names by which clients may call the service; None for any.
    """
    app = FastAPI(
        title="beamtune serve",
        version=beamtune_version(),
        description="Predicts the genre of music files.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address of a redirection would have the host that the client names
    )
    page = page_files()
    _add_answers_to_errors(app)
    # First, because the platform may name paths that the service has.
    _add_platform(app, service, platform)
    _add_states(app, service)
    _add_predictions(app, service)
    for path, file in {**page, **docs_files()}.items():
        _add_file(app, path, file)
    public_paths = {*HEALTH_PATHS, *page, *filter(None, [platform.health_route])}
    guard = Guard(app, token=token, hosts=hosts, public_paths=public_paths)
    return RequestLog(Drain(guard), metrics=service.metrics)


def _add_predictions(app: FastAPI, service: Service) -> None:
    config = service.config

    @app.post(
        "/v1/predict",
        response_model=PredictionAnswer,
        responses=error_responses(408, 413, 415, 422, 503),
        openapi_extra={"requestBody": audio_body()},
        summary="The genres of a music file",
    )
    async def predict(request: Request) -> Response:
        service.check_accepts_work()
        async with received_audio(
            request,
            folder=service.folder,
            max_bytes=config.max_upload_bytes,
            timeout_s=config.upload_timeout_s,
        ) as file:
            content = await service.predict(file.name, disconnected=partial(_disconnected, request))
        record_of(request.scope).decoded_s = content["duration_s"]
        return JSONResponse(content)

    @app.get(
        "/v1/model", response_model=ModelAnswer, responses=error_responses(503), summary="The model, and the limits"
    )
    async def model(request: Request) -> Response:
        return JSONResponse(service.describe())


def _add_instances(app: FastAPI, service: Service, *, path: str) -> None:
    @app.post(path, include_in_schema=False)
    async def predict(request: Request) -> Response:
        service.check_accepts_work()
        async with received_json(
            request,
            folder=service.folder,
            max_bytes=service.config.max_upload_bytes,
            timeout_s=service.config.upload_timeout_s,
        ) as body:
            predictions = await service.queue.run(
                lambda stop: predict_instances(body, service, stop=stop), disconnected=partial(_disconnected, request)
            )
        record_of(request.scope).decoded_s = sum(one.get("duration_s", 0.0) for one in predictions)
        return JSONResponse({"predictions": predictions})


def _add_platform(app: FastAPI, service: Service, platform: Platform) -> None:
    if platform.health_route is not None:

        @app.get(platform.health_route, include_in_schema=False)
        async def health(request: Request) -> Response:
            return _ready(service)

    if platform.predict_route is not None:
        _add_instances(app, service, path=platform.predict_route)


def _ready(service: Service) -> Response:
    service.check_ready()
    return JSONResponse({"status": "ready"})


def _add_states(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", response_model=StateAnswer, responses=error_responses(), summary="Whether the process lives")
    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    @app.get(
        "/readyz",
        response_model=StateAnswer,
        responses=error_responses(503),
        summary="Whether the service accepts work",
    )
    async def readyz(request: Request) -> Response:
        return _ready(service)

    @app.get(
        "/metrics",
        responses={**error_responses(), 200: {"content": {"text/plain": {}}}},
        summary="Metrics for Prometheus",
    )
    async def metrics(request: Request) -> Response:
        return Response(service.metrics.text(), media_type=service.metrics.content_type)


def _add_file(app: FastAPI, path: str, file: PageFile) -> None:
    @app.get(path, include_in_schema=False)
    async def send_file(request: Request) -> Response:
        return Response(file.content, headers=dict(file.headers))


def _add_answers_to_errors(app: FastAPI) -> None:
    """Gives all errors the same form."""

    def respond(request: Request, error: ServiceError) -> Response:
        record_of(request.scope).reason = error.reason
        return error_response(error)

    @app.exception_handler(ServiceError)
    async def refused(request: Request, error: ServiceError) -> Response:
        return respond(request, error)

    @app.exception_handler(AudioError)
    async def failed_file(request: Request, error: AudioError) -> Response:
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        if error.reason == UNEXPECTED:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            record_of(request.scope).error = error_text(error.__cause__ or error)
        return respond(request, ServiceError(status, error.reason, failure_message(error)))

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> Response:
        reason = _REASONS.get(error.status_code, "refused")
        headers: Mapping[str, Any] = error.headers or {}
        return respond(
            request, ServiceError(HTTPStatus(error.status_code), reason, f"{error.detail}.", headers=headers)
        )

    @app.exception_handler(ClientDisconnect)
    async def client_gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_GONE)

    @app.exception_handler(OSError)
    async def failed_system(request: Request, error: OSError) -> Response:
        reason = _USED_UP.get(error.errno or 0)
        if reason is None:
            raise error
        record_of(request.scope).error = error_text(error)
        return respond(request, unavailable(reason, "The machine is full: send the request again later."))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return respond(
            request, ServiceError(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The service failed; its log says how.")
        )


async def _disconnected(request: Request) -> None:
    """Returns when the client is gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
