"""Laws of the commands about incidents: what a screen shows, what is refused, and that nothing from traffic is obeyed."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import split

import pytest
from test_triage import HOUR, T0, signal

from andon.incidents import Delivery, ExitCriterion, Incident, Recovery
from andon.incidents.failures import failure_rows, group_rows
from andon.incidents.run import find_incident, respond
from andon.incidents.triage import CLASSES, severity_rows
from andon.store import Ledger

Type = Callable[..., tuple[int, str, str]]

HOSTILE = "\x1b[2J\nfaq"
CHART = f"bot/production/refusal.up/task={HOSTILE}"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The ledger of the home, with one incident."""
    book = Ledger.open(tmp_path / "home" / "ledger.db")
    page = signal("a", scope={"task": HOSTILE}, monitor=CHART)
    book.put(page, now_us=T0, by="andon")
    respond(book, [page])
    yield book
    book.close()


def test_one_screen_says_everything(type_: Type, ledger: Ledger) -> None:
    """Every time with "not yet" where it was not reached, the reasons, and the next thing to do; nothing is obeyed."""
    code, out, err = type_("incident", "show", "INC-0001")
    assert (code, err) == (0, "")
    assert out.startswith("INC-0001  P2  OPEN\n")
    assert "next: Say that you are on it (`andon incident ack INC-0001`)" in out
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    for name in ("noticed", "stabilised", "diagnosed", "fixed", "recovered", "closed"):
        assert "not yet" in lines[name]
    assert "2026-09-21 13:13 (estimated)" in lines["began"]
    assert "between 2026-09-21 12:13 and 2026-09-21 13:43" in lines["began"]
    assert "nothing found" in lines["first visible"]
    assert "60 min after it began (30 min to 2 h)" in lines["alarmed"]
    assert "at least a tenth more of the traffic affected" in lines["severity"]
    assert "model drift" in lines["failure"]
    assert "\x1b" not in out


def test_the_screen_says_when_people_were_told_late(type_: Type, ledger: Ledger) -> None:
    """After the alarm stands when a channel first took a message, where hours passed between the two; else no such row."""
    told = {"incident": "INC-0001", "reason": "opened", "severity": "P2", "signal_us": T0, "state": "sent"}
    for channel, late_us, row in (("pager", 3 * HOUR, True), ("chat", HOUR // 60, False)):  # chat was earlier
        made = Delivery(id=f"d-{channel}", channel=channel, at_us=T0 + late_us, **told)
        ledger.put(made, now_us=made.at_us, by="andon")
        lines = type_("incident", "show", "INC-0001")[1].splitlines()
        names = [line.split("  ")[0] for line in lines]
        assert ("first told" in names) is row
        if row:
            assert names.index("first told") == names.index("alarmed") + 1
            assert "2026-09-21 17:13" in (line := lines[names.index("first told")])
            assert "over pager, 3 h after the alarm" in line


def test_a_long_timeline_shows_its_ends(type_: Type, ledger: Ledger) -> None:
    """How it began and what came last stay on the screen, with the command for the rest."""
    for k in range(30):
        type_("incident", "note", "INC-0001", f"note number {k}")
    out = type_("incident", "show", "INC-0001")[1]
    assert "estimated onset" in out
    assert "note number 29" in out
    assert "note number 15" not in out
    assert "(12 more: andon incident timeline INC-0001)" in out


@pytest.mark.parametrize("screen", ["show", "timeline"])
def test_a_pull_of_a_moment_ago_is_on_the_screen(type_: Type, ledger: Ledger, screen: str) -> None:
    """Nobody has to wait for the service's next turn to see in the timeline what a lever does."""
    type_("lever", "declare", "answers", "--default", "true", "--safe", "false")
    assert type_("lever", "hold", "answers", "--why", "harm", "--for", "10m")[0] == 0
    assert "lever answers held at false" in type_("incident", screen, "INC-0001")[1]


def test_an_incident_from_page_to_close(type_: Type, ledger: Ledger) -> None:
    """Note, mark, overrule, criteria, steps and the close by commands, each with what it did; the ledger has it all."""
    assert type_("incident", "note", "INC-0001", "vendor called", "--at", "2026-09-21T13:00:00Z")[0] == 0
    assert find_incident(ledger, "INC-0001").noticed_by == "ann"
    code, out, _ = type_("incident", "mark", "INC-0001", "stabilised", "--why", "held", "--at", "2026-09-21T14:00:00Z")
    assert code == 0
    assert "INC-0001 is stabilised since 2026-09-21 14:00 UTC\nnext: Find the cause" in out
    code, out, _ = type_("incident", "overrule", "INC-0001", "severity", "P1", "--why", "the board")
    assert "the board (said ann; the signals suggest P2: at least a tenth" in out
    code, out, _ = type_("incident", "recovery", "INC-0001")
    assert code == 0
    assert "INC-0001 has not recovered: C1 is not met\n" in out
    assert out.splitlines()[-1] == "  'bot/production/refusal.up/task= [2J faq'  (C1)"  # as a shell takes it
    assert ledger.latest(Recovery, "INC-0001").by == "ann"
    code, _, err = type_("incident", "close", "INC-0001", "--why", "looks fine")
    assert code == 2
    assert "quiet recovery" in err
    code, _, err = type_("incident", "criterion", "drop", "INC-0001", "C1", "--why", "no traffic in a test")
    assert (code, "the only criterion that is measured" in err) == (2, True)
    assert type_("incident", "criterion", "add", "INC-0001", "answers read", "--watch", "24h")[0] == 0
    assert type_("incident", "criterion", "check", "INC-0001", "C2", "--seen", "20 of 20")[1] == "C2 is met\n"
    assert type_("incident", "step", "add", "INC-0001", "10 % of traffic", "--check", "no refusal")[0] == 0
    assert "C1" in type_("incident", "close", "INC-0001", "--why", "over")[2]
    assert "all steps are done" in type_("incident", "step", "done", "INC-0001", "S1", "--seen", "0 of 900")[1]
    out = type_("incident", "recovery", "INC-0001")[1]
    assert "0 of 900" in out
    assert type_("incident", "close", "INC-0001", "--as", "false alarm", "--why", "read and right")[0] == 0
    closed = find_incident(ledger, "INC-0001")
    assert (closed.state, closed.closed_as, closed.severity) == ("closed", "false alarm", "P1")
    assert "Nothing: it is closed" in type_("incident", "show", "INC-0001")[1]


def traffic(path: Path, hours: range, refused: float) -> str:
    """A file of traffic, one question a minute in each of these hours since T0; a share of the answers are refusals."""
    lines = [
        {
            "id": f"i{m}", "time": T0 + m * HOUR // 60, "app": "shop", "query": f"question {m % 30}",
            "answer": f"answer {m % 30}", "refused": m * refused // 1 != (m + 1) * refused // 1, "risk_category": "standard",
        }
        for m in range(hours.start * 60, hours.stop * 60)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.mark.slow
def test_an_incident_that_closes_by_measurement(type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From traffic to the close by what is typed: refused while harm is only quiet, done after two days inside the limits."""

    def at(hour: int, *words: str) -> tuple[int, str, str]:
        now_us = T0 + hour * HOUR + HOUR // 10
        monkeypatch.setattr("time.time_ns", lambda: now_us * 1000)
        monkeypatch.setattr("andon.server.background.clock_of", lambda _: now_us)  # a tick goes by the ledger's clock
        return type_(*words)

    at(48, "import", traffic(tmp_path / "before.jsonl", range(48), 0.05))
    at(50, "import", traffic(tmp_path / "bad.jsonl", range(48, 50), 0.5))
    assert "incidents touched: INC-0001" in at(50, "tick")[1]
    at(76, "import", traffic(tmp_path / "quiet.jsonl", range(50, 76), 0.05))
    at(76, "tick")
    code, out, _ = at(76, "incident", "recovery", "INC-0001")
    assert (code, "5.38 % of 1,560 inside limits" in out, "for 26 h of 48 h: not yet" in out) == (0, True, True)
    code, _, err = at(76, "incident", "close", "INC-0001", "--why", "nobody complains")
    assert (code, "quiet recovery" in err, "26 h of 48 h" in err) == (2, True, True)
    chart = next(line.strip() for line in out.splitlines() if line.endswith("refusal.up/all"))  # as the screen names it
    assert at(76, "incident", "criterion", "add", "INC-0001", "", "--chart", *split(chart), "--watch", "72h")[0] == 0
    at(100, "import", traffic(tmp_path / "more.jsonl", range(76, 100), 0.05))
    at(100, "tick")
    out = at(100, "incident", "recovery", "INC-0001")[1]
    assert "INC-0001 has not recovered: C2 is not met\n" in out
    assert at(100, "incident", "criterion", "drop", "INC-0001", "C2", "--why", "two days are enough")[0] == 0
    out = at(100, "incident", "recovery", "INC-0001")[1]
    dropped = next(line for line in out.splitlines() if line.startswith("C2"))
    assert all(
        part in dropped for part in ("for 50 h of 72 h: not yet", "two days are enough", "ann", "2026-09-25 18:")
    )
    assert "INC-0001 has recovered, since 2026-09-25 " in out
    assert at(100, "incident", "close", "INC-0001", "--why", "two days inside the limits")[0] == 0
    assert "two days are enough" in (shown := at(101, "incident", "show", "INC-0001")[1])
    assert "INC-0001  P2  CLOSED" in shown


def test_ticked_checks_alone_are_no_recovery(type_: Type, ledger: Ledger) -> None:
    """Where nothing is measured the screen says so and what to type, though every check is ticked."""
    once = ExitCriterion(id="C1", kind="metric", text="refusals", monitor=CHART)
    seen = ExitCriterion(id="C2", kind="check", text="answers read", met=True, measured="20 of 20")
    ledger.put(Recovery(id="INC-0001", criteria=(seen,), dropped=(once,)), now_us=T0, by="ann")
    out = type_("incident", "recovery", "INC-0001")[1]
    assert "INC-0001 has not recovered: nothing is measured" in out
    assert '`andon incident criterion add INC-0001 "" --chart ...` or `--probes 0.95`' in out
    code, _, err = type_("incident", "close", "INC-0001", "--why", "all ticked")
    assert (code, "nothing is measured" in err) == (2, True)
    assert "(type `andon incident criterion add INC-0001" in err


def test_false_alarms_and_duplicates(type_: Type, ledger: Ledger) -> None:
    """Both close by a word; a wrong ending names those there are."""
    other = signal("b", app="other", at_us=T0 + HOUR)
    ledger.put(other, now_us=T0, by="andon")
    respond(ledger, [other])
    code, _, err = type_("incident", "close", "INC-0001", "--as", "solved", "--why", "x")
    assert (code, "recovered, false alarm, duplicate, retired" in err) == (2, True)
    assert type_("incident", "close", "INC-0001", "--as", "false alarm", "--why", "load test")[0] == 0
    assert type_("incident", "close", "INC-0002", "--as", "duplicate", "--of", "INC-0001", "--why", "same")[0] == 0
    assert [i.closed_as for i in ledger.all(Incident)] == ["false alarm", "duplicate"]


@pytest.mark.parametrize(
    "words",
    [
        ("mark", "INC-0001", "recovered", "--why", "x"),
        ("mark", "INC-0001", "fixed", "--why", "x", "--at", "2090-01-01T00:00:00Z"),
        ("mark", "INC-0009", "fixed", "--why", "x"),
        ("overrule", "INC-0001", "severity", "P9", "--why", "x"),
        ("overrule", "INC-0001", "colour", "red", "--why", "x"),
        ("criterion", "drop", "INC-0001", "C7", "--why", "x"),
        ("criterion", "add", "INC-0001", "x", "--chart", "nope"),
        ("step", "done", "INC-0001", "S1", "--seen", "x"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(type_: Type, ledger: Ledger, words: tuple[str, ...]) -> None:
    """A wrong value is told in one line with what is allowed, and nothing is written."""
    before = ledger.history(Incident)
    code, out, err = type_("incident", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert ledger.history(Incident) == before


def test_the_rules_are_those_of_the_code(type_: Type) -> None:
    """The command and the methods page show every row of the tables that decide, in their order."""
    out = type_("incident", "rules")[1]
    page = (Path(__file__).parents[2] / "docs" / "methods" / "severity.md").read_text(encoding="utf-8")
    told = [line for line in page.splitlines() if line.startswith("| ")]
    rows = [tuple(r) for r in (*CLASSES.items(), *severity_rows(), *group_rows(), *failure_rows())]
    assert [line for line in told if line in {_line(r) for r in rows}] == [_line(r) for r in rows]
    assert len(told) == len(rows) + 4
    for row in rows:
        assert row[-1] in out


def _line(row: tuple[str, ...]) -> str:
    return f"| {' | '.join(row)} |"
