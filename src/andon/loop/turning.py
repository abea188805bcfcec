"""The loop of one process: its stages over one warehouse and one ledger."""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

import numpy as np

from andon.changes import Received
from andon.changes.run import find_versions, record_changes
from andon.errors import InputError
from andon.evals import Probed
from andon.evals.probes import objectives_of_probes, probes_of
from andon.evals.run import KEPT_US, expire_kept
from andon.evals.run.probes import ask_due, ask_probe, raised
from andon.golden import RuleCount, thresholds_of
from andon.golden.from_incident import failures_of
from andon.golden.run import capture, capture_new
from andon.incidents import (
    Channel,
    Delivery,
    Incident,
    RunbookState,
    odds,
)
from andon.incidents.run import (
    brought_up_to_date,
    goes_on,
    grow_timeline,
    measure_recovery,
    notify,
    respond,
    restate,
    tell_visible,
)
from andon.incidents.run.timeline import of_app
from andon.investigations import Investigation
from andon.investigations.disproof import Ask
from andon.investigations.run import freeze_open, investigate, lead_of
from andon.levers import Pull
from andon.levers.rule_tables import pull_rules_of
from andon.levers.run import Expiry, tell_levers, turn_levers
from andon.levers.run.automatic import pull_by_rules
from andon.loop.erasing import erase_user
from andon.loop.files import passed_over, read_changes
from andon.monitors import TRAFFIC, Signal, objectives_of, rules_of
from andon.monitors.run import Watch
from andon.postmortems import Postmortem
from andon.postmortems.run import draft_postmortem, tell_overdue
from andon.scores import Embedder, Scorer, score_schema
from andon.scores.embedding import Cached, choose
from andon.scores.run import installed_scorers, score_feedback, score_new
from andon.settings import Settings
from andon.store import Ledger, Rollup, Span, Warehouse, open_ledger, open_warehouse
from andon.traffic import SCHEMAS, quoted
from andon.traffic.files.inbox import Imported, ready_files, scan
from andon.traffic.files.kinds import table_of
from andon.traffic.records import Erasure
from andon.traffic.retention import due, retention
from andon.traffic.run import (
    assemble_traces,
    find_follow_ups_in,
    import_files,
    open_intake,
)

__all__ = ["Loop", "Tick", "open_loop"]


_ROUNDS = 8
"""How often one turn goes on with traces that are behind, before it does the rest of its work."""

MEASURE_US = 3_600_000_000
"""How often the exit criteria of an incident are measured."""

_INBOX_SETTLE_US = 2_000_000
"""A file must have been left alone for this long before it is read."""

_log = logging.getLogger("andon")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one turn of the crank did."""

    assembled: int = 0
    changes: int = 0
    scored: int = 0
    signals: int = 0
    incidents: tuple[str, ...] = ()
    """Incidents that were opened or changed."""
    pulled: tuple[str, ...] = ()
    """Levers that rules pulled."""
    told: int = 0
    """Messages that went out."""


class Loop:
    """The stages of one process over one warehouse and one ledger."""

    def __init__(
        self,
        warehouse: Warehouse,
        ledger: Ledger,
        settings: Settings,
        *,
        scorers: Sequence[Scorer],
        embedder: Embedder,
        seed: int = 0,
    ) -> None:
        self.warehouse, self.ledger, self.settings = warehouse, ledger, settings
        self.intake = open_intake(warehouse, settings)
        self._kept = retention(settings.retention)
        self.scorers, self.embedder, self.seed = scorers, embedder, seed
        self.step: Callable[[str], AbstractContextManager[object]] = lambda _: nullcontext()
        """Entered around the parts of a turn that are no methods, with their names: for whoever traces this process."""
        self._measured_us: dict[str, int] = {}
        self._drafted: dict[str, str] = {}  # incident -> the leading signal that its draft is about
        self.probes = probes_of(settings.tables, settings.config)
        self.objectives = (
            *objectives_of(settings.tables, scorers, settings.config),
            *objectives_of_probes(self.probes),
        )
        self.rules = rules_of(settings.tables, scorers, settings.config)
        self.thresholds = thresholds_of(settings.tables, settings.config)
        self.pull_rules = pull_rules_of(settings.tables, self.probes, scorers, settings.config, settings.settle_s)
        self._expire = Expiry(ledger)
        self._finished: set[str] = set()  # experiments that need no look any more
        self._unruled: list[Signal] = []  # of turns after which no lever was pulled yet
        self._freezing = threading.Lock()
        self._frozen: dict[str, tuple[Incident, int, Investigation]] = {}  # of this turn, and up to when it looked
        self._watch = Watch(
            warehouse,
            ledger,
            scorers,
            window_s=settings.window_s,
            false_pages_per_month=settings.false_pages_per_month,
            objectives=self.objectives,
            rules=self.rules,
        )

    @property
    def charts(self) -> tuple[int, int]:
        """How many charts watch, and how many still learn their baseline, as of the last tick."""
        return self._watch.phases

    @property
    def unpublished(self) -> str:
        """Why pages cannot see the charts as they are now; empty if they can."""
        return self._watch.unpublished

    @property
    def unkept(self) -> str:
        """Why the next start would turn all charts again; empty where it goes on from how they stand."""
        return self._watch.unkept

    def turn(self, channels: Sequence[Channel], clock: Callable[[], int]) -> Tick:
        """One whole turn of a service: `tick`, `act`, `tell` and `follow`; of an incident people are told once it was looked into.

        One that fails must not keep levers from being pulled, what was found from people, nor incidents from their course; the
        last error is raised, with those before as its context.
        """
        done, told = Tick(), list[Delivery]()
        try:
            done = self.tick(clock(), clock, lambda incident: told.extend(self.tell(channels, clock(), incident)))
        finally:
            try:
                done = replace(done, pulled=(*done.pulled, *(p.lever for p in self.act(clock()))))
            finally:
                try:
                    done = replace(done, told=len([*told, *self.tell(channels, clock())]))
                finally:
                    self.follow(clock())
        return done

    def tick(
        self, now_us: int, clock: Callable[[], int] | None = None, looked: Callable[[Incident], None] = lambda _: None
    ) -> Tick:
        """One turn: assemble traces, find versions, score, watch, open incidents, investigate, draft, capture.

        An incident that cannot be looked into does not keep the others from it, and is looked into again at the next turn;
        the first such error is raised when everything else is done. Signals are done with once each has its incident.

        Args:
            now_us: traffic is known up to then.
            clock: of a service: incidents say when they were opened, and what rules ask for because of a signal is pulled
                before anything is looked into further. None in a replay, which sees what happened and changes nothing.
            looked: is told of each incident that was looked into, before the next one is: in a large store that takes a while.
        """
        done = self.read(now_us)
        settle_us = self.settings.settle_s * 1_000_000
        with self.step("watch"):
            signals = [*self._watch.advance(now_us - settle_us), *raised(self.ledger, now_us)]
        touched: dict[str, None] = {}
        pulled: list[Pull] = []
        failed: list[Exception] = []
        waiting = self.ledger.all(Incident)  # an earlier turn may not have come to some of them
        for at_us, group in groupby(sorted(signals, key=lambda s: (s.at_us, s.id)), key=lambda s: s.at_us):
            together = list(group)
            with self.step("respond"):
                opened = respond(self.ledger, together, clock)
            if clock is not None:
                pulled += self._pull_at_once(together, at_us, clock, failed)
            for incident in opened:
                touched[incident.id] = None
                self._look_if_new(incident, at_us, failed, looked)
        for incident in waiting:
            if incident.id not in touched:
                self._look_if_new(incident, incident.last_signal_us, failed, looked)
        self._unruled += signals
        self._frozen.clear()
        self._watch.done()
        if failed:
            raise failed[0]
        return replace(
            done,
            signals=len(signals),
            incidents=tuple(touched),
            pulled=tuple(p.lever for p in pulled),
        )

    def _pull_at_once(
        self, signals: Sequence[Signal], at_us: int, clock: Callable[[], int], failed: list[Exception]
    ) -> Sequence[Pull]:
        """Pull what rules ask for because of the signals of one moment, whose incidents are open: harm does not wait for a draft.

        Evidence is frozen as of that moment, and kept for whoever looks into the incident next. What fails here is done by
        `act`.
        """
        try:
            told = pull_by_rules(
                self.warehouse, self.ledger, self.pull_rules, fresh=signals,
                freeze=lambda app, _: self.freeze(app, at_us), clock=clock, now_us=clock(),
            )  # fmt: skip
        except Exception as error:  # an outage of the disk, as in `follow`
            failed.append(error)
            return ()
        return self._say(
            tuple(t.pull for t in told if t.pull), [f"{t.rule.name}: {t.refused}" for t in told if t.refused]
        )

    def _say(self, pulled: tuple[Pull, ...], refused: Iterable[str]) -> tuple[Pull, ...]:
        for pull in pulled:
            _log.warning("%s", quoted(f"lever {pull.lever} was pulled by {pull.by}: {pull.why}", 500))
        for why in refused:
            _log.error("a rule could not pull: %s", quoted(why, 500))
        return pulled

    def act(self, now_us: int) -> tuple[Pull, ...]:
        """Pull what written rules ask for, end what is over, measure what pulls did; returns what was pulled.

        Apart from `tick`, because a replay sees what happened and changes nothing. What fails does not keep the rest from being
        done; the first such error is raised at the end.
        """
        failed: list[Exception] = []
        fresh, self._unruled = self._unruled, []
        done = turn_levers(
            self.warehouse,
            self.ledger,
            self.pull_rules,
            scorers=self.scorers,
            expire=self._expire,
            finished=self._finished,
            fresh=fresh,
            freeze=self.freeze,
            now_us=now_us,
            failed=failed.append,
        )
        self._say(done.pulled, done.refused)
        for decision in done.decided:
            _log.info("%s: %s", decision.experiment, quoted(f"{decision.outcome}: {decision.reason}", 500))
        for split in done.stopped:
            _log.warning("%s", quoted(f"{split.experiment} was ended: {split.ended_why}", 500))
        for incident_id in done.retold:
            incident, found = self.ledger.get(Incident, incident_id), self.ledger.get(Investigation, incident_id)
            if incident is not None and found is not None:
                draft_postmortem(self.warehouse, self.ledger, incident, found, now_us=now_us)
        if failed:
            self._unruled = [*fresh, *self._unruled]  # what was pulled for them already is not pulled again
            raise failed[0]
        return done.pulled

    def read(self, now_us: int) -> Tick:
        """The first part of a turn: assemble the traces that came, find versions, score."""
        settle_us = self.settings.settle_s * 1_000_000
        self.warehouse.commit()
        written = 0
        with self.step("assemble"):
            for _ in range(_ROUNDS):
                assembled = assemble_traces(
                    self.warehouse, self.ledger, now_us=now_us, settle_us=settle_us, intake=self.intake
                )
                written += assembled.written
                if not assembled.behind:
                    break
        self.intake.flush(now_us)
        self.warehouse.commit()
        find_follow_ups_in(self.warehouse, self.ledger, now_us=now_us)
        self.warehouse.commit()
        changes = find_versions(self.warehouse, self.ledger, now_us=now_us)
        with self.step("score"):
            scored = self._score(now_us)
        return Tick(assembled=written, changes=len(changes), scored=scored)

    def probe(self, now_us: int, name: str | None = None) -> list[Probed]:
        """Ask the probes whose time has come, or the one of this name at once; what they raise, the next turn takes up.

        Raises:
            InputError: there is no probe of this name.
        """
        known = {p.name: p for p in self.probes}
        if name is not None and name not in known:
            raise InputError(
                f"there is no probe {quoted(name)}; {self.settings.config} has {', '.join(known) or 'none'}: write [[probe]]"
            )
        store = self.warehouse, self.ledger, self.intake
        if name is not None:
            return [ask_probe(*store, known[name], self.scorers, self.embedder, settings=self.settings, now_us=now_us)]
        asked = ask_due(*store, self.probes, self.scorers, self.embedder, settings=self.settings, now_us=now_us)
        for probed in asked:
            if probed.problem:
                _log.warning("probe %s could not be asked: %s", quoted(probed.id), quoted(probed.problem, 500))
        return asked

    def _score(self, now_us: int) -> int:
        scored = score_new(
            self.warehouse,
            self.ledger,
            self.scorers,
            self.embedder,
            now_us=now_us,
            rng=np.random.default_rng(self.seed),
        )
        return scored + score_feedback(self.warehouse, self.ledger, self.scorers, now_us=now_us)

    def capture(self, now_us: int, since_us: int) -> tuple[RuleCount, ...]:
        """Score what came, and capture what failed since then, with the day that is not over yet; see `capture_new`."""
        self.warehouse.commit()
        find_follow_ups_in(self.warehouse, self.ledger, now_us=now_us)
        self.warehouse.commit()
        self._score(now_us)
        return capture_new(
            self.warehouse, self.ledger, self.scorers, self.embedder, now_us=now_us, since_us=since_us,
            thresholds=self.thresholds,
        )  # fmt: skip

    def tell(self, channels: Sequence[Channel], now_us: int, of: Incident | None = None) -> list[Delivery]:
        """Tell people what they should hear now, or of one incident; a replay has no channels and never comes here."""
        told = notify(
            self.ledger,
            channels,
            now_us=now_us,
            of=of,
            url=self.settings.url,
            suspects=self._suspects,
            harmed=lambda i: goes_on(
                self.warehouse, self.ledger, i, now_us=now_us - self.settings.settle_s * 1_000_000
            ),
        )
        if of is None:
            try:
                tell_overdue(self.ledger, channels, now_us=now_us)
            finally:
                tell_levers(self.ledger, channels, now_us, self.settings.url)
        return told

    def _suspects(self, incident: Incident) -> list[str]:
        found = self.ledger.get(Investigation, incident.id)
        return [] if found is None else [f"{odds(s.probability)}: {s.title}" for s in found.suspects[:3]]

    def look_into(self, incident: Incident, now_us: int, ask: Ask | None = None) -> Postmortem:
        """Investigate with what is known at `now_us`, capture the failures and draft the postmortem anew.

        Args:
            incident: what is looked into.
            now_us: the clock.
            ask: asks an old and a new target the failing questions again; None where there are none.
        """
        seen_us = self._known_until(incident, now_us)
        grow_timeline(self.warehouse, self.ledger, incident, now_us=seen_us)
        with self._freezing:  # a lever has waited for it, or waits no more: it is not done twice
            known = self._frozen.pop(incident.id, None)
            found = known[2] if known is not None and known[:2] == (incident, seen_us) and ask is None else None
            found = found or self._investigate(incident, seen_us, ask)
        lead = lead_of(self.warehouse, self.ledger, incident, self.scorers, now_us=seen_us)
        if incident.state != "closed":
            incident = restate(self.ledger, incident, found.impact.lately, now_us=seen_us)
            incident = tell_visible(self.warehouse, self.ledger, incident, now_us=seen_us)
        self.runbook(incident, now_us)
        capture(self.ledger, failures_of(incident, found, lead), now_us=seen_us)
        return draft_postmortem(self.warehouse, self.ledger, incident, found, now_us=seen_us)

    def _investigate(self, incident: Incident, seen_us: int, ask: Ask | None = None) -> Investigation:
        rng = np.random.default_rng([self.seed, int(incident.id.rpartition("-")[2])])
        return investigate(
            self.warehouse, self.ledger, incident, self.embedder, now_us=seen_us, rng=rng, scorers=self.scorers,
            objectives=self.objectives, ask=ask,
        )  # fmt: skip

    def runbook(self, incident: Incident, now_us: int, *, anew: bool = False) -> RunbookState:
        """The runbook of an incident, with answers that hold now; `anew` asks all of it again."""
        return brought_up_to_date(
            self.warehouse, self.ledger, self.embedder, incident, config=self.settings.config, now_us=now_us,
            frozen_us=[v.record.at_us for v in self.ledger.history(Investigation, incident.id)],
            seen_us=self._known_until(incident, now_us), anew=anew,
            rng=np.random.default_rng([self.seed, int(incident.id.rpartition("-")[2]), 1]),
        )  # fmt: skip

    def _known_until(self, incident: Incident, now_us: int) -> int:
        """The end of what is known: the end of the last window with traffic, so that a store that rests says the same tomorrow.

        Where traffic itself is what is missing, its absence is known up to now.
        """
        if incident.metric == TRAFFIC or not incident.lead:
            return now_us
        mine = of_app(incident)
        width = self.settings.window_s * 1_000_000
        lately = Span(start_us=incident.alarmed_us - width, end_us=2**62)
        plan = Rollup(table="interactions", metrics=("time_us",), measures=("max",), where=mine, span=lately)
        last = self.warehouse.run(plan)["time_us.max"][0].as_py() or 0
        return min(now_us, max((int(last) // width + 1) * width, incident.alarmed_us))

    def follow(self, now_us: int) -> None:
        """Go on with incidents that are not closed: their timelines grow, their exit criteria are measured.

        A replay does so at its end instead. What fails does not keep the rest from it; the first such error is raised at the
        end.
        """
        failed: list[Exception] = []
        seen_us = now_us - self.settings.settle_s * 1_000_000
        for incident in self.ledger.all(Incident):
            if incident.state == "closed":
                continue
            try:
                grow_timeline(self.warehouse, self.ledger, incident, now_us=seen_us)
                if seen_us - self._measured_us.get(incident.id, 0) >= MEASURE_US:
                    measure_recovery(self.warehouse, self.ledger, incident, now_us=seen_us)
                    self._measured_us[incident.id] = seen_us
            except Exception as error:  # as in `_look_if_new`
                said = quoted(f"{type(error).__name__}: {error}", 500)
                _log.error("%s could not be followed, and is tried again: %s", incident.id, said)
                failed.append(error)
        if failed:
            raise failed[0]

    def capture_due(self, now_us: int) -> tuple[RuleCount, ...]:
        """Capture what failed since the last call; apart from turns, which must not wait for it: a day may take a minute to weigh."""
        return capture_new(
            self.warehouse, self.ledger, self.scorers, self.embedder, now_us=now_us, thresholds=self.thresholds
        )

    def freeze(self, app: str | None, now_us: int) -> list[str]:
        """Investigate open incidents of an app (None: of all) again, so that evidence is frozen before a lever moves.

        One whose evidence lacks less than an hour of what is known is left as it is, and nothing else is done of what
        `look_into` does: what a lever stops must not wait for it.
        """

        def look(incident: Incident) -> None:
            seen_us = self._known_until(incident, now_us)
            with self._freezing:
                self._frozen[incident.id] = incident, seen_us, self._investigate(incident, seen_us)

        return freeze_open(self.ledger, app, look, lambda incident: self._known_until(incident, now_us) - MEASURE_US)

    def forget(self, now_us: int) -> Mapping[str, int]:
        """Take rows out that are older than their table keeps them, and kept answers of targets (``evals``); returns how many."""
        bounds = due(self._kept, now_us)
        gone = {t: self.warehouse.expire(t, before_us=bounds[t]) for t in self.warehouse.tables() if t in bounds}
        gone["evals"] = expire_kept(self.settings.place / "evals", now_us - KEPT_US)
        return {table: n for table, n in gone.items() if n}

    def erase(self, user: str, now_us: int, by: str) -> Erasure:
        """Remove what came from one user: rows of every table, and texts in every kind of record (`erase_user`).

        Raises:
            InputError: the user is empty.
            StoreError: the disk or the ledger refused; calling again goes on.
        """
        return erase_user(self.warehouse, self.ledger, self.settings, user, now_us=now_us, by=by)

    def take_in(self, folder: Path, now_us: int) -> list[Imported]:
        """Import the files of a watched folder that are new or have changed; what cannot be read is said, once."""
        known = {i.id: i for i in self.ledger.all(Imported)}
        listing = scan(folder)
        seen = {s.path: s for s in listing}
        done = []
        for path in ready_files(listing, known, now_us, _INBOX_SETTLE_US):
            found = seen[str(path)]
            rows = bad = 0
            error = None
            try:
                if table_of(path) == "changes":
                    received = self.record_changes(path, now_us)
                    rows = len(received.changes)
                    if received.ignored:
                        _log.info("%s: %s", quoted(str(path), 200), passed_over(received.ignored))
                else:
                    result = import_files(self.warehouse, [path], intake=self.intake)
                    rows, bad = result.acknowledged, result.bad
            except InputError as reason:
                error = str(reason)
                _log.warning("%s was not taken in: %s", quoted(str(path), 200), quoted(error, 500))
            imported = Imported(
                id=found.path, size=found.size, mtime_us=found.mtime_us, inode=found.inode, rows=rows, bad=bad,
                at_us=now_us, error=error,
            )  # fmt: skip
            self.ledger.put(imported, now_us=now_us, by="inbox")
            done.append(imported)
        return done

    def record_changes(self, path: Path, now_us: int) -> Received:
        """Record the changes of a file; returns what the file held, changes and other things.

        Raises:
            InputError: a line is not a change; names the file and the line.
        """
        received = read_changes(path, now_us=now_us)
        record_changes(self.ledger, received, now_us=now_us)
        return received

    def close(self) -> None:
        """Close the store."""
        self.warehouse.close()
        self.ledger.close()

    def _look_if_new(
        self, incident: Incident, at_us: int, failed: list[Exception], looked: Callable[[Incident], None]
    ) -> None:
        """Look into an incident that is new or has another leading signal; what goes wrong is logged, and added to `failed`.

        Drafts are large, so the ledger is asked for one only where this process does not know it.
        """
        if self._drafted.get(incident.id) == incident.lead:
            return
        drafted = self.ledger.get(Postmortem, incident.id)
        if drafted is not None and drafted.incident.lead == incident.lead:
            self._drafted[incident.id] = incident.lead
            return
        try:
            self.look_into(incident, at_us)
        except Exception as error:  # a fault of one investigation, whatever it is, is not to cost the others theirs
            said = quoted(f"{type(error).__name__}: {error}", 500)
            _log.error("%s could not be looked into, and is tried again: %s", incident.id, said)
            failed.append(error)
            return
        try:
            looked(incident)
        except Exception as error:  # it is told at the end of the turn; the others are to be looked into
            failed.append(error)


def open_loop(settings: Settings, *, seed: int = 0) -> Loop:
    """Open the store of these settings and everything that works on it.

    Raises:
        ConfigError: a plug-in or the embedder cannot be used.
        StoreError: the folder cannot be written.
    """
    scorers = installed_scorers()
    schemas = {**SCHEMAS, "scores": score_schema(scorers)}
    warehouse, ledger = open_warehouse(settings, schemas), open_ledger(settings)
    embedder = Cached(choose(settings))
    return Loop(warehouse, ledger, settings, scorers=scorers, embedder=embedder, seed=seed)
