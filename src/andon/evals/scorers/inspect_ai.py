"""Scorers of Inspect as case scorers: ``inspect:match``. Needs the extra ``andon[inspect]``."""

from typing import Any

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.evals.scorers.foreign import arguments_of, finished, imported, judge_of, made, named, takes, version_of
from andon.evals.scorers.matching import texts_of
from andon.golden import Case
from andon.scores import Embedder
from andon.scores.posting import without_secret
from andon.settings import Settings
from andon.traffic.quoting import quoted

__all__ = ["load"]


def load(settings: Settings, part: str) -> CaseScorer:
    """A scorer of `inspect_ai.scorer` by its name.

    Its letters are numbers as in Inspect: C is 1, P is 0.5, I and N are 0. Only 1 passes, unless the case has a cut. The target
    is the right answer and `expect.any_of`; arguments of the scorer stand in `expect.arguments`. A scorer with a model asks the
    judge's endpoint.

    Raises:
        ConfigError: Inspect is not installed, has no such scorer, or the judge is not set.
    """
    scorer = named(imported("inspect_ai.scorer", "inspect"), part)
    name = f"inspect:{part}"
    model = judge_of(settings, name)[1] if takes(scorer, "model") else ""

    def score(case: Case, output: Output, _: Embedder) -> Measured | None:
        arguments = arguments_of(case)
        if model:
            arguments["model"] = _model(settings, name)
        ready = made(scorer, name, arguments)
        kinds = imported("inspect_ai.scorer", "inspect")
        target = kinds.Target([case.ground_truth, *(texts_of(case, "any_of") or ())])
        found = finished(ready(_state(case, output, target), target))
        if found is None:
            return None
        if isinstance(found.value, list | tuple | dict):
            raise InputError(f"{name} gives {quoted(found.value)}; a scorer with one value is allowed")
        value = float(kinds.value_to_float()(found.value))
        said = without_secret(found.explanation or found.answer or "", settings.judge_key.strip())
        return Measured(
            value=value,
            passed=value >= 1 if case.cut is None else None,
            detail=f"{part} says {found.value}" + (f": {quoted(said, 160)}" if said else ""),
        )

    return CaseScorer(
        name=name, version=version_of("inspect-ai", model), about=f"Inspect's scorer {part} says C, or 1.", score=score
    )


def _state(case: Case, output: Output, target: Any) -> Any:
    models, solver = imported("inspect_ai.model", "inspect"), imported("inspect_ai.solver", "inspect")
    return solver.TaskState(
        model=models.ModelName("andon/target"),
        sample_id=case.id,
        epoch=1,
        input=case.question,
        messages=[models.ChatMessageUser(content=case.question)],
        target=target,
        output=models.ModelOutput.from_content("andon/target", output.answer or ""),
    )


def _model(settings: Settings, name: str) -> Any:
    """A new client for each score: one of an ended event loop cannot be used again."""
    url, model, key = judge_of(settings, name)
    models = imported("inspect_ai.model", "inspect")
    config = models.GenerateConfig(temperature=0)
    return models.get_model(
        f"openai/{model}", base_url=url, api_key=key, config=config, memoize=False, responses_api=False
    )
