"""Levers that are kept on disk: there at the next start without a server, believed only where nobody else wrote them."""

import json
import logging
import os
import stat
import time

import pytest
from lever_server import flag, reading, serving, until, value

from andon.client.answers import MOST_BYTES, read_answer
from andon.client.kept import default_folder, file_name, load


def test_values_outlive_the_process(tmp_path):
    """What one process learned the next one knows at once, without a server: stale, but there. Unicode survives."""
    folder = tmp_path / "not" / "there"
    with serving(flag("a", False), flag("ü", "Ø ✓ \ud800"), flag("o", {"x": [1]})) as server:
        url = server.url
        with reading(url, cache=folder) as cache:
            assert value(cache, "a") is False
            until(lambda: list(folder.glob("levers-*.json")))
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with reading(url, cache=folder) as cache:
        assert (value(cache, "a"), value(cache, "ü"), value(cache, "o").copy()) == (False, "Ø ✓ \ud800", {"x": [1]})
        assert cache.stale
    for other in ({"app": "other"}, {"environment": "staging"}):
        with reading(url, cache=folder, **other) as cache:
            assert not cache.known


def test_nothing_is_written_where_no_file_is_wanted(tmp_path, monkeypatch):
    """With cache=None nothing is written; with the default it is below XDG_CACHE_HOME, or ~/.cache where that is no path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with serving(flag("a", True)) as server:
        with reading(server.url, cache=None):
            time.sleep(0.1)
            assert list(tmp_path.iterdir()) == []
        with reading(server.url, cache=""):
            until(lambda: list(tmp_path.glob("andon/levers-*.json")))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_folder() == str(tmp_path / "home" / ".cache" / "andon")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"flags": {}}', b"[" * 100_000, b" " * (9 * 2**20)])
def test_a_corrupt_file_is_ignored_said_once_and_replaced(tmp_path, caplog, content):
    """A file that is none is as good as none: it is said once, and the next answer replaces it."""
    with serving(flag("a", True)) as server, caplog.at_level(logging.WARNING, "andon"):
        file = tmp_path / file_name(server.url, "bot", "production")
        file.write_bytes(content)
        with reading(server.url, cache=tmp_path) as cache:
            assert value(cache, "a") is True
            until(lambda: file.read_bytes().startswith(b'{"flags":[{"key":"a"'))
    assert len([r for r in caplog.records if "what was kept" in r.getMessage()]) == 1


def test_what_is_kept_can_be_read_again_however_large(tmp_path, caplog):
    """An answer in another script is kept as it came; what is too much together is kept without its largest, said once."""
    large = [flag(f"k{n}", "日" * 700_000) for n in range(3)]
    with serving(*large, flag("a", False)) as server, caplog.at_level(logging.WARNING, "andon"):
        file = tmp_path / file_name(server.url, "bot", "production")
        for flags, left_out in ((large, 0), ([flag(f"l{n}", "語" * 600_000) for n in range(3)], 2)):
            server.flags = [*flags, flag("a", False)]
            body = json.dumps({"flags": server.flags}, ensure_ascii=False).encode()
            assert 5 * 2**20 < len(body) < MOST_BYTES
            server.answers = [(200, body, {})]
            with reading(server.url, cache=tmp_path, wait_s=5) as cache:
                until(lambda flags=flags: value(cache, flags[0]["key"]) and file.exists())
                until(lambda: value(cache, "a") is False)
                until(lambda n=left_out: len(read_answer(load(file)).entries) == len(cache._known) - n)
            assert read_answer(load(file)).entries["a"].value is False
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 2, "and that levers are gone"
    assert "no room for the largest 2" in said[1]


def test_a_file_that_others_could_have_written_is_not_believed(tmp_path):
    """A link, a folder, or a file that others may write is not read: nobody else plants the value of a lever."""
    good = tmp_path / "good"
    good.write_text(json.dumps({"flags": [flag("a", False)]}))
    (tmp_path / "link").symlink_to(good)
    (tmp_path / "open").write_text(good.read_text())
    (tmp_path / "open").chmod(0o666)
    os.mkfifo(tmp_path / "pipe")
    assert load(good) == good.read_bytes()
    assert load(tmp_path / "none") is None
    for name in ("link", "open", "pipe", "."):
        with pytest.raises(OSError, match=r".+"):
            load(tmp_path / name)


@pytest.mark.parametrize("place", ["file", "root"])
def test_a_folder_that_cannot_be_used_is_said_once(tmp_path, caplog, place):
    """Where nothing can be kept levers are read all the same, and one warning says so."""
    folder = tmp_path / "x"
    if place == "file":
        folder.write_text("")
    else:
        folder = "/proc/no/such"
    caplog.set_level(logging.WARNING, "andon")
    with serving(flag("a", True)) as server, reading(server.url, cache=folder) as cache:
        assert value(cache, "a") is True
        server.flags = [flag("a", False)]
        cache._wake.set()
        until(lambda: value(cache, "a") is False)
        time.sleep(0.05)
    assert len([r for r in caplog.records if "could not be kept" in r.getMessage()]) == 1


def test_two_caches_share_one_file(tmp_path):
    """Several processes may keep the same file: whoever reads it sees one whole answer, and no rest is left beside it."""
    long = [flag(f"k{n}", "x" * 50) for n in range(2_000)]
    with serving(*long) as server:
        with reading(server.url, cache=tmp_path) as one, reading(server.url, cache=tmp_path) as two:
            file = tmp_path / file_name(server.url, "bot", "production")
            until(file.exists)
            seen = set()
            for turn in range(20):
                server.flags = [flag("turn", float(turn)), *long[turn:]]
                one._wake.set()
                two._wake.set()
                seen.add(len(read_answer(load(file)).entries))
                until(lambda turn=turn: value(one, "turn") == value(two, "turn") == turn)
            until(lambda: read_answer(load(file)).entries["turn"].value == 19)
        until(lambda: [p.name for p in tmp_path.iterdir()] == [file.name])
    assert seen <= set(range(1_900, 2_002))


def test_a_start_with_kept_values_gives_the_servers_where_it_answers(tmp_path):
    """Values of an earlier process are not given at the start where the server says others in time."""
    with serving(flag("a", True)) as server:
        kept = {"flags": [flag("a", False)]}
        (tmp_path / file_name(server.url, "bot", "production")).write_text(json.dumps(kept))
        with reading(server.url, cache=tmp_path, wait_s=5.0) as cache:
            assert value(cache, "a") is True
            assert not cache.stale
