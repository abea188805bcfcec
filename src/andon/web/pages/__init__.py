"""The parts of the site, one module each."""

from andon.web.pages import entry, home, traffic

__all__ = ["PARTS"]

PARTS = (entry.pages, home.pages, traffic.pages)
