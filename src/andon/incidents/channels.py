"""The seam Channel: chats, mail, pagers and webhooks by apprise's URLs, without their secrets in any name, log or error."""

import hashlib
import logging
import re
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from andon.errors import ConfigError, SeamError
from andon.incidents.hooks import Hook, hook_of
from andon.incidents.records import Channel, Message, Outcome, Tone

__all__ = ["ANSWER_S", "NOBODY", "AppriseChannel", "name_of", "open_channels", "send", "urls_of"]

NOBODY = "nobody is told: ANDON_CHANNELS is not set, e.g. ANDON_CHANNELS=slack://TOKEN_A/TOKEN_B/TOKEN_C/#alerts"
"""What is said where there is no channel."""

ANSWER_S = 20.0
"""How long a receiver may take to answer, unless its URL says `rto=`."""

_URLS = re.compile(r"[\s,]+(?=[A-Za-z][\w+.-]*://)")
_HOSTS = frozenset(
    ["https", "json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos", "webhook", "webhooks"]
)
"""Forms of URL whose host is the host of the receiver; in all others it may be a token."""

_TYPES: dict[Tone, str] = {"urgent": "failure", "warning": "warning", "note": "info", "over": "success"}
_STATUS = re.compile(r"(?i)\b(?:error|status|code)\D{0,3}([345]\d\d)\b")
_UNANSWERED = re.compile(r"(?i)read timed out|connection aborted|without response|reset by peer|broken pipe|incomplete")
"""What is said when the connection broke after the message had been given: it may have arrived."""

_UNREACHED = re.compile(
    r"(?i)connection refused|failed to establish|connect timeout|name resolution|getaddrinfo|unreachable"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseChannel:
    """One of the services that apprise knows."""

    name: str
    plugin: Any = field(repr=False)
    words: frozenset[str] = field(repr=False)
    """Parts of the URL that must not be told."""
    keyed: bool = False
    """The service keeps messages with the same key together, and the URL gives none."""

    def send(self, message: Message) -> None:
        """Tell it.

        Raises:
            SeamError: see `Channel.send`; the text holds no part of the URL.
        """
        form = "markdown" if self.plugin.resolve_format() == "markdown" else "text"
        if self.keyed:
            self.plugin.dedup = message.about or None
        with _overhearing.listen() as said:
            try:
                sent = self.plugin.notify(
                    title=message.title,
                    body=message.markdown if form == "markdown" else message.text,
                    body_format=form,
                    notify_type=_TYPES[message.tone],
                )
            except Exception as error:  # foreign code: whatever it raises is its failure; its text may hold the URL
                raise SeamError(f"apprise failed ({type(error).__name__})", retryable=True) from None
        if not sent:
            raise self._failure(said)

    def _failure(self, said: list[tuple[int, str]]) -> SeamError:
        """What went wrong, from what apprise said meanwhile."""
        everything = " ".join(text for _, text in said)
        if any(level == logging.INFO and text.startswith("Sent ") for level, text in said):
            return SeamError("it reached only some of its receivers; give each a URL of its own", retryable=False)
        if _UNREACHED.search(everything):
            return SeamError("it could not be reached", retryable=True)
        if status := _STATUS.search(everything):
            return SeamError(f"it answered with status {status[1]}", retryable=True)
        if _UNANSWERED.search(everything):
            return SeamError("it did not answer; the message may have arrived", retryable=False)
        loud = [text for level, text in said if level >= logging.WARNING and not self._tells(text)]
        return SeamError(f"apprise says: {loud[-1]}" if loud else "it refused, without saying why", retryable=True)

    def _tells(self, text: str) -> bool:
        return any(word in text.casefold() for word in self.words)


def open_channels(urls: str) -> list[Channel]:
    """The channels of ``ANDON_CHANNELS``: apprise URLs, separated by commas or spaces.

    Raises:
        ConfigError: one of them is not understood; it is named by its number and without its secrets.
    """
    given: dict[str, tuple[Any, str]] = {}  # the same URL twice is one channel
    for number, url in enumerate(urls_of(urls), 1):
        what = f"channel {number} of ANDON_CHANNELS"
        if url not in given:
            hook = hook_of(url, "", f"{what} ({url.partition('://')[0].casefold()}://…)")
            if hook is not None:
                given[url] = hook, name_of(url, urlsplit(url).hostname)
            else:
                plugin = _open(url, what)
                given[url] = plugin, name_of(url, plugin.host)
    often = Counter(name for _, name in given.values())
    return [
        _channel(url, of, name if often[name] == 1 else f"{name} {_mark(url)}") for url, (of, name) in given.items()
    ]


def _channel(url: str, of: Any, name: str) -> Channel:
    if isinstance(of, Hook):
        return replace(of, name=name)
    keyed = getattr(of, "dedup", "") is None
    return AppriseChannel(name=name, plugin=of, words=_words(url, name), keyed=keyed)


def urls_of(urls: str) -> list[str]:
    """The single URLs of ``ANDON_CHANNELS``; none means that nobody is told."""
    return [u.strip() for u in _URLS.split(urls.strip().strip(",")) if u.strip()]


def send(channel: Channel, message: Message) -> tuple[Outcome, str]:
    """Tell one channel; returns ``sent``, ``failed`` or ``unknown``, and the error. Never raises."""
    try:
        with _overhearing.listen():  # HTTP clients log the URL
            channel.send(message)
    except SeamError as error:
        return ("failed" if error.retryable else "unknown"), str(error)
    except Exception as error:  # a channel is foreign code, and its text may hold a secret
        return "unknown", f"the channel failed ({type(error).__name__}); the message may have arrived"
    return "sent", ""


def name_of(url: str, host: str | None) -> str:
    """How a channel is called: the service, and the host or the ``#channel`` where these are no secret.

    A rotated token gives the same name, so nobody is told again because of it.

    Args:
        url: a URL that apprise accepted.
        host: what apprise takes for its host: where a password has a sign that it should not have, that differs from what
            a person would take for it, and neither is shown.
    """
    scheme, _, rest = url.partition("://")
    scheme = scheme.casefold()
    if scheme in _HOSTS:
        shown = _host(rest)
        plain = re.fullmatch(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?", shown)
        # The address that a service's own page shows, https://..., has a host by which apprise knows the service.
        sure = plain is not None and (scheme == "https" or plain[1].casefold() == (host or "").casefold())
        return f"{scheme}://{shown}" if sure else f"{scheme}://…"
    named = [p for p in rest.partition("?")[0].split("/") if re.fullmatch(r"#[\w.-]{1,80}", p)]
    return f"{scheme}://…/{named[0]}" if named else f"{scheme}://…"


def _host(rest: str) -> str:
    """Host and port of what follows the scheme; an @ further on belongs to a path or a query."""
    return re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[2]


def _mark(url: str) -> str:
    """Six digits that tell channels of one name apart, whatever their order.

    They stand in the ledger, so they are made in a way that takes some 30 ms: a short password cannot be found by trying.
    """
    return hashlib.scrypt(url.encode(), salt=b"name of an Andon channel", n=2**14, r=8, p=1, dklen=3).hex()


def _open(url: str, what: str) -> Any:
    scheme = re.match(r"([A-Za-z][\w+.-]*)://", url)
    what = f"{what} ({scheme[1].casefold()}://…)" if scheme else what
    if scheme is None or re.search(r"\s", url):
        raise ConfigError(f"{what} is not understood; a URL such as slack://... or json://HOST/PATH is needed")
    with _overhearing.listen(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what apprise's plug-ins import is old-fashioned in places
        import apprise

        # A redirect is not followed: headers and paths hold secrets.
        asset = apprise.AppriseAsset(app_id="Andon", app_desc="Andon", http_redirects=False)
        plugin = apprise.Apprise.instantiate(url, asset=asset)
    if plugin is None:
        raise ConfigError(
            f"{what} is not understood by apprise; look its form up at https://appriseit.com/services/, and write special "
            "characters of passwords as %40 and the like"
        )
    if "rto=" not in url:
        plugin.socket_read_timeout = ANSWER_S
    if "overflow=" not in url:
        plugin.overflow_mode = apprise.OverflowMode.TRUNCATE  # PagerDuty refuses a long message, and so do others
    return plugin


def _words(url: str, name: str) -> frozenset[str]:
    """Pieces of a URL that a text must not hold, in lower case: all but the scheme, and the host where its name shows it."""
    rest = url.partition("://")[2]
    if (host := _host(rest)) and name.endswith(f"://{host}"):
        before, _, after = rest.partition(host)
        rest = f"{before} {after}"
    pieces = re.split(r"[/:@?&=#,+ ]", rest)
    return frozenset(p.casefold() for piece in pieces for p in (piece, unquote(piece)) if len(p) >= 3)


class _Overhearing(logging.Filter):
    """Keeps what threads log while they send out of every log, because it may hold the URL, and gives it to the sender."""

    def __init__(self) -> None:
        super().__init__()
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._senders = 0
        self._level = self._usual = logging.NOTSET

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record may reach the log."""
        said: list[tuple[int, str]] | None = getattr(self._mine, "said", None)
        if said is None:
            return record.levelno >= self._usual
        said.append((record.levelno, record.getMessage()))
        return False

    @contextmanager
    def listen(self) -> Iterator[list[tuple[int, str]]]:
        """What this thread logs meanwhile, as (level, text)."""
        self._open()
        said: list[tuple[int, str]] = []
        self._mine.said = said
        try:
            yield said
        finally:
            self._mine.said = None
            self._close()

    def _open(self) -> None:
        logger = logging.getLogger("apprise")
        with self._lock:
            if self._senders == 0:
                for name in _LOUD:
                    logging.getLogger(name).addFilter(self)
                self._level, self._usual = logger.level, logger.getEffectiveLevel()
                logger.setLevel(logging.DEBUG)  # only its debug log says how a connection failed
            self._senders += 1

    def _close(self) -> None:
        with self._lock:
            self._senders -= 1
            if self._senders == 0:
                logging.getLogger("apprise").setLevel(self._level)
                for name in _LOUD:
                    logging.getLogger(name).removeFilter(self)


_LOUD = ("apprise", "httpx2", "httpcore2", "urllib3.connectionpool", "urllib3.util.retry", "requests")
_overhearing = _Overhearing()
