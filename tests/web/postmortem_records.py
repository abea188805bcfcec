"""Records of incidents, postmortems and actions for tests of pages: those of the tests of their stage."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "postmortems"))

from drafted import postmortem as rich
from records_made import DAY, HOUR, T0, action, draft, incident

__all__ = ["DAY", "HOUR", "T0", "action", "draft", "incident", "rich"]
