"""Levers over OpenFeature: a provider that answers from memory (extra ``openfeature``).

::

    from openfeature import api
    from andon.client.openfeature import AndonProvider

    api.set_provider_and_wait(AndonProvider("http://localhost:4318", app="support-bot"))
    api.get_client().get_boolean_value("citations.enabled", True)

The official OFREP provider asks the server at every read and gives the code default when it gets no answer. This one gives
what was last known: see `andon.client.levers`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    OpenFeatureError,
    ProviderNotReadyError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.provider import AbstractProvider, Metadata

from andon.client.answers import MISSING, Nested
from andon.client.levers import LeverCache

__all__ = ["AndonProvider"]

_REASONS = {reason.value: reason for reason in Reason}
_CODES = {code.value: code for code in ErrorCode}
_T = TypeVar("_T")


class AndonProvider(AbstractProvider):
    """Levers from memory, which background threads keep up to date.

    A read touches neither network nor disk nor lock. The code default is given only where nothing was ever known of a lever,
    where it does not exist (FLAG_NOT_FOUND) or has another type (TYPE_MISMATCH). Reason STALE: the server has confirmed
    nothing for a minute, or, with values that an earlier process kept, nothing yet, or it no longer knows the lever. Then a
    lever that fails closed and was not held gives its safe value (variant ``safe``), any other what was last known.
    """

    def __init__(
        self,
        endpoint: str = "http://localhost:4318",
        *,
        token: str | None = None,
        app: str = "default",
        environment: str = "production",
        timeout_s: float = 0.1,
        cache: str | os.PathLike[str] | None = "",
    ) -> None:
        """Make a provider; nothing is asked before OpenFeature initialises it.

        Args:
            endpoint: base URL of the server.
            token: bearer token, where the server asks for one.
            app: the application that reads.
            environment: which copy of it: production or staging.
            timeout_s: how long initialising waits for the first answer. Nothing else ever waits.
            cache: folder of the file that keeps the last values for the next start; empty for ``andon`` below
                XDG_CACHE_HOME or ``~/.cache``, None for no file.
        """
        super().__init__()
        self._timeout_s = timeout_s
        self._metadata = Metadata(name="Andon")
        self._levers = LeverCache(
            endpoint, token=token, app=app, environment=environment, cache=cache, tell=self._emitted
        )

    def get_metadata(self) -> Metadata:
        """The provider's name."""
        return self._metadata

    def initialize(self, evaluation_context: EvaluationContext) -> None:  # noqa: ARG002 - levers split users by each read's own
        """Start to read levers; waits at most `timeout_s`, and never fails because the server is away.

        To raise would end applications that start during our outage. Where nothing is known the status becomes ERROR as soon as
        a question failed, and READY with the first answer.
        """
        self._levers.start(self._timeout_s)

    def shutdown(self) -> None:
        """Stop reading levers."""
        self._levers.stop()

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        """The value of a boolean lever."""
        return self._resolved(flag_key, default_value, evaluation_context, _boolean)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        """The value of a text lever."""
        return self._resolved(flag_key, default_value, evaluation_context, _string)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        """The value of a number lever that is whole."""
        return self._resolved(flag_key, default_value, evaluation_context, _integer)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        """The value of a number lever."""
        return self._resolved(flag_key, default_value, evaluation_context, _float)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        """The value of an object lever: a new dict or list at each read, which the caller may change."""
        return self._resolved(flag_key, default_value, evaluation_context, _nested)

    def _resolved(
        self, key: str, default: _T, context: EvaluationContext | None, fitted: Callable[[Any], _T | None]
    ) -> FlagResolutionDetails[_T]:
        entry = self._levers.find(key)
        if entry is None:
            if not self._levers.known:
                raise ProviderNotReadyError("nothing was heard of Andon yet, and nothing was kept")
            raise FlagNotFoundError(f"there is no lever {key!r}")
        if entry.error is not None:
            code, details = entry.error
            raise OpenFeatureError(_CODES.get(code, ErrorCode.GENERAL), details)
        user, shadow = (
            (None, False) if context is None else (context.targeting_key, context.attributes.get("shadow") is True)
        )
        given, reason, variant = entry.given(user, shadow, self._levers.stale)
        if given is MISSING:
            return FlagResolutionDetails(
                default, reason=Reason.DEFAULT, variant=variant, flag_metadata=entry.metadata.copy()
            )
        value = fitted(given)
        if value is None:
            kind = "an object" if type(given) is Nested else f"a {type(given).__name__}"
            raise TypeMismatchError(f"lever {key!r} gives {kind}")
        return FlagResolutionDetails(
            value,
            reason=_REASONS[reason],
            variant=variant,
            flag_metadata=entry.metadata.copy(),
        )

    def _emitted(self, event: str, keys: list[str]) -> None:
        if event == "changed":
            self.emit_provider_configuration_changed(ProviderEventDetails(flags_changed=keys))
        elif event == "stale":
            self.emit_provider_stale(
                ProviderEventDetails(message="Andon is away; what was last known is given, or what is safe")
            )
        elif event == "unknown":
            said = "nothing was heard of Andon yet, and nothing was kept: code defaults are given"
            self.emit_provider_error(ProviderEventDetails(message=said, error_code=ErrorCode.PROVIDER_NOT_READY))
        else:
            self.emit_provider_ready(ProviderEventDetails(message="Andon answers again"))


def _boolean(value: Any) -> bool | None:
    return value if type(value) is bool else None


def _string(value: Any) -> str | None:
    return value if type(value) is str else None


def _integer(value: Any) -> int | None:
    if type(value) is float and value.is_integer():
        return int(value)  # a number lever is a float on the wire
    return value if type(value) is int else None


def _float(value: Any) -> float | None:
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            return None
    return value if type(value) is float else None


def _nested(value: Any) -> Any:
    return value.copy() if type(value) is Nested else None
