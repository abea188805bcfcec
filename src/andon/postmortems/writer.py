"""The seam to a language model that writes prose: any endpoint with OpenAI's chat completions."""

from collections.abc import Callable
from typing import Any

from andon.errors import ConfigError, SeamError
from andon.settings import Settings
from andon.traffic import quoted

__all__ = ["open_writer"]

ANSWER_S = 120.0


def open_writer(settings: Settings) -> Callable[[str], str]:
    """A function that answers an instruction with a text.

    Raises:
        ConfigError: no endpoint or model is set.
        SeamError: (the function) the endpoint failed; the message holds no key.
    """
    url, model = settings.writer_url.rstrip("/"), settings.writer_model
    if not url or not model:
        raise ConfigError(
            "nobody writes prose: set ANDON_WRITER_URL (an OpenAI-compatible endpoint, e.g. http://localhost:11434/v1) and "
            "ANDON_WRITER_MODEL; without them sections are written by people"
        )

    key = settings.writer_key.strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError("ANDON_WRITER_KEY holds a character that a header cannot carry (a line end, perhaps)")

    def write(instruction: str) -> str:
        import httpx2

        request = {"model": model, "temperature": 0, "messages": [{"role": "user", "content": instruction}]}
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            with httpx2.Client(timeout=ANSWER_S, follow_redirects=False) as client:
                answer = client.post(f"{url}/chat/completions", json=request, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise SeamError(f"the writer could not be asked ({type(error).__name__})", retryable=True) from None
        if answer.status_code != 200:
            said = quoted(answer.text.replace(key, "***") if key else answer.text, 200)
            raise SeamError(
                f"the writer answered with status {answer.status_code}: {said}", retryable=answer.status_code >= 429
            )
        return _text(answer)

    return write


def _text(answer: Any) -> str:
    try:
        text = answer.json()["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError):
        text = None
    if not isinstance(text, str):
        raise SeamError("the writer's answer is not {'choices': [{'message': {'content': text}}]}", retryable=False)
    return text
