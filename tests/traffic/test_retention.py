"""How long tables keep their rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.errors import ConfigError
from andon.traffic.retention import DEFAULT, due, retention

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


def test_a_setting_is_read():
    """Days and hours are read, with or without spaces, and what is not named keeps its default."""
    read = retention(" spans=30d,interactions = 500 d , logs=36h,")
    assert (read["spans"], read["interactions"], read["logs"]) == (30 * DAY_US, 500 * DAY_US, 36 * HOUR_US)
    assert {t: read[t] for t in ("feedback", "scores", "intake")} == {
        t: DEFAULT[t] for t in ("feedback", "scores", "intake")
    }


@pytest.mark.parametrize("text", ["", "  ", ",", " , "])
def test_an_empty_setting_changes_nothing(text):
    """Text without any part gives the defaults."""
    assert retention(text) == DEFAULT


def test_the_defaults_name_every_table():
    """There is a default for each table that grows, and raw material goes before what was made of it."""
    assert set(DEFAULT) == {"interactions", "feedback", "spans", "logs", "scores", "intake"}
    assert max(DEFAULT["spans"], DEFAULT["logs"], DEFAULT["intake"]) < min(
        DEFAULT["interactions"], DEFAULT["feedback"], DEFAULT["scores"]
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("spans", '"spans"'),
        ("spans=", '"spans="'),
        ("spans=30", '""'),
        ("spans=30w", '"w"'),
        ("spans=30D", '"D"'),
        ("spans=-1d", '"spans=-1d"'),
        ("spans=1.5d", '"spans=1.5d"'),
        ("spans=٣d", '"spans=٣d"'),
        ("spans=0d", '"spans=0d"'),
        ("spans=999999d", '"spans=999999d"'),
        ("traces=3d", '"traces"'),
        ("spans=3d, spans=4d", '"spans=4d"'),
        ("spans=3d; logs=3d", '"spans=3d; logs=3d"'),
        ("spans=3d\x1b[2J", "x1b"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(text, named):
    """A part that cannot be read, an unknown table or unit, a repetition or an impossible length is named, with what is allowed."""
    with pytest.raises(ConfigError) as refused:
        retention(text)
    message = str(refused.value)
    assert named in message
    assert message.isprintable()
    assert any(allowed in message for allowed in ("spans=30d", "interactions, feedback", "d (days)", "once"))


@given(
    st.dictionaries(st.sampled_from(sorted(DEFAULT)), st.integers(1, 36_525), min_size=1),
    st.integers(0, 4_000_000_000_000_000),
)
def test_what_is_due_lies_that_far_back(days, now_us):
    """For every table, rows older than its time are due, and no others; and the time fits into 64 bits."""
    read = retention(", ".join(f"{t}={n}d" for t, n in days.items()))
    found = due(read, now_us)
    assert set(found) == set(DEFAULT)
    for table, before_us in found.items():
        kept_us = days[table] * DAY_US if table in days else DEFAULT[table]
        assert now_us - before_us == kept_us
        assert -(2**63) < before_us < now_us
