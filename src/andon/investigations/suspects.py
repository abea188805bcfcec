"""What changed? A posterior over the changes of the control plane and over "no own change".

For every candidate ``weight = prior(kind) x record(kind) x affinity(metrics, kind) x time x exposure x traffic``:

- *record*: what is changed every day is mostly harmless;
- *affinity*: which metrics moved and which stood still, those of the changed part itself above all;
- *time*: the onset's posterior against a lag kernel of the kind (hours, days, weeks), so a change after the onset cannot
  be its cause and a corpus may take weeks to hurt; of a rollout the lag counts from when people began to see it;
- *exposure*: a likelihood ratio of "only those who saw the new version left the baseline" against "all of them did", hour by
  hour, so that a change which the failing traffic never saw is no suspect; two causes at once do not acquit each other, and
  of two contrasts the sharper explains the other;
- *traffic*: when the questions themselves are new and carry the harm, a change of our own explains less; when far more came
  than on any earlier day and things fail or slow down, the traffic explains more.

A change begins when traffic first showed it, if that was before it was written down. Where one model fails alone, a notice
that it moves is as good an explanation as a move that nobody announced.

Probabilities are of being the main cause and sum to 1; a second change that made the harm of the first larger is told by the
words of both (`raised_by`). The model, its priors and what would make it wrong are in `docs/methods/suspects.md`, measured.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from andon.changes import Change
from andon.investigations.exposure import MOST, NEVER, TOGETHER, Exposure, growth, sharpness, weigh_exposure
from andon.investigations.onset import Onset
from andon.investigations.priors import (
    HORIZON_H,
    NOBODY,
    affinity,
    affinity_of_unknown,
    grows,
    lag_density,
    prior_of,
    track_record,
    usual_for,
)
from andon.investigations.records import Suspect
from andon.monitors.verdicts import percent
from andon.scores.rows import PROBE

__all__ = ["Behind", "Candidate", "Exposure", "Traffic", "contrasting", "raised_by", "rank_suspects", "told_once"]

HOUR_US = 3_600_000_000
SAME_US = 48 * HOUR_US
"""A change that was recorded within this time of its first sighting in traffic is the same change."""

LATE, LATE_US = 0.1, HOUR_US // 6
"""One record in ten is made so long after the change; where traffic shows the version, that says when it was."""

CARRIED = 0.98
"""How much of any other explanation goes when new kinds of questions carry all the harm: familiar ones saw it, and are fine."""

SHIFT = 200.0
"""How many times more probable the traffic is as the cause when new kinds of questions carry all the harm."""

SAME_QUESTIONS = 0.1
"""Factor of the traffic where the questions are the same: it may change in other ways."""

ASKED_BY_US = 0.01
"""The same where the harm shows in probes: their questions are ours, and stay as they are."""

SURGE = MOST
"""Factor of the traffic as the cause of errors and slowness when more came since the onset than on any earlier day at those hours."""

ONE_MODEL = 0.3
"""Factor of a change that all traffic saw where only one model's or provider's traffic is harmed: rather that one moved."""

ONE_OF_THEM = 0.1
"""How often a change that no field shows reaches the traffic of one model or provider alone, so that it fails alone as well."""

CONFINED = 0.25
"""Factor of a change that traffic outside of the failing part saw as well: most changes that hurt, hurt everywhere."""

SOMEWHERE = 0.5
"""The same for what nobody can see the reach of."""

BLUNT = 2
"""Exponent of a contrast's share of the sharpest one: who saw the one had often seen the other as well, and counts wander by more
than their binomial error, so shares of the log likelihood are compared and not differences."""

STALE = 6.0
"""Factor of a corpus that changed while its index stood still, where a metric of retrieval moved: just what that would do. It is
shared among all corpora of which that is true, ``1 + (STALE - 1) / n``: where no rebuild follows as a rule, that says little."""

_DISPROOF = {
    "model": "replay the same questions on the version before: if they fail there too, it was not the model",
    "prompt": "run the golden set with the prompt of before: if it fails too, it was not the prompt",
    "policy": "run the refused and unrefused questions under the policy of before",
    "index": "retrieve the failing questions' passages from the index of before and compare",
    "corpus": "rebuild the index over the present corpus and ask the failing questions again",
    "routing": "send the failing questions down the route of before",
    "traffic source": "take the new source's traffic out: the rate must fall back to the baseline",
    "lever": "release the lever for 5 % of the traffic and compare",
    "scorer": "score traffic from before with the new scorer: if it fails too, only the measure changed",
}
_NOBODY_DISPROOF = {
    "traffic": "score only questions like those of before: if they fail as often, it was not the traffic",
    "provider": "send the same questions with the same parameters to another provider or a pinned version",
    "unknown": "find a change that no log holds: a manual action, a dependency, a credential, a cache",
}
_NOBODY_TITLE = {
    "traffic": "no own change: the traffic itself changed",
    "provider": "no own change: the provider changed something behind the same version",
    "unknown": "no own change: none of the recorded changes explains this",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A change, and what traffic shows of who saw it (None where no version field tells)."""

    change: Change
    exposure: Exposure | None = None
    carried: Exposure | None = None
    """The same if later versions of the same field carry the change on; None where there are none."""
    outside: float | None = None
    """Share of the traffic outside of the failing part that saw it since the onset, as a share of that inside; None: unknown."""
    note: str = ""
    """What else is known, e.g. that the index was not rebuilt after the corpus grew."""
    arrivals: tuple[tuple[int, float], ...] = ()
    """When the traffic began to see it: (time, probability that the onset is dated by those who came then); empty: all at once."""
    entered_us: int | None = None
    """When somebody wrote it down, where that was after traffic had shown it; None otherwise."""
    together: str = ""
    """The other change without which there would have been less harm, in words; its exposure is that of this one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Whether the questions themselves changed at the onset, and how much of the harm the new ones carry."""

    shifted: bool
    explained: float
    """Share of the excess harm that new kinds of questions carry, 0..1."""
    words: tuple[str, ...] = ()
    """The tests, in words."""
    tested: bool = True
    """False where there were too few questions to tell; the words say so."""
    sure: float = 1.0
    """Probability that what looks like a shift is one."""

    @property
    def carried(self) -> float:
        """Share of the excess harm that new questions are expected to carry."""
        return self.sure * self.explained if self.shifted else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """A model or provider that was there before: harm among its traffic against the rest."""

    field: str
    value: str
    exposure: Exposure


def told_once(changes: Sequence[Change]) -> list[Change]:
    """The changes without those that traffic showed although somebody had recorded them.

    A recorded change of the same kind to the same value within two days tells the same; where it names no version field it
    takes that of the sighting, so that traffic can show who saw it. Told twice, one cause would share its probability. Of the
    two times the earlier one counts: an entry may be written hours after the deploy, but nobody sees what is not there yet.
    Only where another version of the kind came between the two, the later one is a return.
    """
    told = {c.id: c for c in changes}
    for seen in (c for c in changes if c.origin == "traffic"):
        twins = (c for c in changes if c.origin != "traffic" and c.kind == seen.kind and c.after == seen.after)
        twin = min(
            (c for c in twins if abs(c.at_us - seen.at_us) <= SAME_US), key=lambda c: (c.at_us, c.id), default=None
        )
        if twin is not None:
            del told[seen.id]
            known = told[twin.id]
            back = any(
                c.kind == seen.kind and c.after != seen.after and seen.at_us < c.at_us < twin.at_us for c in changes
            )
            told[twin.id] = replace(
                known,
                version_field=twin.version_field or seen.version_field,
                at_us=known.at_us if back else min(known.at_us, seen.at_us),
            )
    return list(told.values())


def contrasting(candidates: Sequence[Candidate], baseline: float) -> list[Candidate]:
    """The candidates that only part of the traffic saw, and to whom the harm is confined, the surest first."""
    weighed = [(weigh_exposure(c.exposure, None, baseline)[0], c) for c in candidates if c.exposure is not None]
    found = [(w, c) for w, c in weighed if w >= MOST / 10]
    return [c for _, c in sorted(found, key=lambda p: (-p[0], p[1].change.id))]


def raised_by(second: Candidate, first: Candidate, before: float, after: float) -> tuple[Candidate, Candidate]:
    """Two changes of one incident, told together: `second` made the share that saw the version of `first` jump.

    Whoever was hit by the second saw the version of the first, so that is its exposure.
    """
    told = (
        f"the share of the traffic that saw {first.change.after} rose from {percent(before, 2)} to {percent(after, 2)}"
    )
    return (
        replace(second, exposure=first.exposure, together=f"{told} with this change: it may have made the harm of "
                f"“{first.change.title}” larger"),
        replace(first, together=f"{told} with “{second.change.title}”: both may be causes"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What all candidates are weighed against."""

    metrics: tuple[str, ...]
    scope: Mapping[str, str]
    onset: Onset
    baseline: float
    traffic: Traffic
    moved: float
    """How much more probable it is that the traffic of one model or provider fails alone than that all does; 1: nothing tells."""
    course: Sequence[tuple[float, float]]
    still: Collection[str]
    kinds: Mapping[str, int]
    sharpest: float
    surge: str
    probed: bool
    """The harm shows in probes."""
    stale: int


def rank_suspects(
    candidates: Sequence[Candidate],
    *,
    metric: str,
    scope: Mapping[str, str],
    onset: Onset,
    baseline: float,
    traffic: Traffic,
    others: Sequence[str] = (),
    behind: Sequence[Behind] = (),
    course: Sequence[tuple[float, float]] = (),
    still: Collection[str] = (),
    surge: str = "",
) -> tuple[Suspect, ...]:
    """All explanations by probability, "no own change" always among them; probabilities sum to 1.

    Args:
        candidates: the changes that could have touched the affected traffic.
        metric: metric of the leading signal.
        scope: part of the traffic of the leading signal.
        onset: posterior of the onset; empty where it is not known, and then the times of the changes say nothing.
        baseline: rate of harm before.
        traffic: what is known of a shift of the traffic itself.
        others: the other metrics that moved, in the order in which they spoke.
        behind: models and providers that were there before, and whether the harm is theirs alone.
        course: (harm, traffic) of equal stretches of time since the onset; empty where it is not known.
        still: metrics that are measured and known not to have moved (those of `priors.WATCHED` matter).
        surge: in words, how much more traffic came since the onset than on any earlier day; empty where it did not.
    """
    moved, words = _one_model(behind, baseline)
    probed = scope.get("source") == PROBE
    if probed:  # an instrument and no part: what fails there may fail everywhere
        scope = {k: v for k, v in scope.items() if k not in ("source", "segment")}
    asked = _Asked(
        metrics=tuple(dict.fromkeys((metric, *others))), scope=scope, onset=onset, baseline=baseline,
        traffic=traffic, moved=moved, course=course, still=still,
        kinds=Counter(c.change.kind for c in candidates),
        sharpest=max((_sharpness(c, baseline) for c in candidates), default=0.0),
        surge=surge, probed=probed, stale=sum(bool(c.note) for c in candidates),
    )  # fmt: skip
    weighted = [_weigh(c, asked) for c in candidates]
    weighted += _nobody(asked, _busy(candidates, asked), moved, words)
    total = math.fsum(w for w, _ in weighted)
    ranked = sorted(weighted, key=lambda p: (-p[0], p[1].id))
    return tuple(replace(s, probability=round(w / total, 6)) for w, s in ranked)


def _weigh(c: Candidate, asked: _Asked) -> tuple[float, Suspect]:
    change, traffic = c.change, asked.traffic
    density = _time_density(c, asked)
    seen, supports, against = _seen(c, asked.baseline)
    factor = seen
    when, inside = _when(change, asked)
    (supports if inside or density > 1 / HORIZON_H else against).insert(0, when)
    if any(asked.scope.get(k) not in (None, v) for k, v in change.scope.items()):
        factor = min(factor, NEVER)
        against.append("it touches another part of the traffic than the one that fails")
    if traffic.shifted and change.kind == "traffic source":
        factor *= max(1.0, SHIFT * traffic.carried)  # new questions are what a new source brings
    elif traffic.shifted:
        factor *= 1 - CARRIED * traffic.carried
        if traffic.carried >= 0.5:
            against.append(f"new kinds of questions carry {percent(traffic.explained, 2)} of the harm")
    sharp = _sharpness(c, asked.baseline)
    if sharp > math.log(MOST):  # beyond its bound a contrast still tells which of two explains the other
        factor *= (sharp / asked.sharpest) ** BLUNT
    if asked.scope:
        factor *= _reach(c, supports, against)
    factor *= _alone(c, seen, asked.moved)
    metric = asked.metrics[0]
    usual = usual_for(metric, change.kind)
    if usual:
        supports.append(f"a {change.kind} change is a usual cause when {metric.replace('_', ' ')} moves")
    if c.entered_us is not None:
        late_h = (c.entered_us - change.at_us) / HOUR_US
        supports.append(f"traffic showed it {late_h:.1f} h before it was recorded, and that time counts")
    if c.together:
        supports.append(c.together)
    if c.note:
        supports.append(c.note)
        factor *= 1 + (STALE - 1) / asked.stale if usual else 1
    suspect = Suspect(
        id=change.id,
        title=change.title,
        kind=change.kind,
        probability=0.0,
        own=change.own,
        at_us=change.at_us,
        supports=tuple(supports),
        against=tuple(against),
        disproof=_DISPROOF.get(change.kind, f"undo it for 5 % of the traffic: the {metric} must recover there"),
    )
    shape = _shape(change.kind, _course(c) or asked.course, asked.baseline)
    prior = prior_of(change.kind) * track_record(asked.kinds[change.kind])
    return prior * affinity(asked.metrics, change.kind, asked.still) * density * factor * shape, suspect


def _sharpness(c: Candidate, baseline: float) -> float:
    """How sharp the contrast of a change is, alone or with those that carry it on."""
    return max(sharpness(c.exposure, baseline), sharpness(c.carried, baseline))


def _course(c: Candidate) -> list[tuple[float, float]]:
    """Harm and traffic since the onset of those who saw a change; none where no field tells."""
    exposure = c.carried or c.exposure
    return [(b.exposed_x, b.exposed_n) for b in exposure.bins] if exposure is not None else []


def _shape(kind: str, course: Sequence[tuple[float, float]], baseline: float) -> float:
    """How well the course of the harm goes with a kind of cause: some hurt at once, some more and more."""
    often = grows(kind)
    return often * growth(course, baseline) + 1 - often


def _alone(c: Candidate, seen: float, moved: float) -> float:
    """Factor of a change where the traffic of one model or provider fails alone.

    A notice that a model or provider moves says what a silent move is only guessed at, so it gets the same contrast. A change of
    ours that no field shows may have reached just that traffic; one that all traffic saw would rather harm all of it.
    """
    if moved <= 1:
        return 1.0
    hidden = c.exposure is None
    if c.change.kind in ("model", "provider"):
        return moved if hidden else 1.0
    if hidden:
        return 1 - ONE_OF_THEM + ONE_OF_THEM * moved
    return ONE_MODEL if seen <= TOGETHER else 1.0


def _reach(c: Candidate, supports: list[str], against: list[str]) -> float:
    """Whether a change reached just the part of the traffic that fails; adds to the words for and against."""
    if c.outside is None:
        return SOMEWHERE
    if c.outside < 0.2:
        supports.append("hardly any traffic outside of the failing part saw it")
        return 1.0
    if c.outside >= 0.8:
        against.append("traffic outside of the part that fails saw it as well")
        return CONFINED
    return SOMEWHERE


def _seen(c: Candidate, baseline: float) -> tuple[float, list[str], list[str]]:
    """What traffic shows of a change, taken as far as its own version and, as likely, as far as later ones carry it on."""
    alone = weigh_exposure(c.exposure, c.change.after or "what this change led to", baseline)
    if c.carried is None:
        return alone
    on = weigh_exposure(c.carried, f"{c.change.after} or a later version", baseline)
    factor = (alone[0] + on[0]) / 2
    return (factor, *alone[1:]) if alone[0] >= on[0] else (factor, *on[1:])


def _when(change: Change, asked: _Asked) -> tuple[str, bool]:
    """How far the change lies from the mean of the onset's posterior, and whether it lies within it."""
    onset = asked.onset
    if not onset:
        return "when the failure began is not known", False
    mean = sum(start * p for start, _, p in onset) / sum(p for _, _, p in onset)
    lag_h = (mean - change.at_us) / HOUR_US
    if min(start for start, _, _ in onset) <= change.at_us < max(end for _, end, _ in onset):
        return "within the interval in which the failure began", True
    return f"{abs(lag_h):.1f} h {'before' if lag_h >= 0 else 'after'} the estimated onset", False


def _time_density(c: Candidate, asked: _Asked) -> float:
    """Probability density (1/h) that this change makes an onset where the posterior puts it.

    Where traffic shows that it came little by little, the lag counts from when each part of the traffic began to see it: half
    of the users of a rollout of two days cannot be hurt on its first day.
    """
    if not asked.onset:
        return 1 / HORIZON_H
    recorded = ((c.change.at_us, 1 - LATE), (c.change.at_us - LATE_US, LATE))
    density = math.fsum(
        share * p * lag_density(c.change.kind, (end - at_us) / HOUR_US)
        for at_us, share in c.arrivals or recorded
        for _, end, p in asked.onset
    )
    return max(density, 1e-9)


def _busy(candidates: Sequence[Candidate], asked: _Asked) -> float:
    """Changes within two weeks before the onset, each by its kind's track record, at least 1.

    The more there are, the less it says that one is near; what is changed every day counts little here as well.
    """
    latest = max((start for start, _, _ in asked.onset), default=None)
    near = (c for c in candidates if latest is None or 0 <= latest - c.change.at_us <= HORIZON_H * HOUR_US)
    return max(1.0, math.fsum(track_record(asked.kinds[c.change.kind]) for c in near))


def _one_model(behind: Sequence[Behind], baseline: float) -> tuple[float, tuple[str, ...]]:
    """How much more probable it is that a model or provider moved behind its name, and the words; 1 where nothing tells."""
    best = 1.0
    words: tuple[str, ...] = ()
    for b in behind:
        if min(b.exposure.exposed_n, b.exposure.other_n) == 0:
            continue
        ratio, supports, _ = weigh_exposure(replace(b.exposure, before_share=0.0), b.value, baseline)
        ratio /= len(behind)  # each of them had a chance to differ
        if ratio > best and supports:
            best, words = ratio, (f"{b.value} ({b.field.replace('_', ' ')}): {supports[-1]}",)
    return best, words


def _nobody(asked: _Asked, busy: float, moved: float, words: tuple[str, ...]) -> list[tuple[float, Suspect]]:
    """The explanations in which we changed nothing, of which there are as many as changes in a busy log."""
    traffic = asked.traffic
    shift = SAME_QUESTIONS + SHIFT * traffic.carried if traffic.tested else 1.0
    if asked.probed:
        shift, traffic = (
            ASKED_BY_US,
            Traffic(shifted=False, explained=0.0, words=("probes ask the same questions every time",)),
        )
    load = bool(asked.surge) and usual_for(asked.metrics[0], "load")
    shift *= SURGE if load else 1.0
    fits = {
        "traffic": affinity(asked.metrics, "load" if load else "traffic source"),
        "provider": affinity(asked.metrics, "provider"),
        "unknown": affinity_of_unknown(asked.metrics),
    }
    rest = 1.0 - CARRIED * traffic.carried
    speaks_for = traffic.carried > 0 or load
    same = () if speaks_for else traffic.words or ("the questions are the same as before the onset",)
    factors = {"traffic": shift, "provider": rest * moved, "unknown": rest}
    told = (*((asked.surge,) if load else ()), *(traffic.words if traffic.carried > 0 else ()))
    supports = {"traffic": told, "provider": words}
    return [
        (
            NOBODY[kind]
            * factor
            * (SOMEWHERE if asked.scope else 1.0)
            * _shape({"traffic": "traffic source"}.get(kind, kind), asked.course, asked.baseline)
            * (busy / HORIZON_H)
            * fits[kind],
            Suspect(
                id=f"no own change: {kind}",
                title=_NOBODY_TITLE[kind],
                kind=kind,
                probability=0.0,
                own=False,
                supports=supports.get(kind, ()),
                against=same if kind == "traffic" else (),
                disproof=_NOBODY_DISPROOF[kind],
            ),
        )
        for kind, factor in factors.items()
    ]
