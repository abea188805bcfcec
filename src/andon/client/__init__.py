"""What an application imports to tell Andon what it asked and answered, and to read what Andon holds.

::

    andon = Andon("http://localhost:4318", app="support-bot")
    id = andon.record(query="What is AF?", answer="...", model="gpt-4o", risk_category="medical")
    andon.feedback(id, "down")

Levers are read by ``andon.client.openfeature.AndonProvider``, a provider of the OpenFeature SDK. Always true: a call returns
at once and raises nothing into the application; memory is bounded; importing this brings the standard library only.
"""

from andon.client.rows import Andon, Stats

__all__ = ["Andon", "Stats"]
