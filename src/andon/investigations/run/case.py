"""What one investigation works on: the affected traffic before and after the onset, and the evidence kept on the way."""

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from andon.investigations.records import Evidence
from andon.investigations.slices import Cells
from andon.monitors import Signal
from andon.monitors.run import harm_of, scope_of
from andon.store import Plan, Rollup, Span, Warehouse, Where, to_json

__all__ = ["DAY_US", "Case", "figures_of"]


DAY_US = 86_400_000_000


@dataclass(slots=True)
class Case:
    """What one investigation works on: the affected traffic, before and after."""

    warehouse: Warehouse
    signal: Signal
    before: Span
    after: Span
    evidence: list[Evidence] = field(default_factory=list)
    cells: Cells | None = None
    """Harm by each combination of values, once it has been read."""
    _sampled: tuple[float, float] | None = None

    @property
    def scope(self) -> tuple[Where, ...]:
        """Conditions of the affected traffic in which the metric was measured."""
        return (*scope_of(self.signal), Where(column=self.signal.metric, op="not_null"))

    @property
    def harm(self) -> Where:
        """The condition that a harmed interaction fulfils."""
        return harm_of(self.signal)

    @property
    def time(self) -> Span:
        """From the beginning of the time before to the end of the time since the onset."""
        return Span(start_us=self.before.start_us, end_us=max(self.before.end_us, self.after.end_us))

    def rollup(self, keys: tuple[str, ...], span: Span, *extra: Where, window_us: int | None = None) -> pa.Table:
        """Sum of the sampling weights by keys (and by window), as ``<metric>.w``.

        Where all weights are equal, rows are counted instead: a sum that is the same whatever order rows come in costs as much
        as the rest of the question.
        """
        metric, (least, greatest) = self.signal.metric, self.sampled()
        measure = "n" if least == greatest else "w"
        plan = Rollup(
            table="scores", metrics=(metric,), measures=(measure,), keys=keys, window_us=window_us, span=span,
            where=(*self.scope, *extra),
        )  # fmt: skip
        table = self.warehouse.run(plan)
        if measure == "w":
            return table
        return table.append_column(f"{metric}.w", pc.multiply(table[f"{metric}.n"].cast(pa.float64()), greatest))

    def sampled(self) -> tuple[float, float]:
        """The least and the greatest sampling weight; a row without one stands for itself."""
        if self._sampled is None:
            measures = ("n", "min", "max")
            plan = Rollup(table="scores", metrics=("weight",), measures=measures, span=self.time, where=self.scope)
            row = self.warehouse.run(plan).to_pylist()[0]
            known = [w for w in (row["weight.min"], row["weight.max"]) if w is not None]
            bare = [1.0] if row["weight.n"] < row["rows"] or not known else []
            self._sampled = (min(known + bare), max(known + bare))
        return self._sampled

    def unit(self) -> float:
        """The greatest sampling weight: a row counts as evidence by the fraction that its own weight is of it."""
        return self.sampled()[1]

    def units(self, key: str) -> dict[str, float]:
        """The same by value of a key."""
        table = self.warehouse.run(
            Rollup(
                table="scores", metrics=("weight",), measures=("max",), keys=(key,), span=self.time, where=self.scope
            )
        )
        return {k: u or 1.0 for k, u in zip(table[key].to_pylist(), table["weight.max"].to_pylist(), strict=True)}

    def count(self, span: Span, *extra: Where) -> float:
        """Interactions (sum of sampling weights) of a time under further conditions."""
        return float(self.rollup((), span, *extra)[f"{self.signal.metric}.w"][0].as_py() or 0)

    def by(self, key: str, span: Span, *extra: Where) -> dict[str, float]:
        """The same by value of a key; interactions without a value are left out."""
        table = self.rollup((key,), span, *extra)
        counts = zip(table[key].to_pylist(), table[f"{self.signal.metric}.w"].to_pylist(), strict=True)
        return {value: w for value, w in counts if value is not None}

    def keep(self, claim: str, plan: Plan, figures: dict[str, float]) -> str:
        """Keep a figure with the plan that gives it again, and return its id."""
        kept = Evidence(id=f"E{len(self.evidence) + 1}", claim=claim, plan=to_json(plan), figures=figures)
        self.evidence.append(kept)
        return kept.id


def figures_of(warehouse: Warehouse, plan: Rollup) -> dict[str, float]:
    """The one row of a roll-up without keys, as numbers by column."""
    row = warehouse.run(plan).to_pylist()[0]
    return {k: float(v) for k, v in row.items() if v is not None}
