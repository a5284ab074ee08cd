"""The DaemonSet and the Deployment as they would run: arguments that the programs take, folders, rights, settings."""

from pathlib import Path
from typing import Any

import click
import pytest

from partita_driver.kubelet.sockets import socket_paths
from partita_driver.main import cli as driver_cli
from partita_driver.settings.parse import CONFIG_MAP, KEY, parse_settings
from partita_plugins.wire import DRIVER_NAME
from partita_scheduler.kubectl.extender import WHY_PORT
from partita_scheduler.main import main as scheduler_cli
from partita_scheduler.scoring.settings_file import Judging
from partita_scheduler.scoring.settings_file import parse_settings as parse_scoring
from tests.manifests.kustomize import INSTALLATIONS, MANIFESTS, Json, containers, one, render

installations = pytest.mark.parametrize("folder", INSTALLATIONS, ids=lambda path: path.name)
POD_UID = "0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"


def options_of(container: Json, program: click.Group) -> dict[str, Any]:
    """The options of `run` as the program itself would read them from the container."""
    values = {entry["name"]: entry.get("value", "x") for entry in container["env"]}
    arguments = list(container["args"])
    for name, value in values.items():
        arguments = [argument.replace(f"$({name})", value) for argument in arguments]
    command = program.commands["run"]
    given = {f"--{parameter.name}".replace("_", "-") for parameter in command.params}
    assert container["command"][1:] == ["run"]
    assert all(argument.split("=")[0] in given for argument in arguments)
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


@installations
def test_the_driver_takes_its_arguments_and_mounts_every_folder_they_name(folder: Path) -> None:
    objects = render(folder)
    [container] = containers(one(objects, "DaemonSet", "partita-driver"))
    options = options_of(container, driver_cli)
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {options[name] for name in ("state-dir", "cdi-dir", "plugin-dir", "registry-dir")} <= mounted
    assert {"NODE_NAME", "POD_UID", "POD_NAME", "POD_NAMESPACE"} <= {entry["name"] for entry in container["env"]}


@installations
def test_a_folder_of_the_node_has_the_same_path_inside(folder: Path) -> None:
    daemonset = one(render(folder), "DaemonSet", "partita-driver")
    volumes = daemonset["spec"]["template"]["spec"]["volumes"]
    outside = {volume["name"]: volume["hostPath"]["path"] for volume in volumes if "hostPath" in volume}
    [container] = containers(daemonset)
    inside = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    root = outside.pop("host", None)
    assert outside == {name: path for name, path in inside.items() if name in outside}
    assert len(outside) == 4
    # Only who has the rights of the node anyway sees all of it, and only to read.
    options = options_of(container, driver_cli)
    real = options["backend"] == "nvml" and "driver-root" not in options
    assert (root == "/") is real
    assert [mount for mount in container["volumeMounts"] if mount["name"] == "host" and not mount["readOnly"]] == []


@installations
def test_old_and_new_driver_never_want_the_same_port(folder: Path) -> None:
    daemonset = one(render(folder), "DaemonSet", "partita-driver")
    [container] = containers(daemonset)
    side_by_side = daemonset["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"] > 0
    listens = bool(options_of(container, driver_cli)["http-address"])
    assert side_by_side is not (listens and daemonset["spec"]["template"]["spec"].get("hostNetwork", False))


def test_the_probe_of_the_scenarios_looks_at_the_socket_that_the_driver_makes() -> None:
    [container] = containers(one(render(INSTALLATIONS[2]), "DaemonSet", "partita-driver"))
    options = options_of(container, driver_cli)
    made = socket_paths(DRIVER_NAME, Path(options["registry-dir"]), Path(options["plugin-dir"]), POD_UID).registrar
    [_, _, script] = container["readinessProbe"]["exec"]["command"]
    assert f'"{made}"' in script.replace("$POD_UID", POD_UID)


@installations
def test_only_real_gpus_need_a_privileged_driver_that_sees_all_processes(folder: Path) -> None:
    daemonset = one(render(folder), "DaemonSet", "partita-driver")
    [container] = containers(daemonset)
    options = options_of(container, driver_cli)
    real = options["backend"] == "nvml" and "driver-root" not in options
    assert container["securityContext"]["privileged"] is real
    assert daemonset["spec"]["template"]["spec"].get("hostPID", False) is real
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    if not real:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["MKNOD"]}


def test_a_label_takes_the_driver_off_a_node_whatever_else_is_on_it() -> None:
    """Else it would come back while a GPU is reset or NVIDIA's driver is updated, and hold it open."""
    pod = one(render(INSTALLATIONS[0]), "DaemonSet", "partita-driver")["spec"]["template"]["spec"]
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    of_label = [
        [(one["operator"], one["values"]) for one in term["matchExpressions"] if one["key"] == "gpu.partita.dev/node"]
        for term in required["nodeSelectorTerms"]
    ]
    assert len(of_label) == 5
    assert all(wanted in ([("NotIn", ["false"])], [("In", ["true"])]) for wanted in of_label)


@installations
def test_the_extender_takes_its_arguments_and_its_certificates(folder: Path) -> None:
    deployment = one(render(folder), "Deployment", "partita-scheduler")
    [container] = containers(deployment)
    options = options_of(container, scheduler_cli)
    [tls] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "tls"]
    files = {Path(options[name]).name for name in ("tls-cert", "tls-key", "client-ca")}
    assert files == {"tls.crt", "tls.key", "ca.crt"}
    assert {str(Path(options[name]).parent) for name in ("tls-cert", "tls-key", "client-ca")} == {tls}
    assert options["listen"].endswith(":8888")
    assert options["health-listen"].endswith(":8889")
    assert options["why-listen"] == f"127.0.0.1:{WHY_PORT}"


@installations
def test_the_extender_has_no_rights_on_its_host(folder: Path) -> None:
    deployment = one(render(folder), "Deployment", "partita-scheduler")
    [container] = containers(deployment)
    assert deployment["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@installations
def test_selectors_of_service_and_policies_find_the_pods(folder: Path) -> None:
    objects = render(folder)
    for kind, name in (("DaemonSet", "partita-driver"), ("Deployment", "partita-scheduler")):
        workload = one(objects, kind, name)
        labels = workload["spec"]["template"]["metadata"]["labels"]
        policy = one(objects, "NetworkPolicy", name)
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    service = one(objects, "Service", "partita-scheduler")
    assert service["spec"]["selector"] == {"app.kubernetes.io/name": "partita-scheduler"}


@installations
def test_the_settings_are_taken_and_every_node_has_an_entry(folder: Path) -> None:
    settings = parse_settings(one(render(folder), "ConfigMap", CONFIG_MAP)["data"][KEY])
    assert settings.nodes[-1].selector == {}
    assert all(entry.offer.whole for entry in settings.nodes)


def test_both_programs_come_from_one_image() -> None:
    for folder, tag in zip(INSTALLATIONS, ("0.1.0", "0.1.0", "dev", "dev"), strict=True):
        images = {container["image"] for obj in render(folder) for container in containers(obj)}
        assert images == {f"partita.dev/partita:{tag}"}


def test_the_settings_component_hands_the_extender_what_is_so_without_it() -> None:
    objects = render(MANIFESTS / "components" / "scheduler-settings", render(INSTALLATIONS[0]))
    [container] = containers(one(objects, "Deployment", "partita-scheduler"))
    [file] = [entry["value"] for entry in container["env"] if entry["name"] == "PARTITA_SETTINGS"]
    [folder] = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "settings"]
    [text] = one(objects, "ConfigMap", "partita-scheduler-settings")["data"].values()
    assert file == f"{folder}/settings.yaml"
    assert parse_scoring(text, file) == Judging()
