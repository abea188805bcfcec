"""Laws of printing: a real PDF by a real browser, no network, and errors that say what to do."""

import re
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from drafted import postmortem

from andon.errors import SeamError
from andon.postmortems import render_html
from andon.postmortems.pdf import BROWSERS, find_browser, print_pdf
from andon.postmortems.run import write_documents

browser = pytest.mark.skipif(
    not any(shutil.which(name) for name in BROWSERS), reason="no browser that prints: apt-get install chromium"
)


@browser
@pytest.mark.slow
def test_a_postmortem_is_printed(tmp_path: Path) -> None:
    """The PDF stands beside the other documents, has pages of A4 and leaves nothing else behind."""
    before = set(Path(tmp_path).iterdir())
    paths = write_documents(postmortem(), tmp_path, pdf=True)
    data = paths[-1].read_bytes()
    assert paths[-1].name == "INC-0001.pdf"
    assert data.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type /Page\b", data)) >= 2
    width, height = map(float, re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)[0])
    assert (round(width), round(height)) in {(595, 842), (596, 842), (594, 841)}
    assert set(tmp_path.iterdir()) - before == set(paths)


@browser
@pytest.mark.slow
def test_printing_asks_no_server() -> None:
    """A page that lost its policy and holds an image of a server prints without asking that server, even by its number."""
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is to be told."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        policy = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>', re.IGNORECASE)
        page, taken = policy.subn("", render_html(postmortem()))
        assert taken == 1
        image = f'<img src="http://127.0.0.1:{server.server_port}/x.png"></main>'
        assert print_pdf(page.replace("</main>", image)).startswith(b"%PDF-")
        assert "x.png" in page.replace("</main>", image)
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_without_a_browser_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where no browser is installed the error names the browsers and the package; the other documents are written."""
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(SeamError, match="apt-get install chromium"):
        find_browser()
    with pytest.raises(SeamError):
        write_documents(postmortem(), tmp_path / "out", pdf=True)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"INC-0001.md", "INC-0001.html", "INC-0001-chart.svg"}


@pytest.mark.parametrize(
    ("script", "word"),
    [
        ("exit 3", "status 3"),
        ("echo 'no display' >&2; exit 0", "wrote no PDF.*no display"),
        ("sleep 30", "nothing within 0.5 s"),
    ],
)
def test_a_browser_that_fails_is_an_error_that_says_how(script: str, word: str, tmp_path: Path) -> None:
    """A browser that ends with an error, prints nothing or hangs is a SeamError with its words; a hanging one is ended."""
    began = time.monotonic()
    program = tmp_path / "chromium"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(SeamError, match=word):
        print_pdf("<p>x</p>", browser=str(program), timeout_s=0.5 if "sleep" in script else 30)
    assert time.monotonic() - began < 20
    with pytest.raises(SeamError, match="cannot be started"):
        print_pdf("<p>x</p>", browser=str(tmp_path / "absent"))
