"""OTLP over gRPC, where the extra ``andon[grpc]`` is installed.

The three services are answered by the same function as their routes over HTTP. Requests are taken as bytes: the decoder
reads them itself.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from andon.api.bodies import MAX_UNPACKED
from andon.api.otlp import Receive, partial_success
from andon.api.security import allowed_by_token
from andon.errors import AndonError, ConfigError, InputError
from andon.settings import Settings

__all__ = ["GrpcServer", "open_grpc"]

_METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
_AT_A_TIME = 4
_WAITING = 32
"""Calls that may run or wait; more are told to come again."""
_DEFAULT_PORT = 4317

_log = logging.getLogger("andon")


class GrpcServer(Protocol):
    """What runs beside HTTP."""

    def start(self) -> None:
        """Begin to answer."""

    def stop(self, grace: float | None) -> Any:
        """End after the calls that are running."""


def open_grpc(settings: Settings, receive: Receive) -> GrpcServer | None:
    """A server bound to the port, and not yet running; None where gRPC is switched off or not installed.

    Raises:
        ConfigError: the port that was asked for cannot be listened on. The usual one is then passed over with a warning,
            because a collector may well be there.
    """
    if not settings.grpc_port:
        return None
    try:
        import grpc
    except ImportError:
        _log.info("OTLP over gRPC is off: it needs `pip install 'andon[grpc]'`; OTLP over HTTP works without")
        return None
    pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="andon-grpc")
    options = (("grpc.max_receive_message_length", MAX_UNPACKED), ("grpc.so_reuseport", 0))
    server = grpc.server(pool, options=options, maximum_concurrent_rpcs=_WAITING)
    server.add_generic_rpc_handlers((_Services(receive, settings.token),))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        problem = f"ANDON_GRPC_PORT={settings.grpc_port} cannot be listened on: another program may be there already"
        if settings.grpc_port != _DEFAULT_PORT:
            raise ConfigError(f"{problem}; set another port, or 0 to switch gRPC off") from error
        _log.warning("%s; OTLP over gRPC is off, over HTTP it works", problem)
        return None
    return server  # type: ignore[no-any-return]


class _Services:
    """The handler of all three methods, in the shape that gRPC asks for."""

    def __init__(self, receive: Receive, token: str) -> None:
        self._receive, self._token = receive, token

    def service(self, details: Any) -> Any:
        """The handler of one call; None for a method that is not ours."""
        import grpc

        signal = _METHODS.get(details.method)
        if signal is None:
            return None

        def export(body: bytes, context: Any) -> bytes:
            metadata = context.invocation_metadata()
            if self._token and not allowed_by_token([(k, v) for k, v in metadata if isinstance(v, str)], self._token):
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "send ANDON_TOKEN as `authorization: Bearer ...`")
            kept, problems = self._stored(signal, body, context)
            return partial_success(kept, problems)

        return grpc.unary_unary_rpc_method_handler(export)

    def _stored(self, signal: str, body: bytes, context: Any) -> tuple[int, Sequence[str]]:
        import grpc

        try:
            return self._receive(signal, body, "protobuf")
        except InputError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except AndonError as error:
            if error.retryable:
                _log.warning("a request was not stored and may be sent again: %s", error)
                context.abort(grpc.StatusCode.UNAVAILABLE, "not stored; send the same again later")
            _log.error("a request was not stored", exc_info=error)
            context.abort(grpc.StatusCode.INTERNAL, "Andon failed; its log says why")
        raise AssertionError("abort raises")
