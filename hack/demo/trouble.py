"""The second half of the demo: hardware that lies, a driver that dies, and what is left when all is over."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import Any

import yaml
from hack.demo import objects
from hack.demo.cluster import driver_of
from hack.demo.errors import DemoError
from hack.demo.placements import Placement, placements
from hack.demo.story import Story
from hack.demo.summary import FaultStory
from hack.demo.waiting import until

from partita_plugins.wire import FAULT_TAINT_KEY

TRAIN = "train"
REPLICAS = 3
WORD, BIT = 5, 7
"""Among the first words, which a quick look reads too."""

TOOL_SECONDS = 60.0
VALIDATION_FAILED = "DeviceValidationFailed"
Json = dict[str, Any]


class Trouble(Story):
    """Continues a story after its first half."""

    def tell_more(self) -> None:
        planted = self.break_gpu()
        self.follow(*planted)
        self.crash(planted[0])
        self.mend(planted[0])

    def break_gpu(self) -> tuple[str, str, float]:
        """Node and device that the next pod would get, and when its bit got stuck."""
        self.screen.step("Break the GPU that the next pod would get")
        template, deployment = objects.trainers(TRAIN, REPLICAS)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": TRAIN, "namespace": "default"}}
        claim = {"metadata": {"name": TRAIN, "namespace": "default"}, "spec": template["spec"]["spec"]}
        spec = deployment["spec"]["template"]["spec"]
        best = self.cluster.extender.simulate({**pod, "spec": spec}, [claim])["nodes"][0]
        node, device = best["node"], best["devices"][TRAIN][0].rpartition("/")[2]
        self.screen.line(f"asked where it would put one, the extender says {node}: {best['explanation']}")
        self._leave_idle_gpus_alone()
        self._tool(node, "fault", "stuck-bit", f"--gpu={self._uuid(node, device)}", f"--word={WORD}", f"--bit={BIT}")
        return node, device, time.monotonic()

    def _leave_idle_gpus_alone(self) -> None:
        """A pod is to meet the fault, and a look at idle GPUs might be there first."""
        found = self.api.get("ConfigMap", "partita-nodes", "partita-system")["data"]["nodes.yaml"]
        entries = yaml.safe_load(found)["nodes"]
        text = yaml.safe_dump({"nodes": [{**entry, "validation": {"idle": False}} for entry in entries]})
        self.api.patch("ConfigMap", "partita-nodes", {"data": {"nodes.yaml": text}}, "partita-system")
        self.screen.line("validation.idle is false from now on: otherwise it might be found before a pod meets it")

    def follow(self, node: str, device: str, since: float) -> None:
        """Pods meet the fault; one of them has to go elsewhere."""
        self.screen.step(f"Run Deployment {TRAIN}: {REPLICAS} pods with a GPU each; one of them meets the fault")
        with self.cluster.scheduler_paused():
            for obj in objects.trainers(TRAIN, REPLICAS):
                self.api.apply(obj)
            first = until(
                f"{REPLICAS} pods are made", lambda: found if len(found := self._trainers()) == REPLICAS else None
            )
        victim, finding, taint = self._show_finding(node, device)
        names = until(
            "the Deployment's next pod runs elsewhere",
            lambda: (
                sorted(now.keys() - first) if len(now := self._running()) == REPLICAS and now.keys() - first else None
            ),
        )
        seconds = time.monotonic() - since
        after = self._running()
        self._show_placements([after[name] for name in sorted(after)])
        new = after[names[0]]
        self.summary.fault = FaultStory(
            device=device,
            finding=_clause(finding),
            from_node=node,
            to_node=new.node,
            to_device=new.devices[0],
            seconds_to_running=round(seconds, 2),
        )
        self.summary.placements += [after[name] for name in sorted(after)]
        self.expect(
            "the fault was found before the pod started, and an event says what it is",
            "" if f"bit {BIT}" in finding else finding,
            f"{victim} still runs" if victim in after else "",
        )
        self.expect(
            f"the faulty GPU is tainted, nobody has it, the Deployment's next pod runs on {new.node}",
            "" if "NoExecute" in taint else taint,
            *(f"{pod.pod} has it" for pod in after.values() if (pod.node, pod.devices) == (node, (device,))),
        )

    def _show_finding(self, node: str, device: str) -> tuple[str, str, str]:
        """The pod that met the fault, what its event says, and the taint."""
        process = driver_of(node)
        event = until("an event tells of the failed validation", self._failure, process=process)
        victim, finding = event["involvedObject"]["name"], event["message"]
        self.screen.line(f"event on pod {victim}, by the driver on {event['source']['host']}:")
        self.screen.line(f"  {VALIDATION_FAILED}: {finding}", "yellow")
        taint = until("the device is tainted", lambda: self._taints(node).get(device), process=process)
        self.screen.line(f"taint on {device}: {taint}")
        return victim, finding, taint

    def crash(self, node: str) -> None:
        self.screen.step(f"Kill the driver on {node} with SIGKILL while its pods run, and start it again")
        before, tainted, files = placements(self.cluster), self._taints(node), self._cdi_files(node)
        old, new = self.cluster.restart_driver(node)
        self.screen.line(f"process {old} was killed, process {new} is ready")
        self.expect(
            f"its {sum(pod.node == node for pod in before.values())} pods never noticed that the driver died",
            "" if placements(self.cluster) == before else "other devices or pods than before",
            "" if self._cdi_files(node) == files else "other CDI files than before",
        )
        self.expect(
            "the quarantine outlived the driver's process", "" if self._taints(node) == tainted else "taints differ"
        )
        gone = "whole-gpu"
        self.api.delete("Pod", gone, "default")
        until(f"{gone} is gone", lambda: not self._exists(gone), process=driver_of(node))
        claim = before[gone].claims[0]
        left = [name for name in self._cdi_files(node) if claim in name]
        until("its claim is gone", lambda: claim not in self._claims())
        self.expect(f"{gone}, prepared by the killed process, was deleted and its GPU given back", *left)

    def mend(self, node: str) -> None:
        self.screen.step("Repair the GPU; the driver validates what is in quarantine again")
        self._tool(node, "lift", "--all")
        began = time.monotonic()
        until("the taint goes away", lambda: not self._taints(node), process=driver_of(node))
        took = time.monotonic() - began
        self.screen.line(f"no device on {node} is tainted any more, after {took:.1f} s")
        self.expect("the repaired GPU passed and is offered again")

    def clean_up(self) -> None:
        """Delete all pods and claims; nothing of them is left on the hardware."""
        self.screen.step("Delete everything that was submitted")
        for kind in ("Deployment", "Pod", "ResourceClaim", "ResourceClaimTemplate"):
            self.api.delete_all(kind, "default")
        until("all pods are gone", lambda: not len(self.api.list("Pod", "default")))
        until("all claims are gone", lambda: not len(self.api.list("ResourceClaim", "default")))
        with contextlib.suppress(DemoError):  # What is still there then is what the check tells.
            until("nothing is left on the nodes", lambda: not self._leftovers())
        self.expect("no partition is left on the hardware, no CDI file on a node", *self._leftovers())

    def _leftovers(self) -> list[str]:
        found = {node: len(self._partitions(node)) for node in self.cluster.kubelets}
        files = [name for node in self.cluster.kubelets for name in self._cdi_files(node)]
        return [*(f"{node} has {count} partitions" for node, count in found.items() if count), *files]

    def _tool(self, node: str, *arguments: str) -> None:
        """The simulated hardware's own command line: a pair of hands at the machine."""
        self.screen.command(f"python -m partita_plugins.backends.simulated {' '.join(arguments)} --state=...  # {node}")
        command = [sys.executable, "-m", "partita_plugins.backends.simulated", *arguments]
        done = subprocess.run(
            [*command, f"--state={self.cluster.hardware_folder(node)}"],
            capture_output=True,
            text=True,
            timeout=TOOL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise DemoError(f"the simulated hardware's tool failed: {done.stderr.strip()}")

    def _partitions(self, node: str) -> list[object]:
        machine = self.cluster.hardware(node)
        return [one for gpu in machine.hardware.gpus for one in machine.files.load(gpu.uuid).instances]

    def _cdi_files(self, node: str) -> dict[str, bytes]:
        """What the container runtime of a node reads."""
        return {path.name: path.read_bytes() for path in self.cluster.kubelets[node].settings.cdi.iterdir()}

    def _claims(self) -> set[str]:
        """UIDs."""
        return {claim["metadata"]["uid"] for claim in self.api.list("ResourceClaim", "default")}

    def _uuid(self, node: str, device: str) -> str:
        found = next(one for one in self._devices(node) if one["name"] == device)
        return str(found["attributes"]["uuid"]["string"])

    def _devices(self, node: str) -> list[Json]:
        slices = self.api.list("ResourceSlice", field_selector=f"spec.nodeName={node}")
        return [device for piece in slices for device in piece["spec"].get("devices") or []]

    def _taints(self, node: str) -> dict[str, str]:
        """Fault taints by device."""
        return {
            device["name"]: f"{taint['key']}={taint['value']}:{taint['effect']}"
            for device in self._devices(node)
            for taint in device.get("taints") or []
            if taint["key"] == FAULT_TAINT_KEY
        }

    def _failure(self) -> Json | None:
        events = self.api.list("Event", "default", field_selector=f"reason={VALIDATION_FAILED}")
        return next((event for event in events if event["involvedObject"]["kind"] == "Pod"), None)

    def _trainers(self) -> set[str]:
        """Names of the Deployment's pods whose claims are made."""
        pods = self.api.list("Pod", "default", label_selector=f"app={TRAIN}")
        return {pod["metadata"]["name"] for pod in pods if (pod.get("status") or {}).get("resourceClaimStatuses")}

    def _running(self) -> dict[str, Placement]:
        names = self._trainers()
        return {name: found for name, found in placements(self.cluster).items() if name in names}

    def _exists(self, pod: str) -> bool:
        return any(found["metadata"]["name"] == pod for found in self.api.list("Pod", "default"))


def _clause(finding: str) -> str:
    """Of a finding's sentence the part that tells of the bit."""
    found = next((part for part in finding.split("; ") if f"bit {BIT} " in part), finding)
    return found[found.find(f"bit {BIT} ") :] if f"bit {BIT} " in found else found
