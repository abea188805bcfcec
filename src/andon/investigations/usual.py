"""What is usually watched, and under which words an investigation keeps its figures of it."""

__all__ = ["COST", "USUAL_BEFORE", "USUAL_SINCE", "WATCHED"]

WATCHED = {
    "error": "up",
    "latency_s": "up",
    "thumbs": "down",
    "rating": "down",
    "tool_error": "up",
    "truncated": "up",
    "cost_usd": "up",
}
"""Metrics that dashboards usually show, and the direction in which each harms."""

USUAL_BEFORE = "metrics that are usually watched, before the onset"
USUAL_SINCE = "metrics that are usually watched, since the onset"
COST = "cost of the harmed interactions since the onset"
