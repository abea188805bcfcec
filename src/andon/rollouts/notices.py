"""What people are told of an experiment: what a look decided, once, and that it ended. Pure.

A decision that waits in a ledger while users are given the treatment helps nobody; the first line is the one that is needed.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from andon.incidents import Message
from andon.incidents.messages import neutral
from andon.incidents.records import Tone
from andon.rollouts.records import Allocation, Decision, Experiment, Outcome
from andon.rollouts.told import version_text
from andon.traffic import format_time
from andon.traffic.clock import minute_text

__all__ = [
    "HARM_US",
    "LATELY_US",
    "Decided",
    "Telling",
    "decided_of",
    "due_tellings",
    "message_of",
    "standing_text",
    "stop_command",
]

LATELY_US = 86_400_000_000
"""What was decided of an experiment is no news once both its end and the decision are longer ago."""

HARM_US = 7 * LATELY_US
"""As long it is news that something harms which Andon cannot take out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """An experiment of which a look decided something, and how its users are split."""

    experiment: Experiment
    split: Allocation
    decision: Decision

    def runs(self, now_us: int) -> bool:
        """Whether Andon still gives its treatment to users, or still looks at it."""
        return self.split.ended_us is None and now_us < self.split.until_us

    @property
    def left_served(self) -> bool:
        """Whether it harms and something else than Andon serves it: the end of the experiment takes nothing out."""
        return self.experiment.lever is None and self.decision.outcome == "roll back"

    def stands(self, now_us: int) -> bool:
        """Whether users are still given what was decided about, as far as Andon knows."""
        return self.left_served or self.runs(now_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Something to tell of an experiment."""

    of: Decided
    outcome: Outcome
    ended: bool = False
    """That it ended: news only for receivers that keep a state."""

    @property
    def id(self) -> str:
        """That it was told is kept under this name."""
        return f"{self.of.experiment.id}:{self.outcome}{':ended' if self.ended else ''}"


def decided_of(looks: Iterable[Decision]) -> Decision | None:
    """The look that decided what stands; None where none decided anything. Later ones may say the same again."""
    found = sorted((d for d in looks if d.outcome != "undecided"), key=lambda d: d.look or 0)
    return next((d for d in found if d.outcome == found[-1].outcome), None)


def due_tellings(decided: Iterable[Decided], told: Collection[str], now_us: int) -> list[Telling]:
    """What is to be told now: each outcome of an experiment once, and its end to whoever was told of one.

    No end is told of harm that something else serves: an alert of it stays until people took it out there.

    Args:
        decided: experiments that run, or ended or were decided lately.
        told: what was told (`Telling.id`).
        now_us: the clock.
    """
    found = []
    for each in decided:
        news = Telling(of=each, outcome=each.decision.outcome)
        known = {*told, news.id}
        found += [news] if news.id not in told else []
        if not each.runs(now_us):
            over = [o for o in _OUTCOMES if o != "roll back" or not each.left_served]
            ends = (Telling(of=each, outcome=o, ended=True) for o in over)
            found += [t for t in ends if t.id not in told and t.id.removesuffix(":ended") in known]
    return found


_OUTCOMES: Sequence[Outcome] = ("promote", "hold", "roll back")


def message_of(telling: Telling, now_us: int) -> Message:
    """The message of one telling; what people or traffic wrote is made harmless."""
    e, split, decision = telling.of.experiment, telling.of.split, telling.of.decision
    runs, stands = telling.of.runs(now_us), telling.of.stands(now_us)
    lines = [f"{telling.outcome.capitalize()}: {neutral(decision.reason, 700)}"]
    if runs:
        lines.append(f"{_served(e)}; the plan ends at {minute_text(split.until_us)} UTC.")
    elif split.ended_us is None:
        lines.append("Its time is over.")
    else:
        lines.append(f"It was ended by {neutral(split.ended_by or 'somebody', 60)}: {neutral(split.ended_why or '')}")
    if stands and not runs:
        lines.append(f"{_served(e)}.")
    lines.append(f"Expected was: {neutral(e.hypothesis)}")
    commands = ([stop_command(e)] if runs else []) + [f"andon rollout show {e.id}"]
    about = f"andon-{e.id}-{telling.outcome.replace(' ', '-')}"
    facts = {
        "experiment": e.id, "decision": telling.outcome, "look": decision.id, "app": neutral(e.app, 60),
        "environment": e.environment, "lever": e.lever or "", "metric": neutral(e.metric, 60),
        "treatment": neutral(e.treatment or "default", 60), "control": neutral(e.control or "default", 60),
        "by": neutral(e.by, 60), "until": format_time(split.until_us),
    }  # fmt: skip
    return Message(
        title=f"{e.id} ended" if telling.ended else _title(telling, runs, stands),
        text="\n".join([*lines, *commands]),
        markdown="\n\n".join([*lines, *(f"`{c}`" for c in commands)]),
        tone=_tone(telling, stands),
        about=about,
        id=about + ("-ended" if telling.ended else ""),
        event="rollout.ended" if telling.ended else "rollout.decided",
        at_us=now_us,
        details={k: v for k, v in facts.items() if v},
    )


def standing_text(decided: Decided, now_us: int) -> str:
    """One line for people: what was decided while the treatment is still served, why, and what to do."""
    e, decision = decided.experiment, decided.decision
    command = stop_command(e) if decided.runs(now_us) else f"andon rollout show {e.id}"
    return (
        f"{e.id}: {decision.outcome}, decided {format_time(decision.at_us)}, and {_lower(_served(e))}: "
        f"{neutral(decision.reason, 200)}: {command}"
    )


def stop_command(experiment: Experiment) -> str:
    """What ends an experiment."""
    return f'andon rollout stop {experiment.id} --why "..."'


def _title(telling: Telling, runs: bool, stands: bool) -> str:
    e = telling.of.experiment
    still = ", and still runs" if e.lever else "; take it out where it is served"
    said = {
        "promote": "may be promoted",
        "hold": "is not to go on" if runs else "is not to be promoted",
        "roll back": f"harms{still}" if stands else "harmed, and is over",
    }[telling.outcome]
    return f"{e.id} {said}: {_KINDS[e.kind]} of {_what(e)}"


_KINDS = {"ab": "A/B test", "canary": "canary", "shadow": "shadow"}


def _what(experiment: Experiment) -> str:
    where = f"{experiment.lever or neutral(experiment.field or '', 60)} in {experiment.environment}"
    if experiment.lever is None:
        return f"{neutral(experiment.treatment or '', 60)} as {where}"
    return f"{version_text(experiment.treatment)} of lever {where}"


def _served(experiment: Experiment) -> str:
    if experiment.lever is None:
        return "Something else than Andon serves the treatment: take it out there"
    if experiment.kind == "shadow":
        return "The treatment is still run in the shadow"
    return "The treatment is still served" + (
        "" if experiment.share is None else f" to {100 * experiment.share:.3g} % of the users"
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _tone(telling: Telling, stands: bool) -> Tone:
    if telling.ended or telling.outcome == "promote":
        return "note"
    if telling.outcome == "roll back":
        return "urgent" if stands and telling.of.experiment.kind != "shadow" else "warning"
    return "warning" if stands else "note"
