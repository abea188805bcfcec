"""What each rule finds, and what it leaves: values from many countries beside the numbers of telemetry."""

import json
import sys
import time

import pyarrow as pa
import pytest
from redaction_values import EVERY, FOUND, LEFT, redacted, rule_of

from andon.traffic.redaction import DEFAULT_RULES, RULES, redact, redaction


@pytest.mark.parametrize(("rule", "value"), [(rule, value) for rule, values in FOUND.items() for value in values])
def test_a_value_becomes_one_mark(rule: str, value: str) -> None:
    """A value of a rule becomes one mark of that rule, and what stands around it is kept."""
    for before, after in (("", ""), ("it is ", ", thanks."), ("(", ")"), ("<b>", "</b>"), ("\n", "\n"), ('"', '"')):
        text = redacted(before + value + after, rule_of(rule))
        assert text.startswith(f"{before}[{rule}:"), text
        assert text.endswith(f"]{after}"), text
        assert len(text) == len(before + after) + len(f"[{rule}:]") + 12, text


@pytest.mark.parametrize(("rule", "text"), [(rule, text) for rule, texts in LEFT.items() for text in texts])
def test_what_only_looks_like_it_is_left(rule: str, text: str) -> None:
    """A text that only resembles a value of a rule is left as it is, alone and within a sentence."""
    assert redacted(text, rule_of(rule)) == text
    assert redacted(f"see {text} there", rule_of(rule)) == f"see {text} there"


TELEMETRY = (
    "1732112345",
    "1732112345678",
    "1732112345678901",
    "1732112345678901234",
    "2026-11-20T09:11:35.612851Z",
    "2026-11-20 09:11:35.612",
    "20/Nov/2026:09:11:35 +0000",
    "4bf92f3577b34da6a3ce929d0e0e4736",
    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "d20b5d59-db61-4487-889d-a11b62397bc7",
    "01HZX3Q4R5S6T7V8W9XAYBZCDE",
    "chatcmpl-8vgzIhxjNb8De3XkjM8gaf0WaWAii",
    "gpt-4o-2024-08-06",
    "claude-3-5-sonnet-20241022",
    "v1.28.0-rc.2+build.1234",
    "10.156.84.117:8443",
    "ip-10-0-244-226.ec2.internal",
    "arn:aws:lambda:eu-west-1:123456789012:function:ask",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "0.00737278",
    "2390.731475729515",
    "input_tokens=1250 output_tokens=310 max_tokens=4096",
    "https://example.com/help/article/638524?lang=en-US&ref=f5059285&page=2",
    "$1,249.99",
    "52.5200066,13.404954",
)
"""What spans and log lines are full of."""


@pytest.mark.parametrize("text", TELEMETRY)
def test_telemetry_is_left(text: str) -> None:
    """Times in every unit, identifiers, versions, addresses of machines, counts and prices pass the default rules."""
    rules = rule_of(DEFAULT_RULES)
    for said in (text, f"at {text} now", f"{text}, {text}", json.dumps({"a": text, "b": [text]})):
        assert redacted(said, rules) == said


def test_telemetry_raises_no_alarm() -> None:
    """Not even the quick test stops at what telemetry is full of, so that it costs nothing more."""
    alarm = sys.modules["andon.traffic.redaction.cover"]._alarm(rule_of(DEFAULT_RULES).rules)
    assert [text for text in TELEMETRY if alarm(json.dumps({"a": text, "b": [text, 1]}))] == []


def test_numbers_of_json_are_never_redacted() -> None:
    """A number that is no text stays a number, whatever its digits; the same digits as text are redacted."""
    text = '{"n": 4111111111111111, "m": [86095742719, 1.5e3], "s": "4111111111111111"}'
    mark = redacted("4111111111111111")
    assert redacted(text) == text.replace('"4111111111111111"', f'"{mark}"')


def test_a_check_digit_is_checked() -> None:
    """Of the numbers that differ from a card, or a German tax number, in the last digit only, one is redacted."""
    for rule, value in (("card", "4111111111111111"), ("national_id", "86095742719")):
        beside = [f"{value[:-1]}{digit}" for digit in range(10)]
        assert [v for v in beside if redacted(v, rule_of(rule)) != v] == [value]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter22", "hunter22"),
        ("password: hunter2!", "hunter2!"),
        ("DB_PASSWORD='correct-horse'", "correct-horse"),
        ('api_key = "abcdefgh"', "abcdefgh"),
        ("client_secret=a1b2c3d4e5", "a1b2c3d4e5"),
        ("?user=jane&password=letmein&x=1", "letmein"),
        ("Authorization: Bearer abcDEF1234567890xyz", "abcDEF1234567890xyz"),
        ("authorization: Basic amFuZTpodW50ZXIy", "amFuZTpodW50ZXIy"),
        ("postgres://jane:hunter2@db.example.com/x", "hunter2"),
        ("access_token=ya29abcDEF123456", "ya29abcDEF123456"),
        ("?token=0123456789abcdef0123", "0123456789abcdef0123"),
        ("passwd := s3cr3t99", "s3cr3t99"),
        ('secret => "abc123xyz"', "abc123xyz"),
        ('{"password": "truncated and', "truncated"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC==\n-----END RSA PRIVATE KEY-----", "MIIEow"),
        ("-----BEGIN PRIVATE KEY-----\\nMIIEow\\nIBAAKC", "MIIEow"),
        ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEow\n-----END RSA PRIVATE KEY-----", "MIIEow"),
    ],
)
def test_what_is_assigned_to_the_name_of_a_secret_is_one(text: str, secret: str) -> None:
    """The value of an assignment, header, URL or key block becomes a mark; its name is kept where it has one."""
    after = redacted(text, rule_of("key"))
    assert secret not in after
    assert "[key:" in after
    assert after.split("[key:")[0] == text.split(secret, maxsplit=1)[0] or text.startswith("-----BEGIN")


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("password", "a", True),
        ("db.password", "correct horse battery", True),
        ("apiKey", "abc", True),
        ("x-api-key", "abc", True),
        ("http.request.header.authorization", "Bearer abc", True),
        ("client_secret_2", "abc", True),
        ("accessToken", "abc", True),
        ("token", "0123456789abcdef", True),
        ("token", " the", False),
        ("token", "internationalisation", False),
        ("input_tokens", "1234567890abcdef1234", False),
        ("password", "", False),
        ("password", "***", False),
        ("has_password", "true", False),
        ("secret", "${DB_SECRET}", False),
        ("secretary", "Jane", False),
        ("passwords", "hunter2", True),
    ],
)
def test_the_name_of_a_json_field_tells_a_secret(name: str, value: str, is_secret: bool) -> None:
    """A text below the name of a secret is one whatever it looks like; below `token` it must look like one too."""
    for text in (json.dumps({name: value}), json.dumps({"a": {name: [value]}}), json.dumps(json.dumps({name: value}))):
        assert (redacted(text, rule_of("key")) != text) is is_secret


def test_the_name_of_a_json_field_tells_a_telephone_number() -> None:
    """Digits below the name of a telephone are its number, written as they may be; elsewhere they are any digits."""
    rules = rule_of("phone")
    for name in ("phone", "phone_number", "customer_phone_1", "mobile", "tel", "whatsapp", "phoneNumber"):
        assert "5551234567" not in redacted(json.dumps({name: "5551234567"}), rules)
    for name in ("order", "telemetry", "cellar", "phone_model"):
        assert redacted(json.dumps({name: "5551234567"}), rules) == json.dumps({name: "5551234567"})


@pytest.mark.parametrize(
    "text",
    [
        "phone 5551234567",
        "Phone number: 5551234567",
        "Tel.: 5551234567",
        "call me at 555 1234567",
        "mobile no. is 98765 43210",
        "WhatsApp 13800138000",
        "电话：13800138000",
        "手机号码 13800138000",
        "携帯 09012345678",
        "тел. 89123456789",
        "móvil 612345678",
        "Telefon 0301234567",
    ],
)
def test_a_word_announces_a_telephone_number(text: str) -> None:
    """After a word for telephone, in several languages, digits are a number that elsewhere would be left."""
    digits = "".join(c for c in text if c.isascii() and c.isdigit())
    rules = rule_of("phone")
    assert "[phone:" in redacted(text, rules)
    assert redacted(f"order {digits}", rules) == f"order {digits}"
    assert "[phone:" in redacted(json.dumps({"q": text}), rules)


@pytest.mark.parametrize("values", [
    ("Jane.Doe@Example.com", "jane.doe@example.com", "jane.doe%40example.com"),
    ("+49 151 12345678", "+4915112345678", "0049 151 12345678", "+49 (0)151 12345678", "%2B49 151 12345678"),
    ("4111 1111 1111 1111", "4111-1111-1111-1111", "4111111111111111"),
    ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
    ("86 095 742 719", "86095742719"),
])  # fmt: skip
def test_ways_of_writing_are_one_value(values: tuple[str, ...]) -> None:
    """One value has one mark however it is written: in capitals, in groups, with a sign or zeros before it."""
    assert len({redacted(value) for value in values}) == 1


LONG = {
    "email": ("a", "a.", "a@", "a@b.", "%2Ba", "a%40", ".", "jane@example.com"),
    "phone": ("1 ", "0171 ", "+1 ", "+49 151 ", "(11) 91234-", "phone no ", "电话", "+4915112345678 "),
    "card": ("4111 ", "4111 1111 1111 1112 ", "4111111111111112", "1\u00a0"),
    "national_id": ("DE89 3704 ", "AB12C", "86095742718 ", "SSN ", "123-45-", "1 85 05 "),
    "key": ("eyJaaaaaaaa.", "sk-", "-----BEGIN PRIVATE KEY-----", "password", "password: ", "bearer a", "://a:b"),
    "ip": ("1.1.", "ffff:", "::", "version 1.1.1.1"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "unit"), [(rule, unit) for rule, units in LONG.items() for unit in units])
def test_no_text_makes_a_rule_slow(rule: str, unit: str) -> None:
    """A rule takes less than three times as long for a text of 1 MB as for its half, whatever is repeated in it."""
    rules = rule_of(rule)

    def seconds(size: int) -> float:
        rows = pa.table({"query": [(unit * (size // len(unit) + 1))[:size]]})
        start = time.thread_time()
        redact(rows, rules)
        return time.thread_time() - start

    seconds(1000)
    if seconds(1_000_000) < 0.3:  # whatever the half takes
        return
    half, full = (min(seconds(size) for _ in range(2)) for size in (500_000, 1_000_000))
    assert full < 3 * half + 0.3


def test_the_tables_are_wide_enough() -> None:
    """Every rule is tried on at least fifteen values and on fifteen texts that it must leave."""
    assert set(FOUND) == set(LEFT) == set(RULES)
    assert min(len(set(v)) for v in (*FOUND.values(), *LEFT.values())) >= 15
    assert redaction("none", EVERY.key).rules == ()
