"""Worlds with a known cause, to measure `rank_suspects`; prints the tables of `docs/methods/suspects.md`.

`python tests/investigations/suspects_simulated.py` runs it. The simulator has its own idea of how changes hurt: log-normal
lags, kinds by how often they broke things elsewhere, harm that wanders, exposure that overlaps. None of it is taken from
the ranker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from andon import stats
from andon.changes import Change
from andon.investigations import Candidate, Exposure, Suspect, Traffic, rank_suspects

HOUR = 3_600_000_000
T0 = 1_790_000_000_000_000
DAYS = 21
KINDS = {
    "code": 0.30,
    "prompt": 0.18,
    "config": 0.12,
    "model": 0.08,
    "index": 0.07,
    "routing": 0.07,
    "policy": 0.06,
    "corpus": 0.05,
    "tool schema": 0.04,
    "sampling parameter": 0.03,
}
USUAL = {
    "code": "error",
    "config": "error",
    "routing": "error",
    "tool schema": "error",
    "prompt": "refusal",
    "model": "refusal",
    "policy": "refusal",
    "sampling parameter": "normalised_match",
    "index": "retrieval_score",
    "corpus": "groundedness",
}
METRICS = (
    "error",
    "refusal",
    "escalation",
    "groundedness",
    "normalised_match",
    "latency_s",
    "thumbs",
    "retrieval_score",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of a world, with who sees it."""

    change: Change
    share: float
    """Share of the traffic that sees it from its time on."""
    twin: bool
    """Seen by exactly the traffic that sees the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One incident: what the ranker is given, and what was true."""

    candidates: tuple[Candidate, ...]
    metric: str
    onset: tuple[tuple[int, float], ...]
    best_us: int
    baseline: float
    traffic: Traffic
    cause: str
    """Id of the change, or ``no own change``."""


def world(rng: np.random.Generator, per_hour: float, odds: float, nobody: float = 0.25) -> World:
    """One incident with about this much traffic and effect; in a share `nobody` of the worlds no change of ours is the cause."""
    events = [_event(rng, k) for k in range(20)]
    own = rng.random() >= nobody
    culprit = events[int(rng.integers(len(events)))] if own else None
    if culprit is None:
        onset_h = float(rng.uniform(4, DAYS) * 24)
        metric = str(rng.choice(METRICS))
    else:
        median_h = 300.0 if culprit.change.kind == "corpus" else 4.0
        lag_h = float(median_h * np.exp(rng.normal(0, 1.6 if median_h < 100 else 0.6)))
        onset_h = (culprit.change.at_us - T0) / HOUR + min(lag_h, 40 * 24.0)
        usual = rng.random() < 0.5
        metric = USUAL[culprit.change.kind] if usual else str(rng.choice(METRICS))
    base = float(np.exp(rng.uniform(np.log(0.004), np.log(0.2))))
    share = culprit.share if culprit else 1.0
    bad = odds * base / (1 - base + odds * base)
    counts = _hours(rng, per_hour, base, bad, share, onset_h)
    x, n, first_h, alarm_h = counts
    found = stats.locate_onset(x, n * base, 0.0005 / base)
    onset = tuple((_us(first_h + k), p) for k, p in enumerate(found.probability) if p > 0.001)
    high_us = _us(first_h + found.high)
    since = n[found.best :].sum(), x[found.best :].sum()
    candidates = tuple(
        Candidate(change=e.change, exposure=_exposure(rng, e, culprit, since, base, bad, onset_h, alarm_h))
        for e in events
        if e.change.at_us <= high_us
    )
    return World(
        candidates=candidates,
        metric=metric,
        onset=onset,
        best_us=_us(first_h + found.best),
        baseline=base,
        traffic=_traffic(rng, own),
        cause=culprit.change.id if culprit else "no own change",
    )


def _us(hours: float) -> int:
    return T0 + int(hours * HOUR)


def _event(rng: np.random.Generator, k: int) -> Event:
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    told = rng.random() < 0.8
    change = Change(
        id=f"CHG-{k:02d}",
        at_us=T0 + int(rng.uniform(0, DAYS * 24) * HOUR),
        kind=kind,
        title=f"change {k}",
        version_field="code_version" if told else None,
        after=f"v{k}",
    )
    share = 1.0 if rng.random() < 0.5 else float(rng.uniform(0.05, 0.6))
    return Event(change=change, share=share, twin=bool(rng.random() < 0.1))


def _hours(rng: np.random.Generator, per_hour: float, base: float, bad: float, share: float, onset_h: float):
    """Harm and traffic by the hour from two days before the onset to the alarm; the rate wanders by 5 %."""
    after = base + share * (bad - base)
    need = 25 * base * (1 - base) / (after - base) ** 2 / per_hour
    alarm_h = onset_h + float(np.clip(need, 1.0, 96.0))
    first = int(onset_h) - 48
    hours = np.arange(first, int(np.ceil(alarm_h)) + 1)
    n = rng.poisson(per_hour * (1 + 0.5 * np.sin(hours / 24 * 2 * np.pi))).astype(float) + 1
    harmed_part = np.clip(hours + 1 - onset_h, 0, 1)
    rate = (base + harmed_part * (after - base)) * np.exp(rng.normal(0, 0.05, len(hours)))
    return rng.binomial(n.astype(int), np.clip(rate, 0, 1)).astype(float), n, first, alarm_h


def _exposure(rng, e: Event, culprit: Event | None, since, base, bad, onset_h, alarm_h) -> Exposure | None:
    if e.change.version_field is None:
        return None
    n, x = int(since[0]), int(since[1])
    at_h = (e.change.at_us - T0) / HOUR
    seen = e.share * float(np.clip((alarm_h - max(at_h, onset_h)) / (alarm_h - onset_h), 0, 1))
    if culprit is not None and (e is culprit or (e.twin and culprit.share < 1 and at_h <= onset_h)):
        caused = culprit.share * bad
        of_harm = caused / (caused + (1 - culprit.share) * base)
        seen = culprit.share
    else:
        of_harm = seen
    exposed_x = int(rng.binomial(x, of_harm))
    exposed_n = min(n, exposed_x + int(rng.binomial(max(0, n - x), seen)))
    return Exposure(
        exposed_x=exposed_x, exposed_n=exposed_n, other_x=x - exposed_x, other_n=n - exposed_n, before_share=0.0
    )


def _traffic(rng: np.random.Generator, own: bool) -> Traffic:
    """The questions: really new in half of the worlds without a cause of ours; new but harmless in a tenth of all."""
    if not own and rng.random() < 0.5:
        return Traffic(shifted=True, explained=float(rng.beta(6, 2)))
    if rng.random() < 0.15:
        return Traffic(shifted=False, explained=0.0, tested=False)
    if rng.random() < 0.1:
        return Traffic(shifted=True, explained=float(rng.beta(1, 6)))
    return Traffic(shifted=False, explained=0.0)


def ranked(w: World, *, exposure: bool = True) -> tuple[Suspect, ...]:
    """The ranker's answer, with or without what traffic shows of exposure."""
    candidates = w.candidates if exposure else [Candidate(change=c.change) for c in w.candidates]
    return rank_suspects(
        candidates,
        metric=w.metric,
        scope={},
        onset=[(at, at + HOUR, p) for at, p in w.onset],
        baseline=w.baseline,
        traffic=w.traffic,
    )


def place(w: World, names: Sequence[str]) -> int:
    """Rank of the truth, 1 for the first; all "no own change" count as one."""
    short = list(dict.fromkeys("no own change" if n.startswith("no own change") else n for n in names))
    return short.index(w.cause) + 1 if w.cause in short else 99


def by_rank(w: World, how: str) -> list[str]:
    """Ids of the suspects in the order of one way to rank."""
    if how == "most recent":
        return [c.change.id for c in sorted(w.candidates, key=lambda c: -c.change.at_us)]
    if how == "nearest to the onset":
        return [c.change.id for c in sorted(w.candidates, key=lambda c: abs(w.best_us - c.change.at_us))]
    return [s.id for s in ranked(w, exposure=how == "with exposure")]


WAYS = ("most recent", "nearest to the onset", "without exposure", "with exposure")
ROWS = (("2,000/h, odds x 1.6", 2000.0, 1.6), ("2,000/h, odds x 3", 2000.0, 3.0), ("200/h, odds x 3", 200.0, 3.0))


def measure(worlds: int, seed: int = 7) -> tuple[str, str, str]:
    """Tables of accuracy, of "no own change", and of calibration."""
    rng = np.random.default_rng(seed)
    accuracy = ["| traffic, effect | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|"]
    nobody = [
        "| traffic, effect | worlds | ranked first | above 50 % together | blamed on a change above 90 % |",
        "|---" * 5 + "|",
    ]
    stated: list[tuple[float, bool]] = []
    for name, per_hour, odds in ROWS:
        made = [world(rng, per_hour, odds) for _ in range(worlds)]
        own = [w for w in made if w.cause != "no own change"]
        cells = []
        for how in WAYS:
            places = [place(w, by_rank(w, how)) for w in own]
            cells.append(f"{np.mean([p == 1 for p in places]):.2f} ({np.mean([p <= 3 for p in places]):.2f})")
        accuracy.append(f"| {name} | " + " | ".join(cells) + " |")
        none = [ranked(w) for w in made if w.cause == "no own change"]
        first = np.mean([s[0].id.startswith("no own") for s in none])
        half = np.mean([sum(p.probability for p in s if p.id.startswith("no own")) > 0.5 for s in none])
        wrong = np.mean([any(p.probability > 0.9 for p in s if not p.id.startswith("no own")) for s in none])
        nobody.append(f"| {name} | {len(none)} | {first:.2f} | {half:.2f} | {wrong:.2f} |")
        for w in made:
            top = _merged(ranked(w))
            stated.append((top[1], top[0] == w.cause))
    return "\n".join(accuracy), "\n".join(nobody), _calibration(stated)


def _merged(found: tuple[Suspect, ...]) -> tuple[str, float]:
    total: dict[str, float] = {}
    for s in found:
        key = "no own change" if s.id.startswith("no own change") else s.id
        total[key] = total.get(key, 0.0) + s.probability
    return max(total.items(), key=lambda p: p[1])


def _calibration(stated: Sequence[tuple[float, bool]]) -> str:
    lines = ["| stated | incidents | right |", "|---|---|---|"]
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 0.98), (0.98, 1.01)):
        inside = [(p, hit) for p, hit in stated if low <= p < high]
        if inside:
            mean, right = np.mean([p for p, _ in inside]), np.mean([hit for _, hit in inside])
            lines.append(f"| {mean:.2f} | {len(inside)} | {right:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print("\n\n".join(measure(600)))  # noqa: T201
