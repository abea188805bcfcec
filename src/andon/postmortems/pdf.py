"""A postmortem on paper: the HTML page, printed by a browser without a window and without the network."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from andon.errors import SeamError
from andon.traffic import quoted

__all__ = ["BROWSERS", "find_browser", "print_pdf"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Programs that can print a page, the first that is found is taken."""
TIMEOUT_S = 60.0
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-first-run",
    "--no-pdf-header-footer",
    "--disable-background-networking",
    "--disable-extensions",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)


def find_browser() -> str:
    """The program that prints.

    Raises:
        SeamError: none is installed; the message says what to install.
    """
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise SeamError(
        f"a PDF needs a browser that prints: {', '.join(BROWSERS[:3])}; none is installed. On Debian or Ubuntu: "
        "apt-get install chromium. Or open the HTML and print it there"
    )


def print_pdf(page: str, *, browser: str | None = None, timeout_s: float = TIMEOUT_S) -> bytes:
    """The page as PDF. The browser sees a copy in a folder of its own and reaches no server; the page forbids scripts.

    Args:
        page: a self-contained HTML page.
        browser: the program; the first of `BROWSERS` that is installed unless given.
        timeout_s: how long it may take.

    Raises:
        SeamError: there is no browser, it fails, or it takes too long.
    """
    program = browser or find_browser()
    with TemporaryDirectory(prefix="andon-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        source, out = folder / "page.html", folder / "page.pdf"
        source.write_text(page, encoding="utf-8")
        root = ("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()
        options = (*FLAGS, *root, f"--user-data-dir={folder / 'profile'}", f"--print-to-pdf={out}")
        said = _run([program, *options, source.as_uri()], timeout_s)
        if not out.exists() or out.stat().st_size == 0:
            raise SeamError(f"{program} wrote no PDF: {quoted(said[-300:].strip(), 300)}")
        return out.read_bytes()


def _run(arguments: list[str], timeout_s: float) -> str:
    """Run a program in a session of its own, so that what it starts ends with it; returns what it said."""
    try:
        process = subprocess.Popen(  # noqa: S603 - a browser of the list, no shell
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise SeamError(f"{arguments[0]} cannot be started: {error.strerror}") from None
    with process:
        try:
            _, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            raise SeamError(f"{arguments[0]} printed nothing within {timeout_s:g} s", retryable=True) from None
        except BaseException:
            _end(process)
            raise
    text = said.decode("utf-8", "replace")
    if process.returncode != 0:
        raise SeamError(f"{arguments[0]} ended with status {process.returncode}: {quoted(text[-300:].strip(), 300)}")
    return text


def _end(process: "subprocess.Popen[bytes]") -> None:
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
            return
        except (ProcessLookupError, PermissionError):
            pass
    process.kill()
