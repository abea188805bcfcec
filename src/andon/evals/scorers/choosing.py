"""Which measure a case asks for."""

from collections.abc import Iterable

from andon.errors import ConfigError
from andon.evals.records import CaseScorer
from andon.golden import Case
from andon.plugins import load_all
from andon.scores import Scorer
from andon.settings import Settings
from andon.traffic.quoting import quoted

__all__ = ["GROUP", "scorers_for"]

GROUP = "andon.case_scorers"
"""Entry points, each a `CaseScorer` or a function ``load(settings, part) -> CaseScorer``."""


def scorers_for(cases: Iterable[Case], online: Iterable[Scorer], settings: Settings) -> dict[str, Scorer | CaseScorer]:
    """The measures by metric: the scorers of live traffic, and the case scorers that these cases ask for.

    A metric ``family:part`` (``ragas:faithfulness``) is made by the entry point `family`, which is given the part. Only what
    is asked for is made, so that nobody needs a judge who has no case for it.

    Raises:
        ConfigError: a case asks for a scorer whose settings or package are missing, or that cannot be imported.
    """
    points = load_all(GROUP)
    chosen: dict[str, Scorer | CaseScorer] = {s.name: s for s in online}
    for metric in sorted({c.metric for c in cases}):
        family, colon, part = metric.partition(":")
        point = points.get(family)
        if point is not None and not (colon and isinstance(point, CaseScorer)):
            chosen[metric] = point if isinstance(point, CaseScorer) else _made(point, metric, part, settings)
    return chosen


def _made(load: object, metric: str, part: str, settings: Settings) -> CaseScorer:
    scorer = load(settings, part) if callable(load) else None
    if not isinstance(scorer, CaseScorer):
        raise ConfigError(
            f"the case scorer {quoted(metric)} is no CaseScorer, nor a function that makes one; correct its package"
        )
    return scorer
