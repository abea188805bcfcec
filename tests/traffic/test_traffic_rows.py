"""Records to columns and back."""

import time

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records_of import feedback, interactions

from andon.errors import InputError
from andon.traffic import (
    SCHEMAS,
    Context,
    Interaction,
    ToolCall,
    feedback_from_rows,
    feedback_to_rows,
    from_rows,
    to_rows,
)


@given(st.lists(interactions, max_size=5))
def test_interactions_survive_rows_exactly(items):
    """Interactions written as rows and read again are equal, field by field, and fit the schema."""
    table = to_rows(items)
    assert table.schema == SCHEMAS["interactions"]
    assert from_rows(table) == items


@given(st.lists(feedback, max_size=5))
def test_feedback_survives_rows_exactly(items):
    """Feedback written as rows and read again is equal, and fits the schema."""
    assert feedback_to_rows(items).schema == SCHEMAS["feedback"]
    assert feedback_from_rows(feedback_to_rows(items)) == items


@settings(max_examples=25)
@given(st.lists(interactions, min_size=1, max_size=4))
def test_rows_survive_parquet_and_duckdb(tmp_path_factory, items):
    """Rows written to Parquet and read by DuckDB or pyarrow give the same interactions."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    pq.write_table(to_rows(items), path)
    assert from_rows(pq.read_table(path)) == items
    read = duckdb.connect().sql("select * from read_parquet(?)", params=[str(path)]).to_arrow_table()
    assert from_rows(read) == items


def test_what_names_a_chart_holds_no_nul():
    """No database keeps a NUL in a name: in app, environment, segment and version it becomes U+FFFD, and nothing is lost."""
    odd = Interaction(id="a", time_us=1, app="sh\0op", environment="\0", task="a\0", model="m\0", query="q\0")
    assert from_rows(to_rows([odd])) == [
        Interaction(
            id="a", time_us=1, app="sh\ufffdop", environment="\ufffd", task="a\ufffd", model="m\ufffd", query="q\0"
        )
    ]


def test_missing_columns_take_their_defaults():
    """A table with fewer columns (an older one, or a projection) still gives interactions; the id is required."""
    table = pa.table({"id": ["a"], "time_us": [1], "app": pa.array([None], pa.string())})
    assert from_rows(table) == [Interaction(id="a", time_us=1)]
    with pytest.raises(InputError, match="no column time_us"):
        from_rows(table.drop(["time_us"]))


@pytest.mark.parametrize(
    "wrong",
    [{"features": {"age": float("nan")}}, {"features": {"age": 2**80}}, {"query": "\ud800"}, {"query": 3},
     {"attributes": {"a": "\ud800"}}, {"contexts": (Context(text=3),)}, {"input_tokens": 2**70}],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_column(wrong):
    """A value that no column holds is an InputError that names the field, not a crash of the engine."""
    with pytest.raises(InputError, match=next(iter(wrong))):
        to_rows([Interaction(**{"id": "a", "time_us": 1, **wrong})])


@pytest.mark.slow
def test_a_hundred_thousand_interactions_become_rows_in_seconds(record_property):
    """Rows are built by column: 100,000 interactions take a few seconds at most on one slow core."""
    items = [
        Interaction(
            id=f"i{i}", time_us=i, query="what is it?" * 5, answer="an answer" * 30, contexts=(Context(text="c" * 100),),
            tool_calls=(ToolCall(name="t"),), attributes={"team": "a"}, latency_s=0.1,
        )
        for i in range(100_000)
    ]  # fmt: skip
    began = time.perf_counter()
    table = to_rows(items)
    took = time.perf_counter() - began
    began = time.perf_counter()
    from_rows(table)
    record_property("to_rows_per_s", len(items) / took)
    record_property("from_rows_per_s", len(items) / (time.perf_counter() - began))
    assert took < 15
