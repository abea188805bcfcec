"""What a team would have left behind beside its traffic: eval runs with their baseline, and experiments with their looks."""

import random
from collections.abc import Callable
from urllib.parse import urlencode

from andon.evals import CaseResult, EvalRun
from andon.evals.run import keep_run, set_baseline
from andon.evals.run.runs import run_of
from andon.golden import Case
from andon.levers import Lever
from andon.levers import run as levers
from andon.rollouts import Decision, Experiment
from andon.rollouts.records import Arm, Finding, Guardrail
from andon.store import Ledger
from bench.web_store import END_US

__all__ = ["EXPERIMENTS", "measured", "measured_places"]

RUNS, CASES, EXPERIMENTS, LOOKS = 30, 500, 40, 14
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
LEVER = "support.greeting"
"""The lever whose versions are compared."""


def measured(ledger: Ledger) -> None:
    """Put in eval runs of the application ``support``, and experiments on its prompt."""
    _runs(ledger, random.Random(1))
    digest = _versions(ledger)
    for n in range(EXPERIMENTS):
        _experiment(ledger, n, digest, random.Random(n))


def measured_places(ledger: Ledger) -> dict[str, Callable[[random.Random], str]]:
    """Pages about them: what each is called, and its address."""
    runs = [i for _, i in ledger.ids(EvalRun)]
    plan = {
        "kind": "ab", "of": f"lever:{LEVER}", "app": "support", "treatment": levers.versions_of(ledger, LEVER)[-1].digest,
        "metric": "refusal", "better": "down", "effect": "0.02", "hypothesis": "kinder words", "days": "14",
    }  # fmt: skip

    def two_runs(chosen: random.Random) -> str:
        one, other = chosen.sample(runs, 2)
        return f"/evals/compare?{urlencode({'a': one, 'b': other})}"

    return {
        "evals": lambda _: "/evals",
        "run": lambda c: f"/evals/{c.choice(runs)}",
        "two runs": two_runs,
        "rollouts": lambda _: "/rollouts",
        "rollout": lambda c: f"/rollouts/EXP-{c.randrange(1, EXPERIMENTS + 1):04}",
        "rollout plan": lambda _: f"/rollouts/new?{urlencode(plan)}",
    }


def _runs(ledger: Ledger, chosen: random.Random) -> None:
    """A run every eight hours; the first is the baseline, and every fifth is worse."""
    cases = [c for c in ledger.all(Case) if c.id.startswith("G-")][:CASES]
    for n in range(RUNS):
        at_us = END_US - (RUNS - n) * 8 * HOUR_US
        bad = 0.15 if n % 5 == 4 else 0.05
        results = [_result(c, chosen.random() >= bad) for c in cases]
        run = run_of(
            cases, results, at_us=at_us, target=f"support of build {n}", scorers="normalised_match@1", versions={"code": f"1.{n}.0"}
        )  # fmt: skip
        keep_run(ledger, run, now_us=at_us, by="ci")
        if n == 0:
            set_baseline(ledger, run, target="https://support.example/answer", now_us=at_us, by="Ada")


def _result(case: Case, passes: bool) -> CaseResult:
    return CaseResult(
        case_id=case.id, outcome="pass" if passes else "fail", answer=case.ground_truth if passes else "I cannot help with that.",
        detail="as expected" if passes else "the answer is not the right one", risk_category=case.risk_category, latency_s=0.8,
        cost_usd=0.001, value=float(passes), measured="normalised_match@1",
    )  # fmt: skip


def _versions(ledger: Ledger) -> str:
    """A lever with a version that somebody approved; returns the version."""
    at_us = END_US - 60 * DAY_US
    lever = Lever(id=LEVER, kind="string", default="Hello.", safe="Ask a person.", app="support")
    levers.declare(ledger, lever, at_us, "Ada")
    made = levers.add_version(ledger, LEVER, "Hello!", why="kinder", by="Ann", now_us=at_us + HOUR_US)
    levers.approve_version(ledger, LEVER, made.digest, why="read it", by="Bob", now_us=at_us + 2 * HOUR_US)
    return made.digest


def _experiment(ledger: Ledger, n: int, digest: str, chosen: random.Random) -> None:
    """The last one splits the lever and runs; of the others, on a field of traffic, every fourth is only planned."""
    runs = n == EXPERIMENTS - 1
    at_us = END_US - 13 * DAY_US if runs else END_US - (EXPERIMENTS - n) * DAY_US // 2
    e = Experiment(
        id=f"EXP-{n + 1:04d}", kind="ab", app="support", lever=LEVER if runs else None, field=None if runs else "prompt_version",
        control=None if runs else "p3", treatment=digest if runs else "p4", share=0.5, hypothesis=f"Kinder words, fewer refusals ({n}).",
        metric="refusal", better="down", effect=0.02, base=0.06, planned=(3_000, 3_000), days=14.0, by="Rob", at_us=at_us,
        guardrails=tuple(Guardrail(metric=m, margin=0.02) for m in ("error", "thumbs")),
    )  # fmt: skip
    ledger.put(e, now_us=at_us, by="Rob")
    if n % 4 == 0 and not runs:
        return
    levers.start_split(ledger, e, why="try it", by="Rob", now_us=at_us)
    for look in range(1, min(LOOKS, (END_US - at_us) // DAY_US) + 1):
        ledger.put(_look(e, look, at_us + look * DAY_US, chosen), now_us=at_us + look * DAY_US, by="andon")


def _look(e: Experiment, look: int, at_us: int, chosen: random.Random) -> Decision:
    n, effect = 200 * look, -0.01 + 0.02 * (chosen.random() - 0.5)
    reach = 0.08 / look**0.5
    told = {
        "control": 0.06,
        "treatment": 0.06 + effect,
        "effect": effect,
        "low": effect - reach,
        "high": effect + reach,
    }
    found = [Finding(metric="refusal", role="primary", verdict="undecided", text="cannot be told yet", **told)]
    found += [
        Finding(metric=g.metric, role="guardrail", verdict="not worse", text="not worse by its margin", **told) for g in e.guardrails
    ]  # fmt: skip
    found += [
        Finding(
            metric="refusal", role="segment", risk_category=r, verdict="undecided", text="cannot be told yet", **told
        )
        for r in ("low", "medium", "high", "critical")
    ]
    arms = [Arm(name=a, n=n, events=round(n * told[a]), interactions=3 * n) for a in ("control", "treatment")]
    return Decision(
        id=f"{e.id}@{look:04d}", at_us=at_us, app=e.app, metric=e.metric, control=arms[0], treatment=arms[1], outcome="undecided",
        reason="the interval holds no difference and the one that is worth having", effect=effect, low=told["low"], high=told["high"],
        ratio_mismatch=0.6, experiment=e.id, look=look, fraction=look / LOOKS, more_days=3.0, most_days=9.0, findings=tuple(found),
    )  # fmt: skip
