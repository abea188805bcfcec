"""Laws of what an incident is called, how bad it is and what belongs to it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.incidents import (
    classify,
    duration,
    join,
    merges,
    open_incident,
    phrase_of,
    scope_text,
    severity_of,
    title_of,
)
from andon.incidents.states import overrule
from andon.incidents.triage import (
    SEVERITY_RULES,
    WORST_FIRST,
    leaves_lead,
    severest,
    suggested_severity,
    worsened,
)
from andon.monitors import Signal
from andon.scores import LABELS, SCORERS

T0 = 1_790_000_000_000_000
HOUR = 3_600_000_000


def signal(name: str = "s1", **fields) -> Signal:
    """A signal of 30 refusals in 100 against 2 in 100, an hour after its onset."""
    told = {
        "monitor": f"bot/{name}",
        "app": "bot",
        "environment": "production",
        "metric": "refusal",
        "direction": "up",
        "at_us": T0,
        "window_us": 300_000_000,
        "x": 30,
        "n": 100,
        "baseline_x": 20,
        "baseline_n": 1000,
        "baseline_from_us": T0 - 48 * HOUR,
        "baseline_to_us": T0 - 24 * HOUR,
        "statistic": 1e4,
        "threshold": 1e4,
        "onset_us": T0 - HOUR,
        "onset_low_us": T0 - 2 * HOUR,
        "onset_high_us": T0 - HOUR // 2,
    }
    return Signal(id=name, **{**told, **fields})


def test_the_worst_harm_names_the_class() -> None:
    """Whatever the order of harms, the class is the one that comes first by what users lose."""
    signals = [signal(h, harm=h) for h in reversed(WORST_FIRST)]
    for k in range(len(WORST_FIRST)):
        harm, reason, lead = classify(signals[: len(WORST_FIRST) - k])
        assert harm == lead.harm == WORST_FIRST[k]
        assert reason.startswith(f"{harm}: ")


def test_the_reason_names_what_else_moved() -> None:
    """Harms of other classes stand in the reason, sorted."""
    reason = classify([signal("a", harm="safety"), signal("b", harm="usefulness"), signal("c", harm="cost")])[1]
    assert reason.endswith("; also moved: cost, usefulness")


def test_a_rate_leads_before_a_proxy() -> None:
    """Within the class a rate of harm leads before the worst fifth of a number, even a larger one."""
    proxy = signal("proxy", kind="number", metric="groundedness", harm="correctness", x=90)
    rate = signal("rate", metric="exact_match", harm="correctness", x=20)
    assert classify([proxy, rate])[2] is rate
    assert classify([proxy])[2] is proxy


def test_the_narrowest_part_with_all_the_harm_leads() -> None:
    """Among signals with nearly all the excess, the one whose rate rose most leads; a small part of the harm never does."""
    whole = signal("whole", x=100, n=1000)
    part = signal("part", x=82, n=100, scope={"risk_category": "high"}, baseline_x=0)
    splinter = signal("splinter", x=10, n=10, scope={"task": "t"}, baseline_x=0)
    assert classify([whole, part, splinter])[2] is part


def test_a_segment_leads_before_a_topic() -> None:
    """People know their segments, not the keys of topics: a topic leads only where nothing else has that class."""
    segment = signal("segment", x=82, n=100, scope={"task": "returns"}, baseline_x=0)
    topic = signal("topic", x=90, n=95, scope={"topic": "t03"}, baseline_x=0)
    assert classify([topic, segment])[2] is segment
    assert classify([topic])[2] is topic


@given(st.permutations(range(6)))
def test_the_order_of_signals_is_no_matter(order) -> None:
    """Any order of the same signals gives the same class, reason, leader and incident."""
    signals = [signal(f"s{k}", x=30 + 5 * (k % 3), harm=("cost", "usefulness")[k % 2], at_us=T0 + k) for k in range(6)]
    mixed = [signals[k] for k in order]
    assert classify(mixed) == classify(signals)
    first = replace(open_incident(1, signals), alarmed_us=T0)
    assert join(first, mixed) == join(first, signals)


@pytest.mark.parametrize(
    ("harm", "scope", "x", "level", "says"),
    [
        ("safety", {}, 3, "P1", "any safety harm"),
        ("compliance", {}, 3, "P1", "any compliance harm"),
        ("usefulness", {"risk_category": "High"}, 8, "P1", "high-risk category"),
        ("usefulness", {"risk_category": "high"}, 6, "P3", "below a tenth"),
        ("usefulness", {"risk_category": "low"}, 8, "P3", "below a tenth"),
        ("correctness", {}, 3, "P2", "any correctness harm"),
        ("availability", {}, 3, "P2", "any availability harm"),
        ("cost", {}, 13, "P2", "at least a tenth"),
        ("cost", {}, 11, "P3", "below a tenth"),
    ],
)
def test_severity_names_its_rule(harm, scope, x, level, says) -> None:
    """Severity follows harm, risk category and affected share, and its text names the rule that decided and the share."""
    lead = signal(harm=harm, scope=scope, x=x)
    severity, reason = severity_of(harm, lead)
    assert severity == level
    assert reason.startswith(f"{level}: ")
    assert says in reason
    assert f"{100 * (lead.rate - lead.baseline_rate):+.0f} % of {scope_text(scope)}" in reason


def test_a_small_share_is_told_as_it_is() -> None:
    """A rise by less than a percent is no "+0 %", and all figures have the same form."""
    lead = signal(harm="safety", scope={"risk_category": "medical"}, x=8, n=1000, baseline_x=5)
    assert severity_of("safety", lead)[1] == "P1: any safety harm (+0.3 % of risk category “medical”)"
    assert "rose from 0.5 % to 0.8 % in" in title_of(lead, lead.onset_us)
    large = signal(x=123_456, n=1_000_000, baseline_x=0)
    assert "rose from 0 % to 12.3 % in" in title_of(large, large.onset_us)


def test_a_title_is_one_sentence_of_what_whom_and_when() -> None:
    """The title names the harm, both rates, the part of the traffic, the app and the time in UTC."""
    lead = signal(scope={"risk_category": "high"})
    title = title_of(lead, lead.onset_us)
    assert title == (
        "The share of answers that refuse rose from 2 % to 30 % in risk category “high” of app bot since 2026-09-21 13:13 UTC"
    )


def test_a_title_says_what_kind_of_chart_spoke() -> None:
    """Traffic that is missing fell, and is no share that rose; a broken objective names what it allows."""
    silent = signal(metric="traffic", direction="down", harm="availability", x=85, n=100, baseline_x=0)
    assert title_of(silent, silent.onset_us).startswith(
        "Traffic fell to 15 % of what is usual in all traffic of app bot since"
    )
    assert classify([silent])[1] == "availability: traffic fell in all traffic"
    assert severity_of("availability", silent)[1] == "P2: any availability harm (-85 % of all traffic)"
    broken = signal(objective="refusals <1 %", baseline_x=1, baseline_n=100)
    assert title_of(broken, broken.onset_us).startswith(
        "The share of answers that refuse is 30 % where objective refusals <1 % allows 1 % in all traffic of app bot since"
    )


HOSTILE = "<img src=x onerror=alert(1)>\x1b[2J\n# heading | `x` \u202e" + "A" * 10_000


def test_a_part_of_the_traffic_reads_as_a_name() -> None:
    """Values stand in quotation marks, so that a sentence around them can be read; the app is called one."""
    assert scope_text({"risk_category": "high", "task": "case law"}) == "risk category “high”, task “case law”"
    assert scope_text({"task": "case law"}, "legal") == "task “case law” of app legal"
    assert scope_text({}) == "all traffic"
    assert scope_text({}, "legal") == "all traffic of app legal"


def test_hostile_names_stay_on_one_short_line() -> None:
    """Names from traffic reach titles and reasons printable, on one line, shortened."""
    lead = signal(scope={"segment": HOSTILE, "task": " \n"}, app=HOSTILE)
    incident = open_incident(1, [lead])
    for text in (incident.title, incident.impact_reason, incident.severity_reason, scope_text(lead.scope)):
        assert text.isprintable()
        assert len(text) < 400
    assert incident.scope == lead.scope
    assert incident.app == HOSTILE


@pytest.mark.parametrize(
    ("changed", "onset_h", "same"),
    [
        ({}, 0, True),
        ({}, 24, True),
        ({}, 24.01, False),
        ({"monitor": "bot/s1"}, 24.01, True),
        ({"app": "other"}, 0, False),
        ({"app": "other", "monitor": "bot/s1"}, 0, False),
        ({"environment": "staging"}, 0, False),
    ],
)
def test_what_belongs_together(changed, onset_h, same) -> None:
    """A signal belongs to an open incident of its app whose last signal is no more than a day before its onset, or whose chart speaks again."""
    incident = open_incident(1, [signal("bot/s1@1")])
    onset_us = T0 + int(onset_h * HOUR)
    later = signal("later", **{"at_us": onset_us + HOUR, "onset_us": onset_us, **changed})
    assert merges(incident, later) is same
    assert not merges(replace(incident, state="closed"), later)


def test_the_first_page_leads_what_a_person_reported() -> None:
    """An incident without a signal takes class, scope and onset of the first page, and keeps its number and first alarm."""
    report = replace(
        open_incident(7, [signal("a")]),
        lead="", metric="", signals=(), scope={}, origin="report", impact="correctness", alarmed_us=T0 - 90,
        onset_us=T0 - 99, onset_low_us=T0 - 99, onset_high_us=T0 - 99,
    )  # fmt: skip
    page = signal("b", scope={"task": "faq"}, at_us=T0 + 96 * HOUR)
    assert not leaves_lead(report, [page])
    assert leaves_lead(report, [signal("w", level="warning")])
    joined = join(report, [page])
    assert (joined.id, joined.lead, joined.scope, joined.impact) == ("INC-0007", "b", {"task": "faq"}, "usefulness")
    assert (joined.onset_us, joined.onset_low_us, joined.onset_high_us) == (T0 - HOUR, T0 - 2 * HOUR, T0 - HOUR // 2)
    assert joined.alarmed_us == T0 - 90


def test_the_rule_of_severity_is_whole() -> None:
    """Whatever the class, part and share, one row fits, and no row is out of reach."""
    reached = set()
    for harm in WORST_FIRST:
        for scope in ({}, {"risk_category": "high"}):
            for x in (3, 8, 30):
                severity, reason = severity_of(harm, signal(harm=harm, scope=scope, x=x))
                reached |= {
                    k
                    for k, r in enumerate(SEVERITY_RULES)
                    if reason.startswith(f"{severity}: {r.text.format(harm=harm)} (")
                }
    assert reached == set(range(len(SEVERITY_RULES)))


@given(onset=st.integers(-100, 50), before=st.integers(0, 50), after=st.integers(0, 50))
def test_the_lag_interval_holds_the_lag(onset, before, after) -> None:
    """Shortest <= best <= longest lag, and none is negative, wherever the onset lies."""
    lead = signal(
        onset_us=T0 + onset * HOUR, onset_low_us=T0 + (onset - before) * HOUR, onset_high_us=T0 + (onset + after) * HOUR
    )
    best, low, high = open_incident(1, [lead]).lag_s
    assert 0 <= low <= best <= high


@pytest.mark.parametrize("metric", [*[s.name for s in SCORERS], *LABELS, "my_plugin_metric"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_every_metric_has_words(metric: str, direction: str) -> None:
    """Each metric and direction has a phrase that fits "the share of ...", without underscores."""
    phrase = phrase_of(metric, direction)
    assert phrase
    assert "_" not in phrase


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119.4, "119 s"),
        (120, "2 min"),
        (7140, "119 min"),
        (7200, "2 h"),
        (12_000, "3 h 20 min"),
        (172_799, "2 d"),
        (532_800, "6 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Durations are in the unit that a person would take."""
    assert duration(seconds) == text


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_durations_never_carry_sixty_of_a_smaller_unit(a: int, b: int) -> None:
    """No duration says 60 min or 24 h beside a larger unit."""
    text = duration(a + b / 1e8)
    assert " 60 min" not in text
    assert not ("d" in text and " 24 h" in text)


HIGH = {"risk_category": "high"}


def test_harm_that_grows_raises_the_severity() -> None:
    """Six points more of a high-risk category are P1 whoever leads; the reason names that part, and lead and title stay."""
    lead = signal("a", harm="correctness", x=6)
    opened = open_incident(1, [lead])
    assert opened.severity == "P2"
    grown = signal("b", harm="correctness", x=8, scope=HIGH, at_us=T0 + HOUR)
    joined = join(opened, [lead, grown])
    assert (joined.severity, joined.severity_reason) == (
        "P1",
        "P1: at least 5 % more of a high-risk category affected (+6 % of risk category “high”)",
    )
    late = replace(grown, at_us=T0 + 90 * HOUR)
    assert leaves_lead(opened, [late])
    told = worsened(opened, lead, [late])
    assert told.severity_reason == joined.severity_reason
    assert replace(told, severity="P2", severity_reason=opened.severity_reason) == opened


def test_a_small_part_is_no_tenth_of_the_traffic() -> None:
    """A page raises the severity where it holds as much harm as the leading one, not where few cases have a high rate."""
    lead = signal("a", x=11)
    small = signal("b", x=5, n=6, baseline_x=0, scope={"task": "rare"})
    assert severest("usefulness", lead, [lead, small])[0] == "P3"
    assert severest("usefulness", lead, [lead, replace(small, x=50, n=60)])[0] == "P2"
    warning = signal("w", x=90, level="warning")
    other = signal("o", x=90, harm="cost", scope=HIGH)
    assert severest("usefulness", lead, [lead, warning, other])[0] == "P3"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("usefulness", "cost")), st.sampled_from(({}, HIGH, {"task": "t"})), st.integers(3, 40)
        ),
        min_size=1,
        max_size=6,
    )
)
def test_late_pages_tell_the_same_one_by_one_as_together(rows) -> None:
    """Pages that come after the first days, one at a time, end at the severity and reason that all of them together give."""
    lead = signal("a", x=6)
    late = [
        signal(f"s{k}", harm=harm, scope=scope, x=x, at_us=T0 + (60 + k) * HOUR)
        for k, (harm, scope, x) in enumerate(rows)
    ]
    one = open_incident(1, [lead])
    for s in late:
        assert leaves_lead(one, [s])
        one = worsened(one, lead, [s])
    whole = join(open_incident(1, [lead]), [lead, *late])
    assert (one.severity, one.severity_reason, one.lead) == (whole.severity, whole.severity_reason, whole.lead)
    assert suggested_severity(one, [lead, *late]) == one


def test_a_person_s_severity_stays_when_harm_grows() -> None:
    """What a person said stands; the worse suggestion is kept beside it, and a lesser one does not take its place."""
    lead = signal("a", x=6)
    said = overrule(open_incident(1, [lead]), "severity", "P3", "nobody reads it", by="ann", now_us=T0)
    grown = worsened(said, lead, [signal("b", x=30, at_us=T0 + 90 * HOUR)])
    assert grown.severity == "P3"
    assert grown.overrules[-1].latest == "P2: at least a tenth more of the traffic affected (+28 % of all traffic)"
    assert worsened(grown, lead, [signal("c", x=7, at_us=T0 + 91 * HOUR)]) == grown
