"""A second kube-scheduler: it asks the extender as the stanza says, and its name is one everywhere."""

from __future__ import annotations

import pytest
import yaml

from partita_scheduler.install.stanza import DEFAULT, stanza
from tests.manifests.kustomize import MANIFESTS, SECOND_SCHEDULER, Json, containers, one, render

NAME, SYSTEM = "gpu-scheduler", "partita-system"


@pytest.fixture(scope="module")
def objects() -> list[Json]:
    return render(SECOND_SCHEDULER)


@pytest.fixture(scope="module")
def config(objects: list[Json]) -> Json:
    found: Json = yaml.safe_load(one(objects, "ConfigMap", NAME, SYSTEM)["data"]["config.yaml"])
    return found


def test_it_asks_the_extender_by_its_service_with_what_the_stanza_says(objects: list[Json], config: Json) -> None:
    service = one(render(MANIFESTS / "base"), "Service", "partita-scheduler", SYSTEM)
    [port] = [one["port"] for one in service["spec"]["ports"] if one["name"] == "extender"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    [container] = containers(one(objects, "Deployment", NAME, SYSTEM))
    [folder] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "tls"]
    expected = yaml.safe_load(stanza(url=f"https://{host}:{port}", preset=DEFAULT, certificates=folder))
    assert config["extenders"] == expected["extenders"]


def test_its_lease_is_the_one_that_it_may_write(objects: list[Json], config: Json) -> None:
    elected = config["leaderElection"]
    [rule] = one(objects, "Role", elected["resourceName"], elected["resourceNamespace"])["rules"]
    assert (rule["resources"], rule["resourceNames"]) == (["leases"], [elected["resourceName"]])


def test_pods_that_want_devices_must_name_it(objects: list[Json], config: Json) -> None:
    [profile] = config["profiles"]
    [rule] = one(objects, "ValidatingAdmissionPolicy", "gpu-pods-use-one-scheduler")["spec"]["validations"]
    assert f"object.spec.schedulerName == '{profile['schedulerName']}'" in rule["expression"]


def test_its_program_reads_the_file_that_is_mounted_and_has_no_rights_on_its_node(objects: list[Json]) -> None:
    pod = one(objects, "Deployment", NAME, SYSTEM)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    [folder] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "config"]
    assert container["args"] == [f"--config={folder}/config.yaml"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
