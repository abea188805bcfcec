"""Refusal spikes and collapses by task and cohort: too many or too few, and policy against capability."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy

from andon import stats
from andon.investigations.records import Analysis
from andon.monitors.verdicts import percent
from andon.scores.refusals import is_refusal, refusal_reason
from andon.settings import is_high_risk
from andon.traffic import Interaction, quoted

__all__ = ["Cohort", "Kind", "kind_of_refusal", "refusal_spike", "stock_phrase"]

Kind = Literal["policy", "capability", "guardrail", "empty", "unclear"]

LEVEL = 0.05
"""Chance that any cohort is said to have moved though none did."""

SMALL = 0.02
"""A cohort has moved when its rate differs by at least two points, however sure a smaller difference is."""

FEWEST = 10
"""Interactions of a cohort on a side below which it is not compared."""

OPENING = 60
"""Characters by which two refusals are the same stock phrase."""

_PASSES = frozenset(("pass", "passed", "ok", "none", "safe", "allow", "allowed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Refusals in one part of the traffic before and since."""

    field: str
    value: str
    before_x: int
    before_n: int
    after_x: int
    after_n: int
    low: float = -1.0
    high: float = 1.0
    """Interval of the difference at the level of all cohorts together."""
    sure: bool = True
    """Whether Fisher's exact test agrees with it."""

    @property
    def difference(self) -> float:
        """Rate since less rate before; 0 where a side is empty."""
        return self.after_x / self.after_n - self.before_x / self.before_n if self.before_n and self.after_n else 0.0

    @property
    def moved(self) -> bool:
        """Whether the rate surely moved, and by enough to matter."""
        return (self.low > 0 or self.high < 0) and self.sure and abs(self.difference) >= SMALL


def kind_of_refusal(i: Interaction) -> Kind | None:
    """Why this interaction got no answer; None where it was answered, or failed with an error.

    ``guardrail``: a guardrail blocked. ``empty``: nothing came, though the call succeeded. Else the reason that the answer
    gives (`andon.scores.refusals`): ``policy``, ``capability``, or ``unclear`` where the application says that it refused and
    the answer gives no reason.
    """
    if (i.guardrail or "").strip().casefold() not in _PASSES | {""}:
        return "guardrail"
    answer = (i.answer or "").strip()
    if not answer:
        return None if i.error or i.refused is False else "empty"
    if i.refused is False or (i.refused is None and (i.error is not None or not is_refusal(answer))):
        return None
    return refusal_reason(answer, i.refused) or "unclear"


def stock_phrase(refusals: Sequence[Interaction]) -> tuple[str, float]:
    """The most common opening of these refusals and its share; one phrase for all is a rule speaking, not a model.

    Openings are the first 60 characters in lower case without digits and repeated spaces.
    """
    openings = Counter(_opening(i.answer or "") for i in refusals)
    openings.pop("", None)
    if not openings:
        return "", 0.0
    phrase, n = min(openings.items(), key=lambda p: (-p[1], p[0]))
    return phrase, n / len(refusals)


def _opening(answer: str) -> str:
    return re.sub(r"[\d\s]+", " ", answer[: 4 * OPENING]).strip().casefold()[:OPENING]


def refusal_spike(
    cohorts: Sequence[Cohort],
    before: Sequence[Interaction],
    after: Sequence[Interaction],
    *,
    new_versions: Mapping[str, str] | None = None,
    evidence: Sequence[str] = (),
) -> Analysis:
    """Where refusals rose or fell, of which kind they are, and what they point to.

    Args:
        cohorts: refusals by value of each segment field, and of all traffic (field ``all``), counted over all traffic; of
            those with equal counts the first one stands for all.
        before: a sample of interactions before the onset: kinds are read from texts.
        after: the same since.
        new_versions: version fields whose value most refusals (or most answers, when refusals fell) saw since the onset, and
            little of the traffic before; field -> value.
        evidence: ids of the figures.

    Found: a cohort's rate of refusal moved by at least two points, surely at 5 % over all cohorts (Newcombe's intervals
    and Fisher's exact test, Bonferroni). Refusals that rise where the risk is low are over-blocking; refusals that fall where it is high are missing.
    """
    tested = _tested(cohorts)
    if not tested:
        return Analysis(
            name="refusal spike",
            found="cannot tell",
            text=f"Cannot tell: no part of the traffic has {FEWEST} answers before and since.",
            evidence=tuple(evidence),
        )
    moved = sorted((c for c in tested if c.moved), key=lambda c: (-abs(c.difference), c.field, c.value))
    kinds = [Counter(k for i in side if (k := kind_of_refusal(i)) is not None) for side in (before, after)]
    sizes = len(before), len(after)
    words = [_headline(moved, tested)]
    words += [_told(c) for c in moved[:3]]
    if moved:
        words += _kind_words(kinds, sizes)
        words += _signs(before, after, kinds, sizes, new_versions or {})
    text = "; ".join(w for w in words if w)
    head = ("part", "refused before", "refused since", "difference, interval")
    rows = tuple(
        (
            c.value if c.field == "all" else f"{c.field} {c.value}",
            f"{c.before_x} of {c.before_n} ({percent(c.before_x / c.before_n)})",
            f"{c.after_x} of {c.after_n} ({percent(c.after_x / c.after_n)})",
            f"{c.low * 100:+.1f} to {c.high * 100:+.1f} points",
        )
        for c in [*moved, *(c for c in tested if not c.moved)][:12]
    )
    return Analysis(
        name="refusal spike",
        found="yes" if moved else "no",
        text=text[0].upper() + text[1:] + ".",
        rows=(head, *rows),
        evidence=tuple(evidence),
    )


def _tested(cohorts: Sequence[Cohort]) -> list[Cohort]:
    known: list[Cohort] = []
    for c in cohorts:  # two names of the same interactions are one part
        counts = (c.before_x, c.before_n, c.after_x, c.after_n)
        same = any(counts == (k.before_x, k.before_n, k.after_x, k.after_n) for k in known)
        if min(c.before_n, c.after_n) >= FEWEST and not same:
            known.append(c)
    level = 1 - LEVEL / max(1, len(known))
    tested = []
    for c in known:
        _, low, high = stats.difference(c.before_x, c.before_n, c.after_x, c.after_n, level)
        p = _exact((c.before_x, c.after_x), (c.before_n, c.after_n))
        tested.append(replace(c, low=low, high=high, sure=p <= 1 - level))
    return tested


def _exact(x: tuple[int, int], n: tuple[int, int]) -> float:
    """Fisher's exact test of two rates."""
    return float(scipy.stats.fisher_exact(np.array([[x[0], n[0] - x[0]], [x[1], n[1] - x[1]]])).pvalue)


def _headline(moved: Sequence[Cohort], tested: Sequence[Cohort]) -> str:
    if not moved:
        return f"refusals did not surely move in any of {len(tested)} parts of the traffic"
    risky = [c for c in moved if c.field == "risk_category" and is_high_risk(c.value)]
    calm = [c for c in moved if c.field == "risk_category" and not is_high_risk(c.value)]
    words = []
    if any(c.difference < 0 for c in risky):
        words.append("missing refusals: they fell where the risk is high")
    if any(c.difference > 0 for c in calm):
        words.append("over-blocking: refusals rose where the risk is not high")
    if words:
        return " and ".join(words)
    ways = {c.difference > 0 for c in moved}
    return (
        "refusals rose in some parts and fell in others"
        if len(ways) == 2
        else f"refusals {'rose' if True in ways else 'fell'}"
    )


def _told(c: Cohort) -> str:
    part = "all traffic" if c.field == "all" else f"{c.field.replace('_', ' ')} {quoted(c.value)}"
    return (
        f"{part} {percent(c.before_x / c.before_n)} to {percent(c.after_x / c.after_n)} "
        f"({c.low * 100:+.1f} to {c.high * 100:+.1f} points)"
    )


def _kind_words(kinds: Sequence[Counter[Kind]], sizes: tuple[int, int]) -> list[str]:
    """The kinds of refusal in the samples, most moved first."""
    if not min(sizes):
        return []
    names = sorted({*kinds[0], *kinds[1]}, key=lambda k: (-abs(kinds[1][k] / sizes[1] - kinds[0][k] / sizes[0]), k))
    told = [f"{k} {percent(kinds[0][k] / sizes[0])} to {percent(kinds[1][k] / sizes[1])}" for k in names]
    return [f"by kind of refusal: {', '.join(told)}"] if told else []


def _signs(
    before: Sequence[Interaction],
    after: Sequence[Interaction],
    kinds: Sequence[Counter[Kind]],
    sizes: tuple[int, int],
    new_versions: Mapping[str, str],
) -> list[str]:
    """Policy against capability by the kinds that moved, one phrase for all, and the versions that came with it."""
    ruled, lacking = (_shift(kinds, sizes, names) for names in (("policy", "guardrail"), ("capability", "empty")))
    policy = f"refusals on principle or by a guardrail {ruled * 100:+.1f} points"
    capability = f"for lack of access, knowledge or an answer {lacking * 100:+.1f} points"
    if abs(ruled) > 2 * abs(lacking):
        words = [f"policy rather than capability: {policy}"]
    elif abs(lacking) > 2 * abs(ruled):
        words = [f"capability rather than policy: refusals {capability}"]
    elif ruled or lacking:
        words = [f"both policy and capability: {policy}, {capability}"]
    else:
        words = ["nothing tells policy from capability"]
    refused = [[i for i in side if kind_of_refusal(i) not in (None, "empty")] for side in (before, after)]
    (_, usual), (phrase, share) = (stock_phrase(r) for r in refused)
    if len(refused[1]) >= FEWEST and share >= 0.5 and share > usual + 0.2:
        words.append(f"{percent(share)} of refusals open with the same words, as a rule speaks ({quoted(phrase)})")
    if new_versions:
        told = ", ".join(f"{k.replace('_', ' ')} {quoted(v)}" for k, v in new_versions.items())
        return [*words, f"new since the onset: {told}"]
    return [*words, "no version of ours is new since the onset"]


def _shift(kinds: Sequence[Counter[Kind]], sizes: tuple[int, int], names: Sequence[Kind]) -> float:
    """By how much the rate of these kinds moved, where it surely did (Fisher's exact test, 1 %); 0 else."""
    x = [sum(k[n] for n in names) for k in kinds]
    if not min(sizes):
        return 0.0
    p = _exact((x[0], x[1]), sizes)
    return x[1] / sizes[1] - x[0] / sizes[0] if p < 0.01 else 0.0
