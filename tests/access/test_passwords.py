"""Laws of passwords."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from andon.access import passwords
from andon.access.passwords import check_password, encode_password, fits
from andon.errors import InputError

SALT = bytes(range(16))


def test_scrypt_is_the_one_of_the_rfc() -> None:
    """The digest is that of RFC 7914, section 12, for its third example."""
    wanted = (
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    found = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1, maxmem=2**26, dklen=64)
    assert found.hex() == wanted
    assert passwords._digest("pleaseletmein", b"SodiumChloride", 14, 8, 1).hex() == wanted[:64]


def test_a_password_is_recognised_at_its_real_cost() -> None:
    """The right one fits and another does not; the text says how it was made, and does not hold the password."""
    encoded = encode_password("violet gravel 41 otters", SALT)
    assert encoded.startswith("scrypt$15$8$3$")
    assert fits("violet gravel 41 otters", encoded)
    assert not fits("violet gravel 41 otter", encoded)
    assert "violet" not in encoded


TYPED = st.text(st.characters(exclude_characters="\0"), max_size=40)


@given(TYPED, TYPED, st.binary(min_size=16, max_size=16))
def test_only_the_same_text_fits(one: str, other: str, salt: bytes) -> None:
    """Two texts fit each other exactly when they are one in Unicode's normal form; two salts give two digests."""
    import unicodedata

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "_LOG2_N", 2)
        encoded = encode_password(one, salt)
        assert fits(one, encoded)
        same = unicodedata.normalize("NFKC", one) == unicodedata.normalize("NFKC", other)
        assert fits(other, encoded) == same
        assert encode_password(one, bytes(16)) != encoded or salt == bytes(16)


@given(TYPED, st.integers(0, 40))
def test_a_zero_fits_nothing(text: str, at: int) -> None:
    """HMAC fills its key with zeros, so a password and the same with a zero behind it have one digest: none with a zero is taken."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "_LOG2_N", 2)
        assert not fits(text[:at] + "\0" + text[at:], encode_password(text, SALT))
        assert not fits(text + "\0", encode_password(text, SALT))


@pytest.mark.parametrize("mark", ["\0", "\n", "\t", "\x7f"])
def test_a_password_has_no_control_character(mark: str) -> None:
    """What nobody can type in every place where a password is asked for is refused when it is chosen."""
    with pytest.raises(InputError, match="control character"):
        check_password(f"violet gravel{mark}41 otters", "ana")


@pytest.mark.parametrize(
    "encoded", ["", "scrypt", "plain$1$1$1$QQ==$QQ==", "scrypt$15$8$3$?$?", "scrypt$x$8$3$QQ==$QQ=="]
)
def test_nothing_fits_what_is_no_password(encoded: str) -> None:
    """An empty or damaged text is nobody's password."""
    assert not fits("", encoded)
    assert not fits("x", encoded)


def test_nobodys_password_is_unknown() -> None:
    """What is tried for names that nobody has costs what everybody's costs, and fits nothing that is tried here."""
    assert passwords.NOBODYS.split("$")[:4] == encode_password("x", SALT).split("$")[:4]
    assert not fits("", passwords.NOBODYS)


@pytest.mark.parametrize(
    "text",
    [
        "4 chairs",
        "elevenchars",
        "x" * 201,
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabcabc",
        "123451234512345",
        "abcdefghijklmnop",
        "1234567890123",
        "098765432109876",
        "password1234",
        "P@ssw0rdP@ssw0rd!",
        "qwertyuiop123",
        "correct horse battery staple".replace(" ", ""),
        "andon andon andon 1",
        "Annabel Lee 2026",
        "annabelannabel",
        "letmein letmein",
    ],
)
def test_what_is_guessed_first_is_refused(text: str) -> None:
    """Short, endless, repeated, sequences, names and lists of leaked passwords are refused, in a message without the password."""
    with pytest.raises(InputError, match="the password") as refused:
        check_password(text, "Annabel Lee")
    assert text not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    ["violet gravel 41 otters", "kqzxvbmwprtj", "пять рыжих котов", "password9-KQ#xw2!7f", "正確馬電池釘書針一二三四"],
)
def test_no_kind_of_character_is_asked_for(text: str) -> None:
    """A long password is taken whatever it is made of."""
    check_password(text, "Annabel Lee")
