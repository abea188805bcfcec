"""The parts of the site, one module each."""

from andon.web.pages import (
    actions,
    changes,
    entry,
    home,
    incidents,
    labels,
    levers,
    levers_holding,
    levers_versions,
    postmortems,
    postmortems_edit,
    postmortems_read,
    traffic,
)

__all__ = ["PARTS"]

PARTS = (
    entry.pages,
    home.pages,
    incidents.pages,
    traffic.pages,
    labels.pages,
    actions.pages,
    postmortems.pages,
    postmortems_edit.pages,
    postmortems_read.pages,
    levers_versions.pages,
    levers_holding.pages,
    levers.pages,
    changes.pages,
)
