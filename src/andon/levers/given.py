"""What a lever gives in an environment now, and why: values in, values out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from andon.levers.pulls import in_force, standing
from andon.levers.records import Environment, Lever, LeverValue, Promotion, Pull, Version
from andon.levers.registry import not_passed
from andon.levers.words import shown, version_text
from andon.rollouts import Allocation

__all__ = ["Given", "given_of", "given_text", "rest_text", "running"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What one lever gives in one environment at one moment."""

    lever: Lever
    environment: Environment
    value: LeverValue
    """What everybody is given; while an experiment splits the users, what its control is given."""
    digest: str | None
    """The version that it is; None for a value that is none."""
    held: Pull | None = None
    split: Allocation | None = None
    """The experiment that splits the users; of a lever that is held, what waits until the hold is over."""
    live: Promotion | None = None
    """What was promoted; None where nothing ever was."""
    gate: str = ""
    """What the gate said of this version, where it did not pass it."""
    rest: str
    """What is given while nobody holds it, in words."""

    @property
    def is_default(self) -> bool:
        """Whether nobody holds it, nothing splits it, and no version is live."""
        return self.held is None and self.split is None and self.digest is None


def running(split: Allocation | None, at_us: int) -> Allocation | None:
    """What splits the users at a time, of what was ever begun."""
    return None if split is None or split.ended_us is not None or split.until_us <= at_us else split


def given_of(
    lever: Lever,
    pulls: Iterable[Pull],
    live: Promotion | None,
    split: Allocation | None,
    versions: Mapping[str, Version],
    environment: Environment,
    now_us: int,
) -> Given:
    """What a lever gives now.

    Args:
        lever: which.
        pulls: of it.
        live: what was promoted in this environment.
        split: what splits its users there, over or not.
        versions: by digest: those that are live, held or allocated.
        environment: where.
        now_us: the clock.
    """
    held, split = in_force(pulls, now_us, environment), running(split, now_us)
    rest = rest_text(lever, live, split, versions)
    value, digest = standing(lever, live, versions.values())
    if held is not None:
        value, digest = held.value, held.digest
    elif split is not None:
        version = versions.get(split.control or "")
        value, digest = (lever.default, None) if version is None else (version.value, version.digest)
    return Given(
        lever=lever, environment=environment, value=value, digest=digest, held=held, split=split, live=live,
        gate=_gate(versions.get(digest or "")), rest=rest,
    )  # fmt: skip


def rest_text(lever: Lever, live: Promotion | None, split: Allocation | None, versions: Mapping[str, Version]) -> str:
    """What a lever gives while nobody holds it, in words.

    Args:
        lever: which.
        live: what was promoted.
        split: what splits its users now.
        versions: by digest.
    """
    if split is not None:
        arms = [f"version {d}" if d else "the default" for d in (split.treatment, split.control)]
        if split.shadow:
            return f"{arms[1]}, and {arms[0]} in the shadow of {split.experiment}"
        return f"{arms[0]} for {split.share:.3g} of the users and {arms[1]} for the others ({split.experiment})"
    value, digest = standing(lever, live, versions.values())
    return f"{shown(value)} (the default)" if digest is None else given_text(value, digest, _gate(versions.get(digest)))


def given_text(value: LeverValue, digest: str | None, gate: str) -> str:
    """A value with the version that it is, and with what the gate said where it did not pass it."""
    return version_text(value, digest) + (f" (THE GATE DID NOT PASS IT: {gate})" if gate else "")


def _gate(version: Version | None) -> str:
    return "" if version is None else not_passed(version)
