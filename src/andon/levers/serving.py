"""What OFREP 0.3.0 is answered: a pull in force, else an experiment's arm, else the version that is live, else the default.

The answers follow the protocol and what its Python client was measured to do with them: an answer without ``variant``, with
an invented ``reason`` or with an integer for a float is an error to that client, and every error path of a client returns
the *code default*. So a slightly wrong answer would silently undo a pull.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from andon.client.allocation import allocate
from andon.client.answers import key_text
from andon.levers.pulls import in_force, standing
from andon.levers.records import Environment, Lever, LeverValue, Promotion, Pull, Version
from andon.rollouts import Allocation
from andon.traffic import format_time

__all__ = ["UNALLOCATED", "Served", "environment_of", "evaluate"]

UNALLOCATED = "unallocated"
"""Variant of the control's value where nobody can say whose request it is: it counts for no arm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """All that decides what one lever gives: what the memory of a server holds."""

    lever: Lever
    pulls: tuple[Pull, ...] = ()
    """The newest of each environment."""
    live: tuple[Promotion, ...] = ()
    allocations: tuple[Allocation, ...] = ()
    """Those that were not ended."""
    versions: tuple[Version, ...] = ()
    """Those that are live or allocated."""


def environment_of(context: Mapping[str, Any]) -> Environment:
    """Where the application says that it runs: staging if it says so, else production."""
    return "staging" if context.get("environment") == "staging" else "production"


def evaluate(served: Served, context: Mapping[str, Any], now_us: int, *, bulk: bool = False) -> dict[str, Any]:
    """The body of an OFREP evaluation of one lever.

    A success has key, value, reason, variant and metadata, each of them always there; metadata are booleans, numbers and
    strings, as the protocol wants. A lever that splits gives the control's value, as variant of no arm, where nobody can say
    whose request it is: an error would give the code default, which need not be what was live before the experiment. A bulk
    answer says how it splits, so that a provider may allocate each user itself, and what is safe where a lever fails closed.

    Args:
        served: what is known of the lever.
        context: of the request; ``targetingKey``, ``environment`` and ``shadow`` are read.
        now_us: the clock.
        bulk: whether it is one entry of a bulk answer.
    """
    environment = environment_of(context)
    lever = served.lever
    if (pull := in_force(served.pulls, now_us, environment)) is not None:
        return _body(lever, pull.value, "STATIC", pull.digest or "held", _held(pull))
    live = next((p for p in served.live if p.environment == environment), None)
    for allocation in served.allocations:
        # what is written has begun, also for a server whose clock is behind
        if allocation.environment == environment and now_us < allocation.until_us:
            return _split(served, allocation, context, bulk)
    value, digest = standing(lever, live, served.versions)
    more = {} if digest is None else {"version": digest}
    return _body(lever, value, "STATIC", digest or "default", {"held": False, **more, **_closed(lever, bulk)})


def _split(served: Served, allocation: Allocation, context: Mapping[str, Any], bulk: bool) -> dict[str, Any]:
    lever, key = served.lever, key_text(context.get("targetingKey"))
    metadata = {"held": False, "experiment": allocation.experiment, **_closed(lever, bulk)}
    values = [_value(served, digest) for digest in (allocation.treatment, allocation.control)]
    if allocation.shadow and context.get("shadow") is True:
        return _body(lever, values[0], "SPLIT", f"{allocation.variants[0]}-shadow", metadata)
    shares = (0.0 if allocation.shadow else allocation.share, 1.0 if allocation.shadow else 1 - allocation.share)
    if allocation.shadow and not bulk:  # a shadow changes nothing for users: all are control
        return _body(lever, values[1], "SPLIT", allocation.variants[1], metadata)
    if key:
        arm = allocate(key, allocation.salt, shares)
        return _body(lever, values[arm], "SPLIT", allocation.variants[arm], metadata)
    if not bulk:
        return _body(lever, values[1], "DEFAULT", UNALLOCATED, metadata)
    arms = [
        {"variant": variant, "share": share, "value": _wire(lever, value)}
        for variant, share, value in zip(allocation.variants, shares, values, strict=True)
    ]
    split = json.dumps({"salt": allocation.salt, "shadow": allocation.shadow, "arms": arms}, ensure_ascii=False)
    return _body(lever, values[1], "DEFAULT", UNALLOCATED, {**metadata, "split": split})


def _value(served: Served, digest: str | None) -> LeverValue:
    found = next((v.value for v in served.versions if v.digest == digest), None)
    return served.lever.default if found is None else found


def _closed(lever: Lever, bulk: bool) -> dict[str, bool | float | str]:
    """For a lever that fails closed: so, and in a bulk answer what to give when its value can no longer be confirmed."""
    if lever.fail == "open":
        return {}
    return {"failClosed": True, **({"safe": json.dumps(_wire(lever, lever.safe), ensure_ascii=False)} if bulk else {})}


def _held(pull: Pull) -> dict[str, bool | float | str]:
    said: dict[str, bool | float | str] = {"held": True, "pull": pull.id, "author": pull.by}
    said["until"] = format_time(pull.until_us)
    said |= {k: v for k, v in (("incident", pull.incident), ("rule", pull.rule), ("exit", pull.exit)) if v}
    return said


def _body(
    lever: Lever, value: LeverValue, reason: str, variant: str, metadata: Mapping[str, bool | float | str]
) -> dict[str, Any]:
    return {
        "key": lever.id,
        "value": _wire(lever, value),
        "reason": reason,
        "variant": variant,
        "metadata": dict(metadata),
    }


def _wire(lever: Lever, value: LeverValue) -> LeverValue:
    # JSON's 1 is an integer to a client, 1.0 a float
    return float(value) if lever.kind == "number" else value  # type: ignore[arg-type]
