"""Two windows of traffic compared: what moved is told, surest first, and what did not move is not."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from andon.monitors.shift import TrafficShift, TrafficWindow, compare_traffic, explain_strata
from andon.scores import hashed
from andon.settings import Settings

EMBEDDER = hashed.load(Settings())
THINGS = ("shoes", "a coat", "the blue lamp", "my order", "two chairs", "a gift card", "that book", "an old radio")
ASKS = ("where is {}", "can I return {}", "how much is {}", "is {} in stock", "who made {}", "when will {} arrive")
NEW = (
    "does the plumber repair {}",
    "the plumber broke {} yesterday",
    "book a plumber for {}",
    "cancel the plumber for {}",
)


def questions(rng: np.random.Generator, n: int, forms: tuple[str, ...] = ASKS) -> list[str]:
    """Distinct questions."""
    return [f"{rng.choice(forms).format(rng.choice(THINGS))} {rng.integers(10**6)}" for _ in range(n)]


def window(
    rng: np.random.Generator, n: int = 400, new: int = 0, mobile: float = 0.3, longer: float = 0.0
) -> TrafficWindow:
    """A window of made traffic."""
    texts = tuple(questions(rng, n - new) + questions(rng, new, NEW))
    on = int(rng.binomial(n, mobile))
    return TrafficWindow(
        categories={"segment": {"mobile": on, "web": n - on}, "task": {"faq": n}},
        numbers={"input_tokens": rng.lognormal(3 + longer, 0.5, n)},
        questions=texts,
        vectors=EMBEDDER.embed(texts),
    )


def compared(seed: int = 1, thorough: bool = False, **after: float) -> TrafficShift:
    """A window compared with one that differs in what is given."""
    rng = np.random.default_rng(seed)
    return compare_traffic(window(rng), window(rng, **after), rng, embedder=EMBEDDER.name, thorough=thorough)


def of(found: TrafficShift, column: str, test: str | None = None):  # type: ignore[no-untyped-def]
    """The test of a column."""
    return next(c for c in found.columns if c.column == column and test in (None, c.test))


def test_a_moved_mix_is_told_with_its_shares() -> None:
    """A segment that went from 30 % to 60 % is the first line, with both shares; the other columns say that nothing is evident."""
    found = compared(mobile=0.6)
    first = found.columns[0]
    assert (first.column, first.test, first.shifted) == ("segment", "mix", True)
    assert "mobile" in first.sentence
    assert "->" in first.sentence
    assert found.shifted
    assert "no shift is evident" in of(found, "task").sentence
    assert not of(found, "questions").shifted
    assert first.psi is not None
    assert first.psi > 0.1


def test_new_questions_are_told_and_named() -> None:
    """A tenth of new questions is named by its words, where the mean of all does not tell it yet; at a quarter it does."""
    few, many = compared(new=40), compared(new=100)
    for found in (few, many):
        assert any(g.new and "plumber" in g.name for g in found.grown)
        assert found.shifted
        assert not of(found, "segment").shifted
    assert of(many, "questions", "questions").shifted


def test_thorough_adds_two_tests_of_the_questions() -> None:
    """MMD and the classifier run on demand only, and see a fifth of new questions."""
    assert {c.test for c in compared(new=80).columns} == {"mix", "number", "questions"}
    found = compared(new=80, thorough=True)
    assert of(found, "questions", "mmd").shifted
    assert of(found, "questions", "classifier").size > 0.55


def test_a_number_is_shown_and_is_no_evidence_by_itself() -> None:
    """Longer questions are told with both medians, but a number alone does not make the traffic count as shifted."""
    found = compared(longer=0.5)
    assert of(found, "input_tokens").shifted
    assert "median" in of(found, "input_tokens").sentence
    assert not found.shifted


def test_holm_by_hand() -> None:
    """The smallest of three p-values is tripled, the next doubled, and a later one is never below an earlier one."""
    found = compared(mobile=0.6)
    assert [c.p for c in found.columns] == sorted(c.p for c in found.columns)
    deciding = [c for c in found.columns if c.test != "number"]
    p = [c.p for c in deciding]
    by_hand, least = [], 0.0
    for i, value in enumerate(p):
        least = min(1.0, max(least, value * (len(p) - i)))
        by_hand.append(least)
    assert len(p) == 3
    assert [c.p_corrected for c in deciding] == pytest.approx(by_hand)


def test_what_is_only_shown_weakens_nothing() -> None:
    """Thirty numbers that are shown beside it leave the corrected p of what decides as it was; they are corrected among themselves."""
    rng = np.random.default_rng(6)
    before, after = window(rng), window(rng, mobile=0.42)
    many = [replace(w, numbers={f"n{i}": rng.normal(size=50) for i in range(30)}) for w in (before, after)]
    few = [replace(w, numbers={}) for w in (before, after)]
    alone, beside = (compare_traffic(*pair, np.random.default_rng(7)) for pair in (few, many))
    assert [c for c in beside.columns if c.test != "number"] == list(alone.columns)
    shown = [c for c in beside.columns if c.test == "number"]
    assert shown[0].p_corrected == pytest.approx(min(1.0, 30 * shown[0].p))


def test_values_that_were_all_replaced_are_told() -> None:
    """A column of which every rare value was replaced by another is told as a shift of all of the traffic."""
    rng = np.random.default_rng(8)
    before, after = (
        replace(window(rng), categories={"task": {f"{name}{i}": 3 for i in range(500)}}) for name in ("old", "new")
    )
    first = compare_traffic(before, after, rng).columns[0]
    assert (first.column, first.shifted, first.size) == ("task", True, 1.0)
    assert first.sentence.startswith("task: 100 % of the traffic moved")


def test_the_same_traffic_is_seldom_called_shifted() -> None:
    """Of sixty comparisons of the same traffic at most seven are called shifted (5 % by the columns, 5 % by kinds, meant)."""
    rng = np.random.default_rng(9)
    centres = rng.normal(size=(12, 24))

    def made(n: int) -> TrafficWindow:
        rows = (centres[rng.integers(0, 12, n)] + rng.normal(size=(n, 24))).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        on = int(rng.binomial(n, 0.3))
        return TrafficWindow(
            categories={"segment": {"mobile": on, "web": n - on}},
            numbers={"input_tokens": rng.lognormal(3, 0.5, n)},
            questions=tuple(f"q {i}" for i in range(n)),
            vectors=rows,
        )

    assert sum(compare_traffic(made(200), made(150), rng).shifted for _ in range(60)) <= 7


def test_cells_are_matched_by_what_they_are() -> None:
    """Cells of segments are matched by value in whatever order they come; one that is new is mix; no side may be empty."""
    before = {("web", None): (5000, 500), ("mobile", "t01"): (5000, 1500)}
    after = {("mobile", "t01"): (8000, 2400), ("web", None): (2000, 200)}
    found = explain_strata(before, after)
    assert found.verdict == "mix"
    assert found.mix == pytest.approx(0.06)
    assert explain_strata(before, {**before, ("voice", "t02"): (2000, 1200)}).verdict == "mix"
    with pytest.raises(ValueError, match="after: there are no observations"):
        explain_strata(before, {})


def test_what_is_too_little_is_said() -> None:
    """A column with fewer than 20 values on a side is not tested; the words say how many there were."""
    rng = np.random.default_rng(2)
    few = window(rng, 12)
    found = compare_traffic(window(rng), few, rng)
    assert found.columns == ()
    assert any("questions: too few to tell (400 before, 12 after" in t for t in found.untold)
    empty = compare_traffic(TrafficWindow(), TrafficWindow(), rng)
    assert not empty.shifted
    assert len(empty.untold) == 1


def test_values_from_traffic_do_no_harm_in_sentences() -> None:
    """A category with escape codes or a thousand letters is shown on one line, short and without them."""
    rng = np.random.default_rng(3)
    evil = "\x1b[2J" + "\n" + "x" * 1000
    after = replace(window(rng), categories={"segment": {evil: 300, "web": 100}})
    first = compare_traffic(window(rng), after, rng).columns[0]
    assert first.shifted
    assert first.sentence.isprintable()
    assert len(first.sentence) < 300


def test_the_same_seed_gives_the_same_answer() -> None:
    """A comparison can be repeated to the last digit."""
    assert compared(new=20) == compared(new=20)


def test_the_command_tells_a_new_kind_of_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`andon traffic-shift` over a real store names the new kind of question and the segment that moved."""
    import typer
    from typer.testing import CliRunner

    from andon.cli import shift
    from andon.cli.screen import opened
    from andon.traffic.run import import_files

    monkeypatch.setenv("ANDON_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ANDON_EMBEDDER", "hashed")
    monkeypatch.setenv("COLUMNS", "300")
    rng = np.random.default_rng(4)
    texts = questions(rng, 360) + questions(rng, 270) + questions(rng, 60, NEW)
    start_s = 1_772_409_600  # 2026-03-02
    rows = [
        {"id": f"i{i}", "time": start_s + 240 * i, "query": t, "answer": "a", "app": "shop",
         "segment": "mobile" if rng.random() < (0.3 if i < 360 else 0.6) else "web"}
        for i, t in enumerate(texts)
    ]  # fmt: skip
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    with opened() as loop:
        import_files(loop.warehouse, [tmp_path / "t.jsonl"], intake=loop.intake)
    app = typer.Typer()
    shift.add_to(app)
    words = ["--since", "2026-03-03", "--until", "2026-03-04", "--against", "2026-03-02..2026-03-03", "--app", "shop"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "plumber" in done.output
    assert "mobile" in done.output
    assert "330 distinct questions against 360" in done.output
    from andon.errors import InputError

    for bad, match in (("2026-03-02", "START..END"), ("2026-03-03..2026-03-02", "does not lie before")):
        with pytest.raises(InputError, match=match):
            CliRunner().invoke(app, [*words[:4], "--against", bad], catch_exceptions=False)
