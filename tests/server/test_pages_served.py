"""Laws of the pages as `andon serve` serves them: what is new is on an open page within two seconds."""

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
from running import body_of, eventually, free_port, serving

from andon.incidents import Incident
from andon.loop import open_loop
from andon.monitors import Signal
from andon.server import Server, create_server, now_us
from andon.server.people import Pages, news_in
from andon.settings import Settings
from andon.store import Ledger, RememberingLedger
from andon.traffic import Interaction
from andon.traffic.run import record
from andon.web.recorded import BESIDE

HOUR_US = 3_600_000_000
PASSWORD = "a horse that is correct"
PROTOBUF = {"content-type": "application/x-protobuf"}


def owner_of(url: str) -> httpx2.Client:
    """A browser of the first owner."""
    client = httpx2.Client(base_url=url, timeout=10)
    said = {"name": "Ada", "password": PASSWORD, "again": PASSWORD, "from": "/welcome"}
    answer = client.post("/welcome", data=said)
    assert answer.status_code == 303, answer.text
    return client


class Listener:
    """An open page: what it was told on /live, and when."""

    def __init__(self, client: httpx2.Client) -> None:
        self.heard: list[float] = []
        self.open, self.over = threading.Event(), threading.Event()
        self._client = client
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self.open.wait(5)

    def _run(self) -> None:
        try:
            with self._client.stream("GET", "/live", timeout=30) as answer:
                assert answer.status_code == 200
                for line in answer.iter_lines():
                    self.open.set()
                    if line.startswith("data:"):
                        self.heard.append(time.monotonic())
        except httpx2.HTTPError:
            pass
        self.over.set()

    def quiet(self, seconds: float) -> None:
        """Wait until nothing is told for a while."""
        eventually(lambda: time.monotonic() - (self.heard or [0.0])[-1] > seconds, 30)


def written(ledger: Ledger) -> Incident:
    """A signal and its incident, as the loop writes them."""
    now = now_us()
    signal = Signal(
        id=f"shop/production/refusal.up/all@{now}", monitor="shop/production/refusal.up/all", app="shop", environment="production",
        metric="refusal", direction="up", at_us=now, window_us=300_000_000, x=5, n=10, baseline_x=10, baseline_n=100,
        baseline_from_us=now - 2, baseline_to_us=now - 1, statistic=9.0, threshold=8.0, onset_us=now - 1, onset_low_us=now - 2,
        onset_high_us=now,
    )  # fmt: skip
    ledger.put(signal, now_us=now, by="andon")
    told = dict.fromkeys(("onset_us", "onset_low_us", "onset_high_us", "alarmed_us", "last_signal_us"), now)
    incident = Incident(
        id="INC-0001", title="Refusals of shop rose", app="shop", environment="production", metric="refusal", lead=signal.id, **told
    )  # fmt: skip
    ledger.put(incident, now_us=now, by="andon")
    return incident


def test_what_is_new_is_on_the_open_page_within_a_second(tmp_path: Path) -> None:
    """The real process, loop and all: the first trace, and a signal that another process writes, each reach an open page in time."""
    home, port = tmp_path / "home", free_port()
    url = f"http://127.0.0.1:{port}"
    with serving(home, port), closing(owner_of(url)) as client, closing(Ledger.open(home / "ledger.db")) as ledger:
        page = Listener(client)
        assert "Waiting for the first trace" in client.get("/").text
        page.quiet(1.0)
        count, begun = len(page.heard), time.monotonic()
        assert httpx2.post(f"{url}/v1/traces", content=body_of(0, 3), headers=PROTOBUF).status_code == 200
        eventually(lambda: len(page.heard) > count, 5)
        assert page.heard[count] - begun < 2.0
        assert "The first trace came" in client.get("/").text
        page.quiet(1.0)
        count, begun = len(page.heard), time.monotonic()
        written(ledger)
        eventually(lambda: len(page.heard) > count, 5)
        assert page.heard[count] - begun < 1.0
        assert "Refusals of shop rose" in client.get("/").text
        assert time.monotonic() - begun < 2.0


@contextmanager
def served(home: Path) -> Iterator[tuple[Server, httpx2.Client]]:
    """A server with pages in this process."""
    settings = Settings(home=home, embedder="hashed")
    loop = open_loop(settings)
    remembering = RememberingLedger.open(home / "ledger.db")
    pages = Pages(settings, remembering, loop.warehouse, clock=now_us)
    bound = create_server(loop.warehouse, loop.ledger, None, pages=pages)
    with bound.running() as server, closing(owner_of(f"http://127.0.0.1:{server.port}")) as client:
        yield server, client
    remembering.close()


def test_open_pages_do_not_hold_up_the_end(tmp_path: Path) -> None:
    """A server with open pages ends at once, and the pages learn of it."""
    with served(tmp_path) as (_, client):
        pages = [Listener(client) for _ in range(3)]
        begun = time.monotonic()
    assert time.monotonic() - begun < 4
    assert all(page.over.wait(3) for page in pages)


def test_pages_hear_of_what_people_see(tmp_path: Path) -> None:
    """How far a stage has come is told to nobody; what people see is."""
    from andon.traffic.settling import TraceCursor

    with closing(Ledger.open(tmp_path / "ledger.db")) as ledger:
        assert {TraceCursor.__name__, "Session"} <= BESIDE
        first, _ = news_in(ledger, 0)
        ledger.put(TraceCursor(), now_us=1, by="andon")
        second, wrote = news_in(ledger, first)
        assert (second > first, wrote) == (True, False)
        written(ledger)
        assert news_in(ledger, second)[1]


def test_nobody_listens_without_being_signed_in(tmp_path: Path) -> None:
    """The events of pages are for who is signed in."""
    with served(tmp_path) as (server, _):
        assert httpx2.get(f"http://127.0.0.1:{server.port}/live").status_code == 401


def test_charts_that_stand_still_are_no_calm(tmp_path: Path) -> None:
    """Where nothing was judged for hours, no page says that all is well, though no part of Andon says that it failed."""
    now = now_us()
    with closing(open_loop(Settings(home=tmp_path, embedder="hashed"))) as loop:
        rows = [
            Interaction(id=f"i{n}", time_us=now - 3 * HOUR_US + n * 1_000_000, app="shop", query="q", answer="a")
            for n in range(50)
        ]
        record(loop.warehouse, rows)
        loop.tick(now - 2 * HOUR_US)
        with served(tmp_path) as (server, client):
            assert "charts: they were last turned 2 h" in client.get("/").text
            assert "Andon itself is not well" in client.get("/traffic").text
            assert httpx2.get(f"http://127.0.0.1:{server.port}/readyz").status_code == 200, "it serves and takes in"
            loop.tick(now)
            eventually(lambda: "they were last turned" not in client.get("/").text, 5)
            assert "Andon itself is not well" not in client.get("/traffic").text


def test_charts_that_nobody_can_see_are_told_of(tmp_path: Path) -> None:
    """Where the loop judges and cannot show what it judged, it says so, until it can."""
    home, port = tmp_path / "home", free_port()
    with closing(open_loop(Settings(home=home, embedder="hashed"))) as loop:
        record(loop.warehouse, [Interaction(id="i", time_us=now_us() - HOUR_US, app="shop", query="q", answer="a")])
        loop.warehouse.commit()
    (home / "charts").write_text("in the way", encoding="utf-8")
    with serving(home, port):
        ready = f"http://127.0.0.1:{port}/readyz"
        eventually(lambda: "pages show them as they were" in httpx2.get(ready, timeout=10).text, 60)
