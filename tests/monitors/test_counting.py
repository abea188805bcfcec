"""Laws of counting: from rows by cell to observations and harm by chart, whatever the values and however the windows are cut."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from charted import HOUR_US, WIDTH_US, charts, pages
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from andon.monitors import Monitor, Signal, counting, parts_of
from andon.monitors.counting import ENOUGH, KEYS, LEARN_N, LEARN_WINDOWS, Counting
from andon.monitors.records import TRAFFIC
from andon.monitors.series import Metric
from andon.traffic import SEGMENTS

ERROR = Metric("error", "binary", "up", "correctness")
LATENCY = Metric("latency_s", "number", "up", "latency", "s")  # type: ignore[arg-type]
SCORE = Metric("score", "number", "both", "correctness")

Row = dict[str, object]
HOSTILE = [
    "<script>alert(1)</script>",
    "'; DROP TABLE scores;--",
    "=1+1",
    "\x1b[31m",
    "a,b=c",
    "",
    " ",
    "\u202eeslaf",
    "x" * 5000,
]


def row(window: int, x: float, n: float, weight: float | None = 1.0, app: str = "shop", **segments: str) -> Row:
    """Rows of one cell in one window, x of them errors."""
    found: Row = {k: segments.get(k) for k in KEYS}
    return found | {
        "app": app, "environment": "prod", "weight": weight, "window_us": window * WIDTH_US, "rows": n, "error.n": n, "error.sum": x,
    }  # fmt: skip


def rates(rows: list[Row]) -> pa.Table:
    """The answer of a rollup."""
    schema = pa.schema(
        [(k, pa.string()) for k in KEYS] + [("weight", pa.float64()), ("window_us", pa.int64())]
        + [(c, pa.float64()) for c in ("rows", "error.n", "error.sum")]
    )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schema)


def histogram(rows: list[Row]) -> pa.Table:
    """The answer of a histogram: rows have bin and n."""
    schema = pa.schema(
        [(k, pa.string()) for k in KEYS]
        + [("weight", pa.float64()), ("window_us", pa.int64()), ("bin", pa.int64()), ("n", pa.float64())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def values(window: int, bins: dict[int, float], weight: float = 1.0, **segments: str) -> list[Row]:
    """Values of a number in one cell and window, by bin."""
    cell = row(window, 0, 0, weight, **segments)
    return [{k: cell[k] for k in (*KEYS, "weight", "window_us")} | {"bin": b, "n": n} for b, n in bins.items()]


class Counted:
    """What counting gives, by chart."""

    def __init__(self, *metrics: Metric) -> None:
        self.charts = charts(width_us=WIDTH_US)
        self.counting = Counting(self.charts, metrics)

    def take(
        self, length: int, rows: list[Row], first: int = 0, **numbers: list[Row]
    ) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Observations and harm by id of the chart."""
        n, x = self.counting.take(first, length, rates(rows), {k: histogram(v) for k, v in numbers.items()}, {})
        assert n.shape == x.shape == (length, len(self.charts.monitors))
        return {m.id: (n[:, i], x[:, i]) for i, m in enumerate(self.charts.monitors)}


def test_parts_are_sums_of_their_cells() -> None:
    """All traffic, each segment and each pair of segments count the rows that belong to them, window by window."""
    cells = [("faq", "high", 10.0), ("faq", "low", 20.0), ("refund", "high", 40.0)]
    made = [
        row(w, (w + 1) * n / 10, n * 10, task=task, risk_category=risk) for w in range(2) for task, risk, n in cells
    ]
    found = Counted(ERROR).take(2, made)
    for scope, cells_of in {
        "all": cells,
        "task=faq": cells[:2],
        "risk_category=high": [cells[0], cells[2]],
        "risk_category=high,task=faq": cells[:1],
    }.items():
        n, x = found[f"shop/prod/error.up/{scope}"]
        assert n.tolist() == [10 * sum(c[2] for c in cells_of)] * 2
        assert x == pytest.approx([sum(c[2] for c in cells_of) / 10 * k for k in (1, 2)])
    traffic = found["shop/prod/traffic.down/all"]
    assert traffic[0] == pytest.approx([1 / 12] * 2)
    assert traffic[1].tolist() == [700, 700]


def test_traffic_is_counted_in_silence_too() -> None:
    """A window in which nothing came has traffic 0 and the exposure of any other, from the part's first window on."""
    n, x = Counted(ERROR).take(4, [row(1, 0, 60)])["shop/prod/traffic.down/all"]
    assert n == pytest.approx([0, 1 / 12, 1 / 12, 1 / 12])
    assert x.tolist() == [0, 60, 0, 0]


def test_weights_are_fractions_of_the_greatest_so_far() -> None:
    """A row counts as its weight over the greatest of its part so far; a missing weight is 1; rates are those of the traffic."""
    found = Counted(ERROR).take(
        3,
        [row(0, 5, 100, 1.0), row(1, 10, 100, 4.0), row(1, 100, 200, 1.0), row(2, 0, 100, None)],
    )
    n, x = found["shop/prod/error.up/all"]
    assert n == pytest.approx([100, 100 + 50, 25])
    assert x == pytest.approx([5, 10 + 25, 0])
    assert x[1] / n[1] == pytest.approx((4 * 10 + 100) / (4 * 100 + 200))


def test_a_part_with_too_little_traffic_has_no_chart() -> None:
    """A part is charted from the window in which enough of it has come, all of an app from the first."""
    counted = Counted(ERROR)
    before = counted.take(2, [row(w, 1, (ENOUGH - 1) / 2, task="rare") for w in range(2)])
    assert {m.id.rsplit("/", 1)[1] for m in counted.charts.monitors} == {"all"}
    assert before["shop/prod/error.up/all"][0].sum() == ENOUGH - 1
    after = counted.take(2, [row(2, 1, 1, task="rare"), row(3, 2, 5, task="rare")], first=2)
    assert after["shop/prod/error.up/task=rare"][0].tolist() == [1, 5]


@given(st.dictionaries(st.sampled_from(SEGMENTS), st.sampled_from(HOSTILE), max_size=4))
@settings(max_examples=20, deadline=None)
def test_hostile_values_are_values(segments: dict[str, str]) -> None:
    """Whatever a segment is called, its parts are counted, each under its own name."""
    counted = Counted(ERROR)
    counted.take(1, [row(0, 3, 100, **segments)])
    scopes = {m.scope for m in counted.charts.monitors if m.metric == "error"}
    assert scopes == set(parts_of(segments))


def test_parts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field with a value for every user makes no more parts than permitted; all of the traffic is counted nevertheless."""
    monkeypatch.setattr(counting, "MOST_PARTS", 10)
    monkeypatch.setattr(counting, "ROOM", 4)
    counted = Counted(ERROR)
    found = counted.take(1, [row(0, 1, 60, task=f"user {i}") for i in range(100)])
    assert len({m.scope for m in counted.charts.monitors}) == 10
    assert found["shop/prod/error.up/all"][0].tolist() == [6000]
    assert counted.counting.crowded == ["task"]
    other = counted.take(1, [row(1, 1, 60, app="new", task="first")], first=1)
    assert other["new/prod/error.up/all"][0].tolist() == [60]


def test_a_crowded_field_leaves_room_for_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever values one field brings, the first parts of every other field, and of pairs, are watched; it is named."""
    monkeypatch.setattr(counting, "MOST_PARTS", 10)
    monkeypatch.setattr(counting, "ROOM", 4)
    counted = Counted(ERROR)
    counted.take(1, [row(0, 1, 60, task=f"user {i}", topic="t00") for i in range(100)])
    later = [row(1, 1, 60, requested_model=f"m{i}", segment=f"s{k}") for i in range(2) for k in range(3)]
    counted.take(1, [*later, row(1, 1, 60, task="user 1000", segment="s0")], first=1)
    scopes = {m.scope for m in counted.charts.monitors}
    expected = [(("requested_model", f"m{i}"),) for i in range(2)] + [(("segment", f"s{i}"),) for i in range(3)]
    assert {*expected, (("topic", "t00"),)} <= scopes
    assert sum(len(scope) == 2 for scope in scopes) == 4  # and none of a task that is not watched
    assert counted.counting.crowded == ["segment and requested_model", "task"]


def test_what_is_no_rate_is_clipped() -> None:
    """A plug-in that calls binary what is not cannot make more harm than observations, or less than none."""
    n, x = Counted(ERROR).take(2, [row(0, 900, 60), row(1, -5, 60)])["shop/prod/error.up/all"]
    assert x.tolist() == [60, 0]
    assert n.tolist() == [60, 60]


# --- numbers


def reference(rng: np.random.Generator, windows: int, n: int = 20) -> list[Row]:
    """Windows of a number that is uniform over 100 bins."""
    made = []
    for w in range(windows):
        bins, counts = np.unique(rng.integers(0, 100, n), return_counts=True)
        made += values(w, {int(b): float(c) for b, c in zip(bins, counts, strict=True)})
    return made


def test_a_number_counts_ridits_and_tails() -> None:
    """After its reference, a value is harm by the share of the reference it is worse than; the tail is its worst fiftieth, or fifth."""
    counted = Counted(LATENCY, SCORE)
    made = reference(np.random.default_rng(1), 40, 500)
    last = values(40, {-5: 10.0, 50: 10.0, 200: 10.0})
    found = counted.take(41, [row(w, 0, 500) for w in range(41)], latency_s=made + last, score=made + last)
    n, x = found["shop/prod/latency_s.up/all"]
    assert (n[:LEARN_WINDOWS] == 0).all()
    assert (n[LEARN_WINDOWS:40] == 500).all()
    assert x[LEARN_WINDOWS:40].sum() / n[LEARN_WINDOWS:40].sum() == pytest.approx(0.5, abs=0.01)
    assert (n[40], x[40]) == (30, pytest.approx(10 * (0 + 0.505 + 1), abs=0.2))
    _, tail = found["shop/prod/latency_s.up.tail/all"]
    assert tail[LEARN_WINDOWS:40].sum() / n[LEARN_WINDOWS:40].sum() == pytest.approx(0.02, abs=0.005)
    assert tail[40] == 10
    down, up = (found[f"shop/prod/score.{d}/all"][1] for d in ("down", "up"))
    assert down + up == pytest.approx(n)
    _, fifth = found["shop/prod/score.up.tail/all"]
    assert fifth[LEARN_WINDOWS:40].sum() / n[LEARN_WINDOWS:40].sum() == pytest.approx(0.2, abs=0.02)
    cut = counted.counting.cut_of(Monitor(app="shop", environment="prod", metric="latency_s", direction="up"))
    assert cut is not None


def test_traffic_is_the_same_whatever_share_is_kept() -> None:
    """A new sampling rate leaves the rate of traffic where it was; one observation is as much as the greatest weight."""
    counted = Counted(ERROR)
    n, x = counted.take(4, [row(0, 0, 60), row(1, 0, 12, 5.0), row(3, 0, 6, 5.0), row(3, 0, 30, 1.0)])[
        "shop/prod/traffic.down/all"
    ]
    assert x[[0, 1, 3]] / n[[0, 1, 3]] == pytest.approx([60 * 12] * 3)
    assert (x[0], x[1], x[2], x[3]) == pytest.approx((60, 12, 0, 12))
    assert n == pytest.approx([1 / 12, 1 / 60, 1 / 60, 1 / 60])


@given(cuts=st.sets(st.integers(1, 59), max_size=12), n=st.sampled_from([1, 3, 20]))
@settings(max_examples=15, deadline=None)
def test_any_partition_counts_the_same(cuts: set[int], n: int) -> None:
    """However windows are cut into calls, charts, observations and harm are the same: references and weights too."""
    rng = np.random.default_rng(2)
    weight = rng.choice([1.0, 20.0], 60)
    cells = [{"task": t} for t in rng.choice(["faq", "refund"], 60)]
    made = [row(w, 1, 3, float(weight[w]), **cells[w]) for w in range(60)]
    number = [
        r
        for w in range(60)
        for r in values(w, {int(b): 1.0 for b in set(rng.integers(0, 9, n))}, float(weight[w]), **cells[w])
    ]
    whole = Counted(ERROR, LATENCY).take(60, made, latency_s=number)
    parts, counted, start = [], Counted(ERROR, LATENCY), 0
    for stop in [*sorted(cuts), 60]:
        inside = [[r for r in rows if start * WIDTH_US <= r["window_us"] < stop * WIDTH_US] for rows in (made, number)]  # type: ignore[operator]
        parts.append(counted.take(stop - start, inside[0], first=start, latency_s=inside[1]))
        start = stop
    assert set(parts[-1]) == set(whole)
    for name, (seen, harm) in whole.items():
        got = [
            np.concatenate([p[name][i] if name in p else 0 * p["shop/prod/error.up/all"][0] for p in parts])
            for i in (0, 1)
        ]
        assert (got[0] == seen).all(), name
        assert got[1] == pytest.approx(harm), name


def test_a_reference_needs_windows_and_observations() -> None:
    """A number has a reference after 20 windows with traffic and 100 observations, whichever comes later."""
    for n in (2, 50):
        counted = Counted(LATENCY)
        found = counted.take(
            80, [row(w, 0, n) for w in range(80)], latency_s=reference(np.random.default_rng(3), 80, n)
        )
        began = int(np.flatnonzero(found["shop/prod/latency_s.up/all"][0])[0])
        assert began == max(LEARN_WINDOWS, -(-LEARN_N // n))


@pytest.mark.parametrize("value", [-1500, 0, 1, 2000])
def test_a_constant_number_never_signals(value: int) -> None:
    """A metric that always has the same value has ridits of one half and no tail, and never signals."""
    found = signals_of([{value: 10.0}] * 600, SCORE)
    assert found == []


def test_a_constant_number_that_gets_worse_signals() -> None:
    """A metric that was constant signals when worse values than any before come."""
    found = pages(signals_of([{2000: 10.0}] * 400 + [{1500: 5.0, 2000: 5.0}] * 200, SCORE))
    assert {s.direction for s in found} == {"down"}
    assert found[0].onset_us == 400 * WIDTH_US


def signals_of(bins: list[dict[int, float]], metric: Metric) -> list[Signal]:
    """The signals of charts over one number."""
    process = charts(width_us=WIDTH_US)
    process.kinds = {metric.name: metric.kind}
    process.harms = {(metric.name, d): "correctness" for d in ("up", "down")} | {(TRAFFIC, "down"): "availability"}
    number = [r for w, given in enumerate(bins) for r in values(w, given)]
    rows = [row(w, 0, sum(given.values())) for w, given in enumerate(bins)]
    n, x = Counting(process, [metric]).take(0, len(bins), rates(rows), {metric.name: histogram(number)}, {})
    return [s for s in process.advance(0, n, x) if s.metric == metric.name]


# --- a new normal of numbers


def relearned(monitors: list[Monitor]) -> tuple[Counted, list[Monitor]]:
    """Counting that has a reference of 0..99 and one of probes, after these charts are to be learned anew."""
    counted = Counted(LATENCY, SCORE)
    made = reference(np.random.default_rng(5), 20, 50)
    faq = [r | {"task": "faq"} for r in made]
    counted.take(20, [row(w, 0, 50, task="faq") for w in range(20)], latency_s=faq, score=faq)
    return counted, counted.counting.relearn(monitors)


WHOLE = Monitor(app="shop", environment="prod", metric="latency_s", direction="up")


@pytest.mark.parametrize("aspect", ["", "tail"])
def test_a_new_normal_of_a_number_has_a_new_reference(aspect: str) -> None:
    """Once the new level of all traffic is accepted, values are shares of those that come from then on, and still vary."""
    counted, again = relearned([replace(WHOLE, aspect=aspect)])
    assert {m.id for m in again} == {
        f"shop/prod/latency_s.up{a}/{s}" for a in ("", ".tail") for s in ("all", "task=faq")
    }
    assert counted.counting.cut_of(WHOLE) is None
    shifted = [r | {"bin": int(str(r["bin"])) + 300} for r in reference(np.random.default_rng(6), 40, 50)]
    worse = values(40, {700: 50.0})
    came = [r | {"task": "faq", "window_us": int(str(r["window_us"])) + 20 * WIDTH_US} for r in [*shifted, *worse]]
    found = counted.take(41, [row(20 + w, 0, 50, task="faq") for w in range(41)], first=20, latency_s=came, score=came)
    for scope in ("all", "task=faq"):
        n, x = found[f"shop/prod/latency_s.up/{scope}"]
        assert (n[:LEARN_WINDOWS] == 0).all()
        assert x[LEARN_WINDOWS:40].sum() / n[LEARN_WINDOWS:40].sum() == pytest.approx(0.5, abs=0.03)
        assert x[40] == n[40] == 50
    n, x = found["shop/prod/score.up/all"]
    assert x.sum() == n.sum()  # nobody accepted anything there: worse than all of the old reference


def test_a_new_normal_elsewhere_leaves_references_alone() -> None:
    """Accepting a rate, a part of the traffic, another app, or what an objective bounds forgets no reference."""
    elsewhere = [
        replace(WHOLE, metric="error"), replace(WHOLE, scope=(("task", "faq"),)), replace(WHOLE, app="other"),
        replace(WHOLE, scope=(("source", "probe"),)), replace(WHOLE, aspect="beyond 10", objective="o", at_most=0.1),
    ]  # fmt: skip
    counted, again = relearned(elsewhere)
    assert again == []
    assert counted.counting.cut_of(WHOLE) is not None


def test_an_accepted_level_of_a_number_is_watched() -> None:
    """After a level beyond the whole reference was accepted, a further rise is found, and nothing before it."""
    hours, further = 40 * 24, 35 * 24
    rng = np.random.default_rng(7)
    level = np.where(np.arange(hours) < 10 * 24, 0, 300) + np.where(np.arange(hours) >= further, 80, 0)
    process = charts()
    process.kinds = {"latency_s": "number"}
    process.harms = {("latency_s", "up"): "latency", (TRAFFIC, "down"): "availability"}  # type: ignore[dict-item]
    counts = Counting(process, [LATENCY])
    signals = []
    for first, stop in ((0, 12 * 24), (12 * 24, hours)):
        if first:
            again = counts.relearn(
                process.relearn(lambda m: m.id.startswith("shop/prod/latency_s.up"), 10 * 24 * HOUR_US)
            )
            assert len(again) == 2
            for m in again:
                process.relearn(m.__eq__, first * HOUR_US)
        made = []
        for h in range(first, stop):
            bins, n = np.unique(np.rint(rng.normal(level[h], 30, 60)).astype(int), return_counts=True)
            made += values(h, dict(zip(bins.tolist(), n.astype(float).tolist(), strict=True)))
        hourly = [r | {"window_us": int(str(r["window_us"])) * 12} for r in made]
        came = [row(12 * h, 0, 60) for h in range(first, stop)]
        n, x = counts.take(first, stop - first, rates(came), {"latency_s": histogram(hourly)}, {})
        signals += [s for s in process.advance(first, n, x) if s.metric == "latency_s" and s.level == "page"]
    days = [s.at_us // (24 * HOUR_US) for s in signals]
    assert days[0] == 10
    assert next(d for d in days if d >= 12) == 35
