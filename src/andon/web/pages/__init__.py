"""The parts of the site, one module each."""

from andon.web.pages import entry, home, incidents, traffic

__all__ = ["PARTS"]

PARTS = (entry.pages, home.pages, incidents.pages, traffic.pages)
