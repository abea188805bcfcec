"""Records of incidents, postmortems and actions for tests of pages: those of the tests of their stage."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "postmortems"))

from drafted import postmortem as rich  # noqa: E402 - it lies beside the tests of its stage
from records_made import DAY, HOUR, T0, action, draft, incident  # noqa: E402

__all__ = ["DAY", "HOUR", "T0", "action", "draft", "incident", "rich"]
