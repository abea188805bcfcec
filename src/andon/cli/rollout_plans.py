"""Plans of experiments on the command line: what was asked for, what the plan can see, and writing it down."""

from collections.abc import Sequence

from andon.cli.screen import now_us, plain, say, show_table, who
from andon.errors import InputError
from andon.levers.run.drafting import Draft, Guarded, better_of, guardrail_of, plan_draft, usual_margin, write_drafted
from andon.loop import Loop
from andon.rollouts import Experiment
from andon.rollouts.plan import Plan
from andon.rollouts.run.reading import known_metric
from andon.rollouts.told import guarded_text, plan_rows, points_text, power_text, say_plan, time_text
from andon.scores import Scorer
from andon.traffic import quoted

__all__ = ["Draft", "better_of", "check_spread", "guardrail_of", "show_plan", "usual_margin", "write_down"]


def check_spread(metric: str, spread: float | None, scorers: Sequence[Scorer]) -> None:
    """Whether a number has its standard deviation, and a rate has none; of a metric that no scorer knows either is right.

    Raises:
        InputError: it is not so.
    """
    try:
        number = known_metric(metric, scorers).kind == "number"
    except InputError:
        return
    if number and spread is None:
        raise InputError(f"{quoted(metric)} is a number: give --spread, the standard deviation of a user's value, too")
    if not number and spread is not None:
        raise InputError(f"{quoted(metric)} is a rate, whose spread follows from --base: leave --spread out")


def show_plan(plan: Plan) -> None:
    """What a plan can and cannot see."""
    first, *rest = say_plan(plan)
    say(plain(first))
    show_table(*plan_rows(plan), empty="")
    for text in rest:
        say(plain(text))


def write_down(loop: Loop, draft: Draft, *, anyway: bool, start: bool) -> Experiment:
    """Fill in what is missing, show what the plan can see, and write it; a plan that cannot see its effect only on demand.

    Args:
        loop: has the stores.
        draft: what is asked for.
        anyway: write a plan that cannot see its effect, too.
        start: it is to be started at once, so one that cannot be started now is not written.

    Raises:
        InputError: something named is unknown, both versions are the same, nothing came to plan from, or the plan cannot see its effect.
        StateError: it is to change an experiment that was started, or to start one that cannot be (`andon.levers.run.check_start`).
    """
    drafted = plan_draft(loop.warehouse, loop.ledger, loop.scorers, draft, by=who(), now_us=now_us())
    show_plan(drafted.plan)
    for text in drafted.told:
        say(plain(text))
    _show_guards(drafted.guards, drafted.plan)
    if drafted.unshown:
        say(plain(drafted.unshown))
    return write_drafted(loop.ledger, drafted, anyway=anyway, start=start, now_us=now_us())


def _show_guards(guards: Sequence[Guarded], plan: Plan) -> None:
    if not guards:
        return
    rows = [
        (
            guarded_text(g.metric, g.risk_category),
            points_text(g.margin),
            "no such traffic yet" if g.harm_now is None else f"{100 * g.harm_now:.3g} %",
            "cannot tell" if g.power is None else power_text(g.power),
            "cannot tell" if g.power is None else "nothing" if g.could is None else points_text(g.could),
        )
        for g in guards
    ]
    head = (
        "guardrail",
        "accepts",
        "harm now",
        f"shown to hold in {time_text(plan.asked.days)}",
        "could be shown to keep",
    )
    show_table(head, rows, empty="")
    for metric, text in {g.metric: g.harm for g in guards}.items():
        if text:
            say(plain(f"Harm of {metric} is what is {text}; it is computed again at the start."))
