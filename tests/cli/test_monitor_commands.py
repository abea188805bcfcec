"""The commands about what is watched, on a real store: what people type, what they see, and the exit codes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from andon.cli import main
from andon.loop import open_loop
from andon.monitors import Signal
from andon.monitors.records import NewNormal
from andon.scores.topics import Topic, Topics
from andon.settings import load
from andon.traffic import format_time

HOUR_US = 3_600_000_000
START_US = 1_772_409_600_000_000
"""Monday, 2 March 2026, at midnight."""

HOURS, SHIFT, AN_HOUR = 144, 120, 24
"""Six days; on the last of them half the calls fail."""

CHART = "shop/production/error.up/all"
Typed = tuple[int, str, str]
Type = Callable[..., Typed]


def hour(n: int) -> str:
    """An hour of the traffic, as people write it."""
    return format_time(START_US + n * HOUR_US)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with six days of traffic, its crank turned; the settings of all tests here point to it."""
    folder = tmp_path_factory.mktemp("monitor")
    with pytest.MonkeyPatch.context() as patch:
        settings(patch, folder)
        rng = np.random.default_rng(1)
        rows = []
        for h in range(HOURS):
            for i in range(AN_HOUR):
                failed = rng.random() < (0.5 if h >= SHIFT else 0.05)
                rows.append({
                    "id": f"i{h:03d}-{i:02d}", "time": START_US + h * HOUR_US + i * 150_000_000, "app": "shop", "task": "faq",
                    "query": f"question {i % 9}", "answer": "" if failed else f"answer {i % 9}", "model": "m-1",
                })  # fmt: skip
        (folder / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        patch.setattr(sys, "argv", ["andon", "import", str(folder / "t.jsonl")])
        main_()
        loop = open_loop(load())
        loop.tick(START_US + (HOURS + 1) * HOUR_US)
        loop.close()
    return folder


def settings(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The settings of a home in this folder, which becomes the working directory."""
    for name, value in {
        "ANDON_HOME": str(folder / "home"), "ANDON_EMBEDDER": "hashed", "ANDON_WINDOW_S": "3600", "COLUMNS": "240", "USER": "ann",
    }.items():  # fmt: skip
        patch.setenv(name, value)
    patch.chdir(folder)


def main_() -> int:
    """Run the command line; returns the exit code."""
    try:
        main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Type:
    """A function that types one command in this folder; returns the exit code and what was printed."""
    settings(monkeypatch, folder)

    def type_(*words: str) -> Typed:
        monkeypatch.setattr(sys, "argv", ["andon", *words])
        code = main_()
        said = capsys.readouterr()
        return code, said.out, said.err

    return type_


@pytest.fixture
def type_(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types in the home with traffic."""
    return typed(capsys, monkeypatch, home)


@pytest.fixture
def type_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Types in a home without anything."""
    return typed(capsys, monkeypatch, tmp_path)


def cells(out: str, first: str) -> list[str]:
    """The cells of the row of a table that begins with this."""
    line = next(x for x in out.splitlines() if x.startswith(first))
    return [c.strip() for c in line.split("  ") if c.strip()]


def events(folder: Path, *rows: object) -> str:
    """A file with these lines; what is no text is written as JSON."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    return "events.jsonl"


OUTAGE = {"name": "the outage", "app": "shop", "start": hour(SHIFT), "end": hour(HOURS - 1)}


# --- monitor ------------------------------------------------------------------------------------------------------------


def test_what_is_watched_is_listed(type_: Type) -> None:
    """Charts are counted by metric with what they have seen, and the last line says what the budget means for one."""
    code, out, _ = type_("monitor", "list")
    assert code == 0
    assert cells(out, "shop")[0:2] == ["shop", "production"]
    errors = next(x for x in out.splitlines() if " error.up " in x)
    assert errors.split() == ["shop", "production", "error.up", "learned", "baseline", "2", f"{HOURS * AN_HOUR:,}"]
    total = sum(int(x.split()[-2]) for x in out.splitlines() if x.startswith("shop"))
    assert f"{total} charts since {hour(0)}; together 1 false pages a month" in out
    assert f"in about {total * 30 / 365.25:.0f} years of watching" in out


def test_an_objective_is_listed_with_its_limit(type_: Type, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An objective of the configuration is a chart of its own, listed by its limit and name."""
    (home / "with.toml").write_text('[[objective]]\nname = "up"\nmetric = "error"\nat_most = 0.01\n')
    monkeypatch.setenv("ANDON_CONFIG", str(home / "with.toml"))
    code, out, _ = type_("monitor", "list")
    assert code == 0
    assert "limit 0.01 (up)" in out


def test_an_empty_home_says_what_to_do(type_empty: Type) -> None:
    """Without scores, list and backtest are exit 2 and say how to get some; topics say when they are learned."""
    for words in (("monitor", "list"), ("backtest",)):
        code, out, err = type_empty(*words)
        assert (code, out) == (2, "")
        assert "andon tick" in err
        assert err.count("\n") == 1
    code, out, _ = type_empty("monitor", "topics")
    assert code == 0
    assert "no topics yet" in out
    code, _, err = type_empty("monitor", "relearn", CHART, "--why", "because")
    assert code == 2
    assert "none has signalled yet" in err


def test_topics_are_listed_harmlessly(type_empty: Type) -> None:
    """Each topic has its key, questions and words; what comes from questions cannot move the cursor."""
    topic = Topic(key="t00", words=("refund", "\x1b[2J"), queries=("where is my refund?",), n=1234)
    learned = Topics(
        id="shop/production", embedder="hashed", learned_from=2000, width=2, centroids="", furthest=0.5, topics=(topic,)
    )
    loop = open_loop(load())
    loop.ledger.put(learned, now_us=START_US, by="test")
    loop.close()
    code, out, _ = type_empty("monitor", "topics")
    assert code == 0
    assert cells(out, "shop")[:3] == ["shop/production", "t00", "1234"]
    assert "refund" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shop/production/eror.up/all", "--why", "x"), "no chart 'shop/production/eror.up/all' has signalled"),
        ((CHART, "--why", " "), "say why"),
        ((CHART, "--why", "x", "--since", "soon"), "ISO 8601"),
        ((CHART, "--why", "x", "--since", "2099-01-01"), "is in the future"),
        ((CHART,), "--why"),
        ((), "Usage"),
    ],
)
def test_what_cannot_be_relearned_is_exit_2(type_: Type, words: tuple[str, ...], said: str) -> None:
    """A misspelt chart, no reason, or no possible time: exit 2, the message says what is wrong, nothing is recorded."""
    code, out, err = type_("monitor", "relearn", *words)
    assert (code, out) == (2, "")
    assert said in err
    loop = open_loop(load())
    assert loop.ledger.all(NewNormal) == []
    loop.close()


def test_a_misspelt_chart_is_told_those_that_signalled(type_: Type) -> None:
    """The message names charts that may have been meant."""
    assert CHART in type_("monitor", "relearn", "shop/production/eror.up/all", "--why", "x")[2]


# --- backtest -----------------------------------------------------------------------------------------------------------


def test_history_is_held_against_the_incidents(type_: Type) -> None:
    """Without a file the incidents are what went wrong: every chart with a budget tells of the outage, in so many hours."""
    code, out, _ = type_("backtest")
    assert code == 0
    assert f"learned from {hour(0)} to {hour(72)}, then watched 3.0 days with 1 known event" in out
    assert "INC-0001 of shop" in out
    for chart in ("e-detector", "shewhart", "ewma", "cusum"):
        row = cells(out, f"{chart}, 1 false a month")
        assert row[2:6] == ["1", "0", "0.00", "1 of 1"]
    assert cells(out, "2 sigma of the rolling week")


def test_events_of_a_file_are_told_with_their_lag(type_: Type, home: Path) -> None:
    """The file takes the place of the incidents; each event says when it was first told, after how long and by which chart."""
    early = {"name": "long ago", "app": "shop", "start": hour(2), "end": hour(5)}
    quiet = {"name": "nobody saw", "app": "shop", "environment": "staging", "start": hour(100), "end": hour(110)}
    code, out, _ = type_("backtest", "--chart", "shewhart", "--events", events(home, early, "", OUTAGE, quiet))
    assert code == 0
    assert "with 2 known events" in out  # what ended in the hours to learn from is not asked for
    assert "INC-0001" not in out
    assert cells(out, "shewhart")[5] == "1 of 2"
    told, never = out.split("\nthe outage of shop, since")[1].split("\nnobody saw of shop, since")
    assert cells(told, "shewhart")[1:] == [hour(SHIFT + 1), "60 min", CHART]
    assert cells(never, "shewhart")[1] == "never"


def test_without_events_every_page_is_false(type_: Type, home: Path) -> None:
    """An empty file says that nothing went wrong: then what is told of the outage is a false page."""
    _, out, _ = type_("backtest", "--chart", "e-detector", "--events", events(home))
    assert "with 0 known events" in out
    assert cells(out, "e-detector")[2:6] == ["1", "1", "10.00", "0 of 0"]


def test_charts_and_budgets_are_chosen(type_: Type) -> None:
    """Every chosen chart is tried at every budget; the rule of thumb, which knows none, once."""
    words = ("--chart", "cusum", "--chart", "two-sigma", "--budget", "1", "--budget", "20", "--learn", "2")
    code, out, _ = type_("backtest", *words)
    assert code == 0
    assert f"to {hour(48)}, then watched 4.0 days" in out
    assert cells(out, "cusum, 1 false a month")
    assert cells(out, "cusum, 20 false a month")
    table = out.split("\n\n")[0]
    assert table.count("2 sigma of the rolling week") == 1
    assert "e-detector" not in out


def test_a_stretch_of_history_is_chosen(type_: Type) -> None:
    """--since and --until cut the history; the outage after its end is not asked for."""
    code, out, _ = type_("backtest", "--chart", "ewma", "--since", hour(24), "--until", hour(96), "--learn", "2")
    assert code == 0
    assert f"learned from {hour(24)} to {hour(72)}, then watched 1.0 days with 0 known events" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--chart", "cumsum"),
            "there is no chart 'cumsum'; the charts are e-detector, shewhart, ewma, cusum, two-sigma",
        ),
        (("--budget", "0"), "--budget 0 must be greater than 0"),
        (("--budget", "1", "--budget", "-2"), "--budget -2 must be greater than 0"),
        (("--budget", "nan"), "--budget nan must be greater than 0"),
        (("--budget", "inf"), "--budget inf"),
        (("--budget", "few"), "--budget"),
        (("--learn", "0"), "144 hours of history, of which 0 would be learned from: at least 48"),
        (("--learn", "-1"), "at least 48 must be"),
        (("--learn", "nan"), "--learn nan must be a number of days"),
        (("--learn", "6"), "some be left to watch"),
        (("--since", "yesterday"), "ISO 8601"),
        (("--since", "2030-01-01"), "nothing has been scored in this time"),
        (("--until", hour(10)), "there are 10 hours of history"),
        (("--events", "none.jsonl"), "there is no file none.jsonl"),
        (("--events", "."), "there is no file ."),
    ],
)
def test_bad_options_are_exit_2(type_: Type, words: tuple[str, ...], said: str) -> None:
    """What cannot be replayed is exit 2 and says which value is wrong and what is allowed; nothing else is printed."""
    code, out, err = type_("backtest", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("not json", "line 1 column 1"),
        ("[]", "indices"),
        ("3", "int"),
        ({"name": "a", "start": hour(1), "end": hour(2)}, "app"),
        ({**OUTAGE, "start": "soon"}, "soon"),
        ({**OUTAGE, "end": None}, "null is not a time"),
        ({**OUTAGE, "name": "backwards", "end": hour(SHIFT - 1)}, "ends before it starts"),
        (OUTAGE, "another one has this name"),
    ],
)
def test_a_bad_event_is_named_by_its_line(type_: Type, home: Path, row: object, said: str) -> None:
    """A line that is no event is exit 2, named by file and number, with what one looks like."""
    code, out, err = type_("backtest", "--events", events(home, OUTAGE, row))
    assert (code, out) == (2, "")
    assert "events.jsonl:2 is not an event" in err
    assert said in err
    assert '"start": "2026-03-02T10:00:00Z"' in err


def test_hostile_events_cannot_move_the_cursor(type_: Type, home: Path) -> None:
    """Escape sequences in names and bytes that are no text never reach the terminal."""
    name = "x\x1b[2J\x1b]0;owned\x07y\nfake"
    code, out, _ = type_("backtest", "--chart", "ewma", "--events", events(home, {**OUTAGE, "name": name}))
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    (home / "raw.jsonl").write_bytes(b"\xff\xfe\x1b[2J\n")
    code, _, err = type_("backtest", "--events", "raw.jsonl")
    assert code == 2
    assert "raw.jsonl:1 is not an event" in err
    assert "\x1b" not in err


# --- accepting a new normal: last, because it is recorded ---------------------------------------------------------------


def test_who_accepted_what_and_why_is_recorded(type_: Type) -> None:
    """A relearning says from when it learns, the onset unless told; who said so and why are in the ledger."""
    code, out, _ = type_("monitor", "relearn", CHART, "--why", "the new model may fail")
    assert code == 0
    loop = open_loop(load())
    (accepted,) = loop.ledger.all(NewNormal)
    onset = max(s.onset_us for s in loop.ledger.all(Signal) if s.monitor == CHART)
    loop.close()
    assert (accepted.by, accepted.why, accepted.monitor) == ("ann", "the new model may fail", CHART)
    assert accepted.from_us == onset
    assert format_time(onset) in out
    code, out, _ = type_("monitor", "relearn", "shop/production/error*", "--why", "x", "--since", hour(130))
    assert code == 0
    assert f"charts of shop/production/error* learn anew from what came since {hour(130)}" in out
