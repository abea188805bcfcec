"""The command about the configuration: check."""

from collections.abc import Sequence
from pathlib import Path

import typer

from andon.cli.screen import now_us, say, settings
from andon.scores import Scorer
from andon.settings import Settings

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(check)


def check() -> None:
    """Read the settings, objectives, monitor rules and pull rules and say what was understood; exit 2 names what was not.

    Exit 1: something was understood and will not work as things stand: a database that cannot be reached, a folder that cannot
    be written to, a rule that pulls a lever that nobody has declared. A rule about traffic of which none came in the last week is
    named. Nothing is made or changed.
    """
    from andon.cli.places import check_places
    from andon.monitors.objectives import check_config
    from andon.scores.run import installed_scorers

    chosen, scorers = settings(), installed_scorers()
    lines = check_config(chosen, scorers)
    places, problems = check_places(chosen)
    rules, more = ([], []) if problems else _pull_rules(chosen, scorers)
    problems += more
    if not Path(chosen.config).exists():
        say(f"there is no {chosen.config}: every setting has its default, or comes from the environment")
    for line in [*lines, *rules, *places, *problems]:
        say(line)
    if problems:
        raise typer.Exit(1)


def _pull_rules(chosen: Settings, scorers: Sequence[Scorer]) -> tuple[list[str], list[str]]:
    """What was understood of the pull rules where there are any, with those that look at nothing, and what would keep one from pulling."""
    from andon.evals.probes import probes_of
    from andon.levers import Lever, Version
    from andon.levers.rule_tables import check_rules, describe_rules, pull_rules_of
    from andon.levers.run.automatic import unmatched
    from andon.scores import score_schema
    from andon.store import has_ledger, open_ledger, open_warehouse
    from andon.traffic import SCHEMAS

    probes = probes_of(chosen.tables, chosen.config)
    rules = pull_rules_of(chosen.tables, probes, scorers, chosen.config, chosen.settle_s)
    if not rules:
        return [], []
    lines = [f"{len(rules)} pull rule{'' if len(rules) == 1 else 's'}", *(f"  {r}" for r in describe_rules(rules))]
    if not has_ledger(chosen):
        return [*lines, f"whether they could pull was not checked: {chosen.home} has no ledger yet"], []
    warehouse, ledger = open_warehouse(chosen, {**SCHEMAS, "scores": score_schema(scorers)}), open_ledger(chosen)
    try:
        declared = ledger.all(Lever)
        lines += [f"warning: {said}" for said in unmatched(warehouse, rules, declared, now_us())]
        return lines, check_rules(rules, declared, ledger.all(Version))
    finally:
        ledger.close()
        warehouse.close()
