"""Follow-ups: what counts as one, what does not, and how often the rules are right on real conversations."""

import gzip
import json
import random
import sys
import time
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.traffic import FEEDBACK_KINDS, Interaction, ToolCall
from andon.traffic.followups import ALIKE, AT_ONCE_S, alike, find_follow_ups, objection

START_US = 1_750_000_000_000_000
ANSWER = "You can renew it at the counter of any town hall, with a photograph."


def turns(*said, gap_s=60.0, **fields):
    """A session of these questions, each asked a minute after the answer before."""
    given = [(t, ANSWER) if isinstance(t, str) or t is None else t for t in said]
    return [
        Interaction(
            id=f"t{k}",
            time_us=START_US + int(k * (gap_s + 4.0) * 1e6),
            session_id="s",
            query=query,
            answer=answer,
            latency_s=4.0,
            **fields,
        )
        for k, (query, answer) in enumerate(given)
    ]


def found(*said, **fields):
    """What is found between two turns: (label, how sure), or None."""
    feedback = find_follow_ups(turns(*said, **fields))
    assert len(feedback) <= 1
    return (feedback[0].label, feedback[0].value) if feedback else None


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("complaint", "That is not what I asked."),
        ("complaint", "that's not what i meant, sorry"),
        ("complaint", "You didn't answer my question."),
        ("complaint", "You still haven’t answered it"),
        ("complaint", "This does not answer the question"),
        ("complaint", "the answer is just wrong"),
        ("complaint", "You misunderstood me"),
        ("correction", "No, I meant the passport of my child."),
        ("correction", "I mean the driving licence"),
        ("correction", "I was asking about passports"),
        ("correction", "Let me rephrase: which papers?"),
        ("again", "Can you please check one more time?"),
        ("again", "As I said, I have no photograph"),
        ("again", "please double-check"),
        ("doubt", "Are you sure?"),
        ("doubt", "Is that true?"),
        ("doubt", "But they are closed, aren't they?"),
        ("doubt", "I thought it had to be done online"),
        ("doubt", "You said it was free"),
        ("unclear", "What do you mean by counter?"),
        ("unclear", "I'm a little confused now"),
        ("unclear", "I don't understand that"),
        ("unclear", "wait a second. A photograph as well?"),
    ],
)
def test_an_objection_says_that_the_answer_before_failed(label, text):
    """Whoever complains, corrects, asks to look again, doubts or does not understand says that the answer before failed."""
    assert objection(text)[0] == label
    assert found("How do I renew my passport?", text) == objection(text)


@pytest.mark.parametrize(
    "text",
    [
        "And what does it cost?",
        "What about my child's passport?",
        "How long does it take to renew an identity card?",
        "Where is the town hall?",
        "Why do I need a photograph?",
        "Thanks!",
        "No, that's all, thank you",
        "Yes please",
        "Can you explain how the fee is worked out?",
        "What does renewal mean for my visa?",
        "I heard there are new passports, tell me about them",
        "How do I get a passport renewed in Spain for my dog?",
        "",
        None,
    ],
)
def test_the_next_question_of_a_conversation_is_no_follow_up(text):
    """A new question on the same topic, thanks, or nothing at all says nothing against the answer before."""
    assert found("How do I renew my passport?", text) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("How do I renew my passport in Rome?", "how do i renew my passport in rome", True),
        ("How do I renew my passport in Rome?", "How can I renew my passport in Rome please?", True),
        ("Comment renouveler mon passeport ?", "comment renouveler mon passeport", True),
        ("パスポートの更新方法を教えて", "パスポートの更新方法を教えて!", True),
        ("Why pay for a writ of execution?", "Whom to pay for a writ of execution?", False),
        ("Which is the lowest layer of the atmosphere?", "Which is the highest layer of the atmosphere?", False),
        ("What is the universe?", "How old is the universe?", False),
        ("continue", "continue", False),
        ("yes please", "Yes, please!", False),
        ("", "", False),
    ],
)
def test_the_same_question_is_asked_again(one, other, same):
    """A question in nearly the same words is asked again; one with another asking word or another noun is a new one."""
    assert (alike(one, other) >= ALIKE) is same
    assert found(one, other) == (("repeated", pytest.approx(0.78, abs=0.18)) if same else None)


def test_long_texts_are_only_compared_to_the_letter():
    """A document or template that shares most words with the one before is no repetition, unless it is the same."""
    template = " ".join(f"rule{k} applies" for k in range(60))
    assert found(f"{template} question: opening hours", f"{template} question: prices") is None
    assert found(template, template) == ("repeated", 0.95)


@pytest.mark.parametrize(
    ("gap_s", "counts"), [(1.9, False), (2.0, True), (60, True), (AT_ONCE_S, True), (AT_ONCE_S + 1, False)]
)
def test_only_at_once(gap_s, counts):
    """A question counts from two seconds (a person must read) to ten minutes after the answer, which itself took its time."""
    assert (found("How do I renew my passport?", "Are you sure?", gap_s=gap_s) is not None) is counts
    late = turns("How do I renew my passport?", "Are you sure?", gap_s=AT_ONCE_S + 1)
    assert len(find_follow_ups(late, within_s=AT_ONCE_S + 1)) == 1


@pytest.mark.parametrize("field", ["app", "environment", "session_id"])
def test_only_within_one_session(field):
    """Questions of another app, environment or session say nothing of each other, nor do those without a session."""
    one, other = turns("How do I renew my passport?", "Are you sure?")
    assert find_follow_ups([one, other])
    assert not find_follow_ups([one, replace(other, **{field: "~"})])
    assert not find_follow_ups([replace(one, session_id=None), replace(other, session_id=None)])


def test_a_reply_to_a_question_is_no_correction():
    """Where the answer asked the user something, to specify or repeat is a reply; to complain still is a complaint."""
    asked = ("How do I renew my passport?", "In which country do you live?")
    assert found(asked, "I meant in Italy") is None
    assert found(asked, "How do I renew my passport in Italy") is None
    assert found(asked, "That is not what I asked") == ("complaint", 0.95)


def test_a_step_of_an_agent_answers_nobody():
    """A question that follows a step that ended with tool calls is no follow-up; after a failed call it is."""
    one, other = turns(("How do I renew my passport?", None), "How do I renew my passport?")
    assert found(("How do I renew my passport?", None), "How do I renew my passport?") == ("repeated", 0.95)
    step = replace(one, tool_calls=(ToolCall(name="search"),))
    assert not find_follow_ups([step, other])
    assert find_follow_ups([replace(step, error="Timeout"), other])


def test_a_query_that_holds_the_whole_conversation_is_read_from_its_last_part():
    """An application that sends the conversation as the query is judged by what the user added, and that is what is kept."""
    question = "How do I renew my passport in Rome?"
    history = f"User: {question}\nAssistant: {ANSWER}\nUser: "
    assert found(question, history + "and what does it cost?") is None
    assert found(question, history + "I meant a driving licence") == ("correction", 0.9)
    assert find_follow_ups(turns(question, history + "are you sure?"))[0].text == "are you sure?"


def test_an_embedder_can_be_asked_too():
    """`similar` finds a question in other words from its threshold on, and is not asked where the asking words differ."""
    calls = []

    def similar(one, other):
        calls.append((one, other))
        return 0.975

    said = turns("How do I renew my passport in Rome?", "Way of extending travel papers, Rome office")
    assert not find_follow_ups(said)
    assert [(f.label, f.value) for f in find_follow_ups(said, similar=similar)] == [("repeated", 0.775)]
    assert not find_follow_ups(said, similar=similar, similar_from=0.98)
    calls.clear()
    assert not find_follow_ups(turns("How do I renew my passport?", "Why renew my travel papers?"), similar=similar)
    assert not find_follow_ups(turns("yes please", "ok thanks"), similar=similar)
    assert not calls


def test_what_is_found_is_feedback_on_the_answer_before():
    """A follow-up is feedback of Andon's own, on the earlier interaction, at the time of the later one, shortened, in any order."""
    said = turns("How do I renew my passport?", "No, I meant " + "very " * 100 + "old ones", "Are you sure?")
    first, second = find_follow_ups(said[::-1])
    assert (first.interaction_id, first.time_us, first.kind) == ("t0", said[1].time_us, "follow_up")
    assert (first.author, first.source, first.scope, first.version) == ("andon", "andon", "interaction", "1")
    assert first.kind in FEEDBACK_KINDS
    assert first.text.startswith("No, I meant very")
    assert len(first.text) == 200
    assert (second.interaction_id, second.text) == ("t1", "Are you sure?")
    assert find_follow_ups(said) == [first, second]


@given(st.lists(st.text(max_size=3), min_size=2, max_size=5, unique=True))
def test_the_id_follows_from_both_ids(ids):
    """The same two interactions give the same id, and two other ones another, whatever characters ids have."""
    pairs = [(a, b) for a in ids for b in ids if a != b]
    one, other = turns("How do I renew my passport?", "Are you sure?")
    made = [find_follow_ups([replace(one, id=a), replace(other, id=b)])[0].id for a, b in pairs]
    assert len(set(made)) == len(pairs)
    assert made == [find_follow_ups([replace(one, id=a), replace(other, id=b)])[0].id for a, b in pairs]


QUERIES = st.sampled_from(["How do I renew my passport?", "Are you sure?", "I meant cars", "And the price?", None, ""])


@given(
    st.lists(st.tuples(QUERIES, st.sampled_from([0, 1, 30, 700]), st.sampled_from(["s", "r"])), max_size=12),
    st.lists(st.integers(0, 12), max_size=4),
)
def test_cuts_change_nothing(said, cuts):
    """However a session is cut into calls, with the last interaction before each cut given again, the same is found."""
    clock, items = START_US, []
    for k, (query, gap_s, session) in enumerate(said):
        clock += int(gap_s * 1e6)
        items.append(Interaction(id=f"{k:02d}", time_us=clock, session_id=session, query=query, answer=ANSWER))
    sessions = [[i for i in items if i.session_id == s] for s in ("s", "r")]
    whole = {f.id: f for f in find_follow_ups(items)}
    parts = {}
    for session in sessions:
        ends = sorted({0, len(session), *(c for c in cuts if c < len(session))})
        for start, end in pairwise(ends):
            parts |= {f.id: f for f in find_follow_ups(session[max(0, start - 1) : end])}
    assert parts == whole


@pytest.mark.parametrize(
    "text", ["i i i thought " * 40_000, "you didn't " * 60_000, "check " * 100_000, "no" + "-" * 500_000]
)
def test_hostile_text_costs_little(text):
    """Half a megabyte of the worst text, repeated, is judged within a second."""
    start = time.process_time()
    find_follow_ups(turns(text, text + "x"))
    assert time.process_time() - start < 1.0


# What was measured on real conversations: the figures of docs/methods/follow-ups.md.

PACKS = ("rag-mtrag/conversations.jsonl.gz", "agent-tau-bench/trajectories.jsonl.gz", "dedup-pairs/pairs.jsonl.gz")
GRID = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)


@pytest.fixture(scope="session")
def packs(shared):
    """The rows of the packs; skipped, and said so, where one is absent."""
    absent = [name for name in PACKS if not (shared / name).is_file()]
    if absent:
        pytest.skip(f"real data absent: {', '.join(absent)} under {shared}; set SHARED_DATA")
    rows = []
    for name in PACKS:
        with gzip.open(shared / name, "rt", encoding="utf-8") as lines:
            rows.append([json.loads(line) for line in lines])
    return rows


def say(text):
    """Write one line: `pytest -s` shows it."""
    sys.stdout.write(text + "\n")


def halves(conversations):
    """Neighbouring user turns as (question, answer, next question, label), by seeded half of the conversations."""
    ids = sorted({r["conversation_id"] for r in conversations})
    random.Random(2013).shuffle(ids)
    first = set(ids[: len(ids) // 2])
    pairs = ({}, {})
    for r in conversations:
        said = r["conversation"]
        users = [k for k, m in enumerate(said) if m["role"] == "user"]
        for i, j in pairwise(users):
            label = r["multi_turn"] if j == users[-1] else ""
            half = pairs[r["conversation_id"] not in first]
            half.setdefault((r["conversation_id"], j), (said[i]["text"], said[j - 1]["text"], said[j]["text"], label))
    return [list(p.values()) for p in pairs]


def judged(pairs, least=0.0):
    """Which pairs are a follow-up, at least this sure."""
    return [(f := found(p[:2], p[2])) is not None and f[1] >= least for p in pairs]


def test_figures_on_labelled_turns(packs):
    """On the labelled turns of both halves, what is found is as the page says."""
    first, second = halves(packs[0])
    wanted = {("first", 0.0): (12, 13, 17), ("second", 0.0): (8, 11, 19), ("second", 0.9): (4, 5, 19)}
    for (name, least), expected in wanted.items():
        half = first if name == "first" else second
        said = [(f, p[3]) for f, p in zip(judged(half, least), half, strict=True) if p[3]]
        right = sum(f and label == "Clarification" for f, label in said)
        fired, labelled = sum(f for f, _ in said), sum(label == "Clarification" for _, label in said)
        say(
            f"mtrag, {name} half, from {least}: {right} of {fired} right, {right} of {labelled} found, {len(said)} turns"
        )
        assert (right, fired, labelled) == expected
    say(f"mtrag, second half: {sum(judged(second))} of {len(second)} turns are follow-ups")
    assert (sum(judged(second)), len(second)) == (14, 420)


def test_the_threshold_is_the_least_without_a_false_repetition(packs):
    """In the first half no next question is alike from `ALIKE` on, one is below; in the second half none is either."""
    first, second = ([alike(p[0], p[2]) for p in half if p[3] != "Clarification"] for half in halves(packs[0]))
    assert min(t for t in GRID if max(first) < t) == ALIKE
    say(f"next questions alike from {ALIKE}: {sum(a >= ALIKE for a in second)} of {len(second)} in the second half")
    assert max(second) < ALIKE


def test_figures_on_questions_in_other_words(packs):
    """Of questions that people call the same, as many are found by words and letters as the page says."""
    shares = {}
    for source in ("rqe_clinical", "korean_qp", "rqe_consumer", "covidqa"):
        for same in (True, False):
            pairs = [r for r in packs[2] if r["source"] == source and r["duplicate"] is same]
            hits = sum(alike(r["question_1"], r["question_2"]) >= ALIKE for r in pairs)
            shares[source, same] = (hits, len(pairs))
    say(f"alike from {ALIKE}: {shares}")
    assert shares == {
        ("rqe_clinical", True): (272, 535),
        ("rqe_clinical", False): (0, 407),
        ("korean_qp", True): (634, 2567),
        ("korean_qp", False): (3, 1208),
        ("rqe_consumer", True): (1, 125),
        ("rqe_consumer", False): (0, 159),
        ("covidqa", True): (0, 312),
        ("covidqa", False): (0, 312),
    }


def test_figures_on_an_agent_s_conversations(packs):
    """Among the turns of an agent's users, who mostly answer its questions, follow-ups are as few as the page says, and none is a repetition."""
    fired, sessions, n = {}, {}, 0
    for r in packs[1]:
        key = (r["task_id"], r["trial"])
        sessions[key] = r["success"]
        said = [m for m in r["messages"] if m["role"] == "user" or (m["role"] == "assistant" and m["content"])]
        users = [k for k, m in enumerate(said) if m["role"] == "user"]
        for i, j in pairwise(users):
            n += 1
            answer = said[j - 1]["content"] if said[j - 1]["role"] == "assistant" else None
            label = found((said[i]["content"], answer), said[j]["content"])
            if label:
                fired.setdefault(key, []).append(label[0])
    labels = [label for found in fired.values() for label in found]
    failed = sum(not sessions[k] for k in fired), sum(not s for s in sessions.values())
    say(
        f"tau-bench: {len(labels)} of {n} turns; failed tasks {failed[0]} of {len(fired)} with, {failed[1]} of {len(sessions)}"
    )
    assert labels.count("repeated") == 0
    assert (len(labels), n, len(fired), len(sessions), *failed) == (23, 731, 18, 100, 9, 63)
