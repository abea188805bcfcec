"""What tests each kind of criterion of an action item: stages later than postmortems hold the proofs, so the loop joins them."""

from collections.abc import Mapping

from andon.evals import EvalRun
from andon.evals.run import quarantined
from andon.evals.run.rules import rules_in
from andon.golden import Case
from andon.levers import Lever, Pull
from andon.levers.proofs import cases_pass, gate_blocks, lever_exists
from andon.loop.turning import Loop
from andon.postmortems.run.actions import Prover, monitor_fires

__all__ = ["provers"]


def provers(loop: Loop) -> Mapping[str, Prover]:
    """Kind of criterion -> the function that tests it, as `prove_action` takes them."""
    ledger = loop.ledger
    fires = monitor_fires(
        loop.warehouse,
        ledger,
        loop.scorers,
        objectives=loop.objectives,
        rules=loop.rules,
        false_pages_per_month=loop.settings.false_pages_per_month,
    )
    return {
        "case passes": lambda item, now: cases_pass(item, ledger.all(Case), ledger.all(EvalRun), now),
        "monitor fires": fires,
        "gate blocks": lambda item, now: gate_blocks(
            item, ledger.all(EvalRun), now, rules=rules_in(None, now_us=now), quarantined=quarantined(ledger, now)
        ),
        "lever exists": lambda item, now: lever_exists(item, ledger.all(Lever), ledger.all(Pull), now),
    }
