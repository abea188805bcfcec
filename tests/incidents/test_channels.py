"""Laws of channels, with a real receiver: what arrives, what is said when it does not, and that no secret is ever told."""

import json
import logging
import re
import time

import pytest
from receivers import Receiver, receiving
from test_messages import incident

from andon.errors import ConfigError, SeamError
from andon.incidents import channels as seam
from andon.incidents import message_of, open_channels, sample_message
from andon.incidents.channels import send

SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#alerts"


def test_a_message_arrives(receiver: Receiver) -> None:
    """Title, text and type arrive as they are, however often the same channel is used."""
    (channel,) = open_channels(receiver.url)
    message = message_of(incident(), "opened", now_us=0)
    assert [send(channel, m) for m in (message, sample_message(), message)] == [("sent", "")] * 3
    first = receiver.got[0]
    assert (first["title"], first["message"], first["type"]) == (message.title, message.text, "failure")
    assert [m["type"] for m in receiver.got] == ["failure", "info", "failure"]


@pytest.mark.parametrize(
    ("mode", "state", "says"),
    [
        ("refuse", "failed", "it answered with status 500"),
        ("hang up", "unknown", "may have arrived"),
        ("slow", "unknown", "may have arrived"),
        ("stopped", "failed", "could not be reached"),
    ],
)
def test_what_goes_wrong_is_said_plainly(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, mode: str, state: str, says: str
) -> None:
    """A refusal and a closed port surely did not arrive; an answer that never came leaves it open."""
    monkeypatch.setattr(seam, "ANSWER_S", 0.3)
    (channel,) = open_channels(receiver.url)
    receiver.mode = mode
    if mode == "stopped":
        receiver.stop()
    outcome, error = send(channel, sample_message())
    assert outcome == state
    assert says in error


def test_a_channel_that_hangs_ends_by_itself(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receiver that does not answer is given up after the stated time."""
    monkeypatch.setattr(seam, "ANSWER_S", 0.3)
    (channel,) = open_channels(receiver.url)
    receiver.mode, receiver.slow_s = "slow", 3.0
    start = time.monotonic()
    send(channel, sample_message())
    assert time.monotonic() - start < 2.0


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    """The secrets of a URL go nowhere but to the host that it names."""
    with receiving() as other:
        receiver.mode, receiver.elsewhere = "redirect", f"http://127.0.0.1:{other.port}/"
        assert send(open_channels(receiver.url)[0], sample_message()) == ("failed", "it answered with status 307")
        assert other.got == []


def secrets(receiver: Receiver) -> list[str]:
    """What must never be told."""
    return [f"{part}-s3cret" for part in ("user", "pass", "path", "head", "query")]


@pytest.mark.parametrize("mode", ["ok", "refuse", "hang up", "stopped"])
def test_secrets_are_never_told(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], mode: str
) -> None:
    """However it ends, no part of a URL that may be secret is in a name, a repr, an error, a log at any level, or a stream."""
    (channel,) = open_channels(receiver.url)
    receiver.mode = mode
    if mode == "stopped":
        receiver.stop()
    with caplog.at_level(1):
        for name in ("apprise", "urllib3", "requests"):
            caplog.set_level(1, logger=name)
        told = send(channel, sample_message())
    streams = capfd.readouterr()
    everything = " ".join([caplog.text, str(told), repr(channel), channel.name, streams.out, streams.err])
    assert not [s for s in secrets(receiver) if s in everything]


def test_other_threads_are_still_logged(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    """Only what a sending thread logs is kept back; the loggers work as before afterwards."""
    (channel,) = open_channels(receiver.url)
    send(channel, sample_message())
    with caplog.at_level(logging.WARNING, logger="apprise"):
        logging.getLogger("apprise").warning("said by somebody else")
    assert "said by somebody else" in caplog.text


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("the mailbox is full", "apprise says: the mailbox is full"),
        ("no access for HUSH-hush", "it refused, without saying why"),
        ("no access for p@ss", "it refused, without saying why"),
    ],
)
def test_a_reason_is_told_unless_it_holds_a_part_of_the_url(said: str, told: str) -> None:
    """What a service says of its refusal is passed on; a sentence with any piece of the URL, however written, is not."""

    class Plugin:
        def resolve_format(self) -> str:
            return "text"

        def notify(self, **_: object) -> bool:
            logging.getLogger("apprise").warning(said)
            return False

    words = seam._words("mailto://ann:p%40ss@example.com/hush-hush", "mailto://example.com")
    channel = seam.AppriseChannel(name="x", plugin=Plugin(), words=words)
    assert send(channel, sample_message()) == ("failed", told)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (SLACK, "slack://…/#alerts"),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack://…"),
        ("mailto://ann:hunter2@example.com?to=oncall@example.com", "mailto://example.com"),
        ("json://u:p@hooks.example.com:8080/secret?+X=y", "json://hooks.example.com:8080"),
        ("jsons://p@ss@hooks.example.com/x", "jsons://…"),
        ("jsons://hooks.example.com/andon/team@hush-hush", "jsons://hooks.example.com"),
        ("jsons://hooks.example.com?+X-Key=@hush-hush", "jsons://hooks.example.com"),
        ("json://u:p@[::1]:8080/hush-hush", "json://[::1]:8080"),
        ("mailtos://a:b@smtp.example.com/oncall@pager.example.org", "mailtos://smtp.example.com"),
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "https://hooks.slack.com"),
        ("pagerduty://abcdefghijklmnopqrstuvwxyz123456@abcdefghijklmnop/source", "pagerduty://…"),
        (f"workflows://host.example.com:443/{'WORKFLOW' * 4}/SIGNATURE/", "workflows://…"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", "tgram://…"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/?avatar=no", "discord://…"),
    ],
)
def test_a_name_holds_no_secret(url: str, name: str) -> None:
    """The name says which service it is, with the host only where it is no token and no part of a password."""
    (channel,) = open_channels(url)
    assert channel.name == name
    assert "hush" not in repr(channel)


def test_a_token_behind_an_at_sign_is_a_secret_of_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token in a path or a query is kept out of errors, also behind an @."""
    for url in ("jsons://hooks.example.com/andon/team@hush-hush", "jsons://hooks.example.com?+X-Key=@hush-hush"):
        (channel,) = open_channels(url)
        said = "gateway hooks.example.com does not know hush-hush"
        monkeypatch.setattr(channel.plugin, "notify", lambda said=said, **_: logging.getLogger("apprise").error(said))
        assert send(channel, sample_message()) == ("failed", "it refused, without saying why")


def test_several_channels_are_told_apart() -> None:
    """Channels are separated by commas, spaces or lines; a comma within a URL stays; the same URL twice is one channel."""
    mail = "mailto://ann:pw@example.com?to=a@example.com,b@example.com"
    found = open_channels(f" {SLACK},{SLACK}\n{mail}, json://localhost/x ")
    assert [c.name for c in found] == ["slack://…/#alerts", "mailto://example.com", "json://localhost"]
    assert open_channels("") == open_channels("  ") == open_channels(" , ") == []


def test_channels_of_one_name_keep_theirs_in_any_order() -> None:
    """Where two URLs have one name each has a mark of its own, by its URL and not by its place; no mark holds a secret."""
    other = SLACK.replace("TIiajkdnlazkcOXrIdevi7FQ", "TIiajkdnlazkcOXrIdevi7FR")
    first, second = ([c.name for c in open_channels(urls)] for urls in (f"{SLACK} {other}", f"{other} {SLACK}"))
    assert first == second[::-1]
    assert len(set(first)) == 2
    assert all(re.fullmatch(r"slack://…/#alerts [0-9a-f]{6}", name) for name in first)
    assert [c.name for c in open_channels(f"{other} json://localhost {SLACK}")][::2] == second


def test_a_mark_cannot_be_searched_for() -> None:
    """Making one mark takes at least ten milliseconds: a list of passwords is not tried in an afternoon."""
    start = time.perf_counter()
    seam._mark("json://ann:pw@example.com")
    assert time.perf_counter() - start > 0.01


@pytest.mark.parametrize(
    "bad",
    [
        "nosuch://hush-hush",
        "slack://hush-hush",
        "hush-hush",
        "json://",
        "json://a hush-hush",
        "json://b@/hush-hush",
        "jsons://user:hush-hush",
        "mailtos://andon:hush-hush?SS@smtp.example.com/x",
        "mailtos://andon:SS?hush-hush@smtp.example.com/x",
    ],
)
def test_a_url_that_is_not_understood_is_refused_without_being_told(bad: str, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong URL ends the start with its number, and is told neither by the error nor by the log."""
    with caplog.at_level(1), pytest.raises(ConfigError, match="channel 1 of ANDON_CHANNELS") as error:
        open_channels(bad)
    assert "hush" not in str(error.value) + caplog.text
    assert error.value.__cause__ is None
    with pytest.raises(ConfigError, match="channel 2 of ANDON_CHANNELS"):
        open_channels("json://localhost nosuch://x")


def test_a_pager_can_keep_messages_of_one_incident_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """PagerDuty is given the same key for all messages of an incident, another one for another, and one of the URL wins."""
    sent = []
    (channel,) = open_channels("pagerduty://abcdefghijklmnopqrstuvwxyz123456@abcdefghijklmnop?action=map")
    (own,) = open_channels("pagerduty://abcdefghijklmnopqrstuvwxyz123456@abcdefghijklmnop?dedup=mine")

    for c in (channel, own):
        monkeypatch.setattr(c.plugin, "request_rate_per_sec", 0)

    class Answer:
        status_code, content = 202, b"{}"

    def post(url: str, *, data: str, **_: object) -> Answer:
        sent.append(json.loads(data)["dedup_key"])
        return Answer()

    monkeypatch.setattr("requests.post", post)
    monkeypatch.setattr("requests.request", lambda _, url, **k: post(url, **k))
    other = incident(id="INC-0002")
    for c, about, reason in [
        (channel, incident(), "opened"),
        (channel, incident(), "closed"),
        (channel, other, "opened"),
    ]:
        assert send(c, message_of(about, reason, now_us=0))[0] == "sent"
    send(own, message_of(incident(), "opened", now_us=0))
    assert sent[0] == sent[1] != sent[2]
    assert sent[3] == "mine"


def test_a_pager_is_given_no_more_than_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long texts from traffic are, PagerDuty's summary has at most 1,024 characters, with the link and the command."""
    bodies = []
    (channel,) = open_channels("pagerduty://abcdefghijklmnopqrstuvwxyz123456@abcdefghijklmnop?action=map")

    class Answer:
        status_code, content = 202, b"{}"

    def post(*_: object, data: str, **__: object) -> Answer:
        bodies.append(json.loads(data)["payload"]["summary"])
        return Answer()

    monkeypatch.setattr(channel.plugin, "request_rate_per_sec", 0)
    monkeypatch.setattr("requests.post", post)
    monkeypatch.setattr("requests.request", post)
    long = "a long name " * 100
    about = incident(app=long, environment=long, title=long, severity_reason=long)
    url = "https://andon.a-long-name-of-a-department.example.com/andon"
    for reason in ("opened", "worse", "still", "unsure"):
        made = message_of(about, reason, now_us=0, url=url, suspects=[long] * 3, mix=long, told_us=0, sure=False)
        assert len(made.title) <= 250
        assert send(channel, made)[0] == "sent"
    assert len(bodies) == 4
    for body in bodies:
        assert len(body) <= 1024
        assert f"See: {url}/incidents/INC-0001" in body
        assert "andon incident ack INC-0001" in body


def test_a_choice_in_the_url_is_kept() -> None:
    """Whoever wants long messages in several parts says so in the URL."""
    modes = [open_channels(f"json://localhost{tail}")[0].plugin.overflow_mode for tail in ("", "?overflow=split")]
    assert modes == ["truncate", "split"]


def test_a_part_of_the_receivers_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one URL has several receivers and only some refuse, nobody is told twice because of them."""

    class Answer:
        def __init__(self, status: int) -> None:
            self.status_code, self.content = status, b"ok"
            self.headers: dict[str, str] = {}

    (channel,) = open_channels(SLACK + "/#other")
    monkeypatch.setattr(channel.plugin, "request_rate_per_sec", 0)
    answers = iter([200, 404])
    monkeypatch.setattr("requests.post", lambda *_, **__: Answer(next(answers)))
    monkeypatch.setattr("requests.request", lambda *_, **__: Answer(next(answers)))
    outcome, error = send(channel, sample_message())
    assert outcome == "unknown"
    assert "only some of its receivers" in error


class Broken:
    """A channel of somebody else, with a mistake in it."""

    name = "broken"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def send(self, message: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (SeamError("gone", retryable=True), "failed"),
        (SeamError("unclear", retryable=False), "unknown"),
        (ValueError("https://hush-hush"), "unknown"),
    ],
)
def test_a_channel_never_breaks_the_sender(error: Exception, state: str) -> None:
    """Whatever a channel raises is an outcome; the text of a foreign error, which may hold a secret, is not told."""
    outcome, text = send(Broken(error), sample_message())
    assert outcome == state
    assert "hush" not in text
