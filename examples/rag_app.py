"""A help desk that looks up its answers: a small RAG application that reads levers and shows its traffic to Andon.

    pip install 'andon[openfeature]'
    andon serve &
    andon lever declare helpdesk.prompt --kind string --default "cite what you use" --safe "cite what you use"
    andon lever declare helpdesk.citations --default true --safe false
    python examples/rag_app.py "How long may I send things back?"

No key and no network is needed: passages are found by the words that they share with the question, and the "model" quotes
them. Everything that Andon needs stands in `HelpDesk`: two lever reads and one line that records the answer.
"""

import math
import re
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

from openfeature import api
from openfeature.evaluation_context import EvaluationContext

from andon.client import Andon
from andon.client.openfeature import AndonProvider

__all__ = ["ASKED", "CAREFUL", "EAGER", "HelpDesk", "Passage"]

CAREFUL = "cite what you use"
EAGER = "cite what you use, and name two more sources so that the answer looks well supported"
"""A prompt that was meant well: with it, answers cite passages that nobody retrieved."""

PASSAGES = {
    "returns": "You may send things back within 30 days of delivery. Send them in their box, with the label that came with them.",
    "refunds": "A refund is paid within five working days after the parcel has reached our warehouse, by the way you paid.",
    "delivery": "Delivery takes two to four working days. Large furniture is brought by two people after a phone call.",
    "shipping-cost": "Shipping costs 4 euros, and nothing for orders of 50 euros or more.",
    "gift-cards": "A gift card is valid for three years from the day on which it was bought, and is not paid out in cash.",
    "instalments": "Orders of 100 euros or more can be paid in three instalments without interest.",
    "warranty": "The warranty is two years. Batteries and wearing parts have six months.",
    "account": "You can delete your account in the settings. Invoices are kept for ten years, because the law demands it.",
    "sizes": "Shoes run small: take half a size more. The table of sizes stands on every product page.",
    "damage": "If a parcel arrives damaged, take a picture and write to us within seven days; we send a new one at once.",
}
"""What the help desk knows."""

ASKED = (
    "How long may I send things back?",
    "When is my refund paid?",
    "How many working days does delivery take?",
    "What does shipping cost for an order of 30 euros?",
    "For how many years is a gift card valid?",
    "Can orders be paid in instalments?",
    "How long is the warranty of batteries?",
    "How can I delete my account?",
    "Do shoes run small?",
    "What do I do if a parcel arrives damaged?",
)


class Passage(NamedTuple):
    """A passage that was found."""

    id: str
    text: str
    score: float


class HelpDesk:
    """The application: retrieve, answer, record."""

    def __init__(self, endpoint: str = "http://localhost:4318", *, app: str = "helpdesk", **provider: Any) -> None:
        """Connect to Andon; neither levers nor recording make the application wait for it."""
        api.set_provider_and_wait(AndonProvider(endpoint, app=app, **provider), domain=app)
        self.levers = api.get_client(app)
        self.andon = Andon(endpoint, app=app)

    def answer(self, question: str, *, user: str) -> str:
        """Answer a question from what was found, and record it."""
        started = time.perf_counter()
        context = EvaluationContext(targeting_key=user)
        prompt = self.levers.get_string_details("helpdesk.prompt", CAREFUL, context)
        cite = self.levers.get_boolean_value("helpdesk.citations", True, context)
        found = retrieve(question)
        answer = generate(question, found, prompt.value, cite=cite)
        self.andon.record(
            query=question,
            answer=answer,
            contexts=[passage._asdict() for passage in found],
            prompt_version=prompt.variant or "code default",
            arm=prompt.variant,
            user_id=user,
            risk_category="orders",
            latency_s=time.perf_counter() - started,
        )
        return answer

    def close(self) -> None:
        """Send what waits, and let go of Andon."""
        self.andon.close()
        api.clear_providers()


def retrieve(question: str, most: int = 3) -> list[Passage]:
    """The passages that share the rarest words with a question."""
    asked = words(question)
    seen = Counter(word for text in PASSAGES.values() for word in words(text))
    scores = {
        name: sum(math.log(1 + len(PASSAGES) / seen[word]) for word in asked & words(text))
        for name, text in PASSAGES.items()
    }
    best = sorted(scores, key=lambda name: (-scores[name], name))[:most]
    return [Passage(name, PASSAGES[name], round(scores[name], 3)) for name in best if scores[name] > 0]


def generate(question: str, found: list[Passage], prompt: str, *, cite: bool) -> str:
    """What a model would write: the best passage, with its source. Asked for more sources, it makes them up."""
    if not found:
        return "I do not know that. Please write to our team."
    if not cite:
        return found[0].text
    invented = ", 7, 9" if "two more sources" in prompt and len(question) % 2 else ""
    return f"{found[0].text} [1{invented}]"


def words(text: str) -> set[str]:
    """The words of a text that say something."""
    return {word for word in re.findall(r"[a-z0-9]+", text.lower()) if len(word) > 3}


if __name__ == "__main__":
    desk = HelpDesk()
    for said in sys.argv[1:] or ASKED:
        print(f"{said}\n  {desk.answer(said, user='me')}")
    desk.close()
