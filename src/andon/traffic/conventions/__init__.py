"""What spans and log records say, in every convention of the field: one table, and what needs more than a look-up.

In: the spans of traces, with their log records joined. Out: one `Interaction` for each trace of an AI system, and the
feedback that annotations and evaluations are. Always true: neither order nor repetition matters; no value of an attribute
raises; a call that two libraries recorded counts once.
"""

from andon.traffic.conventions.annotations import annotations_of, evaluation_of
from andon.traffic.conventions.messages import join_logs
from andon.traffic.conventions.readings import READINGS, Reading
from andon.traffic.conventions.traces import assemble

__all__ = ["READINGS", "Reading", "annotations_of", "assemble", "evaluation_of", "join_logs"]
