"""Laws of the backtest: what a setting would have said is what its chart says, and every page is weighed once."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from charted import DAY, HOUR_US, MONDAY_US, WEEK, Traffic, monitor
from numpy.typing import NDArray

from andon import stats
from andon.errors import InputError
from andon.monitors import TRAFFIC, Monitor
from andon.monitors.backtest import CHARTS, Event, Setting, Trial, alarms_of, judge

FIRST = MONDAY_US // HOUR_US
LEARN, HOURS = 2 * WEEK, 4 * WEEK
SERIES = 40
KINDS = {"harm": "binary"}
Floats = NDArray[np.float64]
Alarms = tuple[NDArray[np.int64], NDArray[np.int64]]

MONITORS = [monitor(f"{i:02d}") for i in range(SERIES)]
TOLD = 20
"""Hours after which a rise to three times the harm, 36 an hour, must have been told by every chart that counts."""


@cache
def counts(shift: int | None = None, factor: float = 1.0) -> tuple[Floats, Floats]:
    """Four weeks of forty charts whose rate moves by the hour; the same in all tests that ask for the same."""
    return Traffic(
        series=SERIES, hours=HOURS, rate=0.05, spread=0.02, wave=0.1, shift=shift, factor=factor, seed=5
    ).draw()


def alarms(*settings: Setting, shift: int | None = None, factor: float = 1.0) -> list[Alarms]:
    """The alarms of these settings."""
    return alarms_of(MONITORS, KINDS, *counts(shift, factor), FIRST, LEARN, settings)


def same(one: Alarms, other: Alarms) -> bool:
    """Whether two settings gave the same alarms."""
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def event(name: str = "outage", start: int = 0, end: int = 24, **fields: str) -> Event:
    """Something that went wrong between two hours of the history."""
    where = {"app": "a", "environment": "e", **fields}
    return Event(name=name, start_us=(FIRST + start) * HOUR_US, end_us=(FIRST + end) * HOUR_US, **where)


def judged(alarmed: list[tuple[int, int]], *events: Event, monitors: list[Monitor] | None = None) -> Trial:
    """What alarms, given as (hour of the history, number of the chart), were worth."""
    hours, series = (np.array([a[i] for a in alarmed], dtype=np.int64) for i in (0, 1))
    return judge(Setting(), (hours + FIRST, series), monitors or MONITORS, 720, events)


@pytest.mark.parametrize("chart", CHARTS)
def test_settings_that_share_work_are_the_settings_alone(chart: str) -> None:
    """Settings of one chart that differ in their budget give together what each gives alone, in the order asked for."""
    settings = [Setting(chart=chart, false_pages_per_month=b) for b in (500.0, 0.1, 20.0)]  # type: ignore[arg-type]
    together = alarms(*settings, shift=LEARN + 100, factor=3.0)
    for setting, found in zip(settings, together, strict=True):
        assert same(found, alarms(setting, shift=LEARN + 100, factor=3.0)[0])
    assert len(together[0][0]) > 0


def test_charts_and_guards_are_kept_apart() -> None:
    """Settings that differ in more than the budget, given at once and mixed, are those of each alone."""
    settings = [
        Setting(chart="cusum", false_pages_per_month=50.0),
        Setting(false_pages_per_month=50.0),
        Setting(chart="two-sigma"),
        Setting(false_pages_per_month=50.0, guard=0.0),
        Setting(chart="cusum", false_pages_per_month=5.0),
    ]
    together = alarms(*settings, shift=LEARN + 100, factor=1.3)
    assert all(same(t, alarms(s, shift=LEARN + 100, factor=1.3)[0]) for t, s in zip(together, settings, strict=True))
    assert not same(together[1], together[3])  # without a guard more is told
    assert len(together[3][0]) > len(together[1][0])


@pytest.mark.parametrize("chart", ["shewhart", "ewma", "cusum", "e-detector"])
def test_a_stricter_budget_never_alarms_more(chart: str) -> None:
    """Fewer false pages a month: no setting has more alarms, and none comes before one of a larger budget on its chart."""
    settings = [Setting(chart=chart, false_pages_per_month=b) for b in (1000.0, 100.0, 10.0, 1.0, 0.1)]  # type: ignore[arg-type]
    for shift, factor in ((None, 1.0), (LEARN + 100, 1.6)):
        found = alarms(*settings, shift=shift, factor=factor)
        assert [len(hours) for hours, _ in found] == sorted((len(hours) for hours, _ in found), reverse=True)
        firsts = [[min(h[s == i], default=10**9) for i in range(SERIES)] for h, s in found]
        assert (np.diff(firsts, axis=0) >= 0).all()
    assert len(found[0][0]) > len(found[-1][0]) > 0


def test_the_e_detector_is_the_one_of_the_running_charts() -> None:
    """Its alarms are those of `stats.detect` against `stats.fit_baseline`, guarded, at charts x 720 / budget hours each."""
    n, x = counts(LEARN + 100, 2.0)
    clock = stats.clock_of(FIRST + np.arange(HOURS))
    base = stats.fit_baseline(x[:LEARN], n[:LEARN], clock[:LEARN])
    for guard in (1.0, 0.5):
        mean = n[LEARN:] * np.exp(base.log_rate + guard * base.guard)[clock[LEARN:]]
        ((hours, series),) = stats.detect(
            x[LEARN:] * base.scale, mean, base.spread, base.persistence, [SERIES * 720 / 2],
            log_ratio=stats.log_ratios(base.rate),
        )  # fmt: skip
        expected = hours + FIRST + LEARN, series
        assert len(hours) >= SERIES
        assert same(alarms(Setting(false_pages_per_month=2.0, guard=guard), shift=LEARN + 100, factor=2.0)[0], expected)


def test_a_number_is_judged_by_the_variance_of_ridits() -> None:
    """The typical value of a number, whose mean ridit is 1/2, is held against the variance of ridits; its tail is a rate."""
    rng = np.random.default_rng(3)
    n = np.full((HOURS, 2), 60.0)
    x = np.column_stack([rng.random((HOURS, 60)).sum(axis=1), rng.binomial(60, 0.2, HOURS)])
    both = [monitor("typical", "latency"), replace(monitor("tail", "latency"), aspect="tail")]
    rate = (x[:LEARN].sum(axis=0) + 0.5) / (n[:LEARN].sum(axis=0) + 1)
    clock = stats.clock_of(FIRST + np.arange(HOURS))
    variance = np.array([stats.RIDIT_VARIANCE, rate[1] * (1 - rate[1])])
    base = stats.fit_baseline(x[:LEARN], n[:LEARN], clock[:LEARN], variance=variance)
    mean = n[LEARN:] * np.exp(base.log_rate + base.guard)[clock[LEARN:]]
    x[LEARN + 50 :] *= 1.3
    ratio = stats.log_ratios(base.rate)
    ((hours, series),) = stats.detect(
        x[LEARN:] * base.scale, mean, base.spread, base.persistence, [2 * 720], log_ratio=ratio
    )
    (found,) = alarms_of(both, {"latency": "number"}, n, x, FIRST, LEARN, [Setting()])
    assert set(series.tolist()) == {0, 1}
    assert same(found, (hours + FIRST + LEARN, series))


@pytest.mark.parametrize("chart", CHARTS)
def test_every_chart_runs_and_finds_a_plain_shift(chart: str) -> None:
    """Three times the harm is found by each chart, within a day, and its trial says how late and by which monitor."""
    setting = Setting(chart=chart)  # type: ignore[arg-type]
    (found,) = alarms(setting, shift=LEARN + 100, factor=3.0)
    assert (found[0] >= FIRST + LEARN).all()
    trial = judge(setting, found, MONITORS, HOURS - LEARN, [event("shift", LEARN + 100, HOURS)])
    assert trial.missed == ()
    at_us, name = trial.found["shift"]
    assert 0 < at_us - (FIRST + LEARN + 100) * HOUR_US <= TOLD * HOUR_US
    assert name in {m.id for m in MONITORS}


def test_the_rule_of_thumb_cries_wolf() -> None:
    """On stable traffic of forty apps "two-sigma" wakes each of them every week, the e-detector of one page a month none."""
    apps = [replace(m, app=str(i)) for i, m in enumerate(MONITORS)]
    settings = (Setting(chart="two-sigma"), Setting())
    found = zip(settings, alarms(*settings), strict=True)
    thumb, detector = (judge(s, a, apps, HOURS - LEARN, []) for s, a in found)
    assert detector.false_pages == detector.pages == 0
    assert thumb.false_pages == thumb.pages
    assert thumb.false_a_month > 30 / 7 * SERIES


def test_what_stands_in_the_baseline_is_not_watched() -> None:
    """Harm in the hours that are learned from raises no alarm; what is watched begins after them."""
    n, x = counts()
    x = x.copy()
    x[LEARN - 30 : LEARN - 24] *= 6
    for hours, _ in alarms_of(MONITORS, KINDS, n, x, FIRST, LEARN, [Setting(chart=c) for c in CHARTS]):
        assert (hours >= FIRST + LEARN).all()


def test_traffic_and_objectives_are_left_out() -> None:
    """Charts of the traffic itself and of objectives raise no alarm, and take nothing from the budget of the others."""
    n, x = counts(LEARN + 100, 2.0)
    more = [*MONITORS, replace(MONITORS[0], metric=TRAFFIC), replace(MONITORS[0], objective="o", at_most=0.001)]
    wide = np.column_stack([n, n[:, :2]]), np.column_stack([x, n[:, 0] * (np.arange(HOURS) < LEARN), x[:, 1]])
    (found,) = alarms_of(more, KINDS, *wide, FIRST, LEARN, [Setting()])
    assert same(found, alarms(Setting(), shift=LEARN + 100, factor=2.0)[0])


def test_alarms_carry_the_numbers_of_the_charts_that_were_given() -> None:
    """Charts with too little to learn from are left out without moving the numbers of the others."""
    n, x = (a.copy() for a in counts(LEARN + 100, 3.0))
    n[:LEARN, ::2] = x[:LEARN, ::2] = 0
    (found,) = alarms_of(MONITORS, KINDS, n, x, FIRST, LEARN, [Setting()])
    assert set(found[1].tolist()) == set(range(1, SERIES, 2))


@pytest.mark.parametrize("learn", [-24, 0, 47, HOURS, HOURS + 1])
def test_too_little_history_is_refused(learn: int) -> None:
    """Fewer than two days to learn from, or nothing left to watch: the message has both numbers and what is needed."""
    with pytest.raises(InputError, match=rf"{HOURS} hours.*{learn} would be learned from: at least 48.*left to watch"):
        alarms_of(MONITORS, KINDS, *counts(), FIRST, learn, [Setting()])


def test_no_usable_chart_is_refused() -> None:
    """Where no chart has a hundred observations to learn from, the message says so and what to do."""
    n, x = counts()
    with pytest.raises(InputError, match=r"no chart has 100 observations.*learn from more hours"):
        alarms_of(MONITORS, KINDS, n * 1e-3, x * 1e-3, FIRST, LEARN, [Setting()])
    with pytest.raises(InputError, match="no chart"):
        alarms_of([replace(m, metric=TRAFFIC) for m in MONITORS], KINDS, n, x, FIRST, LEARN, [Setting()])


def test_an_event_is_found_with_its_lag_and_the_rest_is_false() -> None:
    """An alarm within an event, or within a day of its end, tells of it; its time is the end of its hour."""
    trial = judged(
        [(100, 3), (500, 1), (700, 2)], event("one", 480, 510), event("two", 600, 690), event("three", 800, 810)
    )
    assert trial.found == {
        "one": ((FIRST + 501) * HOUR_US, MONITORS[1].id),
        "two": ((FIRST + 701) * HOUR_US, MONITORS[2].id),
    }
    assert trial.missed == ("three",)
    assert (trial.alarms, trial.pages, trial.false_pages) == (3, 3, 1)
    assert trial.months == 1.0
    assert trial.false_a_month == 1.0


@pytest.mark.parametrize(("hour", "told"), [(98, False), (99, False), (100, True), (143, True), (144, False)])
def test_the_edges_of_an_event(hour: int, told: bool) -> None:
    """The end of the alarm's hour counts: after the start of the event (its hour saw some of it), to a day after its end."""
    trial = judged([(hour, 0)], event("e", 100, 120))
    assert bool(trial.found) is told
    assert trial.false_pages == (not told)


@pytest.mark.parametrize("other", [{"app": "b"}, {"environment": "staging"}])
def test_an_alarm_of_another_app_tells_of_nothing(other: dict[str, str]) -> None:
    """Alarms count for events of their own app and environment alone."""
    trial = judged([(110, 0)], event("e", 100, 120, **other))
    assert trial.missed == ("e",)
    assert trial.false_pages == 1


def test_alarms_of_one_app_within_a_day_are_one_page() -> None:
    """Alarms of any charts of one app within a day of a page are part of it; another app's, or later ones, are others."""
    apps = [MONITORS[0], MONITORS[1], replace(MONITORS[2], app="b")]
    assert judged([(100, 0), (110, 1), (123, 0)], monitors=apps).pages == 1
    assert judged([(100, 0), (110, 1), (130, 1)], monitors=apps).pages == 1  # the second chart is still silent
    assert judged([(100, 0), (110, 1), (135, 1)], monitors=apps).pages == 2
    assert judged([(100, 0), (110, 2)], monitors=apps).pages == 2
    assert judged([(100, 0), (124, 1)], monitors=apps).pages == 2
    assert judged([(100, 0), (123, 1)], monitors=apps).pages == 1


def test_a_chart_is_silent_until_it_was_calm_for_a_day() -> None:
    """A chart that alarms every hour is one alarm, however long it lasts; after a calm day its next is another."""
    lasting = [(hour, 0) for hour in range(100, 100 + 3 * DAY)]
    assert judged(lasting).alarms == 1
    assert judged([*lasting, (100 + 4 * DAY, 0)]).alarms == 2
    assert judged([*lasting, (100 + 4 * DAY - 2, 0)]).alarms == 1


def test_no_alarms_miss_everything() -> None:
    """Without alarms there are no pages, every event is missed, and the rate of false pages is 0, not undefined."""
    trial = judged([], event())
    assert (trial.alarms, trial.pages, trial.false_a_month, trial.missed) == (0, 0, 0.0, ("outage",))
    assert trial.found == {}


def test_names_tell_settings_apart() -> None:
    """Every setting that differs in what it does has another name, and the rule of thumb names no budget."""
    settings = [Setting(chart=c, false_pages_per_month=b) for c in CHARTS[:-1] for b in (1.0, 2.5)]
    settings += [Setting(guard=0.5), Setting(chart="two-sigma")]
    assert len({s.name for s in settings}) == len(settings)
    assert Setting(chart="two-sigma", false_pages_per_month=3.0).name == settings[-1].name
