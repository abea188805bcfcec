"""Which language a text is in, as far as its script and its commonest words say: enough to see an answer in the wrong one.

No model and no dependency: the script of most letters, and for the Latin script the function words of twelve languages. A
text that these do not settle has no known language. How often that is, and how often it is wrong, is in
`docs/methods/scores.md`.

Source: Grefenstette, "Comparing two language identification schemes", JADT 1995 (short function words tell the language of
a sentence as well as trigrams do, from about 15 words on).
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import chain

__all__ = ["LANGUAGES", "language_of"]

READ = 400
"""Characters of a text that are read: a text shows early in which language it is, and the cost grows with them."""

LEAST_LETTERS = 8
"""Letters below which a text has no script: a name, a number with its unit."""

LEAST_HITS = 2
"""Different function words of its language that a text must have at least: one that is repeated tells of nothing."""

LEAST_SHARE = 0.15
"""Share of the words of a text that must be function words of its language; in running text it is a third and more."""

AHEAD = 1.5
"""How many times as many function words the language must have as any other."""

_LATIN = {
    "en": "the of and to in is that it for was on are as with his they at be this have from or had by but what were we when "
    "your can there an which their if will how do you not would about then these so some her him has more could my than "
    "been who its does did why where i me please any all into only other should",
    "de": "der die das und ist nicht ein eine einen einem einer eines zu den dem des mit auf für von im sich auch es an werden "
    "wird sind wie ich sie er wir bei oder aber als nach aus wenn nur noch kann über zum zur durch was wo warum haben hat "
    "dass man bitte mein meine ihr diese dieser dieses vom kein keine unter mehr wurde können",
    "fr": "le la les de des du et est un une en que qui dans pour pas sur au aux par plus ne ce cette ces il elle nous vous je "
    "avec sont ou mais comme son sa ses être été fait si leur tout lui quel quelle quels comment pourquoi où mon ma "
    "votre vos dont peut bien sans entre d'un d'une c'est qu'il n'est",
    "es": "el la los las de del y en que es un una no se por con para su al lo como más pero sus le ya o este sí porque esta "
    "entre cuando muy sin sobre también me hasta hay donde quien desde todo nos qué cómo cuál dónde cuándo mi son está "
    "puede ser tiene si esto usted ha fue",
    "it": "il lo la i gli le di del della dei delle e è un una uno in che non per con si da al alla sono come anche ma più su "
    "nel nella questo questa ha ho mi ti ci se dal dalla quale quando dove perché cosa chi mio mia essere può degli agli "
    "dell'articolo l'utente quali suo sua viene fra tra",
    "pt": "o a os as de do da dos das e em que é um uma não para com por se no na nos nas mais como mas ao aos ele ela seu sua "
    "ou quando muito já está eu também só pelo pela até isso entre sem mesmo qual onde porque ser são foi você meu minha "
    "tem pode este esta à quais",
    "nl": "de het een en van ik te dat die in je is niet op met voor zijn er maar om aan ook als dan bij nog wel uit naar door "
    "hij zij we wat hoe waarom wie waar deze dit kan worden wordt heeft hebben of over tot geen mijn uw jouw u moet "
    "tussen indien",
    "sv": "och att det som en ett på är av för med den till inte om har de jag han hon vi ni var men så kan när från ska eller "
    "hur vad varför vem denna detta mycket bara efter mitt min din sig också vid finns skall vilken vilket inga",
    "da": "og det er en et på af til for med den at ikke har jeg de der som han hun vi du var men så kan når fra skal eller "
    "hvordan hva hvad hvorfor hvem denne dette meget kun etter efter mit min din sig seg også ved blir bliver hvilken "
    "ikkje være som om brukes bruges",
    "pl": "i w na z do się nie to jest że jak o co po za od ale tak czy dla przez już tylko lub być są ma oraz tego jego ich "
    "który która które gdy jeśli może przy bez pod nad ten ta tym kto gdzie kiedy dlaczego mój moja proszę ze aby",
    "tr": "ve bir bu için ile de da ne mi mı mu olarak olan daha çok gibi en kadar değil var yok ama veya ya nasıl neden kim "
    "nerede hangi ben sen o biz siz onlar her ki sonra olduğu olup ise tarafından üzerinde göre",
    "id": "dan yang di ke dari untuk dengan ini itu adalah tidak pada dalam akan atau juga oleh saya anda kami mereka ada bisa "
    "dapat apa bagaimana mengapa siapa karena jika sebagai telah sudah belum lebih hanya bila kepada bagi",
}
"""Function words by language; ``da`` stands for Danish and Norwegian, which share most of theirs, ``id`` for Malay too."""

LANGUAGES = tuple(_LATIN)

_OF_WORD: dict[str, tuple[str, ...]] = {}
for _language, _words in _LATIN.items():
    for _word in dict.fromkeys(_words.split()):
        _OF_WORD[_word] = (*_OF_WORD.get(_word, ()), _language)

_CODE = re.compile(r"```[^`]{0,400}(?:```)?|https?://\S{1,400}")
_SEPARATORS = str.maketrans(dict.fromkeys('.,;:!?¿¡()[]{}<>"“”„«»*#|/\\-–—_`…', " ") | {"’": "'"})
_KANA_SHARE = 0.05
"""Share of kana from which a text with Chinese characters is Japanese."""


def language_of(text: str) -> str | None:
    """The language of a text: a code for one in the Latin script, else the name of its script; None where that is unclear.

    ``en``, ``de``, ``fr``... for `LANGUAGES`; ``cyrillic``, ``arabic``, ``devanagari``... where the language is not told
    further; ``japanese``, ``korean`` and ``han`` (Chinese). Code between fences and addresses are left out; the first 400
    characters are read.
    """
    return _language_of(text.lstrip()[:READ])


@lru_cache(maxsize=20_000)
def _language_of(text: str) -> str | None:
    if "```" in text or "://" in text:
        text = _CODE.sub(" ", text)
    script = "latin" if text.isascii() else _script(text)
    if script != "latin":
        return script
    words = [w for w in text.lower().translate(_SEPARATORS).split() if w[0].isalpha()]
    if sum(map(len, words)) < LEAST_LETTERS:
        return None
    known = [w for w in words if w in _OF_WORD]
    hits = Counter(chain.from_iterable(_OF_WORD[w] for w in known))
    (best, most), *others = hits.most_common(2) or [("", 0)]
    if most < LEAST_SHARE * len(words) or (others and most < AHEAD * others[0][1]):
        return None
    return best if len({w for w in known if best in _OF_WORD[w]}) >= LEAST_HITS else None


def _script(text: str) -> str | None:
    """The script of more than half of the letters; None where there is none, or few letters."""
    counts: Counter[str] = Counter()
    for letter, n in Counter(text).items():
        if name := _script_of(letter):
            counts[name] += n
    total = counts.total()
    if not total:
        return None
    asian = counts["cjk"] + counts["kana"] + counts["hangul"]
    if 2 * asian > total:
        if 2 * counts["hangul"] > asian:
            return "korean"
        return "japanese" if counts["kana"] > _KANA_SHARE * asian else "han"
    name, most = counts.most_common(1)[0]
    return name if total >= LEAST_LETTERS and 2 * most > total else None


@lru_cache(maxsize=20_000)
def _script_of(character: str) -> str:
    """The script of a letter by the first word of its Unicode name, "" for anything else (Unicode 15, table 4-8 on names)."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").split(" ", 1)[0].lower()
    return {"hiragana": "kana", "katakana": "kana", "katakana-hiragana": "kana"}.get(first, first)
