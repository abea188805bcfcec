"""What people type about investigations: the four questions on one screen, evidence shown and verified, a limit added."""

import json
import random
import shlex
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from planted import SORRY

from andon.incidents import Incident
from andon.investigations import Investigation
from andon.loop import open_loop, replay
from andon.settings import Settings
from andon.store import Ledger

START_US = 1_790_000_000_000_000
Type = Callable[..., tuple[int, str, str]]


def traffic(path: Path, *, days: float = 4.0, hours: float = 10.0, before: float = 0.02, since: float = 0.08) -> Path:
    """Answers every thirty seconds, of which more and more are refused: a rise that takes hours to tell from chance."""
    rng = random.Random(1)
    n = round(days * 2880)
    rows = []
    for k in range(n):
        refused = rng.random() < (since if k >= n - hours * 120 else before)
        topic = rng.choice(["blood pressure", "headache", "fever", "cough", "sleep"])
        rows.append(
            {
                "id": f"i{k}",
                "time": START_US + k * 30_000_000,
                "query": f"What about {topic} number {k % 97}?",
                "answer": SORRY if refused else f"Rest and drink water for {topic}.",
                "app": "triage",
                "risk_category": "high" if k % 2 else "low",
                "user_id": f"u{k % 50}",
                "session_id": f"s{k % 200}",
            }
        )
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def alarmed(home: Path) -> int:
    """When the first incident of a home was alarmed."""
    ledger = Ledger.open(home / "ledger.db")
    found = ledger.all(Incident)[0].alarmed_us
    ledger.close()
    return found


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of traffic, and the home of its replay."""
    folder = tmp_path_factory.mktemp("replayed")
    loop = open_loop(Settings(home=folder / "home", embedder="hashed"))
    replay(loop, [traffic(folder / "t.jsonl")])
    loop.close()
    return folder


@pytest.fixture
def home(type_: Type, tmp_path: Path, replayed: Path) -> Path:
    """A copy of it, in the home that commands work on."""
    shutil.copytree(replayed / "home", tmp_path / "home")
    return tmp_path / "home"


@pytest.mark.slow
def test_the_four_questions_stand_on_one_screen(type_: Type, home: Path) -> None:
    """Each question with its answer in a sentence, its table, and references to figures that exist."""
    code, out, err = type_("investigate", "INC-0001")
    assert code == 0, err
    heads = [line for line in out.splitlines() if line[:2] in ("1.", "2.", "3.", "4.")]
    assert [h.split("?")[0] for h in heads] == [
        "1. What was the output, and what should it have been",
        "2. What changed",
        "3. Isolated or systematic",
        "4. Why was it not seen sooner",
    ]
    assert "12 failing answers stand for it" in out
    assert "systematic:" in out
    assert "everywhere alike: no part of the traffic surely has more of the harm than the rest" in out
    assert "[E1, E2, E3, E4" in out
    assert "add it: andon monitor add refusal" in out
    assert len(out.splitlines()) <= 60


@pytest.mark.slow
def test_verify_says_the_same_and_show_shows_it(type_: Type, home: Path) -> None:
    """Every figure of the latest and of the first version is recomputed to the same number."""
    for words in ((), ("--first",), ("--version", "1")):
        code, out, err = type_("evidence", "verify", "INC-0001", *words)
        assert code == 0, err
        assert "DIFFERS" not in out
        assert out.splitlines()[-1].endswith(" same")
    assert "version 1 of the investigation" in out
    assert "metrics that are usually watched, since the onset" in out  # what a postmortem shows is checked as well
    code, out, _ = type_("evidence", "show", "INC-0001", "E3")
    assert code == 0
    assert "E3: harmed interactions since the onset" in out
    assert "refusal ge 0.5" in out
    assert "rows frozen" in out
    code, _, err = type_("evidence", "show", "INC-0001", "E99")
    assert code == 2
    assert "no figure 'E99'; it has E1" in err
    assert "version 99" in type_("evidence", "verify", "INC-0001", "--version", "99")[2]
    assert "one of them" in type_("evidence", "verify", "INC-0001", "--version", "1", "--first")[2]


@pytest.mark.slow
def test_verify_fails_where_the_record_was_edited(type_: Type, home: Path) -> None:
    """A figure that somebody edited in the ledger is told, with its id, and the exit code is 2."""
    ledger = Ledger.open(home / "ledger.db")
    found = ledger.get(Investigation, "INC-0001")
    assert found is not None
    e = found.evidence[2]
    wrong = replace(e, figures={**e.figures, "rows": 1.0})
    evidence = tuple(wrong if x.id == e.id else x for x in found.evidence)
    ledger.put(replace(found, evidence=evidence), now_us=found.at_us, by="mallory")
    ledger.close()
    code, out, err = type_("evidence", "verify", "INC-0001")
    assert code == 2
    assert "DIFFERS: the record was edited" in out
    assert err.startswith("error: E3 of INC-0001")
    assert type_("evidence", "verify", "INC-0001", "--first")[0] == 0


@pytest.mark.slow
def test_erasure_of_a_user_is_no_difference(type_: Type, home: Path) -> None:
    """After one user was erased, figures are the same or said to have lost rows; nothing is called altered."""
    assert type_("erase", "--user", "u3", "--yes")[0] == 0
    code, out, err = type_("evidence", "verify", "INC-0001", "--first")
    assert code == 0, err
    assert "rows are gone (erased)" in out
    assert "DIFFERS" not in out


@pytest.mark.slow
def test_the_proposed_limit_finds_the_incident_sooner(type_: Type, home: Path, replayed: Path, tmp_path: Path) -> None:
    """The command, pasted as it stands, and the same traffic again: the alarm comes sooner, when the replay said."""
    ledger = Ledger.open(home / "ledger.db")
    found = ledger.get(Investigation, "INC-0001")
    ledger.close()
    assert found is not None
    proposal = found.gap.proposals[0]
    words = shlex.split(proposal.command)
    assert words[0] == "andon"
    code, out, err = type_(*words[1:])
    assert code == 0, err
    assert "[[objective]]" in out
    assert type_("check")[0] == 0
    assert type_("replay", str(replayed / "t.jsonl"), "--home", "two")[0] == 0
    sooner = alarmed(home) - alarmed(tmp_path / "two")
    assert sooner > 0
    assert sooner / 1e6 == pytest.approx(proposal.sooner_s, abs=3600)


def test_a_limit_is_appended_and_understood(type_: Type, tmp_path: Path) -> None:
    """What stands in the file stays; hostile values come back letter by letter; the same limit again is refused."""
    (tmp_path / "andon.toml").write_text("# ours\nwindow_s = 60\n\n[[monitor]]\nmetric = 'markdown'\nwatch = false\n")
    evil = 'a"b\\c]\x7f é\n[[objective]]'
    words = (
        "monitor",
        "add",
        "refusal",
        "--app",
        "shop",
        "--scope",
        f"task={evil}",
        "--direction",
        "up",
        "--at-most",
        "0.02",
    )
    code, _, err = type_(*words)
    assert code == 0, err
    text = (tmp_path / "andon.toml").read_text()
    assert text.startswith("# ours\nwindow_s = 60\n")
    code, out, err = type_("check")
    assert code == 0, err
    assert "1 objective" in out
    assert "1 monitor rule" in out
    code, _, err = type_(*words, "--name", "again")
    assert code == 2
    assert "limits the same to 0.02 already" in err
    assert (tmp_path / "andon.toml").read_text() == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("latency_s", "--at-most", "0.02"), "beyond is missing"),
        (("nothing", "--at-most", "0.02"), "is not measured"),
        (("refusal", "--at-most", "0.02"), "direction is missing"),
        (("error", "--at-most", "2"), "must be a rate"),
        (("error", "--at-most", "0.02", "--scope", "users=me"), "--scope 'users=me' must be field=value"),
        (("error", "--at-most", "0.02", "--scope", "task"), "must be field=value"),
    ],
)
def test_a_limit_that_means_nothing_is_refused(type_: Type, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """What is not understood is refused with its reason, and no file is written."""
    code, _, err = type_("monitor", "add", *words)
    assert code == 2
    assert said in err
    assert not (tmp_path / "andon.toml").exists()


def test_a_file_that_cannot_take_it_is_left_alone(type_: Type, tmp_path: Path) -> None:
    """A file that lists its objectives inline is not broken: the table is shown, to be added by hand."""
    (tmp_path / "andon.toml").write_text('objective = [{name = "x", metric = "error", at_most = 0.1}]\n')
    code, _, err = type_("monitor", "add", "error", "--app", "shop", "--at-most", "0.02")
    assert code == 2
    assert "add it by hand" in err
    assert (tmp_path / "andon.toml").read_text().count("\n") == 1


@pytest.mark.slow
def test_the_ledger_stays_small(type_: Type, home: Path) -> None:
    """Rows are copied out, and yet one version of an investigation is below a megabyte."""
    rows = sqlite3.connect(home / "ledger.db").execute("select length(body) from versions where kind = 'Investigation'")
    assert max(size for (size,) in rows) < 1_000_000
