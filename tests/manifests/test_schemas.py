"""Every manifest holds what the API server takes, field by field, and every file is reached by some kustomization."""

from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from partita_scheduler.install.stanza import DEFAULT, stanza
from tests.manifests.kustomize import (
    EXAMPLES,
    INSTALLATIONS,
    MANIFESTS,
    SECOND_SCHEDULER,
    Json,
    documents,
    render,
)

STANZA = MANIFESTS / "scheduler-stanza" / "kube-scheduler-config.yaml"


@pytest.mark.parametrize("version", ["1.36", "1.37"])
@pytest.mark.parametrize("folder", [*INSTALLATIONS, SECOND_SCHEDULER, *EXAMPLES], ids=lambda path: path.name)
def test_all_objects_are_valid_to_the_last_field(folder: Path, version: str) -> None:
    objects = render(folder)
    assert objects
    for obj in objects:
        kubernetes_validate.validate(obj, version, strict=True)


def test_a_mistyped_field_would_be_noticed() -> None:
    [claim, _pod] = render(MANIFESTS / "examples" / "whole-gpu")
    request: Json = claim["spec"]["spec"]["devices"]["requests"][0]["exactly"]
    request["deviceClasName"] = request.pop("deviceClassName")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(claim, "1.37", strict=True)


def test_no_file_is_left_out_by_its_kustomization() -> None:
    for kustomization in MANIFESTS.rglob("kustomization.yaml"):
        [content] = documents(kustomization)
        named = set(content.get("resources", [])) | {patch["path"] for patch in content.get("patches", [])}
        beside = {path.name for path in kustomization.parent.glob("*.yaml")} - {"kustomization.yaml"}
        assert beside <= named, kustomization


def test_every_example_has_a_readme_that_names_its_own_folder() -> None:
    index = (MANIFESTS / "examples" / "README.md").read_text()
    for folder in EXAMPLES:
        text = (folder / "README.md").read_text()
        assert all(f"## {part}" in text for part in ("What it does", "Needs", "Run", "Expect"))
        assert f"kubectl apply -k manifests/examples/{folder.name}" in text
        assert f"({folder.name}/)" in index


def test_the_stanza_file_is_what_the_command_prints() -> None:
    [shipped] = documents(STANZA)
    text = stanza(
        url="https://127.0.0.1:8888",
        preset=DEFAULT,
        certificates="/etc/kubernetes/partita",
        server_name="partita-scheduler.partita-system.svc",
    )
    assert shipped == yaml.safe_load(text)


def test_the_stanza_never_holds_scheduling_up() -> None:
    [extender] = documents(STANZA)[0]["extenders"]
    assert extender["ignorable"] is True
    assert extender["nodeCacheCapable"] is True
    assert extender["httpTimeout"] == "500ms"
    assert "managedResources" not in extender
    assert extender["tlsConfig"]["caFile"]


def test_every_object_says_itself_which_namespace_it_belongs_to() -> None:
    """kustomize does not know which kinds have none, and would put one on DeviceClasses."""
    cluster_wide = {"Namespace", "ClusterRole", "ClusterRoleBinding", "DeviceClass"}
    for obj in render(MANIFESTS / "base"):
        bare = obj["kind"] in cluster_wide or obj["kind"].startswith("ValidatingAdmissionPolicy")
        assert ("namespace" in obj["metadata"]) is not bare, obj["metadata"]["name"]
