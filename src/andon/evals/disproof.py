"""Ask an old and a new target the same questions again, for an investigation that wants to disprove a suspect."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from andon.evals.records import Target
from andon.golden import Case
from andon.investigations.disproof import Ask
from andon.traffic import Context, Interaction

__all__ = ["ask_of"]


def ask_of(old: Target, new: Target) -> Ask:
    """The question of each interaction, asked of one of the two targets; None where it gave no answer.

    What the target says takes the place of what was said; everything else of the interaction stays.
    """

    def ask(which: Literal["old", "new"], interactions: Sequence[Interaction]) -> list[Interaction | None]:
        target = old if which == "old" else new
        return [_again(target, i) for i in interactions]

    return ask


def _again(target: Target, i: Interaction) -> Interaction | None:
    case = Case(
        question=i.query or "", answer=None, contexts=tuple(c.text for c in i.contexts), ground_truth="", source="",
        failure_reason="", added_date="", id=i.id, app=i.app,
    )  # fmt: skip
    try:
        output = target.ask(case)
    except Exception:  # foreign code: whatever it raises, it gave no answer
        return None
    said = output.contexts
    contexts = i.contexts if said is None else tuple(Context(text=text) for text in said)
    return replace(i, answer=output.answer, contexts=contexts, refused=None)
