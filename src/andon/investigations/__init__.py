"""What, why, how wide, how late? The four questions of an incident, each answered with evidence.

In: an incident, its signals, the change log, the tables. Out: an `Investigation` record. Always true: it never says more
than the data; "no own change explains this" is always among the ranked suspects; every count carries the plan that gives it
again, and what is worked out of several counts (a contrast, a dose, a replay of limits) the plans of their sums; examples
are copied out.
"""

from andon.investigations.records import (
    Analysis,
    Confidence,
    Evidence,
    Example,
    Gap,
    HarmedSlice,
    Impact,
    Investigation,
    Part,
    Proposal,
    Suspect,
    SuspectTest,
    Twin,
)
from andon.investigations.scope import Limit, isolated_or_systematic, rank_parts
from andon.investigations.suspects import Candidate, Exposure, Traffic, rank_suspects

__all__ = [
    "Analysis",
    "Candidate",
    "Confidence",
    "Evidence",
    "Example",
    "Exposure",
    "Gap",
    "HarmedSlice",
    "Impact",
    "Investigation",
    "Limit",
    "Part",
    "Proposal",
    "Suspect",
    "SuspectTest",
    "Traffic",
    "Twin",
    "isolated_or_systematic",
    "rank_parts",
    "rank_suspects",
]
