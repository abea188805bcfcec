"""What one investigation works on: the affected traffic before and after the onset, and the evidence kept on the way."""

from dataclasses import dataclass, field

from andon.investigations.records import Evidence
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

    @property
    def scope(self) -> tuple[Where, ...]:
        """Conditions of the affected traffic in which the metric was measured."""
        return (*scope_of(self.signal), Where(column=self.signal.metric, op="not_null"))

    @property
    def harm(self) -> Where:
        """The condition that a harmed interaction fulfils."""
        return harm_of(self.signal)

    def unit(self) -> float:
        """The greatest sampling weight: a row counts as evidence by the fraction that its own weight is of it."""
        table = self.warehouse.run(Rollup(table="scores", metrics=("weight",), where=self.scope))
        return table["weight.max"][0].as_py() or 1.0

    def units(self, key: str) -> dict[str, float]:
        """The same by value of a key."""
        table = self.warehouse.run(Rollup(table="scores", metrics=("weight",), keys=(key,), where=self.scope))
        return {k: u or 1.0 for k, u in zip(table[key].to_pylist(), table["weight.max"].to_pylist(), strict=True)}

    def count(self, span: Span, *extra: Where) -> float:
        """Interactions (sum of sampling weights) of a time under further conditions."""
        plan = Rollup(table="scores", metrics=(self.signal.metric,), span=span, where=(*self.scope, *extra))
        return float(self.warehouse.run(plan)[f"{self.signal.metric}.w"][0].as_py() or 0)

    def by(self, key: str, span: Span, *extra: Where) -> dict[str, float]:
        """The same by value of a key."""
        plan = Rollup(
            table="scores", metrics=(self.signal.metric,), keys=(key,), span=span, where=(*self.scope, *extra)
        )
        table = self.warehouse.run(plan)
        counts = zip(table[key].to_pylist(), table[f"{self.signal.metric}.w"].to_pylist(), strict=True)
        return {value: w for value, w in counts if value is not None}

    def keep(self, claim: str, plan: Plan, figures: dict[str, float]) -> None:
        """Keep a figure with the plan that gives it again."""
        self.evidence.append(
            Evidence(id=f"E{len(self.evidence) + 1}", claim=claim, plan=to_json(plan), figures=figures)
        )


def figures_of(warehouse: Warehouse, plan: Rollup) -> dict[str, float]:
    """The one row of a roll-up without keys, as numbers by column."""
    row = warehouse.run(plan).to_pylist()[0]
    return {k: float(v) for k, v in row.items() if v is not None}
