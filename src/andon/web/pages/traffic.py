"""Traffic: search, one interaction as a story, two beside each other."""

from typing import Any

from andon.web.routing import Pages

__all__ = ["any_traffic", "pages"]

pages = Pages()


def any_traffic(warehouse: Any) -> bool:
    """Whether there is any traffic at all."""
    return bool(warehouse.newest("interactions"))
