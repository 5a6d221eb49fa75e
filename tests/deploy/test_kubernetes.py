"""deploy/kubernetes.yaml and the alerts: by their schemas, and in agreement with the server, its routes and its metrics."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from containerfile import DEPLOY, ROOT, only, stages

from pocketvision.serving.app import create_app
from pocketvision.serving.models import BundleSource
from pocketvision.serving.telemetry import Telemetry

OBJECTS: dict[str, dict[str, Any]] = {
    each["kind"]: each for each in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
ALERTS = yaml.safe_load((DEPLOY / "alerts.yaml").read_text(encoding="utf-8"))
FINAL = stages()[-1]


def metrics() -> set[str]:
    """Names of everything that the server can tell Prometheus."""
    text = Telemetry().exposition().decode()
    families = re.findall(r"^# TYPE (\S+) (\w+)$", text, flags=re.MULTILINE)
    names = {name for name, _ in families}
    return names | {
        f"{name}_{part}" for name, kind in families if kind == "histogram" for part in ("bucket", "sum", "count")
    }


@pytest.mark.parametrize("version", ["1.30", "1.34"])
def test_the_schemas_take_every_object(version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate")
    assert set(OBJECTS) == {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    for each in OBJECTS.values():
        validate.validate(each, version, strict=True)
    with pytest.raises(validate.ValidationError):
        validate.validate({**OBJECTS["Service"], "specs": {}}, version, strict=True)


def test_its_arguments_are_ones_that_the_server_takes(serve_options) -> None:  # type: ignore[no-untyped-def]
    options = serve_options([*only(FINAL, "ENTRYPOINT").words[2:], *CONTAINER["args"]])
    (port,) = CONTAINER["ports"]
    assert options["port"] == port["containerPort"]
    pause = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] > pause + options["drain"]
    mounts = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    assert options["bundles"][0].partition("=")[2].startswith(mounts["bundles"] + "/")
    assert str(options["keys"]) == f"{mounts['keys']}/keys"
    assert set(mounts) == {volume["name"] for volume in POD["volumes"]}


def test_probes_ask_routes_that_need_no_key() -> None:
    from pocketvision.serving.request_middleware import PUBLIC_PATHS

    paths = {name: CONTAINER[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"startupProbe": "/ready", "readinessProbe": "/ready", "livenessProbe": "/health"}
    assert set(paths.values()) <= set(create_app([BundleSource("any", DEPLOY)]).openapi()["paths"]) & set(PUBLIC_PATHS)
    assert {CONTAINER[name]["httpGet"]["port"] for name in paths} == {CONTAINER["ports"][0]["name"]}


def test_selectors_and_ports_find_each_other() -> None:
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["ports"][0]["targetPort"] == CONTAINER["ports"][0]["name"]
    target = OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", OBJECTS["Deployment"]["metadata"]["name"])
    assert "replicas" not in OBJECTS["Deployment"]["spec"], "they are the autoscaler's"


def test_the_pod_is_confined_and_limited() -> None:
    user = only(FINAL, "USER").value.partition(":")[0]
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert str(POD["securityContext"]["runAsUser"]) == user
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False
    assert set(CONTAINER["resources"]["limits"]) >= {"cpu", "memory"}
    assert all(mount.get("readOnly") for mount in CONTAINER["volumeMounts"] if mount["name"] != "tmp")


def test_it_scales_on_a_metric_that_the_server_has_and_the_adapter_hands_on(serve_options) -> None:  # type: ignore[no-untyped-def]
    (metric,) = OBJECTS["HorizontalPodAutoscaler"]["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert name in metrics()
    (rule,) = yaml.safe_load((DEPLOY / "prometheus-adapter.yaml").read_text(encoding="utf-8"))["rules"]["custom"]
    assert rule["seriesQuery"].startswith(f"{name}{{")
    assert rule["name"]["as"] == name
    wanted = int(metric["pods"]["target"]["averageValue"])
    options = serve_options(CONTAINER["args"])
    assert options["max_batch"] <= wanted < options["queue"], "another pod comes before requests are refused"


# Prometheus -------------------------------------------------------------------------------------------------------------


def expressions() -> list[str]:
    """Those of the alerts, and those that the guide shows."""
    guide = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```promql\n(.*?)^```$", guide, flags=re.MULTILINE | re.DOTALL)
    alerts = [rule["expr"] for group in ALERTS["groups"] for rule in group["rules"]]
    return [*alerts, *(line for block in shown for line in block.splitlines() if line)]


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for each in expressions() for name in re.findall(r"\bpocketvision_\w+", each)}
    assert len(asked) >= 6
    assert asked <= metrics()


def test_every_kind_and_outcome_that_is_asked_for_is_one_of_the_servers() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src/pocketvision/serving").glob("*.py"))
    asked = {value for each in expressions() for value in re.findall(r'(?:kind|outcome)="([^"]+)"', each)}
    assert asked
    assert {value for value in asked if f'"{value}"' not in source} == set()


def test_prometheus_takes_the_alerts() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    alerts = str(DEPLOY / "alerts.yaml")
    said = subprocess.run([promtool, "check", "rules", alerts], capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_is_explained() -> None:
    guide = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    assert [rule["alert"] for group in ALERTS["groups"] for rule in group["rules"] if rule["alert"] not in guide] == []
