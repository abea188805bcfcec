"""What touches the store: read, decide with the pure functions of the stage, write."""

from andon.investigations.run.expected import EXAMPLES
from andon.investigations.run.investigate import investigate, recompute

__all__ = ["EXAMPLES", "investigate", "recompute"]
