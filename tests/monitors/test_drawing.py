"""Laws of the drawn chart and of its limits."""

import re
from itertools import pairwise
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
from charted import WIDTH_US
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from andon.monitors import Point, control_points, draw_chart
from andon.monitors.drawing import Mark
from andon.monitors.limits import TAIL

SVG = "{http://www.w3.org/2000/svg}"


def points(
    pairs: list[tuple[int, int]], baseline: tuple[int, int] = (50, 1000), dispersion: float = 0.0
) -> list[Point]:
    """Control points of windows with these (n, x)."""
    windows = [(k * WIDTH_US, (k + 1) * WIDTH_US, n, x) for k, (n, x) in enumerate(pairs)]
    return control_points(windows, *baseline, dispersion)


@given(n=st.integers(1, 3000), x0=st.integers(0, 1000), rho=st.sampled_from([0.0, 0.001, 0.05]))
@settings(max_examples=60, deadline=None)
def test_limits_hold_the_stated_tail(n: int, x0: int, rho: float) -> None:
    """At the baseline rate a window lies beyond either limit with probability at most 0.00135, and the limits are no wider than that needs."""
    (point,) = points([(n, 0)], (x0, 1000), rho)
    p = (x0 + 0.5) / 1001
    size = (1 - rho) / rho if rho else 0.0
    law = scipy_stats.betabinom(n, p * size, (1 - p) * size) if rho else scipy_stats.binom(n, p)
    low, high = round(point.low * n), round(point.high * n)
    assert law.sf(high) <= TAIL * (1 + 1e-9)
    assert law.cdf(low - 1) <= TAIL * (1 + 1e-9)
    assert high == 0 or law.sf(high - 1) > TAIL * (1 - 1e-9)
    assert point.low <= point.centre + 1 / n
    assert point.centre - 1 / n <= point.high


def test_the_centre_line_follows_the_clock() -> None:
    """Where the baseline knows the hours of the day, each point has the limits of its own hour."""
    clock = tuple(0.05 if hour % 24 < 12 else 0.2 for hour in range(48))
    hour = 3_600_000_000
    found = control_points([(h * hour, (h + 1) * hour, 500, 60) for h in range(24)], 50, 1000, clock=clock)
    assert [p.centre for p in found] == list(clock[:24])
    assert [p.x / p.n > p.high for p in found] == [h < 12 for h in range(24)]
    (day,) = control_points([(0, 24 * hour, 500, 60)], 50, 1000, clock=clock)
    assert day.centre == pytest.approx(0.125)


def test_empty_windows_have_no_point() -> None:
    """A window without observations is left out: no rate, no point."""
    assert [p.n for p in points([(10, 1), (0, 0), (5, 0)])] == [10, 5]


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=1, max_size=60),
    title=st.text(),
    marks=st.lists(st.tuples(st.integers(-1, 70), st.text()), max_size=8),
    onset=st.none() | st.tuples(st.integers(-50, 100), st.integers(0, 50)),
)
def test_any_chart_is_valid_xml(
    pairs: list[tuple[int, float]], title: str, marks: list[tuple[int, str]], onset: tuple[int, int] | None
) -> None:
    """Whatever the points, titles, labels and onsets, the chart is one well-formed SVG with every point and inside its box."""
    drawn = points([(n, int(n * share)) for n, share in pairs])
    band = None if onset is None else (onset[0] * WIDTH_US, (onset[0] + onset[1]) * WIDTH_US)
    svg = ET.fromstring(draw_chart(drawn, title=title, marks=[(k * WIDTH_US, label) for k, label in marks], onset=band))
    assert svg.tag == f"{SVG}svg"
    circles = svg.findall(f"{SVG}circle")
    assert len(circles) == len(drawn)
    for c in circles:
        assert 0 <= float(c.get("cx", "")) <= 860
        assert 0 <= float(c.get("cy", "")) <= 300
    red = [c for c in circles if c.get("fill") == "#dc2626"]
    assert len(red) == sum(p.x / p.n > p.high + 1e-12 for p in drawn)
    assert {e.tag for e in svg.iter()} <= {
        SVG + t for t in ("svg", "title", "desc", "line", "text", "rect", "polygon", "polyline", "circle")
    }


def test_hostile_labels_are_text() -> None:
    """Markup in titles and labels is shown, never run, and characters that nobody sees are replaced."""
    hostile = "</text><script>alert(1)</script>\" onload='x' \x00\u202e"
    drawn = draw_chart(points([(10, 1), (10, 2)]), title=hostile, marks=[(0, hostile)])
    assert "<script" not in drawn
    svg = ET.fromstring(drawn)
    assert svg.get("onload") is None
    assert "<script>" in (svg.findtext(f"{SVG}title") or "")
    assert "\u202e" not in drawn


def test_nothing_to_draw_is_said() -> None:
    """Without points there is a sentence instead of a chart, its title escaped."""
    text = draw_chart([], title="<b>x</b>")
    assert "<svg" not in text
    assert "&lt;b&gt;x" in text


def test_one_point_is_drawn() -> None:
    """A single window makes a chart too."""
    svg = ET.fromstring(draw_chart(points([(20, 20)]), title="one"))
    (circle,) = svg.findall(f"{SVG}circle")
    assert circle.get("fill") == "#dc2626"


def test_an_onset_outside_the_range_is_not_drawn() -> None:
    """The band of the onset is drawn where it overlaps the chart, and only there."""
    drawn = points([(10, 1)] * 10)
    assert 'class="onset"' in draw_chart(drawn, title="t", onset=(-WIDTH_US, WIDTH_US))
    assert 'class="onset"' not in draw_chart(drawn, title="t", onset=(20 * WIDTH_US, 30 * WIDTH_US))


def test_description_says_what_is_seen() -> None:
    """The text alternative names the number of windows, the centre line and the windows above the limit."""
    text = draw_chart(points([(100, 5)] * 9 + [(100, 60)]), title="t")
    assert "10 windows" in text
    assert "1 windows above the limit" in text
    assert float(re.findall(r"centre line ([\d.]+) %", text)[0]) == pytest.approx(5.0, abs=0.1)


MINUTE = 60_000_000
HOUR = 60 * MINUTE


def labels_of(svg: str) -> dict[str, tuple[float, float, float, float]]:
    """Each mark's label: from and to where it reaches, its row, and where its own line stands."""
    texts = [t for t in ET.fromstring(svg).findall(f"{SVG}text") if t.get("class") == "mark"]
    found = {}
    for text in texts:
        x, long, right = float(text.get("x", "")), 6.0 * len(text.text or ""), text.get("text-anchor") == "start"
        low, high = (x, x + long) if right else (x - long, x)
        found[text.text or ""] = (low, high, float(text.get("y", "")), x - 5 if right else x + 5)
    return found


def lines_of(svg: str) -> list[float]:
    """Where the lines of marks stand."""
    return [float(e.get("x1", "")) for e in ET.fromstring(svg).findall(f"{SVG}line") if e.get("class") == "mark"]


@pytest.mark.parametrize("width", [860, 400])
def test_labels_of_two_near_lines_cross_neither(width: int) -> None:
    """Two lines nearer than a label is long: each label stands on the outer side of its own, so none is read as the other's."""
    drawn = points([(100, 5)] * 60)
    svg = draw_chart(drawn, title="t", width=width, marks=[(32 * WIDTH_US, "model change"), (34 * WIDTH_US, "alarm")])
    for name, (low, high, _, own) in labels_of(svg).items():
        assert any(abs(own - x) < 0.2 for x in lines_of(svg)), name
        assert not any(low < x < high for x in lines_of(svg)), name


@pytest.mark.parametrize("width", [860, 400])
@given(places=st.lists(st.integers(0, 60), min_size=1, max_size=8), word=st.sampled_from(["alarm", "traffic change"]))
@settings(max_examples=60, deadline=None)
def test_labels_never_lie_on_each_other(width: int, places: list[int], word: str) -> None:
    """However near the lines are, no label covers another and none leaves the paper."""
    marks = [(k * WIDTH_US, f"{word} {n}") for n, k in enumerate(places)]
    found = list(labels_of(draw_chart(points([(100, 5)] * 60), title="t", width=width, marks=marks)).values())
    assert len(found) == len(places)
    for n, (low, high, row, _) in enumerate(found):
        assert low >= 0
        assert high <= width
        assert all(row != r or high <= a or low >= b for a, b, r, _ in found[:n])


@given(
    start=st.integers(0, 10**6),
    minutes=st.integers(1, 200 * 1440),
    count=st.integers(1, 40),
    width=st.just(860) | st.just(400),
)
@settings(max_examples=150, deadline=None)
def test_times_on_the_axis_differ_and_are_exact(start: int, minutes: int, count: int, width: int) -> None:
    """No two ticks read alike or overlap; below four days they carry the clock, above it a date stands where its day begins."""
    windows = [((start + k * minutes) * MINUTE, (start + (k + 1) * minutes) * MINUTE, 10, 1) for k in range(count)]
    svg = ET.fromstring(draw_chart(control_points(windows, 50, 1000), title="t", width=width))
    ticks = [t for t in svg.findall(f"{SVG}text") if t.get("text-anchor") == "middle"]
    texts = [t.text or "" for t in ticks]
    span = count * minutes * MINUTE
    assert 1 <= len(texts) == len(set(texts))
    clock = r"\d\d-\d\d \d\d:\d\d" if span < 96 * HOUR else r"\d{4}-\d\d-\d\d"
    assert all(re.fullmatch(clock, t) for t in texts)
    places = [float(t.get("x", "")) for t in ticks]
    assert all(b - a >= 6 * len(texts[0]) for a, b in pairwise(places))
    if span >= 96 * HOUR:
        at = [
            windows[0][0] + (float(e.get("x1", "")) - 56) / (width - 72) * span
            for e in svg.findall(f"{SVG}line")
            if e.get("y2") == "260"
        ]
        assert all(min(t % (24 * HOUR), 24 * HOUR - t % (24 * HOUR)) <= span / (width - 72) / 9 for t in at)


def test_a_narrow_chart_is_narrow() -> None:
    """For a phone the chart is drawn for its width, so the axis is in view and letters keep their size."""
    svg = ET.fromstring(draw_chart(points([(100, 5)] * 60), title="t", width=400))
    assert svg.get("viewBox") == "0 0 400 300"
    assert max(float(c.get("cx", "")) for c in svg.findall(f"{SVG}circle")) <= 400


@settings(max_examples=40, deadline=None)
@given(
    marks=st.lists(
        st.tuples(st.integers(0, 20), st.text(max_size=70), st.sampled_from(["alarm", "change", "pull", "other"]))
    ),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
    limits=st.booleans(),
)
def test_a_chart_for_a_strict_page(marks: list[tuple[int, str, str]], zone: str, limits: bool) -> None:
    """Whatever is marked, the chart has no style attribute and no script, and every link is one that was given."""
    given_marks = [
        Mark(at_us=k * WIDTH_US, text=text, kind=kind, link="/there", title=text)  # type: ignore[arg-type]
        for k, text, kind in marks
    ]
    drawn = points([(100, 5)] * 20 + [(100, 90)])
    svg = draw_chart(
        drawn,
        title="t",
        marks=given_marks,
        link=lambda p: f"/rows?a=1&from={p.start_us}",
        zone=ZoneInfo(zone),
        limits=limits,
    )
    found = list(ET.fromstring(svg).iter())
    assert all("style" not in e.attrib and not any(a.startswith("on") for a in e.attrib) for e in found)
    links = [e.get("href") for e in found if e.tag == f"{SVG}a"]
    assert sorted(filter(None, links)) == sorted(
        [f"/rows?a=1&from={p.start_us}" for p in drawn] + ["/there"] * len(marks)
    )
    columns = [e for e in found if e.get("class") == "hit"]
    assert sum(float(e.get("width", "")) for e in columns) == pytest.approx(
        860 - 72, abs=2
    )  # no place between two points


def test_kinds_of_marks_have_shapes() -> None:
    """An alarm, a change and a pull are told apart by shape, not only by colour."""
    kinds = ("alarm", "change", "pull")
    drawn = points([(100, 5)] * 20)
    shapes = {}
    for kind in kinds:
        svg = ET.fromstring(draw_chart(drawn, title="t", marks=[Mark(at_us=5 * WIDTH_US, text="x", kind=kind)]))
        (path,) = svg.iter(f"{SVG}path")
        shapes[kind] = re.sub(r"^M[\d.]+ [\d.]+", "", path.get("d", ""))
    assert len(set(shapes.values())) == len(kinds)


def test_a_gap_is_not_bridged() -> None:
    """Where windows are missing the line is broken; the same windows without a gap are one line."""
    whole, gap = points([(10, 1)] * 9), points([(10, 1)] * 3 + [(0, 0)] * 3 + [(10, 1)] * 3)
    lines = [draw_chart(p, title="t").count('class="line"') for p in (whole, gap)]
    assert lines == [1, 2]


def test_the_axis_may_be_longer_than_the_points() -> None:
    """A range that was asked for is drawn whole, also where nothing came at its ends."""
    svg = draw_chart(points([(10, 1)] * 3), title="t", span=(-10 * WIDTH_US, 20 * WIDTH_US))
    assert f'data-span="{-10 * WIDTH_US} {20 * WIDTH_US}"' in svg
    places = [float(c.get("cx", "")) for c in ET.fromstring(svg).findall(f"{SVG}circle")]
    assert max(places) - min(places) < 860 * 3 / 30


def test_without_limits_nothing_is_beyond() -> None:
    """Where limits say nothing they are not drawn, and no point is marked as beyond them."""
    drawn = points([(100, 5)] * 5 + [(100, 90)])
    assert 'class="point beyond"' in draw_chart(drawn, title="t")
    bare = draw_chart(drawn, title="t", limits=False)
    assert "beyond" not in bare
    assert 'class="limit' not in bare


def test_the_axis_has_the_readers_clock() -> None:
    """Ticks stand at round times of the zone that was asked for, and say so."""
    day = [(h * HOUR, (h + 1) * HOUR, 100, 5) for h in range(24)]
    svg = ET.fromstring(draw_chart(control_points(day, 50, 1000), title="t", zone=ZoneInfo("Asia/Kolkata")))
    texts = [t.text or "" for t in svg.findall(f"{SVG}text")]
    assert any("times in Asia/Kolkata" in t for t in texts)
    clocks = [t for t in texts if re.fullmatch(r"\d\d-\d\d \d\d:\d\d", t)]
    assert clocks
    assert all(t.endswith(":00") for t in clocks)
    assert clocks[0] == "01-01 06:00"
