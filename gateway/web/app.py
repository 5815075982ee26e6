"""What the web server answers: `/metrics`, `/healthz`, `/livez`. It asks nobody who they are, and tells no mail."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.metrics.exposition import exposition
from gateway.metrics.node import NodeMetrics
from gateway.web.health import Health, HealthChecks

log = logging.getLogger("stellwerk.web")

_HELD_SECONDS = 1.0
_NO_STORE = {"Cache-Control": "no-store"}

T = TypeVar("T")
Endpoint = Callable[[Request], Awaitable[Response]]


class _Held(Generic[T]):
    """One answer for all who ask within a second: a flood of requests costs one look."""

    def __init__(self, look: Callable[[], Awaitable[T]]) -> None:
        self._look = look
        self._running: asyncio.Task[T] | None = None

    async def get(self) -> T:
        if self._running is None:
            self._running = asyncio.ensure_future(self._once())
        return await asyncio.shield(self._running)

    async def _once(self) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await self._look()
        finally:
            loop.call_later(_HELD_SECONDS, self._forget)

    def _forget(self) -> None:
        self._running = None


def make_app(node: NodeMetrics, checks: HealthChecks) -> Starlette:
    """The application. A bug in it is 500 and a log line, and nothing else."""
    health: _Held[Health] = _Held(checks.look)
    snapshot = _Held(lambda: asyncio.to_thread(node.look))

    async def metrics(request: Request) -> Response:
        view = await snapshot.get()
        accept = request.headers.get("accept", "")
        body, content_type = await asyncio.to_thread(exposition, view.total, accept)
        return Response(body, headers={"Content-Type": content_type, **_NO_STORE})

    async def healthz(request: Request) -> Response:
        found = await health.get()
        return JSONResponse(found.to_json(), 200 if found.is_well else 503, headers=_NO_STORE)

    async def livez(request: Request) -> Response:
        return JSONResponse({"status": "ok"}, headers=_NO_STORE)

    return Starlette(
        routes=[
            Route("/metrics", _guarded(metrics), methods=["GET"]),
            Route("/healthz", _guarded(healthz), methods=["GET"]),
            Route("/livez", _guarded(livez), methods=["GET"]),
        ]
    )


def _guarded(endpoint: Endpoint) -> Endpoint:
    """Starlette would answer 500 too, but hand the exception on to a server that logs it a second time."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except Exception as error:
            log.error("%s failed", request.url.path, exc_info=error)
            return PlainTextResponse("internal error; the gateway's log has it\n", 500)

    return answer
