"""Laws of the set as a whole: nothing is lost, a retirement has a reason, and every state of the set can be seen again."""

import json
from dataclasses import replace

import pytest

from andon.errors import InputError, StateError
from andon.golden import Case, LabelRow, NearDuplicate, golden_digest
from andon.golden.files import parse_cases
from andon.golden.run import (
    add_cases,
    capture,
    export_as,
    history_of,
    import_set,
    label_failures,
    load_set,
    retire,
    states_of,
)
from andon.golden.run.sets import export

DAY_US = 86_400_000_000
LINE = '{"question":"q" , "ground_truth":"t", "tags":[1.0]}\n{"question": "q2", "ground_truth": "t2"}\n'


@pytest.fixture
def kept(ledger, tmp_path, now_us):
    """A file of two cases that was imported, and the cases."""
    path = tmp_path / "golden.jsonl"
    path.write_text(LINE)
    return path, import_set(ledger, path, now_us=now_us, by="ann").added


def test_a_retired_case_is_not_tested_and_not_lost(ledger, kept, now_us):
    """It leaves the set that is run, stays in the ledger and the file, and its line is the only one that changes."""
    path, (one, two) = kept
    done = retire(ledger, one.id, why=" the tariff ended ", now_us=now_us, by="bob")
    assert (done.retired, done.retired_why) == ("2026-11-20", "the tariff ended")
    assert load_set(ledger) == [two]
    assert [c.id for c in load_set(ledger, retired=True)] == [one.id, two.id]
    assert export(ledger, path) == 1
    first, second = path.read_text().splitlines()
    assert second == LINE.splitlines()[1]
    assert json.loads(first) == json.loads(LINE.splitlines()[0]) | {
        "retired": "2026-11-20",
        "retired_why": "the tariff ended",
    }
    assert export(ledger, path) == 0
    assert parse_cases(path.read_text())[0].retired == "2026-11-20"


def test_a_case_is_brought_back_with_a_reason(ledger, kept, now_us):
    """Twice retired is an error that says when, who and why; brought back, it is tested again, and the file says so."""
    path, (one, _) = kept
    retire(ledger, one.id, why="wrong", now_us=now_us, by="bob")
    export(ledger, path)
    with pytest.raises(StateError, match=r"since 2026-11-20, by bob: wrong"):
        retire(ledger, one.id, why="again", now_us=now_us, by="ann")
    back = retire(ledger, one.id, why="right after all", now_us=now_us + 1, by="ann", back=True)
    assert (back.retired, back.retired_why) == (None, "right after all")
    assert len(load_set(ledger)) == 2
    assert export(ledger, path) == 1
    assert "retired" not in json.loads(path.read_text().splitlines()[0])
    assert export(ledger, path) == 0
    with pytest.raises(StateError, match="not retired"):
        retire(ledger, one.id, why="x", now_us=now_us, by="ann", back=True)
    with pytest.raises(InputError, match="say why"):
        retire(ledger, one.id, why=" ", now_us=now_us, by="ann")
    with pytest.raises(InputError, match="there is no case"):
        retire(ledger, "G-none", why="x", now_us=now_us, by="ann")


def test_a_retirement_in_the_file_is_taken_in_once(ledger, kept, now_us):
    """A team that retires a line in git retires the case; who brought it back here is not overruled by an old file."""
    path, (one, _) = kept
    path.write_text(LINE.replace('"tags"', '"retired": "2026-02-03", "tags"'))
    assert import_set(ledger, path, now_us=now_us, by="ann").retired == (one.id,)
    assert [c.retired for c in load_set(ledger, retired=True)] == ["2026-02-03", None]
    retire(ledger, one.id, why="needed", now_us=now_us, by="ann", back=True)
    assert import_set(ledger, path, now_us=now_us, by="ann").retired == ()
    assert len(load_set(ledger)) == 2


def test_lines_with_a_mark_and_windows_ends_are_restated_in_place(ledger, tmp_path, now_us):
    """The byte order mark and the line ends of a file stay where a line is rewritten."""
    path = tmp_path / "golden.jsonl"
    text = "\ufeff" + LINE.replace("\n", "\r\n")
    path.write_bytes(text.encode())
    one, _ = import_set(ledger, path, now_us=now_us, by="ann", app="shop").added
    retire(ledger, one.id, why="x", now_us=now_us, by="ann")
    assert export(ledger, path) == 1
    after = path.read_bytes().decode()
    assert after.startswith("\ufeff{")
    assert after.count("\r\n") == 2
    assert after.split("\r\n")[1] == text.split("\r\n")[1]
    assert export(ledger, path) == 0


def test_the_set_of_a_day_can_be_seen_again(ledger, kept, failure, words, now_us):
    """Each state has the digest of what was tested then, and counts each case that changed once; `at_us` gives the very cases."""
    _, (one, two) = kept
    before = load_set(ledger)
    retire(ledger, one.id, why="x", now_us=now_us + DAY_US, by="ann")
    f = failure()
    capture(ledger, [f], now_us=now_us)
    label_failures(ledger, [LabelRow(line=1, id=f.id, question=None, ground_truth="8611 m")], now_us=now_us, by="ann")
    add_cases(ledger, words, now_us=now_us + 2 * DAY_US, by="ann")
    states = states_of(ledger)
    assert [(s.day, s.cases, s.added, s.retired, s.changed) for s in states] == [
        ("2026-11-20", 2, 2, 0, 0),
        ("2026-11-21", 1, 0, 1, 0),
        ("2026-11-22", 2, 1, 0, 0),
    ]
    assert load_set(ledger, at_us=now_us) == before
    assert load_set(ledger, at_us=now_us - 1) == []
    assert load_set(ledger, at_us=now_us + DAY_US) == [two]
    for state, at in zip(states, range(3), strict=True):
        assert state.digest == golden_digest(load_set(ledger, at_us=now_us + at * DAY_US))
    assert states[-1].digest == golden_digest(load_set(ledger))
    assert states_of(ledger, "another") == []
    for k in range(3):
        for risk in ("high", "low"):
            ledger.put(replace(two, risk_category=risk), now_us=now_us + 3 * DAY_US + k, by="ann")
    assert (states_of(ledger)[-1].cases, states_of(ledger)[-1].changed) == (2, 1)


def test_the_history_of_a_case_names_failure_label_decision_and_retirement(ledger, failure, words, now_us):
    """Who, when and why, from the failure to the retirement; the words of others about other failures are not in it."""
    f, other = failure(source="incident INC-0007", reason="wrong", versions={"model": "m2"}), failure("other")
    same = failure(answer="8 km")
    capture(ledger, [f, other, same], now_us=now_us)
    truths = {f.id: "8611 m", other.id: "8611 m", same.id: "28251 ft"}
    rows = [LabelRow(line=1, id=k, question=None, ground_truth=t, author="bob") for k, t in truths.items()]
    label_failures(ledger, rows, now_us=now_us + 1, by="ann")
    decision = NearDuplicate(
        id=f.id,
        case="G-x",
        cosine=0.93,
        embedder="words-1",
        choice="keep",
        by="cleo",
        at_us=now_us + 2,
        why="another mountain",
    )
    ledger.put(decision, now_us=now_us + 2, by="cleo")
    added = next(c for c in add_cases(ledger, words, now_us=now_us + 3, by="ann").added if c.ground_truth == "8611 m")
    retire(ledger, added.id, why="it melted", now_us=now_us + 4, by="dan")
    entries = history_of(ledger, added.id)
    assert [e.by for e in entries] == ["andon", "bob", "cleo", "ann", "dan"]
    text = "\n".join(e.what for e in entries)
    for word in (
        f.id,
        "INC-0007",
        "model m2",
        "8611 m",
        "keep, because another mountain",
        "added from",
        "retired: it melted",
    ):
        assert word in text
    assert same.id not in text
    with pytest.raises(InputError, match="no case"):
        history_of(ledger, "G-none")


def test_the_set_of_one_incident_is_found(ledger, case, now_us):
    """`incident` gives the cases of that incident only."""
    for c in (case(incident="INC-1"), case("q2")):
        ledger.put(c, now_us=now_us, by="ann")
    assert [c.incident for c in load_set(ledger, incident="INC-1")] == ["INC-1"]


def test_an_export_to_another_tool_is_whole_and_overwrites_nothing(ledger, case, tmp_path, now_us):
    """Each format is written to a new file, and taking it in again adds nothing."""
    cases = [case(contexts=("c",), risk_category="high"), case("q2", metric="groundedness", cut=0.5)]
    for c in cases:
        ledger.put(c, now_us=now_us, by="ann")
    for form, left in (("promptfoo", 1), ("langfuse", 0), ("phoenix", 0), ("openai-evals", 0), ("inspect", 0)):
        path = tmp_path / f"{form}.txt"
        written, left_out = export_as(ledger, path, form)
        assert (written, len(left_out)) == (2 - left, left)
        result = import_set(ledger, path, now_us=now_us, by="ann")
        assert (result.form, len(result.known), result.added, result.refused) == (form, 2 - left, (), ())
        with pytest.raises(InputError, match="is there already"):
            export_as(ledger, path, form)
    assert export_as(ledger, tmp_path / "own.jsonl", "andon") == (2, ())
    assert len(ledger.history(Case)) == 2
