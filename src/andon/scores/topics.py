"""What is asked about? Topics learned from questions once, the topic and the novelty of each question, and kinds that grew.

Topics are clusters of questions by meaning. They are learned from a reference and kept, so that the share of a topic and
the rate of harm within it can be charted; learning anew would be another measure. Names come from traffic, so they are
hostile: words of letters and digits, and questions that a terminal obeys nothing of.

Sources: Dhillon & Modha, Machine Learning 42 (2001), 143-175 (spherical k-means); Arthur & Vassilvitskii, SODA 2007,
1027-1035 (seeding); Monroe, Colaresi & Quinn, Political Analysis 16 (2008), 372-403, section 3.5 (log odds with a prior).
"""

import base64
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from andon.errors import InputError
from andon.scores.records import Vectors
from andon.scores.text import content_words

__all__ = [
    "FEWEST",
    "NONE",
    "Grown",
    "Topic",
    "Topics",
    "assign",
    "learn_topics",
    "name_topics",
    "novel_clusters",
    "query_novelty",
    "topic_keys",
]

NONE = "none"
"""Key of a question that is like none of the topics."""

MOST = 32
"""Topics of one application: as many charts of shares, and as many names as a person reads."""

FEWEST = 100
"""Distinct questions below which topics are not learned."""

PER_TOPIC = 20
"""Questions that a topic needs on average."""

BEYOND = 0.05
"""Share of questions of the reference that are called like none: those furthest from every centroid."""

NAMED_AFTER = 80
"""A question of at most this many characters may be part of a name: whole, so that erasing its user finds it."""

ALPHA = 0.05
FINEST = 256
ROUNDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One kind of question."""

    key: str
    """``t07``: what stands in the column ``topic``; never used again for another topic of the same application."""
    words: tuple[str, ...]
    """Words that set it apart from the others."""
    queries: tuple[str, ...]
    """Typical questions, nearest to the centroid first."""
    n: int
    """Distinct questions it was learned from."""

    @property
    def name(self) -> str:
        """Words and the most typical question, for people."""
        return _name(self.words, self.queries) or self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of one application, as learned from its questions."""

    id: str
    """``app/environment``."""
    embedder: str
    """Name of the embedder; vectors of another one cannot be compared."""
    learned_from: int
    """Distinct questions."""
    since_us: int = 0
    """Questions from this time on have a topic: those that were learned from lie nearer than others will."""
    width: int
    """Numbers in a vector."""
    centroids: str
    """Unit vectors of the topics, base64 of little-endian float16, shape (topics, width): 24 kB for 32 of MiniLM."""
    furthest: float
    """Novelty beyond which a question is like none of them."""
    topics: tuple[Topic, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    """A kind of question that takes a larger share of the traffic than before."""

    words: tuple[str, ...]
    queries: tuple[str, ...]
    before: int
    """Questions of this kind before, of `before_all`."""
    before_all: int
    after: int
    after_all: int
    p: float
    """Holm-corrected over all kinds that were compared."""
    members: tuple[int, ...]
    """Its questions, as positions in what came after."""

    @property
    def new(self) -> bool:
        """Whether there was little of it: its share before is less than a quarter of its share now."""
        return self.before / self.before_all < 0.25 * self.after / self.after_all

    @property
    def name(self) -> str:
        """Words and the most typical question, for people."""
        return _name(self.words, self.queries) or "questions without words"


def learn_topics(
    name: str,
    embedder: str,
    vectors: Vectors,
    texts: Sequence[str],
    rng: np.random.Generator,
    k: int = MOST,
    *,
    first: int = 0,
) -> Topics:
    """Learn up to `k` topics, one for every 20 distinct questions at most.

    A fifth of the questions is held out and says how far from every centroid a question of known kind may be: the
    novelty that 5 % of them exceed (those that the centroids were fitted to lie nearer, and would say too little). For
    the same reason, shares of topics are compared among questions that came after the topics were learned.

    Args:
        name: application and environment, ``app/environment``.
        embedder: name of the embedder that made the vectors.
        vectors: unit vectors of the questions, shape (n, d).
        texts: the questions.
        rng: the seeded generator.
        k: topics at most.
        first: number of the first key; when topics are learned anew, as many as there were, so that no key is used twice.

    Raises:
        InputError: there are fewer than 100 distinct questions.
    """
    rows = [i for t, i in {t: i for i, t in enumerate(texts)}.items() if t.strip() and vectors[i].any()]
    if len(rows) < FEWEST:
        raise InputError(
            f"topics of {name} are learned from at least {FEWEST} distinct questions; there are {len(rows)} so far"
        )
    order = rng.permutation(np.array(rows))
    held, fitted = order[: len(order) // 5], order[len(order) // 5 :]
    centroids = _cluster(vectors[fitted], max(1, min(k, len(fitted) // PER_TOPIC)), rng)
    centroids = _halved(centroids)
    known = vectors[order]
    of = (known @ centroids.T).argmax(axis=1)
    named = name_topics(known, [texts[i] for i in order], centroids, of)
    furthest = np.quantile(1 - (vectors[held] @ centroids.T).max(axis=1), 1 - BEYOND)
    return Topics(
        id=name,
        embedder=embedder,
        learned_from=len(order),
        width=vectors.shape[1],
        centroids=_packed(centroids),
        furthest=round(float(furthest), 6),
        topics=tuple(
            Topic(key=f"t{first + i:02d}", words=words, queries=queries, n=int((of == i).sum()))
            for i, (words, queries) in enumerate(named)
        ),
    )


def assign(topics: Topics, vectors: Vectors) -> NDArray[np.int64]:
    """Position of the topic of each question, -1 for "like none of them". Shapes (n, d), (n,).

    Raises:
        InputError: the vectors are of another width than those that the topics were learned from.
    """
    likeness = _likeness(topics, vectors)
    return np.where(1 - likeness.max(axis=1) > topics.furthest, -1, likeness.argmax(axis=1)).astype(np.int64)


def topic_keys(topics: Topics, vectors: Vectors) -> list[str]:
    """Key of the topic of each question, `NONE` for "like none of them"; what the column ``topic`` holds."""
    return [NONE if i < 0 else topics.topics[i].key for i in assign(topics, vectors).tolist()]


def query_novelty(topics: Topics, vectors: Vectors) -> NDArray[np.float64]:
    """How unlike every topic each question is: 1 less the best cosine to a centroid, 0..2. Shapes (n, d), (n,).

    It moves before quality does when questions of a new kind come in. For a single question it says little: of questions of
    new kinds, one in five to ten is more novel than 95 % of the familiar ones (`docs/methods/traffic-shift.md`).
    """
    return np.asarray(1 - _likeness(topics, vectors).max(axis=1), dtype=np.float64)


def novel_clusters(
    before: Vectors, after: Vectors, texts: Sequence[str], rng: np.random.Generator
) -> tuple[Grown, ...]:
    """Kinds of questions that take a larger share than before, surest first, named by typical questions.

    Questions of both sides are clustered together, finely (20 a cluster), without regard to the side; then every cluster is
    tested for holding more of what came after than chance would give it: ``x ~ binomial(n, after / all)``, corrected by Holm
    at 5 %. `Grown.new` tells those of which there was little from those that grew.

    Args:
        before: unit vectors of distinct questions before, shape (n, d).
        after: unit vectors of distinct questions after, shape (m, d).
        texts: the questions after.
        rng: the seeded generator.

    Assumes that questions are independent: give each distinct question once. To look for questions far from all known ones
    instead (novelty beyond a threshold, then clusters) finds fewer (22 % of new intents of CLINC at 3 % of the traffic,
    instead of 92 %), because a new kind of question is seldom far from all others; it is only much denser than before.
    """
    if min(len(before), len(after)) < PER_TOPIC:
        return ()
    both = np.concatenate([before, after])
    centroids = _cluster(both, max(2, min(FINEST, len(both) // PER_TOPIC)), rng)
    of = (both @ centroids.T).argmax(axis=1)
    old, new = (np.bincount(side, minlength=len(centroids)) for side in (of[: len(before)], of[len(before) :]))
    p = np.asarray(scipy.stats.binom.sf(new - 1, old + new, len(after) / len(both)))
    order = np.argsort(p, kind="stable")
    corrected = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    found = order[corrected <= ALPHA]
    named = name_topics(after, texts, centroids, of[len(before) :])
    return tuple(
        Grown(
            words=named[i][0],
            queries=named[i][1],
            before=int(old[i]),
            before_all=len(before),
            after=int(new[i]),
            after_all=len(after),
            p=float(q),
            members=tuple(np.flatnonzero(of[len(before) :] == i).tolist()),
        )
        for i, q in zip(found.tolist(), corrected.tolist(), strict=False)
    )


def name_topics(
    vectors: Vectors, texts: Sequence[str], centroids: Vectors, of: NDArray[np.int64]
) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Words that set each cluster apart, and its typical questions, as (words, questions) by cluster.

    Words: the three of the highest z of the log odds ratio against all other clusters, with the words of all clusters as
    the prior; each counts once a question and stands in at least three of them, so that no single user's word is shown.
    Questions: the three nearest to the centroid that are one harmless line of at most 80 characters.

    Args:
        vectors: unit vectors of the questions, shape (n, d).
        texts: the questions.
        centroids: shape (k, d).
        of: cluster of each question, shape (n,).
    """
    said = [content_words(t) for t in texts]
    everywhere = Counter(w for words in said for w in words)
    named = []
    for i, centroid in enumerate(centroids):
        members = np.flatnonzero(of == i)
        nearest = members[np.argsort(-(vectors[members] @ centroid), kind="stable")]
        queries = dict.fromkeys(t for m in nearest.tolist() if _harmless(t := texts[m]))
        here = Counter(w for m in members.tolist() for w in said[m])
        named.append((_telling(here, everywhere), tuple(queries)[:3]))
    return named


def _telling(here: Counter[str], everywhere: Counter[str]) -> tuple[str, ...]:
    """The three words of the highest z of the log odds ratio of this cluster against the rest."""
    words = sorted(w for w, n in here.items() if n >= 3 and len(w) <= 30)
    if not words:
        return ()
    a, total = (np.array([c[w] for w in words], dtype=np.float64) for c in (here, everywhere))
    in_here, in_all = sum(here.values()), sum(everywhere.values())
    prior = total * 100 / in_all
    b = total - a

    def log_odds(count: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        return np.asarray(np.log((count + prior) / (n + 100 - count - prior)))

    z = (log_odds(a, in_here) - log_odds(b, in_all - in_here)) / np.sqrt(1 / (a + prior) + 1 / (b + prior))
    return tuple(words[i] for i in np.argsort(-z, kind="stable")[:3] if z[i] > 1.96)


def _harmless(text: str) -> bool:
    """Whether a question is one line that may be shown as it is."""
    return len(text) <= NAMED_AFTER and text.isprintable() and text == " ".join(text.split()) and bool(text)


def _name(words: Sequence[str], queries: Sequence[str]) -> str:
    typical = f"“{queries[0]}”" if queries else ""
    return ": ".join(part for part in (", ".join(words), typical) if part)


def _cluster(vectors: Vectors, k: int, rng: np.random.Generator) -> Vectors:
    """Spherical k-means: unit centroids, shape (k, d); a cluster that loses all its members keeps its centroid."""
    centroids = np.empty((k, vectors.shape[1]), dtype=np.float32)
    far = np.ones(len(vectors))
    for i in range(k):  # each seed is drawn with probability proportional to its distance from the nearest so far
        chance = far / far.sum() if far.sum() > 1e-9 else None
        centroids[i] = vectors[rng.choice(len(vectors), p=chance)]
        far = np.minimum(far, np.maximum(0, 1 - vectors @ centroids[i]).astype(np.float64))
    before = None
    for _ in range(ROUNDS):
        of = (vectors @ centroids.T).argmax(axis=1)
        if before is not None and (of == before).all():
            break
        before = of
        member = np.zeros((k, len(vectors)), dtype=np.float32)
        member[of, np.arange(len(vectors))] = 1
        sums = member @ vectors
        centroids = np.where(np.linalg.norm(sums, axis=1, keepdims=True) > 1e-6, _unit(sums), centroids)
    return centroids


def _unit(vectors: NDArray[np.float32]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)


def _likeness(topics: Topics, vectors: Vectors) -> NDArray[np.float32]:
    if vectors.ndim != 2 or vectors.shape[1] != topics.width:
        raise InputError(
            f"topics of {topics.id} were learned from vectors of {topics.embedder} ({topics.width} numbers each); these have "
            f"the shape {vectors.shape}: use the same embedder, or learn the topics anew"
        )
    return np.asarray(vectors @ _centroids(topics).T)


def _halved(centroids: Vectors) -> Vectors:
    """The centroids as they are once they were kept, so that learning and reading give the same answers."""
    return centroids.astype("<f2").astype(np.float32)


def _packed(centroids: Vectors) -> str:
    return base64.b64encode(centroids.astype("<f2").tobytes()).decode("ascii")


def _centroids(topics: Topics) -> Vectors:
    flat = np.frombuffer(base64.b64decode(topics.centroids), dtype="<f2")
    return flat.reshape(len(topics.topics), topics.width).astype(np.float32)
