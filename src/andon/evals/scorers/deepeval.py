"""Metrics of DeepEval as case scorers: ``deepeval:AnswerRelevancyMetric``. Needs the extra ``andon[deepeval]``."""

import json
from typing import Any

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.evals.scorers.foreign import arguments_of, imported, judge_of, made, named, takes, version_of
from andon.evals.scorers.tools import calls_due
from andon.golden import Case
from andon.scores import Embedder
from andon.scores.posting import without_secret
from andon.settings import Settings
from andon.traffic.quoting import quoted

__all__ = ["load"]


def load(settings: Settings, part: str) -> CaseScorer:
    """A metric of `deepeval.metrics` by its name, with or without the word Metric.

    It passes by its own threshold (`expect.arguments`), or by the case's cut where it has one. A metric with a model asks the
    judge's endpoint. `expect.tools` are its expected tools.

    Raises:
        ConfigError: DeepEval is not installed, has no such metric, or the judge is not set.
    """
    metric = named(imported("deepeval.metrics", "deepeval"), part, "metric")
    name = f"deepeval:{part}"
    model = judge_of(settings, name)[1] if takes(metric, "model") else ""

    def score(case: Case, output: Output, _: Embedder) -> Measured:
        arguments = arguments_of(case)
        if model:
            arguments["model"] = _model(settings, name)
        if takes(metric, "evaluation_params") and "evaluation_params" in arguments:
            arguments["evaluation_params"] = _parameters(name, arguments["evaluation_params"])
        if takes(metric, "async_mode"):
            arguments.setdefault("async_mode", False)
        ready = made(metric, name, arguments)
        value = ready.measure(_test_case(case, output), _show_indicator=False)
        cost, said = ready.evaluation_cost, without_secret(ready.reason or "", settings.judge_key.strip())
        return Measured(
            value=float(value),
            passed=bool(ready.is_successful()) if case.cut is None else None,
            detail=quoted(said, 200)[1:-1] if said else f"{part} {value:.4g}",
            cost_usd=float(cost) if cost else None,
        )

    return CaseScorer(
        name=name,
        version=version_of("deepeval", model),
        about=f"DeepEval's {metric.__name__} is successful.",
        score=score,
        needs_answer=not metric.__name__.startswith("Tool"),
    )


def _test_case(case: Case, output: Output) -> Any:
    kinds = imported("deepeval.test_case", "deepeval")
    contexts = list(output.passages(case))
    return kinds.LLMTestCase(
        input=case.question,
        actual_output=output.answer or "",
        expected_output=case.ground_truth,
        context=list(case.contexts) or None,
        retrieval_context=contexts or None,
        tools_called=[
            kinds.ToolCall(name=t.name, input_parameters=_object(t.arguments), output=t.result)
            for t in output.tool_calls
        ],
        expected_tools=[kinds.ToolCall(name=d.name, input_parameters=d.arguments) for d in calls_due(case) or ()],
    )


def _parameters(name: str, given: Any) -> list[Any]:
    """Which parts of a test case a metric looks at, as DeepEval's enumeration: ``["input", "actual_output"]``."""
    kinds = imported("deepeval.test_case", "deepeval").SingleTurnParams
    known = {k.value: k for k in kinds}
    if not isinstance(given, list | tuple) or not all(isinstance(g, str) and g in known for g in given):
        raise InputError(f"{name}: evaluation_params is {quoted(given)}; allowed are {', '.join(known)}")
    return [known[g] for g in given]


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _model(settings: Settings, name: str) -> Any:
    url, model, key = judge_of(settings, name)
    return imported("deepeval.models", "deepeval").LocalModel(model=model, base_url=url, api_key=key, temperature=0)
