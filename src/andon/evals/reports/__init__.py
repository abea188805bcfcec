"""A run and its verdict for people and for CI: Markdown, JUnit XML, SARIF. Pure: records in, text out."""

from andon.evals.reports.junit import GATE, junit_of
from andon.evals.reports.markdown import LONGEST, SHOWN, markdown_of, rules_table, summarise, tell, todo_text
from andon.evals.reports.sarif import lines_of, sarif_of
from andon.evals.reports.standing import FAILING, Standing, Word, standings

__all__ = [
    "FAILING",
    "GATE",
    "LONGEST",
    "SHOWN",
    "Standing",
    "Word",
    "junit_of",
    "lines_of",
    "markdown_of",
    "rules_table",
    "sarif_of",
    "standings",
    "summarise",
    "tell",
    "todo_text",
]
