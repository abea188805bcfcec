"""What touches the store and the disk: read, decide with the pure functions of the stage, write."""

from andon.postmortems.run.documents import write_documents
from andon.postmortems.run.drafting import draft_postmortem

__all__ = ["draft_postmortem", "write_documents"]
