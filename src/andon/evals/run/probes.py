"""Ask a probe, write its answers as traffic and its passes as a metric, and say what that means for its bar."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from andon.errors import ConfigError, InputError
from andon.evals.probes import Probe, chosen, next_us, signals_of
from andon.evals.records import CaseResult, EvalRun, Output, Probed, Target
from andon.evals.repeats import counts_of
from andon.evals.run.asking import run_evals
from andon.evals.run.runs import keep_run
from andon.evals.scorers import scorers_for
from andon.evals.targets import make_target
from andon.golden import Case
from andon.golden.run import load_set
from andon.incidents import Incident
from andon.incidents.run import signals_of as held_by
from andon.incidents.run.timeline import Attached
from andon.monitors import Signal
from andon.scores import Embedder, Scorer
from andon.scores.rows import PROBE
from andon.settings import Settings
from andon.store import Ledger, Warehouse
from andon.traffic import Context, Feedback, Interaction
from andon.traffic.quoting import quoted
from andon.traffic.run import Intake

__all__ = ["ask_due", "ask_probe", "raised"]

LATELY_US = 86_400_000_000


def ask_due(
    warehouse: Warehouse,
    ledger: Ledger,
    intake: Intake,
    probes: Sequence[Probe],
    scorers: Sequence[Scorer],
    embedder: Embedder,
    *,
    settings: Settings,
    now_us: int,
) -> list[Probed]:
    """Ask every probe whose time has come; one that cannot be asked says why (`Probed.problem`), and keeps no other back."""
    return [
        ask_probe(warehouse, ledger, intake, probe, scorers, embedder, settings=settings, now_us=now_us)
        for probe in probes
        if next_us(probe, ledger.get(Probed, probe.name)) <= now_us
    ]


def ask_probe(
    warehouse: Warehouse,
    ledger: Ledger,
    intake: Intake,
    probe: Probe,
    scorers: Sequence[Scorer],
    embedder: Embedder,
    *,
    settings: Settings,
    now_us: int,
) -> Probed:
    """Ask a probe now, whether it is due or not.

    Its answers become interactions whose source is ``probe`` and its passes the metric `METRIC`, so that both have charts
    apart from people's traffic. Its signal, if it raises one, is given to an incident by the next turn of the loop; while that
    is not over, it tells of the chart, and no further signal does.

    Raises:
        StoreError: the disk or the ledger refused.
    """
    before, by = ledger.get(Probed, probe.name), f"probe {probe.name}"
    cases = chosen(probe, load_set(ledger, probe.app))
    waiting = _waiting(ledger, before)
    last = Probed(
        id=probe.name, at_us=now_us, waiting=tuple(s.id for s in waiting), kept_us=before.kept_us if before else None
    )

    def keep(probed: Probed) -> Probed:
        ledger.put(probed, now_us=now_us, by=by)
        return probed

    if not cases:
        return keep(replace(last, problem=_nothing_fits(probe)))
    try:
        target = _Heard(make_target(probe.target))
        measures = scorers_for(cases, scorers, settings)
    except (InputError, ConfigError) as error:
        return keep(replace(last, problem=str(error)))
    run = run_evals(cases, target, measures, embedder, now_us=now_us)
    keep_run(ledger, run, now_us=now_us, by=by)
    _write(intake, probe, run, cases, target.outputs)
    warehouse.commit()
    signals = signals_of(probe, run, before, window_us=settings.window_s * 1_000_000)
    told = _told(ledger) | {s.monitor: s.id for s in waiting}
    for signal in signals:
        if signal.monitor not in told:
            ledger.put(signal, now_us=now_us, by=by)
    passed, failed, errors = counts_of(run.results)
    return keep(
        replace(
            last, run=run.id, passed=passed, failed=failed, errors=errors,
            signals=tuple(told.get(s.monitor, s.id) for s in signals if s.level == "page" or s.monitor not in told),
            kept_us=now_us if passed + failed and not signals else last.kept_us,
            problem="" if passed + failed else _none_ran(run),
        )
    )  # fmt: skip


def raised(ledger: Ledger, now_us: int) -> list[Signal]:
    """The signals that probes raised and no incident holds yet; a warning is offered for a day, a page until one does."""
    ids = [(name, p.at_us) for p in ledger.all(Probed) for name in dict.fromkeys((*p.waiting, *p.signals))]
    if not ids:
        return []
    held = _held(ledger)
    found = [(ledger.get(Signal, name), at_us) for name, at_us in ids if name not in held]
    return [s for s, at_us in found if s is not None and (s.level == "page" or now_us - at_us < LATELY_US)]


def _held(ledger: Ledger) -> set[str]:
    """Ids of the signals that an incident holds."""
    return {name for i in ledger.all(Incident) for name in i.signals} | {late.id for late in ledger.all(Attached)}


def _waiting(ledger: Ledger, before: Probed | None) -> list[Signal]:
    """The pages of the runs until now that no incident holds yet."""
    held = _held(ledger) if before else set()
    names = dict.fromkeys((*before.waiting, *before.signals)) if before else ()
    found = [ledger.get(Signal, name) for name in names if name not in held]
    return [s for s in found if s is not None and s.level == "page"]


def _told(ledger: Ledger) -> dict[str, str]:
    """Charts of which an incident that is not over holds the page of a run, and its id: runs speak once of what goes on."""
    going_on = [i for i in ledger.all(Incident) if i.state != "closed" and i.recovered_us is None]
    return {s.monitor: s.id for i in going_on for s in held_by(ledger, i) if s.level == "page" and s.every_us}


class _Heard:
    """A target that remembers what it said, by question: cases of one question share an answer."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self.outputs: dict[str, Output] = {}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)  # its name, and its model, version and recorded attempts where it has them
        return found if name != "attempt" else lambda case, repeat: self._hear(case, found(case, repeat))

    def ask(self, case: Case) -> Output:
        return self._hear(case, self._target.ask(case))

    def _hear(self, case: Case, output: Output) -> Output:
        self.outputs[case.question] = output
        return output


def _nothing_fits(probe: Probe) -> str:
    only = [f"{k} = {quoted(v)}" for k, v in (("metric", probe.metric), ("risk", probe.risk)) if v is not None]
    which = f" ({', '.join(only)})" if only else ""
    return f"no case of {quoted(probe.app)} fits{which}; `andon golden list` shows them"


def _none_ran(run: EvalRun) -> str:
    return f"none of {len(run.results)} cases could be asked; the first: {run.results[0].detail}"


def _write(intake: Intake, probe: Probe, run: EvalRun, cases: Sequence[Case], outputs: Mapping[str, Output]) -> None:
    """The answers as traffic of its own, and each pass or failure as feedback on its answer."""
    of = {c.id: c for c in cases}
    asked = [_interaction(probe, run, of[r.case_id], r, outputs.get(of[r.case_id].question)) for r in run.results]
    intake.interactions(asked, whole=True)
    intake.feedback(
        [
            Feedback(
                id=f"{i.id}/pass", interaction_id=i.id, time_us=i.time_us, kind="probe", value=float(r.outcome == "pass"),
                author=f"probe {probe.name}", text=r.detail or None,
            )
            for i, r in zip(asked, run.results, strict=True)
            if r.outcome != "error"
        ]
    )  # fmt: skip
    intake.flush(run.at_us)


def _interaction(probe: Probe, run: EvalRun, case: Case, r: CaseResult, output: Output | None) -> Interaction:
    said = output or Output(answer=None)
    return Interaction(
        id=f"{run.id}/{case.id}",
        time_us=run.at_us,
        app=probe.app,
        environment=probe.environment,
        query=case.question,
        answer=said.answer,
        contexts=tuple(Context(text=t) for t in said.contexts or ()),
        tool_calls=said.tool_calls,
        source=PROBE,
        segment=probe.name,
        risk_category=case.risk_category,
        attributes={"andon.probe": probe.name, "andon.case": case.id},
        error="probe_error" if r.outcome == "error" else None,
        latency_s=said.latency_s,
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        cost_usd=said.cost_usd,
        expected_answer=case.ground_truth,
    )
