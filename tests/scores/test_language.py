"""Laws of telling languages."""

import pytest
import scores_measured as measured
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from andon.scores.language import LANGUAGES, language_of

ASKED = {
    "en": "When does the shop open on Sundays, and where can I park my car?",
    "de": "Wann öffnet der Laden am Sonntag, und wo kann ich mein Auto abstellen?",
    "fr": "À quelle heure le magasin ouvre-t-il le dimanche, et où est-ce que je peux garer ma voiture ?",
    "es": "¿A qué hora abre la tienda los domingos y dónde puedo dejar el coche?",
    "it": "A che ora apre il negozio la domenica e dove posso lasciare la mia macchina?",
    "pt": "A que horas abre a loja aos domingos e onde é que eu posso deixar o meu carro?",
    "nl": "Hoe laat gaat de winkel op zondag open, en waar kan ik mijn auto kwijt?",
    "sv": "När öppnar affären på söndagar, och var kan jag ställa min bil?",
    "da": "Hvornår åbner butikken om søndagen, og hvor kan jeg stille min bil?",
    "pl": "O której sklep jest otwarty w niedzielę i gdzie mogę zostawić mój samochód?",
    "tr": "Mağaza pazar günleri ne zaman açılıyor ve arabamı nerede park edebilirim, bu çok önemli?",
    "id": "Kapan toko itu buka pada hari Minggu, dan di mana saya bisa parkir?",
    "cyrillic": "Во сколько открывается магазин в воскресенье?",
    "greek": "Τι ώρα ανοίγει το κατάστημα την Κυριακή;",
    "arabic": "متى يفتح المتجر يوم الأحد؟",
    "hebrew": "מתי נפתחת החנות ביום ראשון?",
    "devanagari": "रविवार को दुकान कब खुलती है?",
    "thai": "ร้านเปิดกี่โมงในวันอาทิตย์",
    "han": "商店星期日几点开门?",
    "japanese": "日曜日は何時に店が開きますか?",
    "korean": "일요일에 가게는 몇 시에 문을 여나요?",
}


@pytest.mark.parametrize(("language", "text"), ASKED.items(), ids=ASKED.keys())
def test_a_question_has_its_language(language: str, text: str) -> None:
    """A plain question is known by its script, or by its function words; in capitals and after a newline too."""
    assert language_of(text) == language
    assert language_of("\n " + text.upper()) == language


def test_every_language_is_asked_for() -> None:
    """Each language of the table stands in the sentences above."""
    assert set(LANGUAGES) <= set(ASKED)


@pytest.mark.parametrize(
    "text",
    ["", " ", "K2", "8611 m", "Paris", "42", "🙂👍", "SELECT * FROM t", "def f(x):\n    return x", "9C6A13E193C177646C7398A98432E",
     "```python\nthe of and to in is\n```", "https://example.org/the/of/and/to/in/is", "the the the the"],
)  # fmt: skip
def test_what_tells_nothing_has_no_language(text: str) -> None:
    """Names, numbers, code, addresses and one repeated word have no language."""
    assert language_of(text) is None


def test_code_does_not_hide_the_language_around_it() -> None:
    """Words around a code block tell the language, whatever stands in the block."""
    assert language_of("So wird es gemacht:\n```sql\nselect the from of and to in is\n```\nund das ist alles") == "de"


@given(st.text(max_size=500))
@hypothesis_settings(deadline=None)
def test_any_text_has_one_language_or_none(text: str) -> None:
    """For any text the answer is a name or None, the same each time, and never depends on what stands after 400 characters."""
    found = language_of(text)
    assert found is None or found
    assert found == language_of(text.lstrip()[:400])


def test_english_pairs_are_hardly_ever_called_a_mismatch() -> None:
    """On the English packs at most one told pair in a thousand is called a mismatch, and at least three quarters are told."""
    absent = [
        p
        for p in ("refusals-xstest", "rag-mtrag", "rag-expertqa", "drift-llmdrift")
        if not (measured.DATA / p).is_dir()
    ]
    if absent:
        pytest.skip(f"real data absent: {', '.join(absent)} under {measured.DATA}; set SHARED_DATA")
    told, wrong, n = measured.english_pairs()
    assert told / n >= 0.75
    assert wrong / told <= 0.001


def test_sentences_of_other_languages_are_hardly_ever_taken_for_another() -> None:
    """In each language, at most one told sentence in twenty is told wrong, and one in a hundred over all."""
    found = {language: measured.told_in(language) for language in measured.SPOKEN}
    if not any(n for n, _, _ in found.values()):
        pytest.skip(f"no translations of this system under {measured.CATALOGUES}")
    assert all(wrong <= max(1, 0.06 * told) for _, told, wrong in found.values())
    assert sum(wrong for *_, wrong in found.values()) <= 0.01 * sum(told for _, told, _ in found.values())
