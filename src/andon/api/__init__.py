"""HTTP for programs: ingest in, levers out. A route parses, calls one function that it was handed, and renders.

In: OTLP, interactions, feedback, changes, alerts. Out: OFREP evaluations, an event stream and one error shape. Always true: a 200 on ingest
means that the rows are on disk; reading a lever touches neither disk nor ledger; nothing internal leaves in an error.
"""

from andon.api.app import Deps, create_app
from andon.api.errors import status_of
from andon.api.events import EventStream, Streams
from andon.api.ofrep import LeverDeps
from andon.api.webhooks import WebhookDeps

__all__ = ["Deps", "EventStream", "LeverDeps", "Streams", "WebhookDeps", "create_app", "status_of"]
