"""The three stories of the demo, end to end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from andon.changes.run import record_change
from andon.demo import STORIES, tell
from andon.errors import InputError
from andon.loop import open_loop, replay
from andon.settings import Settings
from andon.traffic.run import record

# the ten weeks of the legal one take a minute to replay; one story is enough for the quick part
SLOW = {"legal", "triage"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in STORIES])
def test_a_story_ends_in_one_incident_with_its_true_cause_first(name: str, tmp_path: Path) -> None:
    """Each story opens one incident, after its beginning and of the right class, and ranks the true cause first."""
    story = STORIES[name](np.random.default_rng([0, list(STORIES).index(name)]))
    loop = open_loop(Settings(home=tmp_path, window_s=story.window_s, embedder="hashed"))
    for change in story.changes:
        record_change(loop.ledger, change, now_us=change.at_us, by=change.author)
    record(loop.warehouse, story.traffic)
    result = replay(loop, ())
    assert [i.impact for i in result.incidents] == [story.impact]
    assert result.incidents[0].alarmed_us > story.began_us
    suspects = result.investigations[0].suspects
    assert suspects[0].kind == story.cause, [(s.kind, round(s.probability, 3)) for s in suspects[:4]]
    assert len(story.traffic) == len({i.id for i in story.traffic})
    loop.close()


@pytest.mark.parametrize("name", list(STORIES))
def test_stories_keep_their_published_figures(name: str) -> None:
    """The simulated traffic shows the figures that the guides tell."""
    story = STORIES[name](np.random.default_rng([0, list(STORIES).index(name)]))
    late = [i for i in story.traffic if i.time_us >= story.traffic[-1].time_us - 3_600_000_000]
    if name == "triage":
        total = sum(i.weight for i in story.traffic)
        high = [i for i in story.traffic if i.risk_category == "high"]
        assert 0.002 < sum(i.weight for i in high) / total < 0.004
        in_72_h = [i for i in high if 0 <= i.time_us - story.began_us < 72 * 3_600_000_000]
        assert 700 < len(in_72_h) < 1000
        after = [i for i in high if i.time_us - story.began_us >= 72 * 3_600_000_000]
        assert np.mean(["cannot advise" in (i.answer or "") for i in after]) < 0.06
    elif name == "support":
        before = [i for i in story.traffic if i.time_us < story.began_us]
        assert 0.08 <= np.mean([bool(i.escalated) for i in before]) <= 0.12
        assert np.mean([bool(i.escalated) for i in late]) > 0.9
    else:
        assert len({i.index_version for i in story.traffic}) == 1
        assert len({i.corpus_version for i in story.traffic}) == 2


def test_the_demo_keeps_out_of_other_peoples_folders(tmp_path: Path) -> None:
    """A folder that an earlier demo did not make is refused and left as it is."""
    kept = tmp_path / "thesis.txt"
    kept.write_text("do not delete")
    with pytest.raises(InputError, match="another folder"):
        tell(tmp_path)
    assert kept.read_text() == "do not delete"


def test_a_story_is_the_same_for_the_same_seed() -> None:
    """The same seed tells the same story, another seed another one."""
    one, same, other = (STORIES["support"](np.random.default_rng(s)) for s in (3, 3, 4))
    assert one == same
    assert replace(one, traffic=()) == replace(other, traffic=())
    assert one.traffic != other.traffic
