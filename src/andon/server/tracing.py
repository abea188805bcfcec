"""Andon's own traces, by OpenTelemetry: what a turn of the loop, a commit and a request take of a process's time.

They are off, and nothing is loaded or wrapped, unless OpenTelemetry's own variables ask for them: OTEL_TRACES_EXPORTER, or the
address of a collector. Always true: an attribute is a number, a template of ours or the name of an exception's class, never what an
exception says and never what came from outside. A provider of our own is used, not the process's global one, by which a library
could send texts of traffic along. A request begins a trace of its own: whose trace it continues is not the sender's to say.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from andon import __version__
from andon.api.metrics import Templates
from andon.api.security import is_loopback
from andon.loop import Loop
from andon.settings import Settings
from andon.store import Committed, Warehouse

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

__all__ = ["LOOP", "SERVER", "Traces", "exporters_of", "ourselves", "start_traces"]

SERVER, LOOP = "server", "loop"
"""The processes of a replica: one takes requests, its child commits and turns the loop."""

END_S = 2.0
"""How long the end of a process waits for its last spans to be taken."""

UNTRACED = frozenset({"/v1/traces", "/v1/logs", "/v1/metrics", "/healthz", "/readyz", "/metrics"})
"""Requests that make no span: telemetry, or spans about spans would never end, and what machines ask every few seconds."""

_METHODS = ("turn", "tick", "read", "look_into", "act", "tell", "follow", "probe", "take_in", "forget")
"""The methods of a loop that get a span each; `Loop.step` adds the parts of a turn."""

_KNOWN = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DEFAULT_AT = {"otlp_proto_http": "http://localhost:4318", "otlp_proto_grpc": "http://localhost:4317"}
_INSTALL = "pip install 'andon[otel]'"

_log = logging.getLogger("andon")


def start_traces(settings: Settings, process: str) -> "Traces | None":
    """The traces of this process; None where nobody asks for them, or where they cannot be sent, which the server logs.

    Whoever watches Andon must not keep it from running, so nothing here is an error.

    Args:
        settings: where this Andon itself can be reached: it is not sent its own traces.
        process: which of its processes this is.
    """
    names = exporters_of(os.environ)
    if not names:
        return None
    at = _address(os.environ, names)
    if at and ourselves(at, settings):
        why = (
            f"{at} is this Andon, which would go on for ever telling itself what it does; set OTEL_EXPORTER_OTLP_ENDPOINT to "
            "another collector, or OTEL_TRACES_EXPORTER to none"
        )
    else:
        try:
            return Traces(_provider(names, process))
        except ImportError as error:
            why = f"OpenTelemetry's SDK is not installed ({error.name} is missing); {_INSTALL}"
        except LookupError as error:
            why = f"OTEL_TRACES_EXPORTER asks for {error}, which is not installed; {_INSTALL} brings otlp and console"
        except Exception as error:  # a variable of OpenTelemetry's that its SDK refuses, each in its own way
            why = f"OpenTelemetry's SDK refused to begin ({type(error).__name__}: {error})"
    _log.log(logging.WARNING if process == SERVER else logging.DEBUG, "own traces are off: %s", why)
    return None


def exporters_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the exporters that OpenTelemetry's variables ask for, as its plug-ins are called; none where they ask for nothing."""
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return ()
    asked = environ.get("OTEL_TRACES_EXPORTER", "").strip()
    if not asked:
        somewhere = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
        asked = "otlp" if any(environ.get(name, "").strip() for name in somewhere) else "none"
    protocol = _said(environ, "PROTOCOL") or "http/protobuf"
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    names = [name.strip() for name in asked.split(",")]
    return tuple(otlp if name == "otlp" else name for name in names if name not in ("", "none"))


def ourselves(at: str, settings: Settings) -> bool:
    """Whether an address is where this Andon itself takes traces, as far as its own settings can tell."""
    try:
        parts = urlsplit(at if "://" in at else f"//{at}")
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return False
    if port not in (settings.port, settings.grpc_port):
        return False
    return is_loopback(host) or host in (settings.host.strip("[]").lower(), socket.gethostname().lower())


def _said(environ: Mapping[str, str], what: str) -> str:
    """What is said of traces in particular, or of all that is exported."""
    of_traces = environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{what}", "").strip()
    return of_traces or environ.get(f"OTEL_EXPORTER_OTLP_{what}", "").strip()


def _address(environ: Mapping[str, str], names: Collection[str]) -> str:
    """Where spans would be sent by OTLP; empty where they would not."""
    default = next((at for name, at in _DEFAULT_AT.items() if name in names), "")
    return _said(environ, "ENDPOINT") or default if default else ""


def _provider(names: Collection[str], process: str) -> "TracerProvider":
    """A provider as OpenTelemetry's variables describe it.

    Raises:
        ImportError: the SDK is not installed.
        LookupError: an exporter is not; says which.
    """
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    said = Resource.create()
    own: dict[str, str] = {"andon.process": process}
    if str(said.attributes.get("service.name", "")).startswith(
        "unknown_service"
    ):  # what the SDK says where nobody does
        own["service.name"] = "andon"
    if "service.version" not in said.attributes:
        own["service.version"] = __version__
    plugins = {found.name: found for found in entry_points(group="opentelemetry_traces_exporter")}
    if missing := [name for name in names if name not in plugins]:
        raise LookupError(", ".join(missing))
    provider = TracerProvider(resource=said.merge(Resource(own)), shutdown_on_exit=False)
    for name in names:
        provider.add_span_processor(BatchSpanProcessor(plugins[name].load()()))
    return provider


class Traces:
    """The spans of one process: it puts itself around what is done there, which knows nothing of it."""

    def __init__(self, provider: "TracerProvider") -> None:
        """Nothing is traced yet.

        Args:
            provider: takes the spans.
        """
        self._provider = provider
        self._tracer = provider.get_tracer("andon", __version__)

    def watch(self, warehouse: Warehouse, loop: Loop | None = None) -> None:
        """Trace the commits and compactions of a warehouse that did something, and the turns of a loop with their parts."""
        done_to: list[tuple[object, str, Callable[..., Any]]] = [
            (warehouse, "commit", self._if_any("commit", warehouse.commit, _rows_of)),
            (warehouse, "tidy", self._if_any("compaction", warehouse.tidy, lambda merged: {"andon.files": merged})),
        ]
        if loop is not None:
            done_to += [(loop, name, self._around(name, getattr(loop, name))) for name in _METHODS]
            loop.step = self.span
        for owner, name, traced in done_to:
            setattr(owner, name, traced)

    def add_to(self, app: FastAPI) -> None:
        """Trace the requests to an application that does not serve yet, apart from those in `UNTRACED`."""
        app.add_middleware(_TracedRequests, tracer=self._tracer)

    @contextmanager
    def span(self, name: str) -> Iterator["Span"]:
        """A span around a block, below the one that it lies in; of an error it says the class, as the rest may quote traffic."""
        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield span
            except BaseException as error:
                _failed(span, error)
                raise

    def end(self) -> None:
        """Send what is left, for `END_S` at most: a collector that does not answer must not hold up the end of a process."""
        ending = threading.Thread(target=self._provider.shutdown, name="andon-traces", daemon=True)
        ending.start()
        ending.join(END_S)

    def _around(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def traced(*args: Any, **named: Any) -> Any:
            with self.span(name):
                return work(*args, **named)

        return traced

    def _if_any(
        self, name: str, work: Callable[[], Any], said: Callable[[Any], Mapping[str, int]]
    ) -> Callable[[], Any]:
        """Work that is done twice a second, and mostly finds nothing to do: then it makes no span."""

        @wraps(work)
        def traced() -> Any:
            began_ns, failed, told = time.time_ns(), None, {}
            try:
                done = work()
                told = dict(said(done))
            except BaseException as error:
                failed = error
                raise
            finally:
                if failed is not None or any(told.values()):
                    span = self._tracer.start_span(name, start_time=began_ns, attributes=told)
                    if failed is not None:
                        _failed(span, failed)
                    span.end()
            return done

        return traced


class _TracedRequests:
    """ASGI middleware: a span for each request, from its head to the beginning of its answer, as `/metrics` measures it."""

    def __init__(self, app: ASGIApp, *, tracer: "Tracer") -> None:
        self._app, self._tracer, self._templates = app, tracer, Templates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["path"].rstrip("/") or "/") in UNTRACED:
            await self._app(scope, receive, send)
            return
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, StatusCode, use_span

        method = scope["method"] if scope["method"] in _KNOWN else "_OTHER"
        span = self._tracer.start_span(method, Context(), SpanKind.SERVER, {"http.request.method": method})

        def end(status: int) -> None:
            route = self._templates.of(scope)
            span.update_name(f"{method} {route}")
            span.set_attributes({"http.route": route, "http.response.status_code": status})
            if status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end()

        async def send_traced(message: Message) -> None:
            if message["type"] == "http.response.start" and span.is_recording():
                end(message["status"])
            await send(message)

        with use_span(span, record_exception=False, set_status_on_exception=False):
            try:
                await self._app(scope, receive, send_traced)
            except BaseException as error:
                _failed(span, error)
                raise
            finally:
                if span.is_recording():  # no answer was begun: the client has left
                    span.end()


def _rows_of(done: Committed) -> dict[str, int]:
    """How many rows a commit moved, and what became of them."""
    kinds = {"added": done.added, "replaced": done.replaced, "duplicates": done.duplicates}
    return {f"andon.rows.{kind}": sum(rows.values()) for kind, rows in kinds.items()}


def _failed(span: "Span", error: BaseException) -> None:
    from opentelemetry.trace import StatusCode

    if span.is_recording():
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
