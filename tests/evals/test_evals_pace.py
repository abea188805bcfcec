"""How fast a target is asked: rates, retries and budgets, on a clock that only moves when somebody sleeps."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import InputError, SeamError
from andon.evals import Output
from andon.evals.pace import BusyError, back_off, bucket_of, reserve
from andon.evals.run import run_evals
from andon.scores import SCORERS
from andon.scores.posting import LONGEST_WAIT_S, asked_to_wait

BY_NAME = {s.name: s for s in SCORERS}


class Clock:
    """A steady clock that moves when somebody sleeps."""

    def __init__(self):
        self.now_s = 100.0
        self.slept = []
        self.lock = threading.Lock()

    def __call__(self):
        with self.lock:
            return self.now_s

    def sleep(self, seconds):
        with self.lock:
            self.slept.append(seconds)
            self.now_s += seconds


class Moody:
    """A target that fails so often before it answers, and notes when it was asked."""

    name = "moody"

    def __init__(self, clock, *errors, output=None):
        self.clock, self.errors, self.output = clock, list(errors), output or Output(answer="8611 m")
        self.asked = []

    def ask(self, case):
        self.asked.append(self.clock())
        if self.errors:
            raise self.errors.pop(0)
        return self.output


def run(cases, target, words, clock, **more):
    """A run on this clock by one worker, unless said otherwise."""
    how = {"now_us": 0, "workers": 1, "clock": clock, "sleep": clock.sleep, **more}
    return run_evals(cases, target, BY_NAME, words, **how)


def test_a_rate_is_kept(case, words):
    """At 30 a minute, questions go out two seconds apart, the first at once, however many workers there are."""
    clock = Clock()
    target = Moody(clock)
    run([case(f"q{i}") for i in range(5)], target, words, clock, per_minute=30)
    assert target.asked == pytest.approx([100, 102, 104, 106, 108])


@given(st.lists(st.floats(0, 10), max_size=60), st.floats(1, 600))
def test_no_minute_holds_more_than_its_share_and_one(gaps, per_minute):
    """Whenever turns are reserved, the times of asking are at least a turn apart: a window has its share and one more."""
    bucket, now_s, asked = bucket_of(per_minute), 0.0, []
    for gap in gaps:
        now_s += gap
        bucket, wait_s = reserve(bucket, now_s)
        assert wait_s >= 0
        asked.append(now_s + wait_s)
    turn = 60 / per_minute
    assert all(b - a >= turn - 1e-6 for a, b in itertools.pairwise(asked))


def test_a_retryable_error_is_asked_again_and_another_is_not(case, words):
    """Twice by default, after growing pauses with jitter; a third failure, or one that is final, is the case's error."""
    clock = Clock()
    away = [SeamError("away", retryable=True) for _ in range(2)]
    target = Moody(clock, *away)
    assert run([case()], target, words, clock).results[0].outcome == "pass"
    assert len(target.asked) == 3
    assert 0.25 <= clock.slept[0] <= 0.5
    assert 0.5 <= clock.slept[1] <= 1.0
    target = Moody(clock, *away, SeamError("still away", retryable=True))
    result = run([case()], target, words, clock).results[0]
    assert (result.outcome, result.detail) == ("error", "still away (asked 3 times)")
    for final in (SeamError("no key"), ValueError("bad"), SystemExit(1)):
        target = Moody(clock, final)
        assert run([case()], target, words, clock).results[0].outcome == "error"
        assert len(target.asked) == 1
    target = Moody(clock, SeamError("away", retryable=True))
    assert run([case()], target, words, clock, retries=0).results[0].detail == "away"


def test_a_pause_that_a_target_asks_for_is_for_all(case, words):
    """After Retry-After: 20 nobody asks for 20 seconds, and then the rest goes on."""
    clock = Clock()
    target = Moody(clock, BusyError("slow down", wait_s=20))
    results = run([case(f"q{i}") for i in range(3)], target, words, clock).results
    assert [r.outcome for r in results] == ["pass"] * 3
    assert target.asked[0] == 100
    assert min(target.asked[1:]) >= 120


def test_a_pause_and_a_rate_hold_together(case, words):
    """With a rate of 60 a minute and a pause of 20 seconds, nobody asks in the pause, nor faster than the rate after it."""
    clock = Clock()
    target = Moody(clock, BusyError("slow down", wait_s=20))
    run([case(f"q{i}") for i in range(4)], target, words, clock, per_minute=60)
    assert target.asked[0] == 100
    assert target.asked[1] >= 120
    assert all(b - a >= 1 - 1e-9 for a, b in itertools.pairwise(target.asked))


def test_waits_are_bounded_and_repeatable():
    """The same question waits the same each time, two questions differently; nothing waits longer than two minutes."""
    assert back_off("a", 1) == back_off("a", 1) != back_off("b", 1)
    for tries in range(1, 100):
        assert 0.25 <= back_off("a", tries) <= 30
    assert back_off("a", 1, 9999) == LONGEST_WAIT_S
    assert back_off("a", 1, 7.0) == 7
    assert asked_to_wait(None, None) is None
    assert asked_to_wait("-5", None) is None
    assert asked_to_wait("９", None) is None
    assert asked_to_wait("9" * 5000, None) == LONGEST_WAIT_S
    late, early = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:07 GMT"
    assert (asked_to_wait(late, early), asked_to_wait(early, late), asked_to_wait(late, None)) == (30, 0, None)


def test_a_budget_stops_the_asking(case, words):
    """At 0.25 a question and a budget of 1, four are asked; the other six are errors that say why, not failures."""
    clock = Clock()
    target = Moody(clock, output=Output(answer="8611 m", cost_usd=0.25))
    cases = [case(f"q{i}") for i in range(10)]
    heard = []
    got = run(cases, target, words, clock, budget_usd=1.0, report=heard.append)
    assert len(target.asked) == 4
    assert [r.outcome for r in got.results].count("error") == 6
    assert got.results[-1].detail == "not asked: the budget of $1 is spent"
    assert heard[-1].spent_usd == 1.0
    assert got.results[0].cost_usd == 0.25
    many = Moody(clock, output=Output(answer="8611 m", cost_usd=0.25))
    run([case(f"q{i}") for i in range(100)], many, words, clock, budget_usd=1.0, workers=4)
    assert 4 <= len(many.asked) <= 8


def test_a_budget_without_a_price_asks_nothing_more(case, words):
    """A target that tells no cost cannot keep a budget: after its first answer nothing is asked, and it says what to do."""
    clock = Clock()
    target = Moody(clock)
    got = run([case(f"q{i}") for i in range(5)], target, words, clock, budget_usd=1.0)
    assert len(target.asked) == 1
    assert "price_per_million_in" in got.results[-1].detail


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"repeats": 0}, {"retries": -1}, {"per_minute": 0}, {"budget_usd": 0}, {"budget_usd": -1}]
)
def test_what_cannot_be_kept_is_refused(case, words, wrong):
    """A number that is too small is an input error that names it, before anything is asked."""
    clock = Clock()
    target = Moody(clock)
    with pytest.raises(InputError, match=next(iter(wrong))):
        run([case()], target, words, clock, **wrong)
    assert target.asked == []
