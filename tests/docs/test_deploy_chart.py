"""The chart of the examples: what it renders, and that it holds together as the pages say."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.docs.test_deploy_examples import CHART, COMPOSE, DEPLOY, LEAST_GRACE_S, ROOT, SETTINGS, UID, ours
from tests.docs.test_markdown import _problem

from andon import __version__
from andon.server import ROLES

EVERYTHING: dict[str, Any] = {
    "image": {"repository": "registry.example.com/andon", "tag": "t", "pullPolicy": "Always", "pullSecrets": ["one"]},
    "settings": {"ANDON_URL": "https://andon.example.com", "ANDON_FALSE_PAGES_PER_MONTH": "2"},
    "volumes": [
        {"name": "rules", "mountPath": "/etc/andon-rules", "configMap": "andon-rules"},
        {"name": "google", "mountPath": "/etc/google", "secret": "google-key"},
        {"name": "inbox", "mountPath": "/inbox", "claim": "kept"},
    ],
    "toml": 'window_s = 60\n\n[[objective]]\nname = "said \\"so\\": é # {{ x }}"\n',
    "store": {"existingClaim": "", "size": "1Ti", "storageClassName": "shared", "bucket": ""},
    "scratch": {"size": "20Gi", "storageClassName": ""},
    "serviceAccount": {"name": "somebody", "annotations": {}},
    "backup": {
        "enabled": True,
        "schedule": "0 1 * * *",
        "claim": "kept",
        "keepDays": 7,
        "deadlineSeconds": 600,
        "scratch": {"size": "2Ti"},
    },
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "host": "andon.example.com",
        "tlsSecretName": "tls",
        "annotations": {"a.example.com/b": "16m"},
        "signInAnnotations": {"a.example.com/limit": "5"},
    },
    "networkPolicy": {"enabled": True, "namespaces": ["apps", "ingress"]},
    "nodeSelector": {"disk": "fast"},
}
"""Values with which every part of the chart is there."""

RESTORING: dict[str, Any] = {**EVERYTHING, "restore": {"folder": "2026-11-22T031000Z"}}
"""The same, while a backup is put back."""

BUCKET: dict[str, Any] = {
    **EVERYTHING,
    "settings": {"AWS_REGION": "eu-central-1", "AZURE_STORAGE_ACCOUNT_NAME": "andon"},
    "store": {"existingClaim": "", "size": "1Ti", "storageClassName": "", "bucket": "s3://bucket/and/a-path"},
    "scratch": {"size": "50Gi", "storageClassName": "fast"},
    "serviceAccount": {"name": "", "annotations": {"cloud.example.com/role": "andon"}},
}
"""The same with tables in a bucket."""

WAYS = {
    "default": None,
    "everything": EVERYTHING,
    "restoring": RESTORING,
    "bucket": BUCKET,
    "restoring into a bucket": {**BUCKET, "restore": RESTORING["restore"]},
}

SECRETS = {name for name in SETTINGS if re.search("_(KEY|SECRET|TOKEN|CHANNELS|LEDGER)$", name)} | {
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_CLIENT_SECRET",
    "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
}  # fmt: skip


def chart() -> dict[str, Any]:
    """What the chart says of itself."""
    read: dict[str, Any] = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    return read


def values(more: dict[str, Any] | None = None) -> dict[str, Any]:
    """The values of the chart, some of them replaced."""
    return {**yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")), **(more or {})}


def test_the_chart_says_what_helm_asks_for() -> None:
    """The chart has the fields that Helm needs, and installs the Andon that it lies beside."""
    said = chart()
    assert (said["apiVersion"], said["name"], said["type"]) == ("v2", "andon", "application")
    assert said["appVersion"] == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["version"])


def test_the_schema_takes_what_is_right_and_refuses_what_is_misspelt() -> None:
    """The values fit their schema; a misspelt one, a secret among the settings and a backup without a place do not."""
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    checker = jsonschema.Draft7Validator(schema)
    for right in map(values, WAYS.values()):
        checker.validate(right)
    wrong: list[dict[str, Any]] = [
        {"ingets": {}},
        {"loop": {"replicas": 2, "memory": "1Gi", "resources": values()["loop"]["resources"]}},
        {"settings": {"ANDON_TOKEN": "t"}},
        *({"settings": {name: "s"}} for name in SECRETS),
        {"settings": {"ANDON_HOME": "/tmp"}},
        {"volumes": [{"name": "a", "mountPath": "/a"}]},
        {"volumes": [{"name": "a", "mountPath": "/a", "secret": "a", "claim": "a"}]},
        {"volumes": [{"name": "store", "mountPath": "/a", "claim": "a"}]},
        {"store": {"bucket": "https://bucket"}},
        {"restore": {"folder": "2026-11-22T031000Z"}},  # and no claim
        {"settings": {"window": "300"}},
        {"backup": {"enabled": True, "schedule": "0 1 * * *", "claim": "", "keepDays": 7, "deadlineSeconds": 60}},
        {"backup": {**EVERYTHING["backup"], "scratch": {"size": "1Ti", "class": "fast"}}},
    ]
    assert not [one for one in wrong if checker.is_valid(values(one))]


def test_every_value_is_used_and_every_used_one_exists() -> None:
    """Templates name values that there are, and there is no value that nothing comes of."""

    def leaves(found: Any, at: str) -> Iterator[str]:
        if not isinstance(found, dict) or not found or at.endswith(".resources"):
            yield at
            return
        for key, value in found.items():
            yield from leaves(value, f"{at}.{key}")

    there = {leaf.removeprefix(".") for leaf in leaves(values(), "")}
    text = "".join(p.read_text(encoding="utf-8") for p in (CHART / "templates").iterdir())
    assert set(re.findall(r"\.Values\.([\w.]+)", text)) == there


def data_of(given: dict[str, Any]) -> dict[str, Any]:
    """What a template sees, as Helm would give it."""
    said = chart()
    return {
        "apiVersion": "andon/v1",  # these three because kubectl reads nothing without them
        "kind": "Values",
        "metadata": {"name": "values"},
        "Values": given,
        "Release": {"Name": "one", "Namespace": "apart", "Service": "Helm"},
        "Chart": {"Name": said["name"], "Version": said["version"], "AppVersion": said["appVersion"]},
    }


def kubectl(*words: object, folder: Path) -> "subprocess.CompletedProcess[str]":
    """kubectl, which knows no cluster."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": os.devnull}
    return subprocess.run(["kubectl", *map(str, words)], env=env, capture_output=True, text=True, check=False)


def rendered(given: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """The objects of the chart, rendered by Helm, or by Go's templates in kubectl."""
    (folder / "values.json").write_text(json.dumps(given))
    if shutil.which("helm"):
        command = [
            "helm",
            "template",
            "one",
            str(CHART),
            "--namespace",
            "apart",
            "--values",
            str(folder / "values.json"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [one for one in yaml.safe_load_all(done.stdout) if one]
    if not shutil.which("kubectl"):
        pytest.skip("THERE IS NEITHER helm NOR kubectl HERE, so the chart was read and not rendered")
    (folder / "data.json").write_text(json.dumps(data_of(given)))
    shared = (CHART / "templates" / "_names.tpl").read_text(encoding="utf-8")
    found = []
    for path in sorted((CHART / "templates").glob("*.yaml")):
        (folder / "template").write_text(shared + path.read_text(encoding="utf-8"))
        printed = f"go-template-file={folder / 'template'}"
        done = kubectl("label", "--local", "-f", folder / "data.json", "a=b", "-o", printed, folder=folder)
        assert done.returncode == 0, done.stderr
        assert "<no value>" not in done.stdout
        found += [one for one in yaml.safe_load_all(done.stdout) if one]
    return found


@pytest.fixture(scope="module", params=list(WAYS))
def objects(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The objects of the chart by its default values, with every part of it, while it restores, and with tables in a bucket."""
    return rendered(values(WAYS[request.param]), tmp_path_factory.mktemp("chart"))


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every workload with the template of its pods."""
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet", "CronJob", "Job"):
            spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
            yield one, spec["template"]


def test_the_chart_has_each_role(objects: list[dict[str, Any]]) -> None:
    """Each role is a workload that does it; objects have names of their own, and none is there twice."""
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    does, restores = {}, []
    for one, template in pods(objects):
        words = template["spec"]["containers"][0].get("args", [])
        if one["kind"] == "CronJob":
            continue
        assert _problem(words) is None
        if one["kind"] == "Job":
            restores.append(words)
        else:
            does[words[-1]] = (one["kind"], one["spec"]["replicas"])
    assert set(does) == set(ROLES)
    if restores:
        assert restores == [["restore", "/backups/2026-11-22T031000Z"]]
        assert {replicas for _, replicas in does.values()} == {0}
        assert all(one["spec"]["suspend"] for one in objects if one["kind"] == "CronJob")
    else:
        assert does == {"ingest": ("StatefulSet", 2), "web": ("Deployment", 1), "loop": ("Deployment", 2)}


def test_a_backup_is_taken_by_what_is_in_the_image(objects: list[dict[str, Any]]) -> None:
    """The job calls the script that the image has, gives it days, and ends some time; a restore is not tried again.

    Beside a bucket both have room of their own, and neither keeps it when it is over.
    """
    for one, template in pods(objects):
        container = template["spec"]["containers"][0]
        if one["kind"] == "CronJob":
            assert container["command"] == ["andon-backup", "/backups", "7"]
            assert one["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 600
            assert one["spec"]["startingDeadlineSeconds"] > 0
        if one["kind"] in ("CronJob", "Job"):
            job = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
            assert job["ttlSecondsAfterFinished"] == 86_400
            home = next(v for v in template["spec"]["volumes"] if v["name"] == "home")
            if "ephemeral" in home:  # every file of the tables goes through it
                asked = home["ephemeral"]["volumeClaimTemplate"]["spec"]
                assert asked["resources"]["requests"]["storage"] == "2Ti"
                assert asked["storageClassName"] == "fast"
        if one["kind"] == "Job":
            assert one["spec"]["backoffLimit"] == 0
            assert "post-install" in one["metadata"]["annotations"]["helm.sh/hook"]
    assert "examples/deploy/andon-backup /usr/local/bin/andon-backup" in (COMPOSE / "Dockerfile").read_text("utf-8")
    assert os.access(DEPLOY / "andon-backup", os.X_OK)


def test_a_pod_has_no_rights(objects: list[dict[str, Any]]) -> None:
    """No pod runs as root, gains rights, writes outside of its volumes, may ask Kubernetes, or is told of its services by variables."""
    for _, template in pods(objects):
        spec, container = template["spec"], template["spec"]["containers"][0]
        assert spec["enableServiceLinks"] is spec["automountServiceAccountToken"] is False
        assert spec["terminationGracePeriodSeconds"] >= LEAST_GRACE_S
        said = spec["securityContext"]
        assert (said["runAsNonRoot"], said["runAsUser"], said["fsGroup"]) == (True, UID, UID)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}


def test_what_a_pod_writes_lies_on_a_volume_of_the_right_kind(objects: list[dict[str, Any]]) -> None:
    """Home, store and /tmp are volumes; the store is the claim that all share, and the home of what takes traffic in outlives its pod."""
    claims = {one["metadata"]["name"] for one in objects if one["kind"] == "PersistentVolumeClaim"} | {"kept"}
    for one, template in pods(objects):
        spec, container = template["spec"], template["spec"]["containers"][0]
        kinds = {v["name"]: next(k for k in v if k != "name") for v in spec["volumes"]}
        kinds |= {c["metadata"]["name"]: "own" for c in one["spec"].get("volumeClaimTemplates", [])}
        mounts = {m["mountPath"]: m["name"] for m in container["volumeMounts"]}
        assert set(mounts.values()) == set(kinds)
        env = {e["name"]: e["value"] for e in container["env"]}
        where = {name: kinds[mounts[at]] for name in SETTINGS & set(env) for at in mounts if env[name].startswith(at)}
        bucket = env["ANDON_STORE"] == BUCKET["store"]["bucket"]
        ends = "ephemeral" if bucket else "emptyDir"
        assert where["ANDON_HOME"] == ("own" if one["metadata"]["name"] == "one-ingest" else ends)
        assert where.get("ANDON_STORE") == (None if bucket else "persistentVolumeClaim")
        assert all(v["emptyDir"]["sizeLimit"] for v in spec["volumes"] if "emptyDir" in v)
        assert kinds[mounts["/tmp"]] == "emptyDir"
        assert {
            v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v
        } <= claims
        assert all(type(value) is str for value in env.values())


def test_whatever_points_at_pods_finds_some(objects: list[dict[str, Any]]) -> None:
    """Selectors match pods, ports have the names that are asked for, and what the ingress sends to is there."""
    labels = {one["metadata"]["name"]: t["metadata"]["labels"] for one, t in pods(objects)}
    ports = {
        one["metadata"]["name"]: {p["name"] for p in t["spec"]["containers"][0].get("ports", [])}
        for one, t in pods(objects)
    }
    services = {}
    for one in objects:
        if one["kind"] not in ("Service", "StatefulSet", "Deployment", "PodDisruptionBudget"):
            continue
        chosen = one["spec"]["selector"] if one["kind"] == "Service" else one["spec"]["selector"]["matchLabels"]
        found = [name for name, has in labels.items() if chosen.items() <= has.items()]
        if one["metadata"]["name"] == "one-replicas":
            assert sorted(found) == ["one-ingest", "one-loop", "one-web"]
            continue
        assert len(found) == 1, one["metadata"]["name"]
        if one["kind"] == "Service":
            assert {p["targetPort"] for p in one["spec"]["ports"]} <= ports[found[0]]
            services[one["metadata"]["name"]] = {p["name"] for p in one["spec"]["ports"]}
        if one["kind"] == "StatefulSet":
            assert one["spec"]["serviceName"] == "one-ingest-each"
    for one in objects:
        if one["kind"] == "Ingress" and one["metadata"]["name"] == "one-sign-in":
            assert {p["backend"]["service"]["name"] for p in one["spec"]["rules"][0]["http"]["paths"]} == {"one-web"}
        elif one["kind"] == "Ingress":
            paths = {p["path"]: p["backend"]["service"] for p in one["spec"]["rules"][0]["http"]["paths"]}
            assert all(to["port"]["name"] in services[to["name"]] for to in paths.values())
            assert {at: to["name"] for at, to in paths.items()} == {
                "/v1": "one-ingest", "/ofrep": "one-ingest", "/": "one-web",
            }  # fmt: skip


def test_a_probe_asks_what_answers_strangers(objects: list[dict[str, Any]]) -> None:
    """Probes ask for paths that need no token, by a port that the container has; readiness is not asked of the database."""
    for one, template in pods(objects):
        container = template["spec"]["containers"][0]
        probes = {name: p["httpGet"] for name, p in container.items() if name.endswith("Probe")}
        if one["kind"] in ("CronJob", "Job"):
            assert not probes
            continue
        assert {name: p["path"] for name, p in probes.items()} == {
            "startupProbe": "/healthz", "readinessProbe": "/healthz", "livenessProbe": "/healthz",
        }  # fmt: skip
        assert {p["port"] for p in probes.values()} <= {p["name"] for p in container["ports"]}


def test_the_file_of_settings_arrives_as_it_was_written(objects: list[dict[str, Any]]) -> None:
    """Quotation marks, signs and lines of andon.toml are the same in the map that the pods read."""
    maps = [one["data"]["andon.toml"] for one in objects if one["kind"] == "ConfigMap"]
    assert maps in ([], [EVERYTHING["toml"]])
    written = {template["metadata"].get("annotations", {}).get("andon.toml") for _, template in pods(objects)} - {None}
    assert written == {EVERYTHING["toml"] if maps else ""}


def test_what_the_pages_name_is_there(tmp_path: Path) -> None:
    """Objects of Kubernetes, volumes of Compose, and what Prometheus shall scrape are called so in the examples."""
    compose = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    folder = ROOT / "docs" / "how-to"
    text = "".join(
        (folder / f"{name}.md").read_text("utf-8") for name in ("back-up", "run-replicas", "upgrade", "watch-andon")
    )
    made = [one for way in (None, RESTORING) for one in rendered(values(way), tmp_path)]
    there = {f"{one['kind'].lower()}/{one['metadata']['name'].replace('one-', 'andon-')}" for one in made}
    named_ = set(re.findall(r"\b((?:statefulset|deployment|job|cronjob|persistentvolumeclaim)/andon-[\w-]+)", text))
    assert len(named_) >= 6
    assert named_ <= there
    gone = {volume for line in re.findall(r"volume rm ([^\n`#]*)", text) for volume in line.split()}
    assert gone
    assert gone <= {f"{compose['name']}_{volume}" for volume in compose["volumes"]}
    targets = yaml.safe_load(re.findall(r"- targets: (.*)", text)[0])
    assert {target.partition(":")[0] for target in targets} == {
        n for n, s in ours(compose).items() if "profiles" not in s
    }
    service, port = re.findall("regex: ([^,]*)", text)
    assert f"service/{service}" in there
    (asked,) = (
        one["spec"]["ports"] for one in rendered(values(), tmp_path) if one["metadata"]["name"] == "one-replicas"
    )
    assert [one["name"] for one in asked] == [port]
    joined = re.findall("network connect (\\S+)", text)
    assert joined
    assert {*joined} <= {
        (given or {}).get("name", f"{compose['name']}_{network}") for network, given in compose["networks"].items()
    }
    assert set(re.findall('cronjob="([^"]*)"', text)) == {"andon-backup"}


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Values over others, as Helm lays them."""
    both = {key: merged(below[key], above[key]) for key in below.keys() & above.keys() if isinstance(above[key], dict)}
    return {**below, **above, **both}


def test_the_values_of_the_pages_can_be_installed(tmp_path: Path) -> None:
    """What the pages write to files of values, and what they give by --set, fits the schema and is rendered."""
    pages = {
        name: (ROOT / "docs" / "how-to" / f"{name}.md").read_text("utf-8")
        for name in ("back-up", "run-replicas", "upgrade")
    }
    files = dict(
        re.findall(r"cat > (\w+\.yaml) <<'END'\n(.*?)^END$", "".join(pages.values()), re.DOTALL | re.MULTILINE)
    )
    assert set(files) == {"my.yaml", "trial.yaml"} == set(re.findall(r"--values (\S+)", "".join(pages.values())))
    checker = jsonschema.Draft7Validator(json.loads((CHART / "values.schema.json").read_text(encoding="utf-8")))
    mine = merged(values(), yaml.safe_load(files["my.yaml"]))
    trial = merged(mine, yaml.safe_load(files["trial.yaml"]))
    sets = {each for text in pages.values() for given in re.findall(r"--set (\S+)", text) for each in given.split(",")}
    assert {"loop.replicas=0", "restore.folder=2026-11-22T031000Z", "image.tag=0.2.0"} <= sets
    ways = [mine, trial]
    for each in sets:
        (part, key), value = each.partition("=")[0].split("."), each.partition("=")[2]
        assert key in values()[part]
        ways += [merged(way, {part: {key: int(value) if value.isdecimal() else value}}) for way in (mine, trial)]
    for way in ways:
        checker.validate(way)
    does = {one["metadata"]["name"]: one["spec"]["replicas"] for one, _ in pods(rendered(trial, tmp_path))}
    assert does == {"one-ingest": 1, "one-loop": 0, "one-web": 0}


def test_kubernetes_knows_every_field_of_the_workloads(objects: list[dict[str, Any]], tmp_path: Path) -> None:
    """kubectl, which drops a field that Kubernetes' types have not, drops none."""
    if not shutil.which("kubectl"):
        pytest.skip("THERE IS NO kubectl HERE, so no field was compared with Kubernetes' types")
    for one, _ in pods(objects):
        (tmp_path / "one.json").write_text(json.dumps(one))
        done = kubectl("set", "env", "--local", "-f", tmp_path / "one.json", "LAST=1", "-o", "json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert not list(dropped(one, json.loads(done.stdout), one["metadata"]["name"]))


def dropped(given: Any, kept: Any, at: str) -> Iterator[str]:
    """Where something that was given is not among what was kept."""
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in kept:
                yield f"{at}.{key}"
            else:
                yield from dropped(value, kept[key], f"{at}.{key}")
    elif isinstance(given, list):
        for i, value in enumerate(given):
            yield from dropped(value, kept[i], f"{at}[{i}]")
