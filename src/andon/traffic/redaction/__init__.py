"""What must not be written: personal data and secrets, found by their form and covered by marks.

In: the rows of a table, just before they are written. Out: the same rows with marks in place of values, and counts. Always
true: the same value has the same mark under one key; ids, versions and JSON numbers are left; covering twice is covering once.
"""

from andon.traffic.redaction.cover import DEFAULT_RULES, LEFT, RULES, Redaction, mark_of, own_rules, redact, redaction

__all__ = ["DEFAULT_RULES", "LEFT", "RULES", "Redaction", "mark_of", "own_rules", "redact", "redaction"]
