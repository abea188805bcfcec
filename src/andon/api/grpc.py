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
from andon.api.security import Opens, refusal, sent_tokens
from andon.errors import AndonError, InputError, SeamError
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


def open_grpc(settings: Settings, receive: Receive, scopes_of: Opens = lambda _: None) -> GrpcServer | None:
    """A server bound to the port, and not yet running; None where gRPC is switched off or not installed.

    Who calls sends a token as over HTTP: ANDON_TOKEN, or a machine's with the scope ``ingest``.

    Raises:
        SeamError: the port that was asked for cannot be listened on. The usual one is then passed over with a warning,
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
    server.add_generic_rpc_handlers((_Services(receive, settings.token, scopes_of),))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        problem = f"ANDON_GRPC_PORT={settings.grpc_port} cannot be listened on: another program may be there already"
        if settings.grpc_port != _DEFAULT_PORT:
            raise SeamError(f"{problem}; stop it, set another port, or 0 to switch gRPC off") from error
        _log.warning("%s; OTLP over gRPC is off, over HTTP it works", problem)
        return None
    return server  # type: ignore[no-any-return]


class _Services:
    """The handler of all three methods, in the shape that gRPC asks for."""

    def __init__(self, receive: Receive, token: str, scopes_of: Opens) -> None:
        self._receive, self._token, self._scopes_of = receive, token, scopes_of

    def service(self, details: Any) -> Any:
        """The handler of one call; None for a method that is not ours."""
        import grpc

        signal = _METHODS.get(details.method)
        if signal is None:
            return None

        def export(body: bytes, context: Any) -> bytes:
            metadata = context.invocation_metadata()
            given = sent_tokens([(k, v) for k, v in metadata if isinstance(v, str)])
            if why := refusal(given, "ingest", self._token, self._scopes_of):
                code = grpc.StatusCode.UNAUTHENTICATED if why[0] == 401 else grpc.StatusCode.PERMISSION_DENIED
                context.abort(code, why[2])
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
