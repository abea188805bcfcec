"""The examples of a deployment: their settings and commands exist, and their files hold together as the pages say.

No machine here runs them. The chart uses only what Go's templates have by themselves, so `kubectl`, which has them, renders it where
there is no `helm`; what neither can tell is told by reading.
"""

import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.test_markdown import _problem

from andon import __version__
from andon.server.background import GRACE_S
from andon.server.serving import DRAIN_S
from andon.settings import describe
from andon.web.pages import entry
from andon.web.routing import Act

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "examples" / "deploy"
SYSTEMD, COMPOSE, CHART = DEPLOY / "systemd", DEPLOY / "compose", DEPLOY / "helm" / "andon"
SETTINGS = {name for name, _, _ in describe()}
LEAST_GRACE_S = DRAIN_S + 3 * GRACE_S
"""Others take over, then requests, gRPC and the loop's process may each take as long as they are given."""

UID = 10001
COMMAND = re.compile(r"(?:/bin/|PROGRAM=\S+ |exec |sudo |-- |'|^ *|RUN )andon (?!andon)([a-z][^'|\n]*)", re.MULTILINE)


def files() -> list[Path]:
    """Every file of the examples."""
    return [path for path in sorted(DEPLOY.rglob("*")) if path.is_file()]


def named(path: Path) -> str:
    """How a file is called in a test."""
    return path.relative_to(DEPLOY).as_posix()


@pytest.mark.parametrize("path", files(), ids=named)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    """Whatever begins like a setting of Andon's is one: with any other variable in its environment Andon does not start."""
    assert not set(re.findall(r"\bANDON_[A-Z0-9_]*", path.read_text(encoding="utf-8"))) - SETTINGS


@pytest.mark.parametrize("path", files(), ids=named)
def test_every_command_that_is_named_exists(path: Path) -> None:
    """Each command line of Andon's in the examples, comments among them, is one that it understands."""
    text = path.read_text(encoding="utf-8").replace('\\"', '"')
    found = {line: _problem(shlex.split(line, comments=True)) for line in COMMAND.findall(text)}
    assert not {line: problem for line, problem in found.items() if problem}


def test_commands_are_found() -> None:
    """The test above looks at commands of each kind of file, so that it cannot pass by finding none."""
    texts = {named(p): COMMAND.findall(p.read_text(encoding="utf-8")) for p in files()}
    of = {name: {line.split()[0] for line in lines} for name, lines in texts.items() if lines}
    assert of["systemd/andon.service"] == {"serve", "status"}
    assert of["systemd/andon"] == {"status", "check"}
    assert of["andon-backup"] == {"backup"}
    assert of["compose/compose.yaml"] == {"restore"}
    assert of["helm/andon/templates/NOTES.txt"] == {"status"}


# The backup


@dataclass
class Backups:
    """A folder of backups, and an `andon` that fails or not."""

    folder: Path
    bin: Path

    def run(self, *, fails: bool) -> int:
        """Take one, and keep fourteen days; returns the exit code."""
        andon = self.bin / "andon"
        made = 'mkdir -p "$2/tables"; ' + ("exit 4" if fails else 'echo "{}" > "$2/backup.json"')
        andon.write_text(f"#!/bin/sh\n[ $1 = backup ] || exit 9\n{made}\n")
        andon.chmod(0o755)
        env = {"PATH": f"{self.bin}:{os.environ['PATH']}"}
        return subprocess.run([DEPLOY / "andon-backup", self.folder, "14"], env=env, check=False).returncode

    def have(self, name: str, days: float, *, whole: bool = True) -> None:
        """There is one of so many days ago."""
        one = self.folder / name
        one.mkdir()
        if whole:
            (one / "backup.json").write_text("{}")
        at = time.time() - days * 86_400
        for path in (one / "backup.json", one) if whole else (one,):
            os.utime(path, (at, at))

    def names(self) -> set[str]:
        """What is there of before."""
        return {path.name for path in self.folder.iterdir()} - {path.name for path in self.fresh()}

    def fresh(self) -> list[Path]:
        """Those that were just taken."""
        return [path for path in self.folder.iterdir() if time.time() - path.stat().st_mtime < 3600]


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    """Two of long ago, one of last week, one that a power cut broke off, and one that somebody took and called otherwise."""
    found = Backups(tmp_path / "backups", tmp_path / "bin")
    found.folder.mkdir()
    found.bin.mkdir()
    found.have("2026-01-01T031000Z", 30)
    found.have("2026-01-02T031000Z", 29)
    found.have("2026-01-03T031000Z", 2, whole=False)
    found.have("before-upgrade", 90)
    return found


def test_old_backups_go(backups: Backups) -> None:
    """After a backup that went well, old ones and broken ones are gone, and what somebody took by hand is not."""
    backups.have("2026-01-20T031000Z", 7)
    assert backups.run(fails=False) == 0
    assert backups.names() == {"2026-01-20T031000Z", "before-upgrade"}
    assert [(path / "backup.json").exists() for path in backups.fresh()] == [True]


def test_old_backups_go_also_where_new_ones_fail(backups: Backups) -> None:
    """A backup that fails leaves nothing of itself, and old ones go as long as there is a younger one."""
    backups.have("2026-01-20T031000Z", 7)
    assert backups.run(fails=True) == 4
    assert backups.names() == {"2026-01-20T031000Z", "before-upgrade"}
    assert not backups.fresh()


def test_the_last_backup_stays_however_old(backups: Backups) -> None:
    """Where no younger one is whole, old ones are all that there is."""
    assert backups.run(fails=True) == 4
    assert backups.names() == {"2026-01-01T031000Z", "2026-01-02T031000Z", "before-upgrade"}


# systemd


def unit(name: str) -> ConfigParser:
    """A unit of systemd's."""
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((SYSTEMD / name).read_text(encoding="utf-8"))
    return parser


def test_the_units_belong_together() -> None:
    """Units have sections that systemd knows, keep no secret, cannot gain rights, and the backup is of the service's own store."""
    assert set(unit("andon-backup.timer").sections()) == {"Unit", "Timer", "Install"}
    service, backup = unit("andon.service"), unit("andon-backup.service")
    assert set(service.sections()) == {"Unit", "Service", "Install"}
    assert set(backup.sections()) == {"Unit", "Service"}
    for one in (service, backup):
        part = one["Service"]
        assert "ANDON_HOME=/var/lib/andon" in part["Environment"].split()
        assert part["EnvironmentFile"] == "-/etc/andon/andon.env"
        assert "andon" in part["StateDirectory"].split()
        assert (part["User"], part["NoNewPrivileges"], part["ProtectSystem"]) == ("andon", "yes", "strict")
        assert part["CapabilityBoundingSet"] == ""
        assert one["Unit"]["OnFailure"] == "andon-failed@%p.service"
    assert int(service["Service"]["TimeoutStopSec"]) >= LEAST_GRACE_S
    assert service["Service"]["KillMode"] == "mixed"
    assert unit("andon-failed@.service")["Service"]["EnvironmentFile"] != service["Service"]["EnvironmentFile"]


def test_the_command_line_is_given_what_the_service_has(tmp_path: Path) -> None:
    """The wrapper runs Andon as the service's user, in its folder and with its settings, and hands every word on."""
    (tmp_path / "systemd-run").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    (tmp_path / "systemd-run").chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SUDO_USER": "mia"}
    command = [str(SYSTEMD / "andon"), "incident", "close", "INC-0001", "--why", "refusals are back"]
    given = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.splitlines()
    service = unit("andon.service")["Service"]
    assert {f"--uid={service['User']}", f"--gid={service['Group']}", f"--setenv={service['Environment']}"} <= set(given)
    for name in ("EnvironmentFile", "WorkingDirectory", "UMask"):
        assert f"--property={name}={service[name]}" in given
    assert "--setenv=USER=mia" in given
    program = service["ExecStart"].split()[0]
    assert given[given.index("--") + 1 :] == [program, *command[1:]]


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` has nothing to say of the units, once there is a program where they look for Andon."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("THERE IS NO systemd-analyze HERE, so the units were not verified")
    units = []
    for path in SYSTEMD.glob("*.*"):
        text = re.sub(r"/(?:opt/andon|usr/local)/bin/[\w-]+", "/bin/true", path.read_text(encoding="utf-8"))
        units.append(tmp_path / path.name.replace("@.", "@one."))
        units[-1].write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "andon" in line]
    assert not said


# Compose


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The project of Compose's, with its anchors resolved."""
    read: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    return read


def ours(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The services that are Andon's."""
    return {name: s for name, s in compose["services"].items() if s["image"].startswith("andon:")}


def test_each_service_is_what_its_name_says(compose: dict[str, Any]) -> None:
    """There are two replicas for traffic, two for the loop and one for the page, each with a journal of its own over one store."""
    running = {name: s for name, s in ours(compose).items() if "profiles" not in s}
    assert sorted(s["command"][-1] for s in running.values()) == ["ingest", "ingest", "loop", "loop", "web"]
    homes = set()
    for name, service in running.items():
        assert service["command"][:2] == ["serve", "--only"]
        assert service["command"][2] == name.partition("-")[0]
        assert _problem(service["command"]) is None
    for service in ours(compose).values():
        volumes = {at: what for what, at, *_ in (v.split(":") for v in service["volumes"])}
        assert volumes[service["environment"]["ANDON_CONFIG"]] == "./andon.toml"
        assert volumes[service["environment"]["ANDON_STORE"]] == "store"
        homes.add(volumes[service["environment"]["ANDON_HOME"]])
    assert len(homes) == len(ours(compose))


def test_a_container_has_no_rights_and_no_secret(compose: dict[str, Any]) -> None:
    """Andon's containers run as nobody in particular on a file system that is read-only, and every secret comes from outside."""
    for service in ours(compose).values():
        assert (service["user"], service["read_only"], service["cap_drop"]) == (f"{UID}:{UID}", True, ["ALL"])
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert int(service["stop_grace_period"].removesuffix("s")) >= LEAST_GRACE_S
        assert service["image"] == f"andon:{__version__}"
        assert service["env_file"] == [{"path": ".env", "required": False}]
    for service in compose["services"].values():
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
        for name, value in service.get("environment", {}).items():
            assert not re.search("TOKEN|PASSWORD|LEDGER|CHANNELS", name) or "${" in value
    asked = set(re.findall(r"(?<!\$)\$\{(\w+)", (COMPOSE / "compose.yaml").read_text(encoding="utf-8")))
    given = dict(re.findall(r"^(\w+)=(.*)$", (COMPOSE / ".env.example").read_text(encoding="utf-8"), re.MULTILINE))
    assert asked == set(given)
    assert not any(given[name] for name in given if name != "ANDON_URL")


def test_everything_that_a_service_names_is_there(compose: dict[str, Any]) -> None:
    """Volumes, networks, services and files that something names are there, and none is there for nothing."""
    services = compose["services"]
    used = {v.split(":")[0] for s in services.values() for v in s.get("volumes", [])}
    assert {v for v in used if not v.startswith(".")} == set(compose["volumes"])
    assert {n for s in services.values() for n in s["networks"]} == set(compose["networks"])
    assert {d for s in services.values() for d in s.get("depends_on", {})} <= set(services)
    assert all((COMPOSE / v).is_file() for v in used if v.startswith("."))
    proxy = (COMPOSE / "haproxy.cfg").read_text(encoding="utf-8")
    assert {at for at, _ in re.findall(r"server \w+ ([\w-]+):(\d+)", proxy)} == {"ingest-1", "ingest-2", "web"}
    for service in ours(compose).values():
        build, check = service["build"], service["healthcheck"]
        assert (COMPOSE / build["context"]).resolve() == ROOT
        assert (ROOT / build["dockerfile"]).is_file()
        if "test" in check:
            compile(check["test"][-1], "healthcheck", "exec")


def test_haproxy_understands_the_file(tmp_path: Path) -> None:
    """`haproxy -c` takes the file."""
    if not shutil.which("haproxy"):
        pytest.skip("THERE IS NO haproxy HERE, so haproxy.cfg was read and not verified")
    done = subprocess.run(["haproxy", "-c", "-f", COMPOSE / "haproxy.cfg"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_proxy_limits_what_takes_passwords() -> None:
    """Each page that takes a password without a session is limited by client at the proxy and at the ingress."""
    taking = {one.path for one in entry.pages.all if isinstance(one, Act) and one.role is None}
    assert taking == {"/welcome", "/sign-in", "/join/{secret}"}
    proxy = (COMPOSE / "haproxy.cfg").read_text(encoding="utf-8")
    ingress = (CHART / "templates" / "ingress.yaml").read_text(encoding="utf-8")
    for path in taking:
        fixed = path.partition("{")[0]
        assert re.search(rf"acl password path,url_dec .*{fixed}(\s|$)", proxy)
        assert f"path: {fixed.rstrip('/')}\n" in ingress


def test_the_image_has_what_the_services_need() -> None:
    """The image is made of files and extras that exist, and its user is the one as whom it is run."""
    text = (COMPOSE / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE):
        assert all((ROOT / path).exists() for path in line.split()[:-1])
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"/src\[([\w,]+)\]", text)[0].split(",")) <= set(extras)
    assert f"--uid {UID}" in text
    assert f"USER {UID}\n" in text
    assert f"andon:{__version__} ." in text


def test_compose_understands_the_file(tmp_path: Path) -> None:
    """`docker compose config` takes the file, with a secret in the place of each."""
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("THERE IS NO docker compose HERE, so compose.yaml was read and not verified")
    env = tmp_path / "env"
    env.write_text("ANDON_TOKEN=t\nPOSTGRES_PASSWORD=p\n")
    command = [docker, "compose", "--file", str(COMPOSE / "compose.yaml"), "--env-file", str(env), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
