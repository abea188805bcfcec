"""What levers give now, what is wrong with that, and what would stand against a pull: read from the ledger."""

from typing import NamedTuple

from andon.errors import InputError, StateError
from andon.levers.given import Given, given_of, rest_text
from andon.levers.pulls import Asked
from andon.levers.records import ENVIRONMENTS, Environment, Lever, LeverValue, Promotion, Pull, Version
from andon.levers.registry import check_environment, check_served, find_version, not_passed
from andon.levers.run.declaring import live_in, splitting, versions_of
from andon.levers.run.pulling import version_before
from andon.levers.run.reading import pulls_by_lever, pulls_of
from andon.levers.words import rule_of
from andon.rollouts import Allocation
from andon.store import Ledger

__all__ = ["Failing", "earlier", "failing", "given", "given_by_all", "resting_text", "rule_against", "unreviewed"]


class Failing(NamedTuple):
    """A version that is live in production though the gate, asked again, did not pass it."""

    live: Promotion
    version: Version
    why: str
    """What the gate said."""


def given(ledger: Ledger, lever: Lever, environment: Environment, now_us: int) -> Given:
    """What a lever gives in an environment now."""
    versions = {v.digest: v for v in versions_of(ledger, lever.id)}
    split = ledger.get(Allocation, f"{lever.id}:{environment}")
    live = live_in(ledger, lever.id, environment)
    return given_of(lever, pulls_of(ledger, lever.id), live, split, versions, environment, now_us)


def given_by_all(ledger: Ledger, now_us: int) -> list[tuple[Given, Given]]:
    """What every lever gives now in staging and in production, by key: few reads, however many levers there are."""
    levers = sorted(ledger.all(Lever), key=lambda x: x.id)
    pulls = pulls_by_lever(ledger, {x.id for x in levers})
    live = {p.id: p for p in ledger.all(Promotion)}
    splits = {a.id: a for a in ledger.all(Allocation)}
    wanted = {f"{p.lever}@{p.digest}" for p in live.values() if p.digest}
    wanted |= {f"{a.lever}@{d}" for a in splits.values() if a.ended_us is None for d in (a.control, a.treatment) if d}
    wanted |= {f"{p.lever}@{p.digest}" for of in pulls.values() for p in of if p.digest and p.released_us is None}
    versions: dict[str, dict[str, Version]] = {}
    for name in sorted(wanted):
        if (version := ledger.get(Version, name)) is not None:
            versions.setdefault(version.lever, {})[version.digest] = version
    found = []
    for lever in levers:
        mine, of = pulls.get(lever.id, []), versions.get(lever.id, {})
        staging, production = (
            given_of(lever, mine, live.get(f"{lever.id}:{e}"), splits.get(f"{lever.id}:{e}"), of, e, now_us)
            for e in ENVIRONMENTS
        )
        found.append((staging, production))
    return found


def resting_text(ledger: Ledger, lever: Lever, environment: str, at_us: int) -> str:
    """What a lever gives while nobody holds it."""
    versions = {v.digest: v for v in versions_of(ledger, lever.id)}
    split = splitting(ledger, lever.id, environment, at_us)
    return rest_text(lever, live_in(ledger, lever.id, environment), split, versions)


def failing(ledger: Ledger) -> list[Failing]:
    """The versions that are live in production though the gate, asked again, did not pass them.

    Staging is for trying: what fails there is no alarm.
    """
    said = []
    for live in ledger.all(Promotion):
        users = live.digest is not None and live.environment == "production"
        version = ledger.get(Version, f"{live.lever}@{live.digest}") if users else None
        if version is not None and (why := not_passed(version)):
            said.append(Failing(live, version, why))
    return said


def unreviewed(ledger: Ledger) -> list[Pull]:
    """Pulls that broke the glass and that nobody else has looked at yet, oldest first."""
    return [p for p in ledger.all(Pull) if p.break_glass and p.reviewed is None]


def rule_against(ledger: Ledger, lever: Lever, asked: Asked) -> str | None:
    """The rule that keeps a value from an environment; None where there is none.

    Raises:
        InputError: there is no such environment.
    """
    value = lever.safe if asked.value is None else asked.value
    try:
        check_served(lever, value, check_environment(asked.environment), versions_of(ledger, lever.id))
    except StateError as error:
        return rule_of(error)
    return None


def earlier(ledger: Ledger, lever: Lever, environment: Environment, named: str | None) -> LeverValue:
    """What a rollback holds: a version that was live, by its digest; else what was live before the present one.

    Raises:
        InputError: the version that is named was never live there; names those that were.
        StateError: nothing was live before.
    """
    if named is None:
        return version_before(ledger, lever.id, environment)
    version = find_version(lever, versions_of(ledger, lever.id), named)
    were = list(dict.fromkeys(v.record.digest for v in ledger.history(Promotion, f"{lever.id}:{environment}")))
    if version.digest not in were:
        raise InputError(
            f"{version.id} was never live in {environment}, so there is no way back to it; live were: "
            f"{', '.join(d for d in were if d) or 'none yet'} (`andon lever hold --version {version.digest}` holds it all the same)"
        )
    return version.value
