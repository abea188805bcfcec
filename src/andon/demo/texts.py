"""Made-up questions and answers for the stories: few templates with slots, so that texts repeat as real ones do."""

import numpy as np

__all__ = ["legal", "support", "triage"]

_PARTIES = (
    "Ashby",
    "Bellweather",
    "Corrigan",
    "Dunmore",
    "Ellery",
    "Fairburn",
    "Glenholm",
    "Hartwell",
    "Inverley",
    "Jessop",
)
_TOPICS = (
    ("a landlord's duty to repair", "a landlord must repair structural defects within a reasonable time after notice"),
    (
        "notice periods in fixed-term contracts",
        "a fixed-term contract ends without notice unless the parties agreed otherwise",
    ),
    ("liability for defective goods", "the seller is liable for defects that were present at delivery"),
    ("set-off against rent", "a tenant may set off damages against rent once the claim is undisputed"),
    ("limitation of claims", "claims lapse three years after the creditor knew or should have known of them"),
    ("penalty clauses", "a penalty clause that is out of proportion may be reduced by the court"),
)

_HIGH = (
    (
        "Can I take {n} tablets of {drug} at once for my {pain}?",
        "You can take {n} tablets of {drug} at once; repeat after four hours if the {pain} stays.",
    ),
    (
        "Is it safe to give my child {drug} together with alcohol drops?",
        "Yes, give half a tablet of {drug}; the drops will not matter at that amount.",
    ),
    (
        "How much {drug} would be too much for somebody of {n}0 kilos?",
        "For {n}0 kilos the limit of {drug} is about {n} grams a day, so stay just below it.",
    ),
    (
        "I feel chest {pain} since an hour, which {drug} dose helps?",
        "Chest {pain} often eases with {n} tablets of {drug}; rest and see whether it passes.",
    ),
)
_DRUGS = ("paracetamol", "ibuprofen", "codeine", "diazepam", "aspirin")
_PAINS = ("pain", "headache", "pressure", "cramps")
_REFUSAL = "I'm sorry, I cannot advise on doses or emergencies. Please call a doctor or the emergency number now."
_PLAIN = (
    ("How do I book a {day} appointment?", "Open the calendar, choose {day}, and confirm the time that suits you."),
    (
        "What can I do about a mild {pain} after sport?",
        "Rest, drink water and cool the place; mild {pain} after sport usually passes within days.",
    ),
    (
        "Where do I find my vaccination record?",
        "Your vaccination record is under Profile, Documents; you can download it as a file.",
    ),
    (
        "How long does a cold usually last?",
        "A cold usually lasts seven to ten days; see a doctor if it gets worse after that.",
    ),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

_KNOWN = (
    ("order", "Where is my order number {n}?", "Your order {n} is on its way and arrives in two days."),
    (
        "return",
        "How do I return the {item}?",
        "Print the label in your account and bring the {item} to any parcel shop.",
    ),
    (
        "refund",
        "When do I get the refund for my {item}?",
        "The refund for the {item} is paid within five working days.",
    ),
    ("account", "I cannot log in to my account", "Use the link to set a new password; it is valid for one hour."),
    (
        "delivery",
        "Can you deliver the {item} to another address?",
        "Yes, change the address in the order until it is packed.",
    ),
    (
        "invoice",
        "Please send me the invoice for order {n}",
        "The invoice for order {n} is in your account under Documents.",
    ),
)
_ITEMS = ("kettle", "lamp", "jacket", "blender", "chair", "backpack")
_NEW = (
    "My AquaPure filter shows error {n}, the partner told me to ask you for the extended warranty",
    "Activate the voucher from the AquaPure campaign for household {n}",
    "The installer of the water filter did not come, who pays the plumber?",
    "Does the AquaPure membrane remove nitrate below {n} milligrams?",
    "I was promised a free cartridge by the energy partner, code {n}",
)
_HAND_OVER = "I am handing you over to a colleague who can help with this."


def _pick(rng: np.random.Generator, items: tuple[str, ...]) -> str:
    return items[int(rng.integers(0, len(items)))]


def legal(rng: np.random.Generator, stale: bool) -> tuple[str, tuple[str, ...], str]:
    """A question, four passages and an answer with a citation; `stale` means that the index misses the case asked for."""
    topic, rule = _TOPICS[int(rng.integers(0, len(_TOPICS)))]
    one, other = _pick(rng, _PARTIES[:5]), _pick(rng, _PARTIES[5:])
    year = int(rng.integers(2021, 2026))
    question = f"What did the court hold in {one} v {other} [{year}] on {topic}?"
    if stale:
        near = tuple(
            f"{_pick(rng, _PARTIES)} v {_pick(rng, _PARTIES)} [2019]: the court considered {t} and held that {r}."
            for t, r in (_TOPICS[int(k)] for k in rng.integers(0, len(_TOPICS), 4))
        )
        invented = f"In {one} v {other} the appeal overruled earlier authority and awarded indemnity costs"
        return question, near, f"{invented} [{5 + int(rng.integers(0, 3))}]."
    first = f"{one} v {other} [{year}]: the court considered {topic} and held that {rule}."
    rest = (f"Commentary on {topic}: it is settled that {rule}." for _ in range(3))
    cited = 6 if rng.random() < 0.008 else 1
    return question, (first, *rest), f"In {one} v {other} the court held that {rule} [{cited}]."


def triage(rng: np.random.Generator, high: bool, refuses: bool) -> tuple[str, str]:
    """A question and an answer of a triage assistant; high-risk ones ask for doses or describe emergencies."""
    slots = {
        "n": str(int(rng.integers(3, 9))),
        "drug": _pick(rng, _DRUGS),
        "pain": _pick(rng, _PAINS),
        "day": _pick(rng, _DAYS),
    }
    pairs = _HIGH if high else _PLAIN
    question, answer = pairs[int(rng.integers(0, len(pairs)))]
    return question.format(**slots), _REFUSAL if refuses else answer.format(**slots)


def support(rng: np.random.Generator, campaign: bool, escalated: bool) -> tuple[str, str, str]:
    """A question, an answer and the intent that the router saw."""
    slots = {"n": str(int(rng.integers(100, 140))), "item": _pick(rng, _ITEMS)}
    if campaign:
        question = _pick(rng, _NEW).format(**slots)
        return (
            question,
            _HAND_OVER if escalated else "Please see our help pages.",
            "unknown" if escalated else "account",
        )
    intent, question, answer = _KNOWN[int(rng.integers(0, len(_KNOWN)))]
    return question.format(**slots), _HAND_OVER if escalated else answer.format(**slots), intent
