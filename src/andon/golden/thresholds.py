"""From which cosine on two questions count as the same one, by application and language."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from andon.errors import ConfigError
from andon.golden.duplicates import THRESHOLD
from andon.scores.language import language_of
from andon.traffic.quoting import quoted

__all__ = ["Thresholds", "thresholds_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The thresholds of near-duplicates."""

    by: Mapping[str, float] = field(default_factory=dict)
    """By ``APP.LANG``, ``APP``, ``LANG`` or ``default``."""

    def of(self, app: str, question: str) -> float:
        """The threshold of a question.

        That of its application and language, else of its application, of its language, the default, `THRESHOLD`. A question
        whose language is unclear has that of its application, else the default.
        """
        language = language_of(question)
        keys = (app, "default") if language is None else (f"{app}.{language}", app, language, "default")
        return next((self.by[k] for k in keys if k in self.by), THRESHOLD)


def thresholds_of(tables: Mapping[str, Any], file: str) -> Thresholds:
    """The thresholds of a configuration: its table ``[golden.threshold]``.

    Raises:
        ConfigError: it is no table, or a value is no cosine; names file, key and value.
    """
    golden = tables.get("golden", {})
    rows = golden.get("threshold", {}) if isinstance(golden, Mapping) else golden
    if not isinstance(rows, Mapping):
        raise ConfigError(f"{file}: golden.threshold = {quoted(rows)} must be a table: write [golden.threshold]")
    for key, value in rows.items():
        if isinstance(value, Mapping):
            raise ConfigError(
                f"{file}: golden.threshold.{key} is a table; a name with a dot stands in quotation marks:"
                f' "{key}.{next(iter(value), "LANG")}" = {THRESHOLD}'
            )
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not 0 < value <= 1:
            raise ConfigError(
                f"{file}: golden.threshold: {key} = {quoted(value)}; a cosine above 0 and up to 1 is allowed, such as"
                f" {THRESHOLD}"
            )
    return Thresholds(by={key: float(value) for key, value in rows.items()})
