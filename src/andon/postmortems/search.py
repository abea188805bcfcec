"""Search over postmortems: by words (BM25 over sections) and by meaning (the embedder), with the passage found. Pure."""

import html
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from andon.errors import InputError
from andon.postmortems.draft import plain
from andon.scores import Embedder

__all__ = ["Found", "Section", "counted", "plain_sections", "search_sections", "words_of"]

K1, B = 1.2, 0.75
RANK = 60
"""Constant of reciprocal rank fusion."""

SIMILAR = 0.35
"""Cosine from which a postmortem without any of the words is still shown."""

HEAD = 600
"""Characters of a postmortem that are compared by meaning: its title and the beginning of its summary."""

SNIPPET = 220
MOST_QUERY = 1_000

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One passage of a postmortem as plain text."""

    postmortem: str
    """Id of the incident."""
    name: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A postmortem that fits a search, with its best passage."""

    postmortem: str
    section: str
    snippet: str
    """One line of plain text; hostile as traffic is, so whoever shows it escapes it."""
    score: float
    """Only good for ordering."""
    words: tuple[str, ...]
    """Which of the words asked for stand in it."""
    similarity: float
    """Cosine of the query and its title and summary."""


def plain_sections(postmortem: str, markdown: str) -> list[Section]:
    """The sections of a postmortem's Markdown, as plain text without its marks; what has no text is left out."""
    found, name, lines = [], "title", []
    for line in [*markdown.split("\n"), "# "]:
        heading = re.match(r"#{1,6} (.*)", line)
        if heading is None:
            lines.append(line)
            continue
        text = _plain("\n".join(lines))
        if text:
            found.append(Section(postmortem=postmortem, name=name, text=text))
        if line.startswith("# "):
            lines = [heading[1]]  # what stands under the title goes with it
        else:
            name, lines = _plain(heading[1]), []
    return found


def words_of(text: str) -> list[str]:
    """The words of a text as they are compared: without case and accents, a plural `s` cut off."""
    flat = unicodedata.normalize("NFKD", text.casefold())
    words = _WORD.findall("".join(c for c in flat if not unicodedata.combining(c)))
    return [w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in words]


def search_sections(query: str, sections: Sequence[Section], embedder: Embedder, *, most: int = 10) -> list[Found]:
    """Postmortems that fit a query, the best first.

    By words, a section scores ``sum over words of idf * f (k1 + 1) / (f + k1 (1 - b + b len / mean len))`` with
    ``idf = ln(1 + (N - n + 1/2) / (n + 1/2))``, k1 = 1.2, b = 0.75 (BM25), and a postmortem has the score of its best
    section. By meaning, it is the cosine of the query and the beginning of its first two sections (title and summary). The two orders are joined
    by reciprocal rank: ``sum of 1 / (60 + rank)``. What has none of the words and a cosine below 0.35 does not fit.

    Args:
        query: words, or a sentence.
        sections: of all postmortems.
        embedder: texts to unit vectors.
        most: how many postmortems at most.

    Raises:
        InputError: the query has no word, or more than 1,000 characters.
        SeamError: the embedder failed.

    Source: Robertson & Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), section 3.2 (idf floored as
    Lucene does). Cormack, Clarke & Buettcher, SIGIR 2009, 758-759 (reciprocal rank fusion).
    """
    asked = list(dict.fromkeys(words_of(query)))
    if not asked or len(query) > MOST_QUERY:
        raise InputError(f"search for at least one word, in at most {MOST_QUERY:,} characters")
    if not sections:
        return []
    by_words = _bm25(asked, sections)
    of: dict[str, list[int]] = {}
    for at, section in enumerate(sections):
        of.setdefault(section.postmortem, []).append(at)
    heads = ["\n".join(sections[i].text for i in rows[:2])[:HEAD] for rows in of.values()]
    vectors = embedder.embed([query, *heads])
    cosines = dict(zip(of, (vectors[1:] @ vectors[0]).tolist(), strict=True))
    best = {name: (max(by_words[i] for i in rows), cosines[name]) for name, rows in of.items()}
    fitting = [name for name, (score, cosine) in best.items() if score > 0 or cosine >= SIMILAR]
    ranks = dict.fromkeys(fitting, 0.0)
    for side in (0, 1):
        held = [name for name in fitting if side == 1 or best[name][0] > 0]
        for rank, name in enumerate(sorted(held, key=lambda n: (-best[n][side], n)), 1):
            ranks[name] += 1 / (RANK + rank)
    ordered = sorted(fitting, key=lambda n: (-ranks[n], n))[:most]
    return [
        _found([sections[i] for i in of[n]], [by_words[i] for i in of[n]], asked, ranks[n], cosines[n]) for n in ordered
    ]


def _found(
    sections: Sequence[Section], by_words: Sequence[float], asked: Sequence[str], score: float, similarity: float
) -> Found:
    best = sections[max(range(len(sections)), key=lambda i: by_words[i])]
    there = {w for s in sections for w in counted(s)[0]}
    return Found(
        postmortem=best.postmortem,
        section=best.name,
        snippet=_snippet(best.text, asked),
        score=score,
        words=tuple(w for w in asked if w in there),
        similarity=similarity,
    )


def _bm25(asked: Sequence[str], sections: Sequence[Section]) -> list[float]:
    told = [counted(s) for s in sections]
    counts, lengths = [c for c, _ in told], [n for _, n in told]
    mean = sum(lengths) / len(lengths) or 1.0
    n = len(sections)
    idf = {}
    for word in asked:
        held = sum(word in c for c in counts)
        idf[word] = math.log(1 + (n - held + 0.5) / (held + 0.5))
    return [
        sum(idf[w] * c[w] * (K1 + 1) / (c[w] + K1 * (1 - B + B * length / mean)) for w in asked if c[w])
        for c, length in zip(counts, lengths, strict=True)
    ]


@lru_cache(maxsize=20_000)
def counted(section: Section) -> tuple[Counter[str], int]:
    """How often each word stands in a section, and how many there are; counted once, for all are searched again and again."""
    counts = Counter(words_of(f"{section.name} {section.text}"))
    return counts, counts.total()


def _snippet(text: str, asked: Sequence[str]) -> str:
    """The stretch of a text that holds most of the words, on one line."""
    flat = " ".join(text.split())
    hits = [m.start() for m in _WORD.finditer(flat) if set(words_of(m[0])) & set(asked)]
    if len(flat) <= SNIPPET:
        return flat
    start = max(hits, key=lambda h: sum(h <= other < h + SNIPPET for other in hits), default=0)
    start = max(0, min(start - 40, len(flat) - SNIPPET))
    if start:
        start = flat.find(" ", start, start + 40) + 1 or start
    end = start + SNIPPET
    return f"{'…' if start else ''}{flat[start:end].strip()}{'…' if end < len(flat) else ''}"


def _plain(markdown: str) -> str:
    """Markdown as the words that people read: no links' targets, no tables' rules, no marks, no escapes."""
    text = re.sub(r"!?\[([^\]\n]*)\]\([^)\n]*\)", r"\1", markdown)
    text = re.sub(r"(?m)^[|:\- ]+$", " ", text)
    text = re.sub(r"(?<!\\)[*_`|]+", " ", text)
    text = re.sub(r"(?m)^\s*(?:#{1,6} |[-+] |\d+\. |> )", "", text)
    text = html.unescape(re.sub(r"\\([^A-Za-z0-9\s])", r"\1", text))
    return plain("\n".join(" ".join(line.split()) for line in text.split("\n"))).strip()
