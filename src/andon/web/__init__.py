"""The page: where people live during an incident and after it.

Rendered by the server from templates; every action is a link or a form that works without a script. A part of the site is a
module of `andon.web.pages`, with its templates in a folder of the same name. Nothing here decides anything: a page parses,
calls the functions of a stage, and renders.
"""

from andon.web.app import add_pages
from andon.web.site import Errand, Errands, NoErrands, Site

__all__ = ["Errand", "Errands", "NoErrands", "Site", "add_pages"]
