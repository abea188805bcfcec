"""Metrics of RAGAS as case scorers: ``ragas:faithfulness``. Needs the extra ``andon[ragas]``."""

from inspect import Parameter, signature
from typing import Any

from andon.errors import InputError
from andon.evals.records import CaseScorer, Measured, Output
from andon.evals.scorers.foreign import arguments_of, finished, imported, judge_of, made, named, takes, version_of
from andon.golden import Case
from andon.scores import Embedder
from andon.scores.posting import without_secret
from andon.settings import Settings
from andon.traffic.quoting import quoted

__all__ = ["load"]


def load(settings: Settings, part: str) -> CaseScorer:
    """A metric of `ragas.metrics.collections` by its name.

    Its number is held against the case's direction and cut. A metric with a model asks the judge's endpoint, one with
    embeddings the embedder of Andon.

    Raises:
        ConfigError: RAGAS is not installed, has no such metric, or the judge is not set.
    """
    metric = named(imported("ragas.metrics.collections", "ragas"), part)
    name = f"ragas:{part}"
    model = judge_of(settings, name)[1] if takes(metric, "llm") else ""

    def score(case: Case, output: Output, embedder: Embedder) -> Measured | None:
        arguments = arguments_of(case)
        if takes(metric, "llm"):
            arguments["llm"] = _model(settings, name)
        if takes(metric, "embeddings"):
            arguments["embeddings"] = _embeddings(embedder)
        ready = made(metric, name, arguments)
        given = _inputs(ready, name, case, output)
        if given is None:
            return None
        found = finished(ready.ascore(**given))
        said = without_secret(found.reason or "", settings.judge_key.strip())
        return Measured(value=float(found.value), detail=quoted(said, 200)[1:-1])

    return CaseScorer(
        name=name,
        version=version_of("ragas", model),
        about=f"RAGAS' metric {metric.__name__} keeps the case's cut.",
        score=score,
        embeds=takes(metric, "embeddings"),
    )


def _inputs(metric: Any, name: str, case: Case, output: Output) -> dict[str, Any] | None:
    """What the metric asks for, of what a case and its output have; None where they have no contexts for it."""
    retrieved = list(output.passages(case))
    have = {
        "user_input": case.question,
        "response": output.answer or "",
        "reference": case.ground_truth,
        "retrieved_contexts": retrieved,
        "reference_contexts": list(case.contexts),
    }
    given: dict[str, Any] = {}
    for parameter in signature(metric.ascore).parameters.values():
        if parameter.name in have:
            given[parameter.name] = have[parameter.name]
        elif parameter.default is Parameter.empty and parameter.kind is not Parameter.VAR_KEYWORD:
            raise InputError(f"{name} asks for {parameter.name}, which a case does not have; use another metric")
    return None if [] in given.values() else given


def _model(settings: Settings, name: str) -> Any:
    """A new client for each score: one of an ended event loop cannot be used again."""
    url, model, key = judge_of(settings, name)
    client = imported("openai", "ragas").AsyncOpenAI(base_url=url, api_key=key)
    return imported("ragas.llms", "ragas").llm_factory(model, client=client, temperature=0)


def _embeddings(embedder: Embedder) -> Any:
    parent = imported("ragas.embeddings.base", "ragas").BaseRagasEmbedding

    class Embeddings(parent):  # type: ignore[misc, valid-type]  # a class of an optional package
        """Andon's embedder as RAGAS asks for one."""

        def embed_text(self, text: str, **_: Any) -> list[float]:
            """The vector of a text."""
            return [float(x) for x in embedder.embed([text])[0]]

        async def aembed_text(self, text: str, **_: Any) -> list[float]:
            """The vector of a text."""
            return self.embed_text(text)

    return Embeddings()
