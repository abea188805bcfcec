"""The store that the page is measured on."""

import pytest
from bench.web_store import END_US, RARE, START_US, web_store

from andon.scores import score_schema
from andon.scores.run import ScoreCursor, installed_scorers
from andon.store import Ledger, Rollup, Warehouse
from andon.traffic import SCHEMAS
from andon.traffic.run import interaction_story, search_traffic
from andon.traffic.searching import ScoreCondition, Search


@pytest.mark.slow
def test_the_store_of_the_bench_is_whole_and_used_again(tmp_path, capsys):
    """A small store of the bench has its rows, scores and feedback, is told as scored, and is not built twice."""
    folder = web_store(tmp_path / "web", 3_000)
    store = Warehouse(folder, {**SCHEMAS, "scores": score_schema(installed_scorers())})
    rows = {t: store.run(Rollup(table=t))["rows"][0].as_py() for t in ("interactions", "scores", "feedback")}
    assert rows["interactions"] == 3_000
    assert rows["scores"] > 3_000
    assert 30 <= rows["feedback"] <= 90
    extent = store.extent("interactions")
    assert START_US <= extent.start_us < extent.end_us <= END_US
    low = Search(scores=(ScoreCondition(metric="groundedness", op="lt", value=0.5),))
    found = search_traffic(store, low, clock=lambda: 0.0)
    assert len(found.rows) == 50
    story = interaction_story(store, found.rows[0].id, at_us=found.rows[0].time_us)
    assert story.scores["groundedness"] < 0.5
    assert search_traffic(store, Search(question=RARE), clock=lambda: 0.0).rows
    ledger = Ledger.open(folder / "ledger.db")
    assert ledger.get(ScoreCursor, "scores").seq == store.newest("interactions")
    ledger.close()
    store.close()
    capsys.readouterr()
    assert web_store(folder, 3_000) == folder
    assert capsys.readouterr() == ("", "")
