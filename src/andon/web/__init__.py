"""The page: what is wrong, what is held, and the postmortem of each incident. Server-rendered, no script.

In: the records of the ledger, handed over by the server. Out: HTML. Always true: a route reads records and renders; it
computes nothing and touches no store.
"""

from andon.web.pages import Reader, add_pages

__all__ = ["Reader", "add_pages"]
