"""Monitors: the list, one chart, the rows behind a point, health on Home."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import numpy as np
import pytest
from browsing import NOW, House, Seen, seen

from andon.changes import Change
from andon.incidents import duration
from andon.monitors import ChartBoard, Charts, Monitor, Signal
from andon.monitors.records import Crowded, NewNormal
from andon.monitors.run import open_board
from andon.monitors.run.publishing import Publisher
from andon.traffic.searching import ScoreCondition, search_of
from andon.web.charts import spark

WIDTH_US = 300_000_000
HOUR_US = 12 * WIDTH_US
LAST = 72 * 12
BROKEN = LAST - 36
"""Windows: three days, the last three hours of them with harm."""

WORST = 'x?a=b#c "><img src=x onerror=alert(1)>\u202e\x07<script>alert(1)</script>'
ALL = Monitor(app="shop", environment="production", metric="error", direction="up")
PART = replace(ALL, scope=(("risk_category", "high"), ("task", "a")))
HOSTILE = replace(ALL, scope=(("task", WORST),))
SLOW = replace(ALL, metric="latency_s")
TAIL = replace(SLOW, aspect="tail")
SILENCE = replace(ALL, metric="traffic", direction="down")
OTHER = replace(ALL, app="desk")
YOUNG = replace(ALL, metric="refusal")
LOW = replace(ALL, metric="refusal", direction="down", scope=(("risk_category", "high"),))
LIMITED = replace(ALL, objective="errors", at_most=0.02)
TOPIC = replace(ALL, metric="topic_share", scope=(("topic", "t01"),))
EVERY = (ALL, PART, TOPIC, HOSTILE, SLOW, TAIL, SILENCE, OTHER, YOUNG, LOW, LIMITED)
KINDS = {"topic_share": "binary", "error": "binary", "latency_s": "number", "refusal": "binary"}


class _Weights:
    def weights_of(self, monitors: list[Monitor]) -> np.ndarray:
        return np.ones(len(monitors))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Signal]]:
    """Three days of charts, one of which rises at the end, and what they signalled."""
    home = tmp_path_factory.mktemp("published")
    harms = {(m.metric, m.direction): "correctness" for m in EVERY}
    process = Charts(WIDTH_US, 50.0, KINDS, harms)  # type: ignore[arg-type]
    for m in EVERY:
        process.index(m)
    rng = np.random.default_rng(5)
    n = rng.poisson(10, (LAST, len(EVERY))).astype(float)
    rate = np.full((LAST, len(EVERY)), 0.02)
    rate[BROKEN:, EVERY.index(PART)] = 0.5
    rate[:, EVERY.index(SLOW)] = 0.5
    x = rng.binomial(n.astype(int), rate).astype(float)
    n[:, EVERY.index(SILENCE)], x[:, EVERY.index(SILENCE)] = 1 / 12, 10
    n[: LAST - 6, EVERY.index(YOUNG)] = x[: LAST - 6, EVERY.index(YOUNG)] = 0
    first = NOW // WIDTH_US - LAST
    signals = process.advance(first, n, x)
    Publisher(home).publish(process, _Weights(), first + LAST)  # type: ignore[arg-type]
    return home, signals


def _open(published: tuple[Path, list[Signal]], folder: Path) -> Iterator[House]:
    """A house whose charts are published, with their signals in the ledger."""
    house = House(folder, more={"charts": open_board(published[0])})
    for signal in published[1]:
        house.ledger.put(signal, now_us=NOW, by="test")
    yield house
    house.site.warehouse.close()


@pytest.fixture
def watched(published: tuple[Path, list[Signal]], tmp_path: Path) -> Iterator[House]:
    """A house of its own for a test that writes."""
    yield from _open(published, tmp_path)


@pytest.fixture(scope="module")
def looked(published: tuple[Path, list[Signal]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for all tests that only look."""
    yield from _open(published, tmp_path_factory.mktemp("looked"))


@pytest.fixture(scope="module")
def hostile(published: tuple[Path, list[Signal]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house in whose records everything is hostile."""
    for house in _open(published, tmp_path_factory.mktemp("hostile")):
        change = Change(id=WORST, at_us=NOW - HOUR_US, kind="model", title=WORST, author=WORST, app="shop")
        normal = NewNormal(id="n", monitor="shop/*", from_us=0, accepted_us=NOW, why=WORST, by=WORST)
        for record in (change, normal, Crowded(id=WORST, seen_us=NOW)):
            house.ledger.put(record, now_us=NOW, by="test")
        yield house


def path(monitor: Monitor) -> str:
    """Where a chart is."""
    return f"/monitors/{quote(monitor.id, safe='')}"


def board(house: House) -> ChartBoard:
    """Its charts."""
    found: ChartBoard = house.site.charts
    return found


def test_nothing_watched_teaches(house: House) -> None:
    """Without charts the list says why it is empty and what fills it, one chart is not found, and Home has no matrix."""
    viewer = house.visitor("viewer")
    assert "charts appear" in viewer.sees("/monitors").text
    assert viewer.get("/monitors/x").status_code == 404
    assert "health-title" not in house.visitor("viewer").get("/").text


def test_the_worst_chart_is_first(looked: House) -> None:
    """The list begins with the chart that signalled, says how many did, and leads to it."""
    page = looked.visitor("viewer").sees("/monitors")
    charts = [link for link in page.links if link.startswith("/monitors/")]
    listed = [link for link in charts if link != charts[0]] and charts
    assert path(PART) in listed[:2]
    assert "1 chart crossed its limit" in page.text
    assert "1 false page a month" in page.text


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("text=task%3Da+error", {PART}), ("app=desk", {OTHER}), ("metric=latency_s", {SLOW, TAIL}), ("phase=learning", {YOUNG}),
        ("app=desk&metric=latency_s", set()), ("text=nowhere", set()), ("environment=production&app=desk", {OTHER}),
        ("order=name&app=desk", {OTHER}), ("level=warning&app=desk", set()), ("page=99&app=desk", {OTHER}),
    ],
)  # fmt: skip
def test_a_link_shows_what_it_names(looked: House, query: str, wanted: set[Monitor]) -> None:
    """What stands in the address, and nothing else, decides which charts are listed; words say it."""
    rows = looked.visitor("viewer").get(f"/monitors?{query}&as=json&table=charts").json()
    assert {r["chart"] for r in rows} == {m.id for m in wanted}
    text = looked.visitor("viewer").sees(f"/monitors?{query}").text
    assert f"{len(wanted)} chart" in text


def test_one_chart_in_one_sentence(looked: House) -> None:
    """The head says what is counted, how much of it there is, and what is usual; the part and the phase stand beside it."""
    page = looked.visitor("viewer").sees(path(PART))
    assert re.search(
        r"Calls that fail or answer nothing: [45]\d(\.\d)? % in the last hour, usually [0-9.]+ %", page.text
    )
    assert "risk category “high”, task “a”" in page.text
    assert "signalled in the last 24 h" in page.text
    assert "page" in page.text


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        (SLOW, "of the baseline in the last hour, 50 % is usual"), (SILENCE, "of what usually comes in the last hour"),
        (YOUNG, "trial limits"), (LIMITED, "the limit is 2 %"), (TAIL, "unusually high latency"), (LOW, "do not refuse"),
    ],
    ids=lambda v: v.id if isinstance(v, Monitor) else "",
)  # fmt: skip
def test_each_kind_of_chart_says_what_it_shows(looked: House, monitor: Monitor, words: str) -> None:
    """A rank, silence, a limit and what is still learned are each told as what they are."""
    page = looked.visitor("viewer").sees(path(monitor))
    assert words in page.text
    assert page.text.count("Traceback") == 0


@pytest.mark.parametrize("monitor", [m for m in EVERY if m is not SILENCE], ids=lambda m: m.metric + m.direction)
def test_a_point_leads_to_its_rows(looked: House, monitor: Monitor) -> None:
    """Each point links to a search of traffic that has its hour, its part, and what counts as harm there."""
    page = looked.visitor("viewer").sees(f"{path(monitor)}?range=6h")
    links = [link for link in page.links if link.startswith("/traffic?")]
    assert links
    for link in links:
        search = search_of(parse_qsl(urlsplit(link).query))
        exact = dict(search.exact)
        assert (exact["app"], exact["environment"]) == (monitor.app, monitor.environment)
        assert {**exact, "topic": search.topic}.items() >= dict(monitor.scope).items()
        assert search.start_us is not None
        assert search.end_us is not None
        assert search.start_us < search.end_us <= NOW
        if monitor.metric in ("latency_s", "topic_share"):
            assert search.scores == ()  # no signal has told from which value on it is harm; a topic is no score
        else:
            op, wanted = ("ge", 0.5) if monitor.direction == "up" else ("lt", 0.5)
            assert search.scores == (ScoreCondition(metric=monitor.metric, op=op, value=wanted),)  # type: ignore[arg-type]


def test_points_add_up_to_what_was_observed(looked: House) -> None:
    """The points as JSON are those of the board, each with its limits; the page shows the same figures in fewer points."""
    rows = looked.visitor("viewer").get(f"{path(PART)}?range=6h&as=json&table=points").json()
    number = board(looked).find(PART.id)
    assert number is not None
    known = board(looked).points(number, NOW - 6 * HOUR_US, NOW, 10_000)
    assert sum(r["n"] for r in rows) == sum(p.n for p in known)
    assert sum(r["x"] for r in rows) == sum(p.x for p in known)
    assert all(r["low"] <= r["centre"] <= 1 and r["rate"] == pytest.approx(r["x"] / r["n"]) for r in rows)


@pytest.mark.parametrize(
    "query",
    [
        "range=7d", "range=never", "from=x&to=y", f"from={NOW}", f"to={NOW - 400 * 24 * HOUR_US}", f"from={NOW + HOUR_US}", "from=-1",
        "from=1&to=2", f"from={NOW}&to={NOW - HOUR_US}", "from=99999999999999999999&to=0", "from=2026-02-28T00:00:00Z", "from=%00",
        "from=%D9%A1",
    ],
)  # fmt: skip
def test_any_range_is_shown(looked: House, query: str) -> None:
    """Whatever stands for a range in the address, the page is there and its ways lead to ranges inside of what is remembered."""
    page = looked.visitor("viewer").sees(f"{path(ALL)}?{query}")
    low, high = board(looked).begins_us, board(looked).until_us
    for link in page.links:
        said = dict(parse_qsl(urlsplit(link).query))
        if (
            link.startswith("/monitors/")
            and said.get("from", "").isdigit()
            and urlsplit(link).path == path(ALL)
            and "as" not in said
        ):
            assert low <= int(said["from"]) < int(said["to"]) <= high or query.startswith("from=")


def test_changes_and_signals_stand_on_the_chart(watched: House) -> None:
    """A change of the application within the range is a mark that leads to it; a signal is one too; both are in tables."""
    at_us = NOW - 5 * HOUR_US
    ours = Change(id="chg/1", at_us=at_us, kind="model", title="model <b>moved</b>", app="shop")
    for change in (ours, replace(ours, id="chg-2", title="elsewhere", app="desk")):
        watched.ledger.put(change, now_us=NOW, by="test")
    page = watched.visitor("viewer").sees(path(PART))
    assert "/changes/chg%2F1" in page.links
    assert "#signals" in page.links
    assert "elsewhere" not in page.text
    shapes = [a.get("class") for t, a in page.tags if t == "path"]
    assert "foot change" in shapes
    assert "foot alarm" in shapes
    rows = watched.visitor("viewer").get(f"{path(PART)}?as=json").json()
    assert [r["what"] for r in rows["around"]] == ["model <b>moved</b>"]
    assert [r["level"] for r in rows["signals"]]
    assert {r["chart"] for r in rows["beside"]} == {ALL.id, HOSTILE.id}


def test_a_responder_accepts_a_new_normal(watched: House) -> None:
    """What a responder accepts is recorded with reason, time and name, and stands on the page for everybody."""
    rob = watched.visitor("responder")
    assert f"{path(PART)}/relearn" in rob.sees(path(PART)).forms
    rob.does(f"{path(PART)}/relearn", {"since": "2026-03-01T12:00", "why": "new model, wanted"}, origin=path(PART))
    (accepted,) = watched.ledger.all(NewNormal)
    assert (accepted.monitor, accepted.why, accepted.by) == (PART.id, "new model, wanted", "Rob")
    assert accepted.from_us == 1_772_366_400_000_000
    assert accepted.accepted_us > NOW
    assert "new model, wanted" in watched.visitor("viewer").sees(path(PART)).text
    assert "new model, wanted" not in watched.visitor("viewer").sees(path(OTHER)).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"since": "2026-03-01T12:00", "why": ""}, "empty"), ({"since": "", "why": "because"}, "from when on"),
        ({"since": "2036-03-01T12:00", "why": "because"}, "future"), ({"since": "soon", "why": "because"}, "soon"),
    ],
)  # fmt: skip
def test_what_is_refused_is_kept(watched: House, fields: dict[str, str], words: str) -> None:
    """A form that is refused writes nothing, and stands there again with what was typed and why."""
    answer = watched.visitor("responder").send(f"{path(PART)}/relearn", fields, origin=f"/monitors/{PART.id}")
    assert answer.status_code == 422
    page = seen(answer)
    assert words in page.text
    assert fields["since"] in [a.get("value") for t, a in page.tags if a.get("name") == "since"]
    assert fields["why"] in answer.text
    assert watched.ledger.all(NewNormal) == []


def test_a_refused_form_comes_back_to_any_chart(watched: House) -> None:
    """However a chart is named, a form on its page that is refused is shown there again, at an address that leads to it."""
    rob = watched.visitor("responder")
    said = {"since": "2026-03-01T12:00", "why": ""}
    (origin,) = {a["value"] or "" for _, a in rob.sees(f"{path(HOSTILE)}?range=7d").tags if a.get("name") == "from"}
    answer = rob.send(f"{path(HOSTILE)}/relearn", said, origin=origin)
    page = seen(answer)
    assert answer.status_code == 422
    assert "empty" in page.text
    assert "2026-03-01T12:00" in [a.get("value") for _, a in page.tags if a.get("name") == "since"]
    assert rob.get(origin).status_code == 200
    assert origin in {a.get("value") for _, a in page.tags if a.get("name") == "from"}


def test_a_change_shows_the_charts_around_it(watched: House) -> None:
    """A change has the published charts of its application around it, those that left their limits first, by their names."""
    at = next(s.onset_us for s in watched.ledger.all(Signal) if s.monitor == PART.id)
    watched.ledger.put(Change(id="c", at_us=at, kind="prompt", title="t", app="shop"), now_us=NOW, by="ci")
    page = watched.visitor("viewer").sees("/changes/c")
    charts = [a["href"] or "" for t, a in page.tags if t == "a" and "mini" in (a.get("class") or "")]
    assert path(PART) in [link.partition("?")[0] for link in charts]
    assert 1 < len(charts) <= 6
    assert len(set(charts)) == len(charts)
    assert not any(path(OTHER) in link for link in charts)
    assert PART.id not in page.text
    assert "Calls that fail" in page.text
    assert PART.id in watched.visitor("viewer").get("/changes/c?as=csv&table=signals").text


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_others_do_not_accept(watched: House, role: str) -> None:
    """Who may not has no form, and what is sent all the same is refused and writes nothing."""
    visitor = watched.visitor(role)
    assert visitor.sees(path(PART)).forms == []
    assert visitor.send(f"{path(PART)}/relearn", {"since": "2026-03-01T12:00", "why": "x"}).status_code == 403
    assert watched.ledger.all(NewNormal) == []


def test_an_unknown_chart_is_not_found(watched: House) -> None:
    """A chart that there is not gives 404 with the way to those that there are, to look at and to act on."""
    for answer in (
        watched.visitor("viewer").get("/monitors/no%2Fsuch"),
        watched.visitor("responder").send("/monitors/no%2Fsuch/relearn", {"since": "2026-03-01T12:00", "why": "x"}),
    ):
        assert answer.status_code == 404
        assert "/monitors" in seen(answer).links


@pytest.mark.parametrize("where", ["/monitors", path(HOSTILE), path(ALL), f"/monitors?text={quote(WORST)}", "/"])
def test_hostile_names_are_text(hostile: House, where: str) -> None:
    """Markup and unseen characters in parts of the traffic, changes, reasons and fields are shown, never run."""
    answer = hostile.visitor("responder").get(where)
    page = seen(answer)
    assert [a for t, a in page.tags if t == "img"] == []
    assert all(a.get("src", "").startswith("/static/") for t, a in page.tags if t == "script")  # type: ignore[union-attr]
    assert all(not name.startswith("on") and name != "style" for _, a in page.tags for name in a)
    shown = re.sub(r'(?:href|value|content|data-\w+|name)="[^"]*"', "", answer.text)
    assert "\x07" not in shown
    assert "\u202e" not in shown
    for link in page.links:
        assert link.startswith(("/", "#")), link


@pytest.mark.parametrize("form", ["csv", "json", "md"])
@pytest.mark.parametrize("table", ["points", "signals", "around", "beside", "normals", "cost", ""])
def test_each_table_can_be_taken_along(looked: House, form: str, table: str) -> None:
    """Every table of a chart is had as a file, and the page as a few lines for a chat with its link."""
    answer = looked.visitor("viewer").get(
        f"{path(PART)}?as={form}" + (f"&table={'budget' if table == 'cost' else table}" if table else "")
    )
    assert answer.status_code == 200
    if (form, table) == ("md", ""):
        assert f"http://127.0.0.1:4318{path(PART)}" in answer.text
        assert "in the last hour" in answer.text


def test_old_charts_are_said_to_be_old(watched: House) -> None:
    """Charts that nobody turned for an hour are not shown as if they were of now."""
    assert "last turned" not in watched.visitor("viewer").sees("/monitors").text
    watched.now += HOUR_US
    assert "last turned" in watched.visitor("viewer").sees("/monitors").text


def test_the_budget_costs_the_same_wherever_it_is_told(looked: House) -> None:
    """The settings and the monitors say the same of what a budget costs on the typical chart."""
    viewer = looked.visitor("viewer")
    told = viewer.get("/settings/budget?as=json&table=budgets").json()
    shown = viewer.get("/monitors?as=json&table=budget").json()
    assert [r["budget"] for r in told] == [r["budget"] for r in shown]
    assert [duration(r["double"]) for r in told] == [r["double"] for r in shown]
    assert set(viewer.sees("/settings/budget").links) & {path(m) for m in EVERY}


def test_a_thousandth_is_not_drawn_as_all(looked: House) -> None:
    """Traffic of which next to nothing is missing is said to be there, and its line lies at the ground."""
    row = next(
        r for r in looked.visitor("viewer").get("/monitors?as=json&table=charts").json() if r["chart"] == SILENCE.id
    )
    assert row["now"].endswith("missing")
    low = str(spark([0.001, 0.002], "x", least=0.2)).partition('class="line" points="')[2]
    assert all(float(point.partition(",")[2]) > 33 for point in low.partition('"')[0].split())


def test_health_leads_to_the_worst(looked: House) -> None:
    """Home has a cell for each category and metric with a chart; that of the harm is marked, in words too, and leads to its chart."""
    answer = looked.visitor("viewer").get("/")
    page = Seen(answer.text)
    cells = {a["href"]: a for t, a in page.tags if t == "a" and "health-cell" in (a.get("class") or "")}
    assert "bad" in (cells[path(PART)]["class"] or "")
    assert "▲ –" not in page.text  # what only parts tell of, such as topics, has no rate of all of it
    assert "▲ 1 chart" in page.text
    assert "signalled in 24 h" in (cells[path(PART)]["title"] or "")
    assert "risk high" in page.text
    expected = {(row.category, row.metric) for row in board(looked).health()}
    every = [a for t, a in page.tags if t == "a" and "health-cell" in (a.get("class") or "")]
    assert len(every) == len(expected)
    assert "864" not in page.text.split("Traffic")[0]
    assert f"{24 * 12 * 10:,}" in page.text  # what came in 24 hours, from the charts


def test_health_of_one_app(looked: House) -> None:
    """With several applications one is chosen by the address; a name that is none shows all of them."""
    one = looked.visitor("viewer").sees("/?app=desk")
    cells = [a["href"] for t, a in one.tags if t == "a" and "health-cell" in (a.get("class") or "")]
    assert cells == [path(OTHER)]
    both = looked.visitor("viewer").sees("/?app=nobody")
    assert len([1 for t, a in both.tags if t == "a" and "health-cell" in (a.get("class") or "")]) > 1
    assert ("option", "desk") in [(t, a.get("value")) for t, a in both.tags]
