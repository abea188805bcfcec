"""A store, a ledger and two levers, over which rules take their turns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from andon.evals.probes import Probe
from andon.incidents import Incident
from andon.incidents.run import respond
from andon.levers import Lever, Pull, in_force
from andon.levers.rule_tables import pull_rules_of
from andon.levers.rules import PullRule
from andon.levers.run import declare, expire
from andon.levers.run.automatic import ByRule, pull_by_rules
from andon.monitors import Signal
from andon.scores import SCORERS
from andon.scores.rows import score_row, score_schema
from andon.store import Ledger, Warehouse
from andon.traffic import SCHEMAS, Interaction

T0 = 1_790_000_000_000_000
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
PROBES = (Probe(name="weekly", app="bot", target="t", every_s=7 * 86400, source="andon.toml, probe 1"),)
SEARCH = Lever(id="tools.search", kind="boolean", default=True, safe=False, app="bot")
ROUTING = Lever(id="routing", kind="string", default="large", safe="small", app="bot")

REFUSED = {"name": "hold the model", "lever": "routing", "by": "maria", "for": "4h", "signal": "refusal"}
PROBED = {"name": "citations off", "lever": "tools.search", "by": "maria", "for": "10h", "probe": "weekly"}
BREAKER = {
    "name": "breaker", "lever": "tools.search", "by": "jo", "for": "10m", "metric": "error", "above": 0.5, "within": "5m",
}  # fmt: skip
BUDGET = {
    "name": "budget", "lever": "routing", "by": "jo", "for": "1h", "metric": "cost_usd", "total": 500, "within": "24h",
}  # fmt: skip


def rules(*entries: dict[str, Any]) -> tuple[PullRule, ...]:
    """The rules of a file with these entries."""
    return pull_rules_of({"pull": list(entries)}, PROBES)


class World:
    """A warehouse and a ledger with two levers, and the turns of a loop over them."""

    def __init__(self, folder: Path) -> None:
        self.warehouse = Warehouse(folder, {**SCHEMAS, "scores": score_schema(SCORERS)})
        self.ledger = Ledger("sqlite://")
        self.came = 0
        for lever in (SEARCH, ROUTING):
            declare(self.ledger, lever, T0 - DAY, "ann")

    def traffic(self, n: int, at_us: int, *, weight: float = 1.0, values: dict[str, float], **fields: Any) -> None:
        """Interactions of one moment, as they are scored."""
        rows = []
        for _ in range(n):
            self.came += 1
            one = Interaction(id=f"i{self.came}", time_us=at_us, weight=weight, **{"app": "bot", **fields})
            rows.append(score_row(one, values, "s", one.id, at_us))
        self.warehouse.append("scores", pa.Table.from_pylist(rows, schema=score_schema(SCORERS)))
        self.warehouse.commit()

    def turn(self, now_us: int, *entries: dict[str, Any], **more: Any) -> list[ByRule]:
        """One turn of the rules; what expired before is written down first, as a loop does."""
        expire(self.ledger, now_us)
        return pull_by_rules(self.warehouse, self.ledger, rules(*entries), now_us=now_us, **more)

    def pull(self, now_us: int, *entries: dict[str, Any], **more: Any) -> Pull | None:
        """The one pull of a turn."""
        acted = self.turn(now_us, *entries, **more)
        assert len(acted) <= 1
        return acted[0].pull if acted else None

    def held(self, lever: str, now_us: int) -> Pull | None:
        """What holds a lever in production."""
        return in_force([p for p in self.ledger.all(Pull) if p.lever == lever], now_us)

    def signal(self, at_us: int, **fields: Any) -> Signal:
        """A chart of refusals pages, and its incident opens or takes it."""
        told = {
            "app": "bot", "environment": "production", "metric": "refusal", "direction": "up", "at_us": at_us,
            "window_us": 300_000_000, "x": 30, "n": 100, "baseline_x": 20, "baseline_n": 1000,
            "baseline_from_us": at_us - 48 * HOUR, "baseline_to_us": at_us - 24 * HOUR, "statistic": 1e4,
            "threshold": 1e4, "onset_us": at_us - 10 * MINUTE, "onset_low_us": at_us - 20 * MINUTE,
            "onset_high_us": at_us, **fields,
        }  # fmt: skip
        part = ",".join(f"{k}={v}" for k, v in told.get("scope", {}).items()) or "all"
        chart = f"{told['app']}/{told['environment']}/{told['metric']}.{told['direction']}/{part}"
        made = Signal(id=f"{chart}@{at_us}", monitor=chart, **told)
        self.ledger.put(made, now_us=at_us, by="andon")
        respond(self.ledger, [made])
        return made

    def incident(self, **fields: Any) -> Incident:
        """The one incident, with these fields changed."""
        (known,) = self.ledger.all(Incident)
        self.ledger.put(replace(known, **fields), now_us=T0, by="ann")
        return replace(known, **fields)
