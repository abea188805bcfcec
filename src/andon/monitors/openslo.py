"""OpenSLO v1, read strictly: what these documents limit, or an error that names file, document and key.

Source: OpenSLO specification, ``openslo/v1`` (sections SLO, Objectives, SLI, Ratio Metric, duration-shorthand). Different
here: a part of it that Andon cannot honour (time slices, calendar windows, composite objectives, alert policies, other
sources of metrics) is refused, because an objective that is read by half is not the one that was agreed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from andon.errors import InputError
from andon.monitors.tables import keys_of, number, text
from andon.traffic import quoted

__all__ = ["Documents", "SloRow", "slo_rows"]

Documents = Sequence[tuple[str, Any]]
"""Parsed YAML documents, each with its place: ``slo/medical.yaml, document 1``."""

VERSIONS = ("openslo/v1", "openslo.com/v1")
"""As the specification writes it, and as Kubernetes does."""

KINDS = ("SLO", "SLI", "Service")
SOURCE_KEYS = ("metric", "app", "environment", "where")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800, "M": 30 * 86_400, "Q": 90 * 86_400, "Y": 365 * 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([mhdwMQY])")
_NOT_TAKEN = {
    "alertPolicies": "Andon decides by itself when to raise an alarm",
    "timeSliceTarget": "Andon counts interactions, not time slices",
    "timeSliceWindow": "Andon counts interactions, not time slices",
    "compositeWeight": "an SLO of several indicators is written as several SLOs",
    "metricSourceRef": "Andon reads no metrics but its own; write `type: andon`",
    "calendar": "Andon counts the budget over a rolling window",
}
"""Keys of the specification that cannot be honoured, and why; elsewhere than here they are unknown keys."""

Side = Literal["up", "down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SloRow:
    """One objective of one SLO, before its metric is looked up."""

    name: str
    source: str
    """File, document and key of the objective."""
    place: str
    """File, document and key of `measure`."""
    measure: Mapping[str, Any]
    """The indicator's metric, app, environment and where, as written."""
    kind: Literal["binary", "number"]
    """What the metric must be: a ratio counts a binary one, a threshold is put to a number."""
    direction: Side
    """Which way harms, as the indicator says it."""
    at_most: float
    beyond: float | None
    window_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Indicator:
    place: str
    measure: Mapping[str, Any]
    direction: Side | None
    """None for a threshold: the objective's operator says it."""


def slo_rows(documents: Documents) -> list[SloRow]:
    """The objectives of these documents, in their order.

    Raises:
        InputError: something is not understood; names file, document and key.
    """
    rows: list[SloRow] = []
    indicators: dict[str, _Indicator] = {}
    slos: list[tuple[str, str, Mapping[str, Any]]] = []
    seen: set[tuple[str, str]] = set()
    for place, document in _single(documents):
        kind, name, spec = _head(document, place)
        if (kind, name) in seen:
            raise InputError(f"{place}, metadata.name: there is another {kind} {quoted(name)}; names must differ")
        seen.add((kind, name))
        if kind == "SLI":
            indicators[name] = _indicator(spec, f"{place}, spec")
        elif kind == "SLO":
            slos.append((place, name, spec))
        else:
            keys_of(spec, f"{place}, spec", ("description",))
    for place, name, spec in slos:
        rows.extend(_slo(spec, name, place, indicators))
    return rows


def _single(documents: Documents) -> list[tuple[str, Any]]:
    """The documents, those written as a list of objects taken apart, without the empty ones."""
    found: list[tuple[str, Any]] = []
    for place, content in documents:
        if isinstance(content, list):
            found += [(f"{place}[{i}]", item) for i, item in enumerate(content)]
        elif content is not None:
            found.append((place, content))
    return found


def _head(document: Any, place: str) -> tuple[str, str, Mapping[str, Any]]:
    """Kind, name and spec of a document."""
    all_keys = ("apiVersion", "kind", "metadata", "spec")
    document = keys_of(document, place, all_keys, all_keys)
    if document["apiVersion"] not in VERSIONS:
        raise InputError(
            f"{place}: apiVersion = {quoted(document['apiVersion'])} cannot be read; {VERSIONS[0]} is allowed"
        )
    if document["kind"] not in KINDS:
        raise InputError(f"{place}: kind = {quoted(document['kind'])} cannot be honoured; {', '.join(KINDS)} can")
    spec = document["spec"]
    if not isinstance(spec, Mapping):
        raise InputError(f"{place}: spec = {quoted(spec)} must be a table of keys")
    text(spec, "description", f"{place}, spec", 1050)
    return document["kind"], _named(document["metadata"], f"{place}, metadata"), spec


def _named(metadata: Any, place: str) -> str:
    keys_of(metadata, place, ("name", "displayName", "labels", "annotations"), ("name",))
    for key in ("labels", "annotations"):
        if not isinstance(metadata.get(key, {}), Mapping):
            raise InputError(f"{place}: {key} = {quoted(metadata[key])} must be a table of keys")
    text(metadata, "displayName", place)
    return text(metadata, "name", place) or ""


def _slo(spec: Mapping[str, Any], name: str, place: str, indicators: Mapping[str, _Indicator]) -> list[SloRow]:
    inside = f"{place}, spec"
    _refuse(spec, inside)
    keys = ("description", "service", "indicator", "indicatorRef", "timeWindow", "budgetingMethod", "objectives")
    keys_of(spec, inside, keys, ("service", "budgetingMethod", "objectives"))
    text(spec, "service", inside)
    if spec["budgetingMethod"] != "Occurrences":
        raise InputError(
            f"{inside}: budgetingMethod = {quoted(spec['budgetingMethod'])} cannot be honoured; Andon counts"
            " interactions: Occurrences"
        )
    indicator = _indicator_of(spec, inside, indicators)
    window_s = _window(spec["timeWindow"], f"{inside}.timeWindow") if spec.get("timeWindow") is not None else None
    objectives = spec["objectives"]
    if not isinstance(objectives, list) or not objectives:
        raise InputError(f"{inside}: objectives = {quoted(objectives)} must be a list of at least one")
    if indicator.direction is None and len(objectives) > 1:
        raise InputError(f"{inside}: objectives has {len(objectives)} entries; with a thresholdMetric one is allowed")
    rows = []
    for i, objective in enumerate(objectives):
        at = f"{inside}.objectives[{i}]"
        direction, beyond, shown = _objective(objective, at, indicator)
        rows.append(
            SloRow(
                name=name if len(objectives) == 1 else f"{name}/{shown or i + 1}",
                source=at,
                place=indicator.place,
                measure=indicator.measure,
                kind="number" if indicator.direction is None else "binary",
                direction=direction,
                at_most=_at_most(objective, at),
                beyond=beyond,
                window_s=window_s,
            )
        )
    return rows


def _refuse(table: object, place: str) -> None:
    """Refuse the keys that the specification knows and Andon cannot honour."""
    for key in table if isinstance(table, Mapping) else ():
        if key in _NOT_TAKEN:
            raise InputError(f"{place}: {key} cannot be honoured: {_NOT_TAKEN[key]}; leave it out")


def _indicator_of(spec: Mapping[str, Any], place: str, indicators: Mapping[str, _Indicator]) -> _Indicator:
    inline, name = spec.get("indicator"), text(spec, "indicatorRef", place)
    if (inline is None) == (name is None):
        raise InputError(f"{place}: one of indicator and indicatorRef is needed, not both")
    if name is None:
        inline = keys_of(inline, f"{place}.indicator", ("metadata", "spec"), ("metadata", "spec"))
        _named(inline["metadata"], f"{place}.indicator.metadata")
        return _indicator(inline["spec"], f"{place}.indicator.spec")
    if name not in indicators:
        known = ", ".join(sorted(indicators)) or "none"
        raise InputError(f"{place}: indicatorRef = {quoted(name)} is no SLI of these files; there are: {known}")
    return indicators[name]


def _indicator(spec: Any, place: str) -> _Indicator:
    keys_of(spec, place, ("description", "thresholdMetric", "ratioMetric"))
    threshold, ratio = spec.get("thresholdMetric"), spec.get("ratioMetric")
    if (threshold is None) == (ratio is None):
        raise InputError(f"{place}: one of thresholdMetric and ratioMetric is needed, not both")
    if ratio is None:
        place, measure = _measure(threshold, f"{place}.thresholdMetric")
        return _Indicator(place=place, measure=measure, direction=None)
    return _ratio(ratio, f"{place}.ratioMetric")


def _ratio(ratio: Any, place: str) -> _Indicator:
    """A count of the interactions whose metric is 1: bad ones (high harms) or good ones (low harms)."""
    keys_of(ratio, place, ("counter", "good", "bad", "total", "rawType", "raw"))
    if not isinstance(ratio.get("counter", True), bool):
        raise InputError(f"{place}: counter = {quoted(ratio['counter'])} must be true or false")
    given = tuple(k for k in ("good", "bad", "total", "rawType", "raw") if ratio.get(k) is not None)
    if given == ("rawType", "raw"):
        sides: dict[object, Side] = {"failure": "up", "success": "down"}
        side = sides.get(ratio["rawType"]) if isinstance(ratio["rawType"], str) else None
        if side is None:
            raise InputError(f"{place}: rawType = {quoted(ratio['rawType'])} must be success or failure")
        place, measure = _measure(ratio["raw"], f"{place}.raw")
        return _Indicator(place=place, measure=measure, direction=side)
    if given not in (("good", "total"), ("bad", "total")):
        raise InputError(
            f"{place}: needed are good and total, bad and total, or rawType and raw; it has {', '.join(given) or 'none'}"
        )
    counted, measure = _measure(ratio[given[0]], f"{place}.{given[0]}")
    total, whole = _measure(ratio["total"], f"{place}.total")
    if measure != whole:
        raise InputError(f"{total} must be the same as {counted}: Andon counts among the interactions with that metric")
    return _Indicator(place=counted, measure=measure, direction="up" if "bad" in given else "down")


def _measure(holder: Any, place: str) -> tuple[str, Mapping[str, Any]]:
    keys_of(holder, place, ("metricSource",), ("metricSource",))
    place = f"{place}.metricSource"
    _refuse(holder["metricSource"], place)
    source = keys_of(holder["metricSource"], place, ("type", "spec"), ("type", "spec"))
    if source["type"] != "andon":
        raise InputError(f"{place}: type = {quoted(source['type'])} cannot be read; Andon reads its own scores: andon")
    return f"{place}.spec", keys_of(source["spec"], f"{place}.spec", SOURCE_KEYS, ("metric",))


def _objective(objective: Any, place: str, indicator: _Indicator) -> tuple[Side, float | None, str | None]:
    """Which way harms, the value from which it does, and the name that is shown."""
    _refuse(objective, place)
    keys_of(objective, place, ("displayName", "op", "value", "target", "targetPercent"))
    shown = text(objective, "displayName", place)
    value, op = number(objective, "value", place), objective.get("op")
    if indicator.direction is not None:
        if value is not None or op is not None:
            key = "op" if op is not None else "value"
            raise InputError(f"{place}: {key} means nothing for a ratioMetric; leave it out, or use a thresholdMetric")
        return indicator.direction, None, shown
    if op not in ("lte", "lt", "gte", "gt"):
        raise InputError(f"{place}: op = {quoted(op)} must be lte, lt, gte or gt with a thresholdMetric")
    if value is None:
        raise InputError(f"{place}: value is missing; with a thresholdMetric it says which values are good")
    # harm is what `failing` tests: from `beyond` on where high values harm, below it where low ones do
    beyond = math.nextafter(value, math.inf) if op in ("lte", "gt") else value
    return ("up" if op in ("lte", "lt") else "down"), beyond, shown


def _at_most(objective: Mapping[str, Any], place: str) -> float:
    """What the target leaves, in decimals: 0.999 leaves 0.001 and not 0.0010000000000000009."""
    share, percent = number(objective, "target", place), number(objective, "targetPercent", place)
    if (share is None) == (percent is None):
        raise InputError(f"{place}: one of target and targetPercent is needed, not both")
    key, value, whole = ("target", share, 1) if share is not None else ("targetPercent", percent, 100)
    if value is None or not 0 < value < whole:
        raise InputError(f"{place}: {key} = {quoted(value)} must be above 0 and below {whole}")
    return float((whole - Decimal(str(value))) / whole)


def _window(windows: Any, place: str) -> int:
    if not isinstance(windows, list) or len(windows) != 1:
        raise InputError(f"{place} must be a list of exactly one; it is {quoted(windows)}")
    _refuse(windows[0], f"{place}[0]")
    window = keys_of(windows[0], f"{place}[0]", ("duration", "isRolling"), ("duration", "isRolling"))
    if window["isRolling"] is not True:
        raise InputError(f"{place}[0]: isRolling = {quoted(window['isRolling'])} must be true: the window is rolling")
    found = _DURATION.fullmatch(window["duration"]) if isinstance(window["duration"], str) else None
    if found is None:
        raise InputError(
            f"{place}[0]: duration = {quoted(window['duration'])} must be a number with m, h, d, w, M, Q or Y: 28d"
        )
    return int(found[1]) * _SECONDS[found[2]]
