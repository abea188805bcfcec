"""Commands of levers while something else is broken or slow: nothing keeps people from stopping the harm."""

import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from andon.cli import levers as commands
from andon.cli import screen
from andon.cli.screen import now_us
from andon.incidents import Incident
from andon.levers import Lever, Pull, Version
from andon.levers.run import hold
from andon.loop import Loop
from andon.rollouts import Experiment
from andon.store import Ledger
from andon.traffic import format_time

Type = Callable[..., tuple[int, str, str]]
HOUR_US = 3_600_000_000
HOLD = ("lever", "hold", "cite", "--why", "x", "--for", "1h")
PATIENT = partial(commands.freeze_within, seconds=60.0)  # a busy machine is no failure


@pytest.fixture
def ledger(type_: Type, tmp_path: Path) -> Ledger:
    """The ledger of a home with a lever and an open incident."""
    assert type_("lever", "declare", "cite", "--default", "true", "--safe", "false")[0] == 0
    ledger = Ledger.open(tmp_path / "home" / "ledger.db")
    incident = Incident(
        id="INC-0007", title="t", app="bot", environment="production", metric="m", lead="", onset_us=1, onset_low_us=1,
        onset_high_us=1, alarmed_us=1, last_signal_us=1,
    )  # fmt: skip
    ledger.put(incident, now_us=1, by="andon")
    return ledger


BROKEN = {
    "no TOML": ("andon.toml", "port = = 1"),
    "no TOML below": ("andon.toml", 'redact = "none"\n[[pull]]\nlever = cite'),
    "no setting": ("andon.toml", "prot = 1"),
    "a wrong rule": ("andon.toml", '[[pull]]\nlever = "cite"'),
    "a wrong monitor": ("andon.toml", "[[monitor]]\nx = 1"),
    "no file": ("andon.toml", 'openslo = ["slo/*.yaml"]'),
    "no Unicode": ("andon.toml", "\xff"),
    "a variable": ("ANDON_PROT", "1"),
    "a number": ("ANDON_PORT", "many"),
    "an embedder": ("ANDON_EMBEDDER", "none-such"),
    "tables": ("home/journal", ""),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_wrong_elsewhere_disarms_no_lever(
    type_: Type, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Every command of levers and versions works, whatever is wrong with settings, rules, embedder or tables; a hold says it."""
    monkeypatch.setattr(commands, "freeze_within", PATIENT)
    name, text = BROKEN[what]
    if name.isupper():
        monkeypatch.setenv(name, text)
    else:
        (tmp_path / name).write_text(text, encoding="latin-1")
    for words in (
        ("declare", "prompt", "--kind", "string", "--default", "a", "--safe", "b"),
        ("version", "add", "prompt", "--value", "new", "--why", "x"),
        ("version", "list", "prompt"),
        ("list",),
        ("show", "cite"),
        HOLD[1:],
        ("release", "cite", "--why", "x"),
    ):
        code, out, err = type_("lever", *words)
        assert (code, "Traceback" in err) == (0, False), (words, out, err)
    (pull,) = ledger.all(Pull)
    assert pull.evidence.startswith("evidence of an open incident could not be frozen before: ")
    (version,) = ledger.all(Version)
    monkeypatch.setenv("USER", "bob")
    for words in (
        ("version", "diff", "prompt", version.digest),
        ("version", "approve", "prompt", version.digest, "--why", "x"),
        ("promote", "prompt", version.digest, "--to", "staging", "--why", "x"),
        ("rollback", "prompt", "--why", "x", "--for", "1h", "--environment", "staging"),
        ("hold", "prompt", "--value", "c", "--why", "x", "--for", "1h", "--break-glass"),
    ):
        code, out, err = type_("lever", *words)
        assert code == 0, (words, out, err)
    monkeypatch.setenv("USER", "eve")
    assert type_("lever", "review", "pull-prompt-00002", "--why", "x")[0] == 0
    ledger.put(_experiment("prompt", version.digest), now_us=1, by="ann")
    for words in (
        ("start", "EXP-0001", "--why", "x"),
        ("list",),
        ("show", "EXP-0001"),
        ("stop", "EXP-0001", "--why", "x"),
    ):
        code, out, err = type_("rollout", *words)
        assert code == 0, (words, out, err)


def _experiment(lever: str, treatment: str) -> Experiment:
    return Experiment(
        id="EXP-0001", kind="ab", app="bot", lever=lever, control=None, treatment=treatment, share=0.5, hypothesis="h",
        metric="error", better="down", effect=0.1, base=0.2, planned=(100, 100), days=7.0, by="ann", at_us=1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "env", "found"),
    [
        ('home = "there"\nport = = 1', None, True),
        ("[[monitor]]\nhome = 1", "there", True),
        ('  home="there" # of the service\n\n [[pull]\nhome = "no"', None, True),
        ("port = = 1", None, False),
        ("home = there", None, False),
        ("home = 7\nport = = 1", None, False),
        ('[[pull]\nhome = "there"', None, False),
    ],
)
def test_the_data_is_found_where_settings_say_or_nothing_is_made(
    type_: Type,
    ledger: Ledger,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    env: str | None,
    found: bool,
) -> None:
    """Broken settings that name the folder lead to it; where nobody knows it, it is said, and no empty one takes its place."""
    (tmp_path / "home").rename(tmp_path / "there")
    (tmp_path / "andon.toml").write_text(text)
    monkeypatch.delenv("ANDON_HOME")
    if env:
        monkeypatch.setenv("ANDON_HOME", env)
    before = sorted(p.name for p in tmp_path.iterdir())
    code, out, err = type_(*HOLD)
    assert "andon.toml" in out + err
    if found:
        assert (code, "cite is held at false" in out) == (0, True)
    else:
        assert (code, out, "set ANDON_HOME" in err) == (2, "", True)
        assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("fault", "said"),
    [("", "evidence is frozen"), ("disk is full", "RuntimeError: disk is full")],
)
def test_a_hold_does_not_wait_for_slow_evidence(
    type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    """Evidence that takes long is frozen after the hold, and the command and the pull say so; what fails late is said, too."""
    held = threading.Event()

    def freeze(*_: object) -> list[str]:
        while not ledger.all(Pull):
            assert not held.wait(0.01)
        held.wait(0.3)
        if fault:
            raise RuntimeError(fault)
        return ["INC-0007"]

    monkeypatch.setattr(Loop, "freeze", freeze)
    monkeypatch.setattr(commands, "freeze_within", partial(commands.freeze_within, seconds=0.2))
    code, out, _ = type_(*HOLD)
    lines = out.splitlines()
    (pull,) = ledger.all(Pull)
    assert code == 0
    assert lines[0] == pull.evidence
    assert re.match("freezing evidence of INC-0007 takes longer than .*; it was held without waiting$", pull.evidence)
    assert "cite is held at false" in lines[1]
    assert said in lines[-1]


def test_a_hold_does_not_stay_for_ever(type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evidence that never comes is left after a while, and the command ends as one that did what was asked."""
    go, left = threading.Event(), []
    monkeypatch.setattr(Loop, "freeze", lambda *_: go.wait(60) and [])
    monkeypatch.setattr(commands, "freeze_within", partial(commands.freeze_within, seconds=0.05))
    monkeypatch.setattr(commands, "LATE_S", 0.05)
    monkeypatch.setattr(commands.os, "_exit", left.append)
    out = type_(*HOLD)[1]
    go.set()
    assert left == [0]
    assert "cite is held at false" in out
    assert "is left" in out


def test_what_a_hold_supersedes_is_said_as_it_happened(
    type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull that came while evidence was frozen is the one that is named; one that ended meanwhile is not."""

    def freeze(*_: object) -> list[str]:
        now = now_us()
        hold(ledger, "cite", True, why="w", by="eve", until_us=now + HOUR_US, now_us=now)
        return []

    monkeypatch.setattr(commands, "freeze_within", PATIENT)
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "freeze", freeze)
        out = type_(*HOLD)[1]
    assert "it supersedes pull-cite-00001 by eve, which held true\n" in out
    monkeypatch.setattr(Loop, "freeze", lambda *_: type_("lever", "release", "cite", "--why", "over") and [])
    assert "supersedes" not in type_(*HOLD)[1]


def test_a_lever_declared_again_keeps_what_is_not_given(type_: Type, ledger: Ledger) -> None:
    """Options that are left out change nothing, what changed is said with both values, and what did not is not written."""
    first = ("--kind", "number", "--default", "8", "--safe", "3", "--about", "how many", "--app", "bot")
    type_("lever", "declare", "top_k", *first)
    made = ledger.get(Lever, "top_k")
    assert made is not None
    out = type_("lever", "declare", "top_k", "--about", "of texts")[1]
    assert out.startswith('top_k is declared anew: about "how many" -> "of texts"; all else stays\n')
    out = type_("lever", "declare", "top_k", "--default", "3", "--fail", "closed")[1]
    assert out.startswith('top_k is declared anew: default 8.0 -> 3.0, fail "open" -> "closed"; all else stays\n')
    last = ledger.get(Lever, "top_k")
    assert (last, made.app) == (
        Lever(id="top_k", kind="number", default=3.0, safe=3.0, fail="closed", about="of texts", app="bot"),
        "bot",
    )
    entry = ledger.last_entry()
    assert "nothing is written" in type_("lever", "declare", "top_k")[1]
    assert "fails closed" in type_("lever", "declare", "top_k", "--default", "2")[2]
    assert "give its --default and its --safe" in type_("lever", "declare", "other", "--default", "true")[2]
    assert ledger.last_entry() == entry


def test_the_list_is_readable_on_100_columns(type_: Type, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal of 100 columns no line is longer, names, times and short values stay whole, and long ones are cut."""
    long = "You are the helpful assistant of a bank. " * 20
    type_("lever", "declare", "prompt.answer", "--kind", "string", "--default", long, "--safe", "Ask a person.")
    type_("lever", "declare", "limits.tokens", "--kind", "number", "--default", "1024", "--safe", "256")
    type_(*HOLD[:4], long, *HOLD[5:])
    monkeypatch.setattr(screen, "_out", screen.Console(width=100, force_terminal=True, no_color=True, highlight=False))
    out = re.sub(r"\x1b\[[0-9;]*m", "", type_("lever", "list")[1])
    (pull,) = ledger.all(Pull)
    assert max(map(len, out.splitlines())) <= 100
    assert len(out.splitlines()) < 16
    words = out.split()
    for word in ("cite", "prompt.answer", "limits.tokens", "1024.0", "256.0", f"{format_time(pull.until_us)[:16]}Z:"):
        assert word in words


def test_a_hold_until_a_moment_ends_then_whatever_clock_came_before(type_: Type, ledger: Ledger) -> None:
    """A time that is typed is meant so; a span lasts as long as was asked by either clock."""
    until = (now_us() // 1_000_000 + 3600) * 1_000_000
    for words, end in ((format_time(until), until), ("1h", until + 5 * HOUR_US)):
        ahead = now_us() + 5 * HOUR_US
        hold(ledger, "cite", why="x", by="eve", until_us=ahead + HOUR_US, now_us=ahead)
        code, said, _ = type_(*HOLD[:-1], words)
        assert code == 0
        assert '5 h behind that of "eve"' in said
        assert abs(max(ledger.all(Pull), key=lambda p: p.id).until_us - end) <= (0 if end == until else 60_000_000)
