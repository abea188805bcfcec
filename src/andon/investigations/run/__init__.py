"""What touches the store: read, decide with the pure functions of the stage, write."""

from andon.investigations.run.evidence import freeze_open, investigation_of, recompute, verify
from andon.investigations.run.expected import EXAMPLES
from andon.investigations.run.investigate import investigate, lead_of

__all__ = ["EXAMPLES", "freeze_open", "investigate", "investigation_of", "lead_of", "recompute", "verify"]
