"""Find the sentences of a postmortem that blame, judge by hindsight, or promise what nobody can check.

Works on any Markdown. Quotations are exempt: quoted text, block quotes, code, link addresses and comments say what somebody
else said. The rules and what supports them are in docs/methods/blameless-language.md, with their measured precision.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["RULES", "Finding", "Rule", "lint_text", "sarif_log", "sarif_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that a blameless text does not do."""

    id: str
    why: str
    """What is wrong with it, in a sentence."""
    rewrite: str
    """How to say it instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One place in a text. Lines and columns count from 1, columns in characters; `end` is the column after the last one."""

    rule: str
    line: int
    column: int
    end: int
    text: str
    """The words that were found, on one line."""
    why: str
    rewrite: str


RULES: Mapping[str, Rule] = {
    r.id: r
    for r in (
        Rule(
            id="counterfactual",
            why="it tells what did not happen, and explains nothing of what did",
            rewrite="say what people saw and why it made sense: “at that time X was not visible, because ...”",
        ),
        Rule(
            id="person-as-cause",
            why="a person stands as the agent of harm; readers then look for guilt, not for what made it easy",
            rewrite="make the system or the change the subject, name the role only: “the command accepts ...”, “the review shows no ...”",
        ),
        Rule(
            id="hindsight",
            why="it is judged by what is known only now",
            rewrite="say what was known, to whom, at what time",
        ),
        Rule(
            id="character",
            why="it judges somebody's character, which nobody can fix",
            rewrite="delete the word, and say what the situation asked of people",
        ),
        Rule(
            id="human-error",
            why="“human error” is where the questions begin, not where they end",
            rewrite="say what made the slip easy, and what could have caught it and does not exist yet",
        ),
        Rule(
            id="single-cause",
            why="one cause alone never makes an incident; the other factors stay in place",
            rewrite="list the contributing factors (observability, testing, change control, dependency, incentives, data) and how they interacted",
        ),
        Rule(
            id="unmeasured-impact",
            why="the reader cannot tell how bad it was",
            rewrite="give a number and a unit: users, requests, minutes",
        ),
        Rule(
            id="weak-action",
            why="nothing enforces it, so it changes nothing",
            rewrite="name a change to the system that makes it hold by itself, and the test that fails without it",
        ),
        Rule(
            id="incomplete-action",
            why="an action without an owner, a date and a test is a wish",
            rewrite="give each action an owner, a due date and what can be run to see that it is done",
        ),
        Rule(
            id="legal-conclusion",
            why="it is a lawyer's conclusion, not an observation",
            rewrite="say what was reached by whom and when; leave the word to those who decide it, or quote them",
        ),
    )
}

_ROLES = (
    r"(?:engineers?|developers?|operators?|admin(?:istrator)?s?|sres?|dbas?|on-?call(?:er)?s?|maintainers?|contributors?|reviewers?"
    r"|authors?|committers?|managers?|contractors?|interns?|employees?|colleagues?|technicians?|analysts?|labell?ers?"
    r"|annotators?|scientists?|team(?: members?)?|responders?|staff|people|persons?)"
)
_PEOPLE = (
    rf"(?:(?:(?:the|an?|our|one|another|some|this|that|their)\s+)?(?:[\w-]+\s+){{0,2}}?{_ROLES}(?:\s+(?:on|from|of|in)\s+\w+)?"
    r"|someone|somebody|nobody|he|she|we|i|they|@[\w-]+)"
)
_NAME = r"(?-i:(?!The|This|That|These|Those|There|They|When|What|Which|And|But|For|Our|Its|One|Two|Not)[A-Z][a-z]{2,})"
_SLOW = r"(?:accidentally|mistakenly|inadvertently|erroneously|wrongly|incorrectly|carelessly|unintentionally)"
_NOT_DONE = r"(?:did(?:n['’]t| not)|had(?:n['’]t| not))\s+(?:bother|notice|read|check|test|reali[sz]e|follow|think|verif|look|ask|see)\w*"
_OWN_SLIPS = (
    rf"forgot(?:ten)?(?:\s+to)?|neglected to|overlooked|misread|mistyped|fat-fingered|{_NOT_DONE}"
    rf"|{_SLOW}\s+\w+(?:ed|t|ke|ot|an|ew|ut|oke)\b|made (?:a|an|the|this|some)\s+(?:\w+\s+)?(?:mistakes?|errors?|slip|blunder)"
)
"""Slips that only people are said to make."""
_SLIPS = (
    rf"{_OWN_SLIPS}|failed to (?!work|load|start|build|deploy|connect|respond)\w+|messed up|screwed up|botched|misconfigured"
    r"|broke|caused|took down|ignored|missed|introduced (?:the|a|an|this) (?:\w+ )?(?:bug|error|fault|regression)"
    r"|\w+(?:ed|t|an|ut) (?:the|a|an) (?:wrong|bad|broken|untested|incorrect)\b|approved\b[^.\n]{0,60}\bwithout\b"
)
_NOTICE = r"(?:notice|noticing|see|seeing|realise|realize|spot|recognise|recognize|anticipate|foresee|consider|catch|detect|think of|account for|understand|appreciate)"
_CAUGHT = (
    r"(?:prevented|avoided|caught|detected|noticed|spotted|stopped|fixed|tested|checked|reviewed|known|seen|reali[sz]ed|identified|helped"
    r"|alerted|reduced|isolated|flagged|mitigated|shortened|found|reverted|rolled|asked|told|picked up|reacted|acted|done|made|run|set|put)"
)
_WHO = r"(?:users?|customers?|clients?|people|teams?|tenants?|sites?|orders?|conversations?|chats?|sessions?|requests?|answers?|citations?|queries|traffic|transactions)"
_HARM = (
    r"(?:impacts?|outages?|downtimes?|disruptions?|degradations?|delays?|interruptions?|slowdowns?|latency|errors?|failures?"
    r"|(?:increase|decrease|drop|rise)s? in\b|loss(?:es)?|(?:portion|number|amount|fraction|share) of (?:our |the )?(?:\w+ )?(?:users?|customers?|requests?|traffic)|unavailab\w+)"
)

_PATTERNS: Sequence[tuple[str, str]] = (
    (
        "counterfactual",
        rf"\b(?:should(?:n['’]t| not)?|could|would|might|ought to)(?:\s+\w+ly|\s+also|\s+then|\s+at least)?(?:\s+have|['’]ve)(?:\s+\w+ly|\s+been)*\s+{_CAUGHT}\b",
    ),
    ("counterfactual", r"\bshould(?:n['’]t| not)?(?:\s+\w+ly|\s+also)?(?:\s+have|['’]ve)(?:\s+been|\s+\w+ly)*\s+(?:(?!been\b|limited\b|automated\b|existed\b|need|speed|seed|feed)\w+ed\b(?!\s+\w+s\b)|gone|taken|gotten|written|come|kept|left|sent|built|begun|thought|paid|given|shown|chosen|held)"),
    ("counterfactual", r"\bif only\b|\bought to have\b|\bwould never have\b|\bneed(?:n['’]t| not) have\b"),
    ("counterfactual", r"\bhad\s+(?:the|an?|our|that|this|it|there)\b[^.\n]{0,80}\b(?:been|\w+ed)\b(?=[^.\n]{0,200}\b(?:would|could|might)\b)|\b(?:would|need\w*|could|might)\b[^.\n]{0,80}\bhad\s+(?:the|an?|our|we|they|it)\b[^.\n]{0,60}\b(?:been|\w+ed)\b|\b(?:would|could)(?:\s+have|['’]ve)\s+been\s+(?:better|wiser|safer|easier|enough|best)\b|\b(?:was|were)\s+supposed\s+to\s+(?:have|be\s+\w+ed)\b|\bneeded\s+to\s+have\b"),
    ("counterfactual", r"\b(?:had|if)\s+(?:we|they|he|she|i|somebody|someone|anyone)\s+(?:only\s+|just\s+)?(?:had\s+)?\w+(?:ed|n|d|t)\b(?=[^.]{0,300}\b(?:would|could|might)(?:n['’]t| not)?\s+have\b)"),
    ("person-as-cause", rf"(?:^|(?<=[\s(*_\x01])){_PEOPLE}\s+(?:(?:had|has|have|then|also|simply|just|who)\s+)*(?:{_SLIPS})"),
    ("person-as-cause", rf"\b{_NAME}(?=\s+(?:had\s+)?(?:{_OWN_SLIPS}))|\bcaused by\s+{_NAME},?\s+who\b|\b{_NAME}\s+(?:broke|took down|caused)\b[^.\n]{{0,60}}\bby\s+\w+ing\b"),
    ("person-as-cause", r"\b(?:mistake|error|fault|oversight|failure|carelessness|negligence)s?\s+(?:by|of|from)\s+(?:the\s+|an?\s+|our\s+)?(?:on-?call|engineer|developer|operator|reviewer|author|team|contractor|maintainer)"),
    ("person-as-cause", r"\b(?:his|her|my|their|engineer['’]s|developer['’]s|operator['’]s)\s+(?:own\s+)?(?:mistake|fault|carelessness|negligence|oversight)\b"),
    ("hindsight", r"\blooking back\b|\bevidently\b|\bin plain (?:sight|view)\b|\bwent unnoticed\b|\b(?:was|were|got|been) (?:simply |just )?(?:ignored|overlooked)\b|\b(?:everyone|everybody|anyone|anybody|we all) (?:knew|could see|could have)\b|\b(?:was|were|been) (?:\w+ly )?(?:predictable|foreseeable|avoidable)\b|\beasy to (?:see|spot|notice|avoid|prevent)\b|\bthere all along\b|\ball it took\b|\b(?:fix|answer|solution|cause) was (?:trivial|obvious|simple)\b|\b(?:hard|difficult) to (?:understand|see) (?:how|why)\b|\bplainly\b"),
    ("hindsight", r"\b(?:in|with)(?:\s+the\s+benefit\s+of)?\s+hindsight\b|\bin retrospect\b"),
    ("hindsight", rf"(?:^|(?<=[\s(*_\x01])){_PEOPLE}\s+(?:(?:had|has|have|also|then)\s+)*failed\s+to\s+{_NOTICE}\b|\bfailure\s+to\s+{_NOTICE}\b"),
    ("hindsight", r"(?<!so )(?<!not )(?<!very )(?<!most )\bobviously\b|\bit (?:is|was) obvious (?:that|from|to)\b|\bof course\b"),
    ("hindsight", r"\bclearly(?=\s+(?:showed (?:what|that)|pointed|visible|wrong|broken|a|an|the|not|insufficient|inadequate|should|needed|was|were|did)\b)|(?<=^)clearly,|\bsimply\s+(?:forgot|did(?:n['’]t| not)|missed|needed|had to|never)\b"),
    ("hindsight", r"\b(?:easily|trivially)\s+(?:have\s+)?(?:been\s+)?(?:prevent|avoid|catch|caught|detect|notic|spott)\w*|\b(?:ignored|missed|dismissed|overlooked)\s+(?:the|an?|this|these|all|several)\s+(?:\w+\s+)?(?:alerts?|warnings?|alarms?|signs?|signals?|pages?)\b|\btoo late\b"),
    ("character", r"\b(?:careless(?:ly|ness)?|sloppy|sloppily|negligent(?:ly)?|incompeten(?:t|ce)|reckless(?:ly|ness)?|irresponsibl[ey]|foolish(?:ly)?|stupid(?:ly|ity)?|lazy(?![- ](?:load|eval|init|import|static|val|cach|comput|migrat))|laziness|unprofessional|clumsy|inattentive|complacen(?:t|cy)|amateur(?:ish)?|thoughtless(?:ly)?|inexperienced|incapable|bad apple|lack of (?:discipline|care|diligence|attention)|not paying attention)\b"),
    ("human-error", r"\b(?:human|operator|pilot)[- ](?:errors?|mistakes?|slips?|failures?)\b(?!\s+messages?)|\b(?:user|manual) (?:error|mistake|slip)\b(?!\s+(?:messages?|handling|rates?|codes?|pages?|budgets?|reports?|class|types?))|\bfat[- ]finger(?:ed|ing)?\b"),
    (
        "unmeasured-impact",
        rf"(?<!too )(?<!how )(?<!as )\b(?:some|many|most|several|few|a few|numerous|various|certain|lots of|a lot of|a (?:small|large|significant|substantial|considerable|limited|great|huge|tiny) (?:number|amount|volume|portion|fraction|share|subset|percentage) of|a (?:number|subset|portion|fraction|handful) of)\s+(?:of\s+(?:our|the)\s+)?(?:[\w-]+\s+)?{_WHO}\b(?=[^.\n]{{0,40}}\b(?:affect|impact|fail|error|unable|could not|couldn|unavailable|experienc|saw|slow|delay|lost|receiv|got|get|wrong|do not exist|invent|complain|degrad|disrupt|timed?[- ]?out|broken|report|prevent|down)\w*)",
    ),
    (
        "unmeasured-impact",
        rf"\b(?:significant(?:ly)?|substantial(?:ly)?|considerabl[ey]|severe(?:ly)?|minor|major|massive|huge|slight(?:ly)?|limited|widespread|brief|short|extensive|extended|prolonged)\s+(?:\w+\s+)?{_HARM}\b",
    ),
    ("unmeasured-impact", r"\b(?:rose|fell|dropped|went (?:up|down)|increased|decreased|grew|declined|degraded|slowed|suffered|worsened)\s+(?:considerably|noticeably|significantly|substantially|sharply|dramatically|slightly|somewhat|markedly|a (?:lot|bit|little)|massively)\b"),
    ("unmeasured-impact", r"\ba (?:large|significant|substantial|considerable|huge|small) (?:number|amount|volume|share) of\s+(?:\w+\s+){0,2}(?:wrong|bad|failed|failing|false|invented|broken|incorrect)\b"),
    ("unmeasured-impact", r"\b(?:briefly|temporarily|intermittently)\s+(?:unavailable|down|offline|slow|degraded|unreachable|interrupted|affected|impacted)\b|\bfor (?:a|some|an) (?:short|brief|long|extended|little|while)?\s*(?:time|period|while)\b(?=[^.]{0,300}\b(?:unavailable|down|offline|slow|degraded|outage|affected|impacted|fail\w*|errors?)\b)|(?:unavailable|down|offline|slow|degraded|affected|impacted|fail\w*|errors?)\s+for (?:a|some|an) (?:(?:short|brief|long|extended|little)\s+)?(?:time|period|while)\b"),
    ("legal-conclusion", r"\b(?:unlawful(?:ly)?|illegal(?:ly)?|liable|liability|negligence|data breach(?:es)?|breach of (?:contract|law|duty|privacy|confidentiality|the [A-Z]\w+|gdpr|hipaa|trust)|in violation of|violat(?:ed|es|ion of) (?:the )?(?:law|gdpr|hipaa|contract|regulations?|privacy|terms|act))\b"),
)  # fmt: skip
_COMPILED = [(rule, re.compile(pattern, re.IGNORECASE | re.MULTILINE)) for rule, pattern in _PATTERNS]

_TO_DO = r"(?:^[ \t*+\-\d.)\[\]xX|]*|\b(?:to|will|should|must|shall|and|please|need to)\s+)"
_WEAK = re.compile(
    r"\b(?:be(?:ing)?\s+(?:more|extra|very)?\s*(?:careful|cautious|mindful|vigilant|diligent|aware)|(?:take|taking)\s+(?:more|extra|better)\s+care"
    r"|more\s+careful(?:ly)?|rais(?:e|ing)\s+awareness|remind(?:ing)?\s+(?:the\s+|all\s+|our\s+)?(?:team|everyone|everybody|people|engineers|developers|reviewers|ourselves|us)\b"
    r"|pay(?:ing)?\s+(?:more|closer|better)\s+attention|keep(?:ing)?\s+in\s+mind|remember(?:ing)?\s+to|double[- ]check(?:ing)?|try(?:ing)?\s+(?:harder|not to)"
    r"|(?:make sure|ensur(?:e|ing))\s+(?:that\s+)?(?:this|it|such\w*)\s+(?:does(?: not|n['’]t)|never|won['’]t|will not|cannot|can['’]t)\s+happen"
    r"|communicat(?:e|ing)\s+(?:better|more)|better\s+communicat\w+|think(?:ing)?\s+(?:twice|carefully))"
    rf"|{_TO_DO}(?P<vague>improve\s+(?:the\s+|our\s+)?(?:\w+\s+)?(?:process(?:es)?|communication|awareness|reviews?|documentation|testing|monitoring|alerting|observability|quality|culture|collaboration)"
    r"|review\s+(?:the\s+|our\s+)?(?:\w+\s+)?process(?:es)?|look\s+(?:at|into|for)\s+(?:ways|how|options)|explore\b|educate\s+\w+|think\s+about)"
    rf"|{_TO_DO}(?P<open>consider)\b|^[ \t*+\-\d.)\[\]|]*(?P<urge>encourage)\b",
    re.IGNORECASE | re.MULTILINE,
)
_MEANS = re.compile(
    r"[^.\n]{0,60}\b(?:so that|such that|by \w+ing|to introduce)\b|[^\n]*(?:https?:|#\d)", re.IGNORECASE
)
"""What makes a vague verb a plan: its aim or means in the same sentence, or an issue that holds it."""
_ACTIONS = re.compile(
    r"\b(?:action(?:s|\s+items?|\s+plan(?:ned)?)?|follow[- ]?ups?(?:\s+(?:actions?|items?|work|tasks?))?\s*:?$|next\s+steps?|to-?do|remediations?|corrective|prevent(?:ion|ative|ive|ing)?|improvements?|what\s+we\s+will\s+(?:do|change))\b",
    re.IGNORECASE,
)
_NO_PLAN = re.compile(r"call to action|\b(?:taken|done|completed)\b", re.IGNORECASE)
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+(?:\[[ xX]\]\s+)?(.*)$")
_ROW = re.compile(r"^\s*\|(.*)\|\s*$")
_OWNER = re.compile(
    r"(?:^|[\s(*_])@[\w-]+|\bowners?\b\s*[:=|(]|\bowned by\b|\bassign(?:ed|ee)\b|\b[A-Z][a-z]+ will\b|\b(?:owner|who)\b",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"\b\d{4}-\d{2}-\d{2}\b|\bby\s+(?:end\s+of\s+)?(?:\w+day|q[1-4]|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|the\s+end)|\bdue\b(?!\s*:?\s*(?:soon|tbd|tba|asap|later|next|\?))|\bq[1-4]\s*'?\d{2,4}|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+\d{1,2}",
    re.IGNORECASE,
)
_DONE = re.compile(r"✅|\[[xX]\]|\b(?:done|completed?|fixed|merged)\b", re.IGNORECASE)
_TEST = re.compile(
    r"https?://|\(#\d+\)|#\d+|\btests?\b|\balert(?:s|ing)?\b.*\b(?:when|if|at|on|above|below)\b|`[^`]+`|\bpasses\b|\bfails\b|\bverif\w+|\bgate\b|\b(?:proof|criterion|criteria|done when|acceptance)\b\s*:",
    re.IGNORECASE,
)
_CAUSE = re.compile(
    r"^[ \t]*(?:#{1,6}|\*\*)[ \t]*(?:the\s+)?root[- ]cause\b(?!s)|\b(?:the|its|this)\s+(?:root|sole|single|only|ultimate|real|actual)[- ](?:cause|reason)\s+(?:(?:of|for|behind)\b[^.\n]{0,80}\s)?(?:was|is|were)\b(?!\s+(?:not|never|unknown|unclear|yet)\b)|^[ \t]*(?:[-*][ \t]+)?(?:the\s+)?root[- ]cause\s*:|\bone single cause\b|\b(?:came|boils?|boiled)\s+(?:all\s+)?down\s+to\s+(?:one|a single)\b|\bculprit\s+(?:was|is|turned)\b|\b(?:was|is) the (?:real |actual )?culprit\b",
    re.IGNORECASE | re.MULTILINE,
)
_FACTORS = re.compile(
    r"contributing (?:factors?|causes?)|\bcauses\b\s*$|root causes\b|^#{1,6}.*\b(?:factors|causes)\b",
    re.IGNORECASE | re.MULTILINE,
)
_MEASURED = re.compile(r"\d|\b(?:can|may|could(?! not|n['’]t)|would(?! not)|such as|potential\w*)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|never|avoid\w*|no such thing as|nobody|no one|none|without|neither)|n['’]t)\b[^.;,\n]{0,60}$",
    re.IGNORECASE,
)
"""What stands before a word that is denied."""


def lint_text(text: str) -> tuple[Finding, ...]:
    """Every finding in a Markdown text, by place; one per rule and sentence.

    Args:
        text: the document; quotations, code, comments and addresses in it are passed over.
    """
    masked = _mask(text)
    place = _places(text)
    found = [*_by_pattern(masked), *_single_cause(masked), *_actions(masked, text)]
    findings = []
    told: set[tuple[str, int]] = set()
    for rule, start, end, note in sorted(set(found), key=lambda f: (f[1], f[0], f[2])):
        sentence = _bounds(masked, start, end)[0]
        if (rule, sentence) in told:
            continue
        told.add((rule, sentence))
        line, column = place(start)
        words = text[start:end]
        findings.append(
            Finding(
                rule=rule,
                line=line,
                column=column,
                end=column + max(1, len(words.split("\n", 1)[0])),
                text=(note or " ".join(words.split()))[:200],
                why=RULES[rule].why,
                rewrite=RULES[rule].rewrite,
            )
        )
        if len(findings) == _MOST:
            break
    return tuple(findings)


def _places(text: str) -> Callable[[int], tuple[int, int]]:
    starts = [0, *(m.end() for m in re.finditer("\n", text))]

    def place(at: int) -> tuple[int, int]:
        line = bisect_right(starts, at)
        return line, at - starts[line - 1] + 1

    return place


_INDENTED = re.compile(r"^(?: {4}|\t)(?![ \t]*(?:[-*+]|\d+[.)])\s).*$", re.MULTILINE)
"""What is code, where it does not go on with a list."""

_QUOTED = (
    re.compile(r"\A---\n.*?\n---\n", re.DOTALL),
    re.compile(r"^(?P<f>`{3,9}|~{3,9})(?![`~])[^\n]*\n.*?(?:^(?P=f)|\Z)", re.MULTILINE | re.DOTALL),
    re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL),
    re.compile(r"^[ \t]*>.*$", re.MULTILINE),
    _INDENTED,
    re.compile(r"`[^`\n]+`"),
    re.compile(r"(?<=\])\([^()\s]{0,2000}(?:\s+[^()]{0,500})?\)"),
    re.compile(r"https?://\S+"),
    re.compile(r"<[a-zA-Z/][^<>\n]{0,500}>"),
    re.compile(r"“[^”]{1,600}”|„[^“”]{1,600}[“”]|«[^»]{1,600}»"),
    re.compile(r"(?<![\w\"])\"(?=\S)[^\"\n]{1,600}\"(?!\w)"),
    re.compile(r"(?<!\w)['‘](?=\S)[^'’\n]{3,200}(?<=\S)['’](?!\w)"),
)


def _mask(text: str) -> str:
    """The text with everything quoted replaced by blanks, so that places stay the same.

    An indented block is code only where it does not go on with a list: those lines stay.
    """
    masked = text
    for pattern in _QUOTED:
        if pattern is _INDENTED:
            masked = _mask_indented(masked)
        else:
            masked = pattern.sub(lambda m: re.sub(r"[^\n]", "\x00", m[0]), masked)
    return masked.replace("\x00", " ")


def _mask_indented(text: str) -> str:
    lines = text.split("\n")
    in_list = blank = False
    for number, line in enumerate(lines):
        if _ITEM.match(line):
            in_list = True
        elif line.strip() and not line.startswith((" ", "\t")):
            in_list = False
        if _INDENTED.match(line) and not in_list and (blank or number == 0):
            lines[number] = "\x00" * len(line)
        else:
            blank = not line.strip()
    return "\n".join(lines)


_BREAK = re.compile(r"^#{1,6} .*\n|\n(?=[ \t]*(?:[-*+]|\d{1,3}[.)]|#{1,6}|\|)\s)|\n(?=\n)|(?<=:)\n", re.MULTILINE)
"""Where a line ends a sentence although no stop says so: titles, list items, rows, paragraphs."""

_ENDS = (". ", ".\n", "\n\n", "\n-", "\n*", "\n#", "! ", "? ", "\n|", ":\n")


_FAR = 600
"""Characters that are looked at on each side for the end of a sentence: else a text without any takes the square of its length."""

_MOST = 1_000
"""Findings that are told of one text."""


def _bounds(text: str, start: int, end: int) -> tuple[int, int]:
    """Where the sentence, list item or row begins and ends that holds these characters, or the part of it that is near."""
    first, last = max(0, start - _FAR), min(len(text), end + _FAR)
    left = max(text.rfind(mark, first, start) for mark in _ENDS)
    rights = [r for mark in _ENDS if (r := text.find(mark, end, last)) >= 0]
    return first if left < 0 else left + 1, min(rights, default=last)


_Place = tuple[str, int, int, str]
"""Rule, start, end, and what to say instead of the words found there."""


def _by_pattern(masked: str) -> Iterator[_Place]:
    headings = [(m.start(), m.end()) for m in re.finditer(r"^#{1,6} .*$", masked, re.MULTILINE)]
    prose = _BREAK.sub(lambda m: m[0].replace("\n", "\x01"), masked)  # words of two items are no phrase
    for rule, pattern in _COMPILED:
        for m in pattern.finditer(prose):
            start, end = m.start() + len(m[0]) - len(m[0].lstrip()), m.end()
            a, b = _bounds(masked, start, end)
            around = masked[a:b]
            if rule == "unmeasured-impact" and (_MEASURED.search(around) or any(x <= start < y for x, y in headings)):
                continue  # a number stands beside it, it tells what may happen in general, or it is a title
            if rule in ("human-error", "character") and (_DENIED.search(masked[a:start]) or "symptom" in around):
                continue
            yield rule, start, end, ""


def _single_cause(masked: str) -> Iterator[_Place]:
    """One finding in a document that names a root cause and no further factor."""
    first = _CAUSE.search(masked)
    if first is not None and not _FACTORS.search(masked):
        start = first.start() + len(first[0]) - len(first[0].lstrip("\n "))
        yield "single-cause", start, first.end(), ""


def _actions(masked: str, source: str) -> Iterator[_Place]:
    """Weak actions one by one, and one finding for a section whose actions lack an owner, a date or a test."""
    for title, body in _action_sections(masked):
        items = list(_items(masked, *body))
        for start, end in items:
            weak = _WEAK.search(masked, start, end)
            if weak is None:
                continue
            name = next((n for n in ("vague", "open", "urge") if weak[n]), None)
            first, last = weak.span(name) if name else weak.span()
            if not (name == "vague" and _MEANS.match(source[last:end])):
                yield "weak-action", first, last, ""
        heads = _heads(source[slice(*body)])
        yield from _lacking([_labelled(source[a:b], heads) for a, b in items], title)


def _heads(body: str) -> list[str]:
    """Names of the columns of the first table."""
    row = next((m[1] for line in body.splitlines() if (m := _ROW.match(line))), "")
    return [cell.strip() for cell in row.split("|")]


def _labelled(item: str, heads: Sequence[str]) -> str:
    """A row of a table as text in which each cell is named by its column; a list item as it is."""
    row = _ROW.match(item.rstrip("\n"))
    if row is None:
        return item
    cells = [cell.strip() for cell in row[1].split("|")]
    return "; ".join(f"{head}: {cell}" for head, cell in zip(heads, cells, strict=False) if cell)


def _lacking(items: Sequence[str], title: tuple[int, int]) -> Iterator[_Place]:
    """What the actions of a section lack; one that is done lacks nothing."""
    to_do = [i for i in items if not _DONE.search(i)]
    needs = (("an owner", _OWNER), ("a date", _DATE), ("a test that proves it", _TEST))
    short = [(what, sum(not p.search(i) for i in to_do)) for what, p in needs]
    if any(n for _, n in short):
        note = ", ".join(f"{n} of {len(items)} without {what}" for what, n in short if n)
        yield "incomplete-action", *title, note


def _action_sections(text: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Headings that promise actions (also bold lines), each with the body below it up to the next heading of its rank."""
    heads = [
        (m.start(), m.end(), len(m[1]) if m[1] else 7, m[2] or m[3] or "")
        for m in re.finditer(
            r"^(?:(#{1,6})[ \t]+(.*)|[ \t]*(?:[-*][ \t]+)?\*\*([^*\n]+)\*\*:?[ \t]*)$", text, re.MULTILINE
        )
    ]
    covered = 0
    for start, end, rank, title in heads:
        if start < covered or not _ACTIONS.search(title) or _NO_PLAN.search(title):
            continue
        stop = next((s for s, _, r, _ in heads if s > start and r <= rank), len(text))
        covered = stop
        yield (start + len(text[start:end]) - len(text[start:end].lstrip()), end), (end, stop)


def _items(text: str, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """List items (without what is nested in them) and rows of tables."""
    at = start
    depth: int | None = None
    header = True
    begun: int | None = None
    for line in text[start:stop].splitlines(keepends=True):
        item, row = _ITEM.match(line), _ROW.match(line)
        indent = len(line) - len(line.lstrip())
        if item and (depth is None or indent <= depth):
            if begun is not None:
                yield begun, at
            depth, begun = indent, at
        elif begun is not None and line.startswith("#"):
            yield begun, at
            begun = None
        if row:
            if not header and not re.fullmatch(r"[\s|:-]+", line):
                yield at, at + len(line)
            header = False
        at += len(line)
    if begun is not None:
        yield begun, at


def sarif_of(found: Mapping[str, Sequence[Finding]], *, version: str) -> dict[str, Any]:
    """Findings by path as one SARIF 2.1.0 log (OASIS, 27 March 2020), as code hosts read it."""
    rules = [
        {
            "id": r.id,
            "shortDescription": {"text": r.why},
            "help": {"text": r.rewrite},
            "defaultConfiguration": {"level": "warning"},
        }
        for r in RULES.values()
    ]
    results = [
        {
            "ruleId": f.rule,
            "level": "warning",
            "message": {"text": f"“{f.text}”: {f.why}. Instead: {f.rewrite}."},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": path},
                        "region": {"startLine": f.line, "startColumn": f.column, "endColumn": f.end},
                    }
                }
            ],
        }
        for path, findings in found.items()
        for f in findings
    ]
    return sarif_log("andon postmortem lint", version, rules=rules, results=results)


def sarif_log(
    name: str, version: str, *, rules: Sequence[Mapping[str, Any]], results: Sequence[Mapping[str, Any]], **run: Any
) -> dict[str, Any]:
    """One SARIF 2.1.0 log of one run of a tool; `run` holds further properties of the run."""
    driver = {"name": name, "version": version, "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results, **run}],
    }
