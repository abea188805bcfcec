"""Measure tests of a traffic shift on real queries, as the tables of `docs/methods/traffic-shift.md`.

`python tests/monitors/shift_measured.py [FOLDER]` prints them (ten minutes of one core); vectors are kept in FOLDER.
"""

import gzip
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.special import kolmogorov

from andon.scores.embedding import choose
from andon.scores.topics import assign, learn_topics, novel_clusters, query_novelty, topic_keys
from andon.settings import Settings
from andon.stats import LEAST_SPREAD, detect
from andon.stats.mix import classifier_test, jensen_shannon, mean_shift, mix_shift, mmd, psi

DATA = Path(os.environ.get("SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
FILES = {
    "clinc": "intents-clinc-oos/queries.jsonl.gz",
    "banking": "intents-banking77/queries.jsonl.gz",
    "hint3": "intents-hint3/queries.jsonl",
}
SHARES = (0.0, 0.01, 0.03, 0.10)


def rows(name: str) -> list[dict]:
    """The rows of a pack."""
    path = DATA / FILES[name]
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Pack:
    """Queries of a pack with their vectors and kinds; in HINT3 only what users of one bot really sent."""

    def __init__(self, name: str, folder: Path) -> None:
        found = [r for r in rows(name) if r.get("split") == "live" or name != "hint3"]
        found = [r for r in found if r.get("in_scope", True) or name == "hint3"]
        self.texts = [r["text"] for r in found]
        self.kind = np.array([r["intent"] if r.get("in_scope", True) else "(no intent)" for r in found])
        kept = folder / f"{name}-{len(found)}.npy"
        if not kept.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            np.save(kept, choose(Settings()).embed(self.texts))
        self.vectors = np.load(kept)

    def windows(self, rng: np.random.Generator, share: float, kinds: int, n: int, m: int):  # type: ignore[no-untyped-def]
        """Positions of a reference and of a window with this share of kinds that the reference has none of, and those kinds."""
        names = np.unique(self.kind)
        held = ["(no intent)"] if "(no intent)" in names else list(rng.choice(names, kinds, replace=False))
        new, old = np.flatnonzero(np.isin(self.kind, held)), rng.permutation(np.flatnonzero(~np.isin(self.kind, held)))
        n, m = min(n, 2 * len(old) // 3), min(m, len(old) // 3)
        fresh = min(round(share * m), len(new))
        return old[:n], np.concatenate([rng.choice(new, fresh, replace=False), old[n : n + m - fresh]]), held


def ks_per_dimension(before: np.ndarray, after: np.ndarray) -> float:
    """Least p of KS over the dimensions, times their number: the usual library default."""
    both = np.concatenate([before, after])
    later = np.argsort(both, axis=0) >= len(before)
    n, m = len(before), len(after)
    far = np.abs(np.cumsum(np.where(later, 1 / m, -1 / n), axis=0)).max(axis=0)
    return float(min(1.0, kolmogorov(far * np.sqrt(n * m / (n + m))).min() * both.shape[1]))


def tries(pack: Pack, old: np.ndarray, new: np.ndarray, rng: np.random.Generator) -> dict[str, Callable[[], bool]]:
    """Tests by name: does it reject at 5 %, or cross its usual threshold?"""
    one, two = pack.vectors[old], pack.vectors[new]
    half = len(old) // 2  # shares of topics are compared among questions that the topics were not learned from
    topics = learn_topics("a/e", "m", one[:half], [pack.texts[i] for i in old[:half]], rng)
    mixes = [_counted(topic_keys(topics, v)) for v in (one[half:], two)]
    texts = [pack.texts[i] for i in new]
    return {
        "distance of means": lambda: mean_shift(one, two, rng, 199)[0] <= 0.05,
        "MMD": lambda: mmd(one, two, rng, 99)[0] <= 0.05,
        "classifier": lambda: classifier_test(one, two, rng, 99)[0] <= 0.05,
        "KS per dimension, Bonferroni": lambda: ks_per_dimension(one, two) <= 0.05,
        "G-test on topics": lambda: mix_shift(*mixes)[0] <= 0.05,
        "PSI of topics above 0.1": lambda: psi(*mixes) > 0.1,
        "PSI of topics above 0.25": lambda: psi(*mixes) > 0.25,
        "JS of topics above 0.1": lambda: jensen_shannon(*mixes) > 0.1,
        "kinds that grew": lambda: bool(novel_clusters(one, two, texts, rng)),
    }


def power(pack: Pack, rounds: int, kinds: int) -> dict[str, list[float]]:
    """Share of repetitions in which each test says "shifted", by share of new kinds, and its milliseconds last."""
    said: dict[str, list[list[bool]]] = defaultdict(lambda: [[] for _ in SHARES])
    spent: dict[str, float] = defaultdict(float)
    for k, share in enumerate(SHARES):
        rng = np.random.default_rng(31)
        for _ in range(rounds):
            old, new, _ = pack.windows(rng, share, kinds, 2000, 1000)
            for name, says in tries(pack, old, new, rng).items():
                start = time.perf_counter()
                said[name][k].append(says())
                spent[name] += time.perf_counter() - start
    return {
        name: [*(float(np.mean(v)) for v in values), spent[name] / rounds / len(SHARES) * 1000]
        for name, values in said.items()
    }


def _counted(keys: list[str]) -> dict[str, int]:
    names, counts = np.unique(keys, return_counts=True)
    return dict(zip(names.tolist(), counts.tolist(), strict=True))


def finding(
    pack: Pack, rounds: int, shares: tuple[float, ...] = SHARES
) -> list[tuple[float, float, float, float, float, float, list[str]]]:
    """One new intent: (share, found, purity, recall, named by a query of it, false kinds a comparison, examples of names)."""
    table = []
    for share in shares:
        rng = np.random.default_rng(32)
        found, purity, recall, named, false, names = [], [], [], [], [], []
        for _ in range(rounds):
            old, new, held = pack.windows(rng, share, 1, 2000, 1000)
            fresh = np.isin(pack.kind[new], held)
            grown = novel_clusters(pack.vectors[old], pack.vectors[new], [pack.texts[i] for i in new], rng)
            right = [g for g in grown if fresh[list(g.members)].mean() >= 0.5]
            found.append(bool(right))
            false.append(len(grown) - len(right))
            asked = {pack.texts[i] for i in new[fresh]}
            for g in right[:1]:
                named.append(bool(g.queries) and g.queries[0] in asked)
                purity.append(fresh[list(g.members)].mean())
                recall.append(fresh[list(g.members)].sum() / fresh.sum())
                names.append(f"{held[0]}{'' if g.new else ' (grew)'} = {g.name}")
        mean = [float(np.mean(v)) if v else float("nan") for v in (found, purity, recall, named, false)]
        table.append((share, *mean, names))
    return table


def novelty(pack: Pack, rounds: int) -> tuple[float, float]:
    """Share of familiar and of new questions that are like none of the topics."""
    rng, familiar, strange = np.random.default_rng(33), [], []
    for _ in range(rounds):
        old, new, held = pack.windows(rng, 0.1, 4, 2000, 1000)
        topics = learn_topics("a/e", "m", pack.vectors[old], [pack.texts[i] for i in old], rng)
        beyond = query_novelty(topics, pack.vectors[new]) > topics.furthest
        fresh = np.isin(pack.kind[new], held)
        familiar.append(beyond[~fresh].mean())
        strange.append(beyond[fresh].mean())
    return float(np.mean(familiar)), float(np.mean(strange))


def accumulated(pack: Pack, rounds: int) -> list[tuple[float, float, float, float]]:
    """One new intent among 100 queries an hour, the shares of topics in the detector at one false page a month over all.

    Rows (share, found within two weeks, median hours, hours for nine in ten); the baseline is two weeks.
    """
    table, hours, each = [], 336, 100
    for share in SHARES:
        rng, delays = np.random.default_rng(51), []
        for _ in range(rounds):
            held = rng.choice(np.unique(pack.kind))
            new, old = np.flatnonzero(pack.kind == held), rng.permutation(np.flatnonzero(pack.kind != held))
            ref, rest = old[:2000], old[2000:]
            topics = learn_topics("a/e", "m", pack.vectors[ref], [pack.texts[i] for i in ref], rng)
            k = len(topics.topics) + 1
            familiar, strange = (assign(topics, pack.vectors[i]) + 1 for i in (rest, new))
            base = np.bincount(rng.choice(familiar, hours * each), minlength=k) + 0.5
            base *= 1 + np.sqrt((1 - base / (hours * each)) / base)  # guarded by a standard error, as charts are
            counts = np.zeros((hours, k))
            for t in range(hours):
                fresh = rng.binomial(each, share)
                came = np.concatenate([rng.choice(familiar, each - fresh), rng.choice(strange, fresh)])
                counts[t] = np.bincount(came, minlength=k)
            mean = np.tile(base / hours, (hours, 1))
            signals = detect(counts, mean, np.full(k, LEAST_SPREAD), np.ones(k), k * 720.0).any(axis=1)
            delays.append(int(signals.argmax()) + 1 if signals.any() else np.inf)
        nine = float(np.quantile(delays, 0.9, method="higher"))
        table.append((share, float(np.isfinite(delays).mean()), float(np.median(delays)), nine))
    return table


def page_parts(folder: Path, rounds: int) -> Iterator[str]:
    """Everything on the page that is measured here."""
    for name in FILES:
        pack = Pack(name, folder)
        beyond = novelty(pack, 10)
        old, new, _ = pack.windows(np.random.default_rng(1), 0.1, 4, 2000, 1000)
        yield f"\n{name}: {len(new):,} of {len(pack.texts):,} queries against {len(old):,}"
        yield f"like none of the topics: {beyond[0]:.1%} of familiar, {beyond[1]:.1%} of new queries"
        for test, values in power(pack, rounds, 4).items():
            yield f"| {test} | " + " | ".join(f"{v:.2f}" for v in values[:-1]) + f" | {values[-1]:.0f} ms |"
        if name == "hint3":
            continue
        for share, *figures, names in finding(pack, rounds):
            yield f"| {share:.0%} | " + " | ".join(f"{v:.2f}" for v in figures) + " |"
            yield from (f"    {n}" for n in names[:15])
        for share, found, median, nine in accumulated(pack, rounds):
            yield f"| {share:.0%} | {found:.2f} | {median:.0f} h | {nine:.0f} h |"


if __name__ == "__main__":
    for line in page_parts(Path(sys.argv[1] if len(sys.argv) > 1 else "."), int((sys.argv[2:] or ["60"])[0])):
        print(line, flush=True)  # noqa: T201
