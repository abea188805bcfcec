"""How far rows reach back, told by what is known of the files; and finding one row among many by its id."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.store import Span, Warehouse
from andon.store.table import ROW_GROUP

SCHEMA = pa.schema([("id", pa.string()), ("time_us", pa.int64()), ("user_id", pa.string()), ("text", pa.string())])


def store_of(folder, commits):
    """A store with these times, one file for each list."""
    store = Warehouse(folder, {"turns": SCHEMA})
    for n, times in enumerate(commits):
        rows = [{"id": f"{n}-{k}", "time_us": t, "user_id": "u", "text": "t"} for k, t in enumerate(times)]
        store.append("turns", pa.Table.from_pylist(rows, SCHEMA))
        store.commit()
    return store


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 10**6), min_size=1, max_size=30), max_size=5),
    st.integers(1, 2 * 10**6),
    st.integers(1, 100),
)
def test_steps_back_reach_every_row_and_end(tmp_path_factory, commits, top, rows):
    """Going back step by step, each step is before the last, the steps end, and together they cover every row before the start."""
    store = store_of(tmp_path_factory.mktemp("back"), commits)
    times = sorted(t for some in commits for t in some)
    extent = store.extent("turns")
    assert extent == (Span(start_us=times[0], end_us=times[-1] + 1) if times else None)
    low, steps = top, 0
    while (start := store.back_to("turns", low, rows)) is not None:
        assert start < low
        low, steps = start, steps + 1
    assert not [t for t in times if t < low]
    assert steps <= 2 * len(times) + 1
    store.close()


def test_a_step_holds_about_the_rows_that_are_asked(tmp_path):
    """Where rows come evenly a step back holds as many as were asked; a time without any is stepped over."""
    store = store_of(tmp_path, [range(0, 1000, 10), range(9000, 10_000, 10)])
    assert store.back_to("turns", 10_000, 50) == pytest.approx(9500, abs=15)
    assert store.back_to("turns", 10**12, 100) == pytest.approx(9000, abs=15)
    assert store.back_to("turns", 9000, 50) == pytest.approx(495, abs=15)
    assert store.back_to("turns", 9000, 10**6) == 0
    assert store.back_to("turns", 0, 1) is None
    store.close()


def test_files_can_be_asked_whether_they_hold_an_id(tmp_path):
    """Every file has a filter for its ids, so that a look-up skips what cannot hold one; no other column has one."""
    store = store_of(tmp_path, [range(ROW_GROUP + 10)])
    (file,) = (tmp_path / "tables" / "turns").glob("part-*.parquet")
    meta = pq.ParquetFile(file).metadata
    assert meta.num_row_groups == 2
    for group in (meta.row_group(0), meta.row_group(1)):
        columns = [group.column(k) for k in range(group.num_columns)]
        assert [c.path_in_schema for c in columns if c.bloom_filter_offset] == ["id", "user_id"]
    store.close()
