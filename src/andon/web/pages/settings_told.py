"""Settings that are read at start, and what came of them: who is told, how many false pages, whether Andon itself is well."""

import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from time import monotonic
from typing import Any

from andon import __version__
from andon.errors import AndonError
from andon.incidents import Channel, Delivery, open_channels, sample_message
from andon.incidents.channels import NOBODY, send
from andon.monitors import BudgetRow, budget_table
from andon.monitors.budget import BUDGETS
from andon.scores.embedding import notice
from andon.traffic.retention import retention
from andon.traffic.run import intake_report, sizes
from andon.web.asking import Ask, Done, Gone, Page
from andon.web.pages.monitors import board_of, budget_rows, chart_link, typical_of
from andon.web.pages.settings import settings_page
from andon.web.routing import Pages
from andon.web.tables import Cell, Column, Table

__all__ = ["pages"]

pages = Pages()
PATIENCE_S = 4.0
"""A test that takes longer is told of later, in the list."""

LATEST = 50
TYPICAL = (0.02, 100.0)
"""Rate of harm and answers an hour of the chart that stands for others while none of ours watches."""

TELLS = (
    ("an incident opens", "one message, however many charts speak, with the first suspects"),
    ("it becomes more severe", "one message, even where somebody acknowledged it"),
    ("nobody acknowledged it and harm goes on", "P1 again after an hour, P2 after a day, P3 never"),
    ("it is closed", "one message to whoever had the page"),
    ("a lever is held, ends soon, ended", "one message each; loud where a rule was overridden"),
    ("an experiment is decided", "one message; urgent where harm is shown"),
    ("an action is overdue", "one message a week to each channel, by owner"),
)


class Trials:
    """What came of the tests of channels since the start, by home and name. A test that nobody waits for any more goes on."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[int, str, str]] = {}
        self._turn = threading.Lock()

    def run(self, home: Path, channel: Channel, url: str, now_us: int) -> tuple[str, str]:
        """Send the test, and wait a little for what comes of it: the outcome and the error, ``sending`` where that takes long."""
        self._note(home, channel, now_us, "sending", "")

        def work() -> None:
            self._note(home, channel, now_us, *send(channel, sample_message(url)))

        thread = threading.Thread(target=work, name="andon-test", daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        _, outcome, error = self._known[str(home), channel.name]
        return outcome, error

    def of(self, home: Path) -> Mapping[str, tuple[int, str, str]]:
        """When each channel was tested last, and what came of it."""
        with self._turn:
            return {name: what for (place, name), what in self._known.items() if place == str(home)}

    def _note(self, home: Path, channel: Channel, at_us: int, outcome: str, error: str) -> None:
        with self._turn:
            self._known[str(home), channel.name] = (at_us, outcome, error)


trials = Trials()


@lru_cache(2)
def _channels(urls: str) -> tuple[tuple[Channel, ...], str]:
    """The channels, or why they cannot be opened."""
    try:
        return tuple(open_channels(urls)), ""
    except AndonError as error:
        return (), str(error)


@pages.read("/settings/channels", role="owner")
def channels(ask: Ask) -> Page:
    """Where people are told, and what was told last."""
    found, wrong = _channels(ask.site.settings.channels)
    told = sorted((d for d in ask.ledger.all(Delivery) if d.state != "quiet"), key=lambda d: -d.at_us)
    tested = trials.of(ask.site.settings.home)
    rows = []
    for channel in found:
        mine = [d for d in told if d.channel == channel.name]
        arrived = next((d.at_us for d in mine if d.state == "sent"), None)
        trouble = mine[0].error if mine and mine[0].state not in ("sent", "sending") else ""
        rows.append((channel.name, arrived, trouble, tested.get(channel.name)))
    table = _deliveries(told if ask.exporting else told[:LATEST])
    return settings_page(
        ask, "/settings/channels", "Channels", tables=(table,), live=True, channels=rows, wrong=wrong, deliveries=table,
        more=max(0, len(told) - LATEST), nobody=NOBODY, tells=TELLS, url=ask.site.settings.url,
    )  # fmt: skip


@pages.act("/settings/channels/test", role="owner")
def send_test(ask: Ask) -> Done:
    """Send a message that says it is a test."""
    name = ask.given("channel", "the channel")
    channel = next((c for c in _channels(ask.site.settings.channels)[0] if c.name == name), None)
    if channel is None:
        raise Gone(f"There is no channel {name[:100]!r}", "/settings/channels", "All channels")
    outcome, error = trials.run(ask.site.settings.home, channel, ask.site.settings.url, ask.now_us)
    said = {
        "sent": f"{name} took the test. Look whether it arrived.",
        "sending": f"{name} takes its time; the list says what came of it.",
    }.get(outcome, f"{name} could not be told: {error}")
    return Done(to="/settings/channels", said=said)


@pages.read("/settings/budget")
def budget(ask: Ask) -> Page:
    """How many false pages are accepted, and what that costs."""
    board, chosen = board_of(ask), ask.site.settings.false_pages_per_month
    chart = typical_of(board) if board is not None else None
    costs = budget_rows(ask, board, chart) if board is not None else []
    if not costs:
        chart, costs = None, list(_costs(chosen))
    return settings_page(
        ask, "/settings/budget", f"{chosen:g} false page{'s' if chosen != 1 else ''} a month", tables=(_cost_table(costs, chosen),),
        chosen=chosen, watching=board.phases[0] if board is not None else 0, costs=_cost_table(costs, chosen),
        now=next(r for r in costs if r.false_pages_per_month == chosen), typical=TYPICAL, chart=chart,
        link=chart_link(chart.id) if chart is not None else "",
    )  # fmt: skip


@pages.read("/settings/health")
def health(ask: Ask) -> Page:
    """Whether Andon itself is well."""
    settings = ask.site.settings
    problems, warnings = ask.site.problems(), ask.site.warnings()
    if text := notice(settings):
        warnings = [*warnings, text]
    tables = (_tables(ask), _taken(ask))
    size = _size_of(settings.place, int(monotonic() // 60))
    return settings_page(
        ask, "/settings/health", "Andon is well" if not problems else "Andon is not well", tables=tables, live=True,
        problems=problems, warnings=warnings, rows=tables[0], taken=tables[1], size=size, version=__version__,
        waiting=ask.warehouse.uncommitted_bytes(), entries=ask.ledger.last_entry(), took=ask.site.took_in(),
        size_text=_size_text, charts=ask.site.charts.phases if ask.site.charts else (0, 0), until_us=ask.site.charts.until_us if ask.site.charts else 0,
    )  # fmt: skip


@lru_cache(50)
def _costs(chosen: float) -> tuple[BudgetRow, ...]:
    rate, per_hour = TYPICAL
    return tuple(budget_table(rate, per_hour, [1.0], budgets=sorted({*BUDGETS, chosen})))


def _cost_table(costs: Sequence[BudgetRow], chosen: float) -> Table:
    columns = (
        Column(key="budget", title="false pages a month"), Column(key="between", title="a typical chart alone, one in", kind="duration"),
        Column(key="double", title="twice the harm is paged after", kind="duration"),
        Column(key="tenfold", title="ten times the harm after", kind="duration"),
    )  # fmt: skip
    rows = [
        {
            "budget": Cell(
                value=f"{r.false_pages_per_month:g}", note="as it is set now" if r.false_pages_per_month == chosen else ""
            ), "between": r.between_h * 3600,
            "double": None if r.double_h is None else r.double_h * 3600,
            "tenfold": None if r.tenfold_h is None else r.tenfold_h * 3600,
        }
        for r in costs
    ]  # fmt: skip
    return Table(name="budgets", title="What a budget costs", columns=columns, rows=rows)


def _deliveries(told: list[Delivery]) -> Table:
    columns = (
        Column(key="at", title="at", kind="time"), Column(key="incident", title="about", kind="code"), Column(key="why", title="why"),
        Column(key="channel", title="channel", wide=True), Column(key="outcome", title="outcome"), Column(key="attempt", title="try", kind="number"),
        Column(key="error", title="what went wrong", wide=True),
    )  # fmt: skip
    tones = {"sent": "good", "failed": "bad", "unknown": "warn"}
    rows = [
        {
            "at": d.at_us, "incident": Cell(value=d.incident, link=f"/incidents/{d.incident}" if d.incident.startswith("INC-") else ""),
            "why": d.reason, "channel": d.channel, "outcome": Cell(value=d.state, tone=tones.get(d.state, "")), "attempt": d.attempt,
            "error": d.error,
        }
        for d in told
    ]  # fmt: skip
    return Table(
        name="deliveries",
        title="What was told last",
        columns=columns,
        rows=rows,
        empty="Nobody was told of anything yet.",
    )


def _tables(ask: Ask) -> Table:
    kept = retention(ask.site.settings.retention)
    columns = (
        Column(key="table", title="table", kind="code"), Column(key="rows", title="rows", kind="number"),
        Column(key="first", title="from", kind="time"), Column(key="last", title="to", kind="time"),
        Column(key="kept", title="kept for", kind="duration"),
    )  # fmt: skip
    rows: list[dict[str, Any]] = [
        {
            "table": s.table, "rows": s.rows, "first": s.first_us, "last": s.last_us,
            "kept": kept[s.table] / 1e6 if s.table in kept else None,
        }
        for s in sizes(ask.warehouse)
    ]  # fmt: skip
    return Table(name="tables", title="Tables", columns=columns, rows=rows)


def _taken(ask: Ask) -> Table:
    columns = (
        Column(key="what", title="what was done"), Column(key="subject", title="to", wide=True),
        Column(key="count", title="how many", kind="number"),
    )  # fmt: skip
    rows = [{"what": what, "subject": subject, "count": n} for what, subject, n in intake_report(ask.warehouse)]
    empty = "Nothing was redacted, sampled out or passed over."
    return Table(name="intake", title="What was done to rows on their way in", columns=columns, rows=rows, empty=empty)


@lru_cache(4)
def _size_of(home: Path, minute: int) -> int:  # noqa: ARG001 - it is counted once a minute
    """Bytes of all files of the store."""
    total = 0
    for path in home.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # taken away meanwhile
            continue
    return total


def _size_text(size: float) -> str:
    """Bytes in the unit in which they are few."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
