"""One suite for every engine: each plan gives what plain Python gives."""

import json
import math
import operator
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andon.errors import InputError
from andon.store import (
    Engine,
    Histogram,
    Lookup,
    Plan,
    Rollup,
    Sample,
    Slice,
    Span,
    Warehouse,
    Where,
    bin_edges,
    bin_of,
    from_json,
    to_json,
)
from andon.store.duck import Duck

DAY = 86_400_000_000
PASSAGES = pa.list_(pa.struct([("text", pa.string()), ("score", pa.float64())]))
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("time_us", pa.int64()),
        ("model", pa.string()),
        ("answer", pa.string()),
        ("refused", pa.bool_()),
        ("tokens", pa.int64()),
        ("latency_s", pa.float64()),
        ("contexts", PASSAGES),
        ("weight", pa.float64()),
    ]
)
WORDS = ["", "Straße", "ÄÖÜ äöü", "100 % sure_", "'; DROP TABLE t; --", "日本語", "🦆 duck", "a\0b", "\\", None]


def generated(seed: int, n: int, first: int = 0) -> list[dict[str, object]]:
    """Rows with nulls, negative numbers, bools, nested lists and every kind of text."""
    rng = random.Random(seed)

    def maybe(value: object) -> object:
        return None if rng.random() < 0.2 else value

    return [
        {
            "id": f"{'é' if i % 7 == 0 else 'r'}-{i:05d}",
            "time_us": rng.randrange(-3 * DAY, 3 * DAY),
            "model": rng.choice(["m-1", "m-2", "Ω", None]),
            "answer": rng.choice(WORDS),
            "refused": maybe(rng.random() < 0.3),
            "tokens": maybe(rng.randrange(-50, 5000)),
            "latency_s": maybe(rng.choice([0.0, 1e-12, -1.5, rng.lognormvariate(0, 2), -rng.lognormvariate(0, 2)])),
            "contexts": maybe([{"text": rng.choice(WORDS), "score": rng.random()} for _ in range(rng.randrange(3))]),
            "weight": maybe(rng.choice([1.0, 10.0, 0.5])),
        }
        for i in range(first, first + n)
    ]


@pytest.fixture(scope="module", params=["duckdb", "daft"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine that answers plans in this process; `test_plans_on_ray.py` is for the one that does not."""
    if request.param == "duckdb":
        return Duck()
    pytest.importorskip(
        "daft", reason="DAFT IS NOT INSTALLED HERE, so nothing of it is tested: pip install 'andon[ray]'"
    )
    from andon.store.daft_ import Daft

    return Daft()


ROWS = generated(7, 900)


@pytest.fixture(scope="module")
def warehouse(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Three commits in three files; the second table stays empty."""
    store = Warehouse(tmp_path_factory.mktemp("plans"), {"turns": SCHEMA, "empty": SCHEMA}, engine)
    for start in range(0, 900, 300):
        store.append("turns", pa.Table.from_pylist(ROWS[start : start + 300], SCHEMA))
        store.commit()
    return store


def hash_of(row_id: str) -> int:
    """The stored hash, by its definition."""
    return int.from_bytes(blake2b(row_id.encode(), digest_size=8).digest(), "little", signed=True)


def matches(row: dict[str, object], where: Where) -> bool:
    """Whether a row fulfils a condition; a null fulfils only `null` and `ne`."""
    value: Any = row[where.column]
    if value is None or where.op in ("null", "not_null"):
        return where.op in ("null", "ne") if value is None else where.op == "not_null"
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "eq": operator.eq,
        "ne": operator.ne,
        "ge": operator.ge,
        "lt": operator.lt,
        "in": lambda one, many: one in many,
        "contains": lambda text, part: part.lower() in text.lower(),
    }
    return tests[where.op](value, where.value)


def selected(plan: Plan, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """Rows inside the span that fulfil all conditions."""
    span = plan.span or Span(start_us=-(2**63), end_us=2**63)
    inside = [r for r in rows if span.start_us <= r["time_us"] < span.end_us]  # type: ignore[operator]
    return [r for r in inside if all(matches(r, w) for w in getattr(plan, "where", ()))]


def grouped(
    plan: Rollup | Histogram, rows: list[dict[str, object]]
) -> dict[tuple[object, ...], list[dict[str, object]]]:
    """Rows by window and keys, in the documented order."""
    groups: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for row in selected(plan, rows):
        window = [] if plan.window_us is None else [row["time_us"] // plan.window_us * plan.window_us]  # type: ignore[operator]
        groups.setdefault((*window, *(row[key] for key in plan.keys)), []).append(row)
    return dict(sorted(groups.items(), key=lambda item: [(part is None, part or 0) for part in item[0]]))


def rollup(plan: Rollup, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """What a rollup must answer."""
    names = [*(["window_us"] if plan.window_us else []), *plan.keys]
    groups = grouped(plan, rows)
    if not names and not groups:
        groups = {(): []}
    answer = []
    for key, members in groups.items():
        line: dict[str, object] = {**dict(zip(names, key, strict=True)), "rows": len(members)}
        for metric in plan.metrics:
            pairs = [
                (float(r[metric]), 1.0 if r["weight"] is None else r["weight"])
                for r in members
                if r[metric] is not None
            ]  # type: ignore[arg-type]
            values = [value for value, _ in pairs]
            line |= {
                f"{metric}.n": len(values),
                f"{metric}.sum": math.fsum(values),
                f"{metric}.sumsq": math.fsum(v * v for v in values),
                f"{metric}.min": min(values, default=None),
                f"{metric}.max": max(values, default=None),
                f"{metric}.w": math.fsum(w for _, w in pairs),  # type: ignore[misc]
                f"{metric}.wsum": math.fsum(v * w for v, w in pairs),  # type: ignore[operator]
            }
        answer.append(line)
    return answer


def histogram(plan: Histogram, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """What a histogram must answer."""
    names = [*(["window_us"] if plan.window_us else []), *plan.keys]
    answer = []
    for key, members in grouped(plan, rows).items():
        counts = Counter(bin_of(float(row[plan.metric])) for row in members if row[plan.metric] is not None)  # type: ignore[arg-type]
        answer += [{**dict(zip(names, key, strict=True)), "bin": at, "n": n} for at, n in sorted(counts.items())]
    return answer


def listed(plan: Slice | Sample | Lookup, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """What a slice, a sample or a look-up must answer."""
    found = sorted(selected(plan, rows), key=lambda row: (row["time_us"], row["id"]))
    match plan:
        case Slice():
            found = (found[::-1] if plan.newest_first else found)[: plan.limit]
        case Lookup():
            found = [row for row in found if row["id"] in plan.ids]
        case Sample():
            drawn = int.from_bytes(blake2b(str(plan.seed).encode(), digest_size=16).digest(), "little")
            prime = 2**31 - 1
            a, b = 1 + drawn % (prime - 1), (drawn >> 64) % prime
            order = sorted(found, key=lambda r: ((hash_of(str(r["id"])) % prime * a + b) % prime, r["id"]))
            found = order[: plan.n]
    return [{name: row[name] for name in plan.columns} for row in found]


def expected(plan: Plan, rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """What any plan must answer."""
    if isinstance(plan, Rollup):
        return rollup(plan, rows)
    return histogram(plan, rows) if isinstance(plan, Histogram) else listed(plan, rows)


def same(got: list[dict[str, object]], wanted: list[dict[str, object]]) -> None:
    """Equal, floats to 1e-9 relative."""
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            if isinstance(value, float):
                assert one[name] == pytest.approx(value, rel=1e-9, abs=1e-9), name
            else:
                assert one[name] == value, name


WHERES: tuple[tuple[Where, ...], ...] = (
    (),
    (Where(column="model", op="eq", value="Ω"),),
    (Where(column="model", op="ne", value="m-1"),),
    (Where(column="model", op="in", value=("m-1", "Ω", "nobody")),),
    (Where(column="model", op="in", value=()),),
    (Where(column="model", op="null"), Where(column="tokens", op="not_null")),
    (Where(column="contexts", op="null"),),
    (Where(column="tokens", op="ge", value=100), Where(column="tokens", op="lt", value=2000.5)),
    (Where(column="refused", op="eq", value=True),),
    (Where(column="answer", op="eq", value="a\0b"),),
    (Where(column="answer", op="eq", value="'; DROP TABLE t; --"),),
    (Where(column="answer", op="contains", value="STRAße"),),
    (Where(column="answer", op="contains", value="äöü Ä"),),
    (Where(column="answer", op="contains", value="%"),),
    (Where(column="answer", op="contains", value="_"),),
    (Where(column="answer", op="contains", value=""),),
)
SPANS = (None, Span(start_us=-DAY, end_us=DAY + 1), Span(start_us=5, end_us=5), Span(start_us=9 * DAY, end_us=10 * DAY))


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("span", SPANS)
def test_rollup(warehouse: Warehouse, where: tuple[Where, ...], span: Span | None) -> None:
    """A rollup counts exactly and sums to 1e-9, whatever the window, keys, conditions and nulls."""
    for keys in ((), ("model",), ("model", "refused")):
        for window_us in (None, 3_600_000_000):
            plan = Rollup(
                table="turns",
                metrics=("latency_s", "refused", "tokens"),
                keys=keys,
                window_us=window_us,
                span=span,
                where=where,
            )
            same(warehouse.run(plan).to_pylist(), rollup(plan, ROWS))


@pytest.mark.parametrize("metric", ["latency_s", "tokens", "refused"])
@pytest.mark.parametrize("keys", [(), ("model",)])
@pytest.mark.parametrize("window_us", [None, DAY])
def test_histogram(warehouse: Warehouse, metric: str, keys: tuple[str, ...], window_us: int | None) -> None:
    """A histogram counts every value that is not null in the bin that `bin_of` names."""
    plan = Histogram(table="turns", metric=metric, keys=keys, window_us=window_us)
    assert warehouse.run(plan).to_pylist() == histogram(plan, ROWS)


EDGES = st.builds(
    lambda power, side, sign: sign * math.nextafter(1.02**power, side * math.inf) if side else sign * 1.02**power,
    st.integers(-1100, 1500),
    st.sampled_from([-1, 0, 1]),
    st.sampled_from([-1.0, 1.0]),
)


@settings(max_examples=15, deadline=None)
@given(values=st.lists(EDGES | st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200))
def test_bins_at_their_edges(engine: Engine, tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    """The engine and `bin_of` put every value into the same bin, at the very edge too, and the bin's edges enclose it."""
    store = Warehouse(tmp_path_factory.mktemp("bins"), {"turns": SCHEMA}, engine)
    rows = [{"id": str(i), "time_us": 0, "latency_s": value} for i, value in enumerate(values)]
    store.append(
        "turns", pa.Table.from_pylist(rows, pa.schema([SCHEMA.field(n) for n in ("id", "time_us", "latency_s")]))
    )
    store.commit()
    answer = store.run(Histogram(table="turns", metric="latency_s")).to_pylist()
    wanted: dict[int, int] = {}
    for value in values:
        wanted[bin_of(value)] = wanted.get(bin_of(value), 0) + 1
        low, high = bin_edges(bin_of(value))
        assert low - abs(low) * 1e-9 <= value <= high + abs(high) * 1e-9
    assert answer == [{"bin": at, "n": n} for at, n in sorted(wanted.items())]
    store.close()


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 0, 7])
def test_slice(warehouse: Warehouse, where: tuple[Where, ...], newest_first: bool, limit: int | None) -> None:
    """A slice gives the rows as they were sent, nested columns included, in order of time and id."""
    columns = ("contexts", "id", "answer", "latency_s", "refused")
    plan = Slice(table="turns", columns=columns, where=where, newest_first=newest_first, limit=limit)
    assert warehouse.run(plan).to_pylist() == listed(plan, ROWS)


@pytest.mark.parametrize("seed", [0, 1, -5, 2**40])
def test_sample(warehouse: Warehouse, seed: int) -> None:
    """A sample is the first n rows by the seeded hash of their ids, so it is the same on every engine."""
    plan = Sample(table="turns", n=25, seed=seed, columns=("id",), where=(Where(column="tokens", op="not_null"),))
    assert warehouse.run(plan).to_pylist() == listed(plan, ROWS)


def test_samples_of_seeds_differ(warehouse: Warehouse) -> None:
    """Another seed chooses other rows, and no row is favoured by all seeds."""
    counts: dict[str, int] = {}
    for seed in range(60):
        for name in warehouse.run(Sample(table="turns", n=90, seed=seed, columns=("id",)))["id"].to_pylist():
            counts[name] = counts.get(name, 0) + 1
    assert len(counts) > 850
    assert max(counts.values()) < 25


IDS = ("é-00000", "r-00005", "r-00899", "nobody", "' OR 1=1 --")


def test_lookup(warehouse: Warehouse) -> None:
    """A look-up gives exactly the rows with these ids, in order of time and id, within the span when there is one."""
    for span in (None, Span(start_us=0, end_us=3 * DAY)):
        plan = Lookup(table="turns", ids=IDS, columns=("id", "contexts", "time_us"), span=span)
        assert warehouse.run(plan).to_pylist() == listed(plan, ROWS)


def test_the_stores_own_columns(warehouse: Warehouse) -> None:
    """id_hash, day and seq can be asked for like any column, and follow their definitions."""
    rows = warehouse.run(Slice(table="turns", columns=("id", "time_us", "id_hash", "day", "seq"))).to_pylist()
    assert all(row["id_hash"] == hash_of(row["id"]) and row["day"] == row["time_us"] // DAY for row in rows)
    assert {row["seq"] for row in rows} == {1, 2, 3}
    newer = Rollup(table="turns", where=(Where(column="seq", op="ge", value=3),))
    assert warehouse.run(newer).to_pylist() == [{"rows": 300}]


ALL_PLANS: tuple[Plan, ...] = (
    Rollup(table="empty", metrics=("latency_s",), keys=("model",), window_us=DAY, span=Span(start_us=0, end_us=1)),
    Rollup(table="empty", metrics=("tokens",), measures=("n", "sum"), keys=("model",)),
    Histogram(table="empty", metric="tokens", keys=("model",), where=(Where(column="model", op="in", value=("x",)),)),
    Slice(table="empty", columns=("id", "contexts", "refused")),
    Sample(table="empty", n=3, seed=1, columns=("id", "weight")),
    Lookup(table="empty", ids=("x",), columns=("id", "seq")),
)


@pytest.mark.parametrize("plan", ALL_PLANS)
def test_answers_have_the_same_types_when_empty(warehouse: Warehouse, plan: Plan) -> None:
    """A table without rows answers with no rows, in the same columns and types as one that has some."""
    full = warehouse.run(replace(plan, table="turns"))
    assert warehouse.run(plan).num_rows == 0
    assert warehouse.run(plan).schema == full.schema


def test_rollup_of_nothing_is_one_row(warehouse: Warehouse) -> None:
    """Without keys and window there is always one row: no rows, sums of 0, and no smallest or largest value."""
    wanted = {"rows": 0, "tokens.n": 0, "tokens.sum": 0.0, "tokens.sumsq": 0.0, "tokens.min": None, "tokens.max": None}
    answer = warehouse.run(Rollup(table="empty", metrics=("tokens",))).to_pylist()
    assert answer == [{**wanted, "tokens.w": 0.0, "tokens.wsum": 0.0}]


@pytest.mark.parametrize("measures", [("n",), ("sum", "n"), ("wsum", "max")])
def test_only_the_measures_that_are_wanted(warehouse: Warehouse, measures: tuple[str, ...]) -> None:
    """A rollup that names its measures answers these columns of the whole answer, and no other measure."""
    plan = Rollup(table="turns", metrics=("latency_s", "tokens"), keys=("model",), window_us=DAY)
    whole, part = warehouse.run(plan), warehouse.run(replace(plan, measures=measures))
    kept = [c for c in whole.column_names if "." not in c or c.rpartition(".")[2] in measures]
    assert part.equals(whole.select(kept))


@pytest.mark.parametrize("plan", ALL_PLANS)
def test_plans_survive_json(plan: Plan) -> None:
    """A plan that was kept as JSON beside its evidence is the same plan again."""
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sums_do_not_depend_on_files(engine: Engine, tmp_path: Path, seed: int) -> None:
    """The same rows in other files and another order give the same sums to the last bit."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=5000) * np.exp(3 * rng.normal(size=5000))
    answers = []
    for parts in (1, 3, 7):
        store = Warehouse(tmp_path / str(parts), {"turns": SCHEMA}, engine)
        order = rng.permutation(values.size)
        for part in np.array_split(order, parts):
            ids = pa.array([str(i) for i in part])
            store.append("turns", pa.table({"id": ids, "time_us": part % 10, "latency_s": values[part]}))
            store.commit()
        answers.append(store.run(Rollup(table="turns", metrics=("latency_s",), keys=("model",))).to_pylist())
        store.close()
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0]["latency_s.sum"] == pytest.approx(math.fsum(values), rel=1e-9)


@pytest.mark.parametrize("value", [1e300, -1e18, 2.0**43, 5e-324, -1e-20])
def test_sums_of_extreme_numbers(engine: Engine, tmp_path: Path, value: float) -> None:
    """Numbers too great or too small for exact addition still sum as doubles do."""
    store = Warehouse(tmp_path, {"turns": SCHEMA}, engine)
    store.append("turns", pa.table({"id": ["a", "b"], "time_us": [1, 2], "latency_s": [value, value]}))
    store.commit()
    answer = store.run(Rollup(table="turns", metrics=("latency_s",))).to_pylist()[0]
    assert answer["latency_s.sum"] == pytest.approx(2 * value, rel=1e-9, abs=1e-24)
    assert answer["latency_s.sumsq"] == pytest.approx(2 * value * value, rel=1e-9, abs=1e-24)
    assert (answer["latency_s.min"], answer["latency_s.max"]) == (value, value)


def test_columns_that_older_files_lack(engine: Engine, tmp_path: Path) -> None:
    """A row from before a column was added has null there, for conditions, keys, metrics and weights too."""
    lacking = {"model", "refused", "latency_s", "contexts", "weight"}
    older = pa.schema([field for field in SCHEMA if field.name not in lacking])
    rows = [row | (dict.fromkeys(lacking) if i < 40 else {}) for i, row in enumerate(ROWS[:80])]
    store = Warehouse(tmp_path, {"turns": older}, engine)
    store.append("turns", pa.Table.from_pylist(rows[:40], SCHEMA).select(older.names))
    store.commit()
    store.close()
    store = Warehouse(tmp_path, {"turns": SCHEMA}, engine)
    plan = Rollup(table="turns", metrics=("latency_s", "tokens"), keys=("model", "refused"), window_us=DAY)
    for part, upto in ((rows[40:40], 40), (rows[40:], 80)):
        store.append("turns", pa.Table.from_pylist(part, SCHEMA))
        store.commit()
        for where in ((), (Where(column="model", op="null"),), (Where(column="contexts", op="not_null"),)):
            same(store.run(replace(plan, where=where)).to_pylist(), rollup(replace(plan, where=where), rows[:upto]))
            whole = Slice(table="turns", columns=tuple(SCHEMA.names), where=where)
            assert store.run(whole).to_pylist() == listed(whole, rows[:upto])
    store.close()


REFUSED: tuple[tuple[Plan, str], ...] = (
    (Slice(table="nope", columns=("id",)), "turns"),
    (Slice(table="turns", columns=("nope",)), "latency_s"),
    (Slice(table="turns", columns=('id" FROM x; --',)), "latency_s"),
    (Slice(table="turns", columns=()), "at least one"),
    (Slice(table="turns", columns=("id", "id")), "once"),
    (Slice(table="turns", columns=("id",), limit=-1), "0 or more"),
    (Sample(table="turns", columns=("id",), n=-1, seed=1), "0 or more"),
    (Rollup(table="turns", metrics=("answer",)), "latency_s"),
    (Rollup(table="turns", keys=("contexts",)), "nested"),
    (Rollup(table="turns", window_us=0), "greater than 0"),
    (Rollup(table="turns", where=(Where(column="x' OR 1=1", op="null"),)), "latency_s"),
    (Rollup(table="turns", where=(Where(column="model", op="eq", value=1),)), "str"),
    (Rollup(table="turns", where=(Where(column="tokens", op="eq", value="1 OR 1=1"),)), "int"),
    (Rollup(table="turns", where=(Where(column="tokens", op="ge", value=True),)), "int"),
    (Rollup(table="turns", where=(Where(column="tokens", op="ge", value=2**64),)), "64 bits"),
    (Rollup(table="turns", where=(Where(column="tokens", op="in", value=("1",)),)), "text"),
    (Rollup(table="turns", where=(Where(column="contexts", op="eq", value="x"),)), "not_null"),
    (Rollup(table="turns", where=(Where(column="latency_s", op="lt", value=math.nan),)), "finite"),
    (Rollup(table="turns", where=(Where(column="model", op="eq", value="\ud800"),)), "Unicode"),
    (Rollup(table="turns", where=(Where(column="model", op="1=1; --", value="x"),)), "not an operation"),  # type: ignore[arg-type]
    (Lookup(table="turns", ids=("\ud800",), columns=("id",)), "Unicode"),
    (Rollup(table="turns", span=Span(start_us=0, end_us=2**63)), "64 bits"),
)


@pytest.mark.parametrize(("plan", "hint"), REFUSED)
def test_wrong_plans_are_refused(warehouse: Warehouse, plan: Plan, hint: str) -> None:
    """A plan that does not fit the table is the caller's error, and the message says what would be allowed."""
    with pytest.raises(InputError, match=hint):
        warehouse.run(plan)


@pytest.mark.parametrize("name", ["a b", "ü#", "[1]", "{a,b}", "]x[", "}x{"])
def test_the_folder_may_have_any_name(engine: Engine, tmp_path: Path, name: str) -> None:
    """No character of a path is taken for a pattern of paths."""
    store = Warehouse(tmp_path / name, {"turns": SCHEMA}, engine)
    store.append("turns", pa.Table.from_pylist(ROWS[:9], SCHEMA))
    store.commit()
    assert store.run(Rollup(table="turns")).to_pylist() == [{"rows": 9}]
    store.close()


@pytest.mark.parametrize("name", ["data?", "data*", "data[12]"])
def test_a_copy_beside_the_store_is_not_read(engine: Engine, tmp_path: Path, name: str) -> None:
    """Where a path could be a pattern that a copy of the store fulfils, the rows are still counted once."""
    store = Warehouse(tmp_path / name, {"turns": SCHEMA}, engine)
    store.append("turns", pa.Table.from_pylist(ROWS[:9], SCHEMA))
    store.commit()
    shutil.copytree(tmp_path / name, tmp_path / "data1")
    assert store.run(Rollup(table="turns")).to_pylist() == [{"rows": 9}]
    store.close()


def test_only_the_engine_that_is_used_is_loaded() -> None:
    """Whoever imports the store does not wait for Daft or Ray, and need not have them."""
    code = "import sys, andon.store; print(sorted({'daft', 'ray', 'grpc'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
