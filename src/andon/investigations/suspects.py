"""What changed? A posterior over the changes of the control plane and over "no own change".

For every candidate ``weight = prior(kind, metric) x time x exposure x traffic``:

- *time*: the onset's posterior against a lag kernel of the kind (hours, days, weeks), so a change after the onset cannot
  be its cause and a corpus may take weeks to hurt;
- *exposure*: a likelihood ratio of "only those who saw the new version left the baseline" against "all of them did", so
  that a change which the failing traffic never saw is no suspect;
- *traffic*: when the questions themselves are new and carry the harm, a change of our own explains less.

The model, its priors and what would make it wrong are in `docs/methods/suspects.md`, with measurements.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from andon.changes import Change
from andon.investigations.records import Suspect

__all__ = ["Candidate", "Exposure", "Traffic", "rank_suspects", "told_once"]

HOUR_US = 3_600_000_000
SAME_US = 48 * HOUR_US
"""A change that was recorded within this time of its first sighting in traffic is the same change."""

HORIZON_H = 336.0
"""An unknown cause is taken to lie anywhere within two weeks of the onset."""

_PRIOR = {"corpus": 0.8, "tool schema": 0.8, "sampling parameter": 0.7, "code": 0.7, "lever": 0.7, "scorer": 0.5}
_PRIOR |= {"permission": 0.5, "budget": 0.5, "other": 0.4}

_LAGS: Mapping[str, tuple[float, float, float]] = {
    "corpus": (0.2, 0.2, 0.6),
    "traffic source": (0.3, 0.6, 0.1),
    "model": (0.55, 0.4, 0.05),
}
_SCALES_H = (1.0, 48.0, 720.0)

_RETRIEVAL = frozenset(("retrieval_score", "groundedness", "context_used", "citation_valid", "rating"))
_SUSPECT_OF: Mapping[str, frozenset[str]] = {
    "retrieval": frozenset(("index", "corpus", "embedding model")),
    "refusal": frozenset(("policy", "prompt", "model", "provider")),
    "escalation": frozenset(("traffic source", "routing", "policy", "prompt")),
    "error": frozenset(("code", "provider", "config", "routing", "permission", "tool schema", "budget")),
}
NEVER = 1e-6
"""Factor of a change that the failing traffic never saw: below 1 % beside "no own change", whatever speaks for it."""

MOST = 100.0
"""A contrast counts at most this much: whoever saw this change may have seen another that no log holds."""

SEEN_BEFORE = 0.002
"""Factor of a version that most traffic had before the change was made: the record and the traffic disagree."""

WANDER = 2_000.0
"""Interactions that the baseline is taken to be known from when exposed and others are compared."""

TOGETHER = 2.0
"""Factor of a version that all traffic saw since the onset and little of it before: it moved, but nothing contrasts it."""

CARRIED = 0.98
"""How much of any other explanation goes when new kinds of questions carry all the harm: familiar ones saw it, and are fine."""

SHIFT = 200.0
"""How many times more probable the traffic is as the cause when new kinds of questions carry all the harm."""

AFFINITY = 2.5
"""How much more often a metric's usual suspects are its cause."""

_DISPROOF = {
    "model": "replay the same questions on the version before: if they fail there too, it was not the model",
    "prompt": "run the golden set with the prompt of before: if it fails too, it was not the prompt",
    "policy": "run the refused and unrefused questions under the policy of before",
    "index": "retrieve the failing questions' passages from the index of before and compare",
    "corpus": "rebuild the index over the present corpus and ask the failing questions again",
    "routing": "send the failing questions down the route of before",
    "traffic source": "take the new source's traffic out: the rate must fall back to the baseline",
    "lever": "release the lever for a small share of the traffic and compare",
    "scorer": "score traffic from before with the new scorer: if it fails too, only the measure changed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """Harm among the affected traffic after the onset that saw the new version, and among the rest."""

    exposed_x: float
    exposed_n: float
    other_x: float
    other_n: float
    before_share: float
    """Share of the traffic before the change (and before the onset) that saw the new version already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A change, and what traffic shows of who saw it (None where no version field tells)."""

    change: Change
    exposure: Exposure | None = None
    note: str = ""
    """What else is known, e.g. that the index was not rebuilt after the corpus grew."""


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


def told_once(changes: Sequence[Change]) -> list[Change]:
    """The changes without those that traffic showed although somebody had recorded them.

    A recorded change of the same kind to the same value within two days tells the same; where it names no version field it
    takes that of the sighting, so that traffic can show who saw it. Told twice, one cause would share its probability.
    """
    told = {c.id: c for c in changes}
    for seen in (c for c in changes if c.origin == "traffic"):
        twins = (c for c in changes if c.origin != "traffic" and c.kind == seen.kind and c.after == seen.after)
        twin = min(
            (c for c in twins if abs(c.at_us - seen.at_us) <= SAME_US), key=lambda c: (c.at_us, c.id), default=None
        )
        if twin is not None:
            del told[seen.id]
            told[twin.id] = replace(twin, version_field=twin.version_field or seen.version_field)
    return list(told.values())


def rank_suspects(
    candidates: Sequence[Candidate],
    *,
    metric: str,
    scope: Mapping[str, str],
    onset: Sequence[tuple[int, float]],
    window_us: int,
    baseline: float,
    traffic: Traffic,
) -> tuple[Suspect, ...]:
    """All explanations by probability, "no own change" always among them; probabilities sum to 1.

    Args:
        candidates: the changes that could have touched the affected traffic.
        metric: metric of the leading signal.
        scope: part of the traffic of the leading signal.
        onset: posterior of the onset, (start of window, probability); empty where it is not known, and then the times of
            the changes say nothing.
        window_us: width of those windows.
        baseline: rate of harm before.
        traffic: what is known of a shift of the traffic itself.
    """
    weighted = [_weigh(c, metric, scope, onset, window_us, baseline, traffic) for c in candidates]
    weighted += _nobody(metric, traffic, _busy(candidates, onset))
    total = math.fsum(w for w, _ in weighted)
    ranked = sorted(weighted, key=lambda p: (-p[0], p[1].id))
    return tuple(_with_probability(s, w / total) for w, s in ranked)


def _weigh(
    c: Candidate,
    metric: str,
    scope: Mapping[str, str],
    onset: Sequence[tuple[int, float]],
    window_us: int,
    baseline: float,
    traffic: Traffic,
) -> tuple[float, Suspect]:
    change = c.change
    density = _time_density(change, onset, window_us)
    factor, supports, against = _exposure_words(c.exposure, change, baseline)
    (supports if density > 1 / HORIZON_H else against).insert(0, _when(change, onset, window_us))
    if any(scope.get(k) not in (None, v) for k, v in change.scope.items()):
        factor = min(factor, NEVER)
        against.append("it touches another part of the traffic than the one that fails")
    if traffic.shifted and change.kind == "traffic source":
        factor *= max(1.0, SHIFT * traffic.explained)  # new questions are what a new source brings
    elif traffic.shifted:
        factor *= 1 - CARRIED * traffic.explained
        if traffic.explained >= 0.5:
            against.append(f"new kinds of questions carry {traffic.explained:.0%} of the harm")
    affinity = _affinity(metric, change.kind)
    if affinity > 1:
        supports.append(f"a {change.kind} change is a usual cause when {metric.replace('_', ' ')} moves")
    if c.note:
        supports.append(c.note)
        factor *= 2 if affinity > 1 else 1
    suspect = Suspect(
        id=change.id,
        title=change.title,
        kind=change.kind,
        probability=0.0,
        own=change.own,
        at_us=change.at_us,
        supports=tuple(supports),
        against=tuple(against),
        disproof=_DISPROOF.get(
            change.kind, f"undo it for a small share of the traffic: the {metric} must recover there"
        ),
    )
    return _PRIOR.get(change.kind, 1.0) * affinity * density * factor, suspect


def _when(change: Change, onset: Sequence[tuple[int, float]], window_us: int) -> str:
    """How far the change lies from the mean of the onset's posterior."""
    if not onset:
        return "when the failure began is not known"
    mean = sum(t * p for t, p in onset) / sum(p for _, p in onset)
    lag_h = (mean - change.at_us) / HOUR_US
    if min(t for t, _ in onset) <= change.at_us < max(t for t, _ in onset) + window_us:
        return "within the interval in which the failure began"
    return f"{abs(lag_h):.1f} h {'before' if lag_h >= 0 else 'after'} the estimated onset"


def _time_density(change: Change, onset: Sequence[tuple[int, float]], window_us: int) -> float:
    """Probability density (1/h) that this change, at its time, makes an onset where the posterior puts it."""
    if not onset:
        return 1 / HORIZON_H
    weights = _LAGS.get(change.kind, (0.6, 0.35, 0.05))
    density = 0.0
    for start, p in onset:
        lag = (start + window_us - change.at_us) / HOUR_US
        if lag < 0:
            continue
        density += p * sum(w / s * math.exp(-lag / s) for w, s in zip(weights, _SCALES_H, strict=True))
    return max(density, 1e-9)


def _exposure_words(exposure: Exposure | None, change: Change, baseline: float) -> tuple[float, list[str], list[str]]:
    """Likelihood factor of the exposure, and the words for and against."""
    if exposure is None:
        return 1.0, [], ["traffic does not show who saw it"]
    if exposure.exposed_n + exposure.other_n == 0:
        return 1.0, [], ["there is no traffic since the onset that could show who saw it"]
    if exposure.before_share > 0.5:
        seen = f"{exposure.before_share:.0%} of the traffic saw {change.after} before this change, and was fine"
        return SEEN_BEFORE, [], [seen]
    ratio = _contrast(exposure, baseline)
    harmed = exposure.exposed_x + exposure.other_x
    if harmed and exposure.exposed_x < 0.02 * harmed:
        return ratio, [], [f"only {exposure.exposed_x / harmed:.0%} of the failing traffic saw {change.after}"]
    words = []
    if harmed:
        words.append(
            f"{exposure.exposed_x / harmed:.0%} of the failing traffic saw {change.after}; "
            f"{exposure.before_share:.0%} of the traffic had before"
        )
    if min(exposure.exposed_n, exposure.other_n) == 0:
        return ratio * (TOGETHER if exposure.other_n == 0 else 1), words, []
    compared = (
        f"harm {exposure.exposed_x / exposure.exposed_n:.1%} among those who saw it, "
        f"{exposure.other_x / exposure.other_n:.1%} among the others at the same time"
    )
    return ratio, [*words, compared] if ratio >= 1 else words, [] if ratio >= 1 else [compared]


def _contrast(e: Exposure, baseline: float) -> float:
    """Likelihood ratio of "only the exposed left the baseline" against "all of them did", bounded to `NEVER` .. `MOST`.

    Each side has one free rate, fitted: that of the exposed (never below the baseline), and the common one. The others'
    rate is the baseline as if known from `WANDER` interactions only (beta-binomial), because a baseline itself wanders: a
    fixed one would acquit the true cause wherever the others moved by a hair among millions.
    """
    base = min(max(baseline, 1e-3), 1 - 1e-3)
    pooled = max((e.exposed_x + e.other_x + 0.5) / (e.exposed_n + e.other_n + 1), base)
    own = max((e.exposed_x + 0.5) / (e.exposed_n + 1), base)
    caused = _log_likelihood(e.exposed_x, e.exposed_n, own) + _log_wandering(e.other_x, e.other_n, base)
    other = _log_likelihood(e.exposed_x, e.exposed_n, pooled) + _log_likelihood(e.other_x, e.other_n, pooled)
    return math.exp(min(max(caused - other, math.log(NEVER)), math.log(MOST)))


def _log_likelihood(x: float, n: float, p: float) -> float:
    return x * math.log(p) + (n - x) * math.log(1 - p)


def _log_wandering(x: float, n: float, p: float) -> float:
    """Log likelihood of x of n (without the binomial coefficient) under a beta of mean p and size `WANDER`."""
    a, b = p * WANDER, (1 - p) * WANDER
    fit = math.lgamma(x + a) + math.lgamma(n - x + b) - math.lgamma(n + a + b)
    return fit - math.lgamma(a) - math.lgamma(b) + math.lgamma(a + b)


def _affinity(metric: str, kind: str) -> float:
    group = "retrieval" if metric in _RETRIEVAL else metric
    return AFFINITY if kind in _SUSPECT_OF.get(group, frozenset()) else 1.0


def _busy(candidates: Sequence[Candidate], onset: Sequence[tuple[int, float]]) -> int:
    """Changes within two weeks before the onset, at least 1: the more there are, the less it says that one is near."""
    latest = max((t for t, _ in onset), default=None)
    if latest is None:
        return max(1, len(candidates))
    return max(1, sum(0 <= latest - c.change.at_us <= HORIZON_H * HOUR_US for c in candidates))


def _nobody(metric: str, traffic: Traffic, busy: int) -> list[tuple[float, Suspect]]:
    """The explanations in which we changed nothing, of which there are as many as changes in a busy log."""
    shift = 0.1 + SHIFT * traffic.explained if traffic.shifted else 0.1 if traffic.tested else 1.0
    behind = 1.0 - CARRIED * traffic.explained if traffic.shifted else 1.0
    speaks_for = traffic.shifted and traffic.explained > 0
    unmoved = () if speaks_for else traffic.words or ("the questions are the same as before the onset",)
    rows = (
        (
            "traffic",
            "no own change: the traffic itself changed",
            0.3 * shift,
            traffic.words if speaks_for else (),
            unmoved,
        ),
        ("provider", "no own change: the provider changed something behind the same version", 0.15 * behind, (), ()),
        ("unknown", "no own change: none of the recorded changes explains this", 0.15 * behind, (), ()),
    )
    disproof = {
        "traffic": "score only questions like those of before: if they fail as often, it was not the traffic",
        "provider": "send the same questions with the same parameters to another provider or a pinned version",
        "unknown": "find a change that no log holds: a manual action, a dependency, a credential, a cache",
    }
    return [
        (
            weight * busy / HORIZON_H * _affinity(metric, {"traffic": "traffic source"}.get(kind, kind)),
            Suspect(
                id=f"no own change: {kind}",
                title=title,
                kind=kind,
                probability=0.0,
                own=False,
                supports=tuple(supports),
                against=tuple(against),
                disproof=disproof[kind],
            ),
        )
        for kind, title, weight, supports, against in rows
    ]


def _with_probability(s: Suspect, probability: float) -> Suspect:
    return replace(s, probability=round(probability, 6))
