"""The steps of the demo, in order. Each says what it does, does it, shows what came of it, and checks that."""

from __future__ import annotations

from hack.demo import manifests, objects
from hack.demo.checks import misplaced, mispredicted, overlaps, unvalidated
from hack.demo.cluster import Cluster, driver_of
from hack.demo.endpoints import SCHEDULER
from hack.demo.examples import CHOSEN, EXAMPLES, Example
from hack.demo.machines import FLEET, NODE_NAMES
from hack.demo.placements import Placement, placements
from hack.demo.show import Screen
from hack.demo.summary import Refusal, Summary
from hack.demo.waiting import until

from partita_plugins.wire import DRIVER_NAME
from partita_scheduler.answers.report import PodReport, judge
from partita_scheduler.cluster.view import Pod
from partita_scheduler.kubectl.draw import draw_map, draw_why
from partita_scheduler.kubectl.fleet import fleet
from partita_scheduler.policy.decision import decide
from partita_scheduler.simulator.claims import decoded
from partita_scheduler.simulator.loop import claims_of, view_of

TOO_MUCH = "two-of-90-gib"
EVENT_REASON = "GpuPlacement"


class Story:
    """The demo's first half: a cluster comes up, pods get what they asked for, or are told why not."""

    def __init__(self, cluster: Cluster, screen: Screen, summary: Summary) -> None:
        self.cluster, self.screen, self.summary = cluster, screen, summary
        self.api = cluster.server

    def tell(self) -> None:
        self.start()
        self.install()
        self.run_processes()
        self.place_examples()
        self.choose()
        self.draw()
        self.refuse()

    def expect(self, text: str, *problems: str, because: str = "") -> None:
        """Check and show it."""
        check = self.summary.checks.expect(text, *problems, because=because)
        told = f"{check.text} ({check.because})" if check.because else check.text
        self.screen.check(told, passed=check.passed, detail=check.detail)

    def start(self) -> None:
        self.screen.step("Start an API server, controllers and three kubelets, in this process")
        self.cluster.start()
        self.screen.table(
            ("NODE", "MACHINE (simulated)", "LABEL"),
            [(node.name, node.about, f"{DRIVER_NAME}/offer={node.offer}") for node in FLEET],
        )

    def install(self) -> None:
        self.screen.step("Install Partita from manifests/base")
        self.screen.command("kubectl apply -k manifests/base")
        counts = manifests.apply_base(self.api)
        self.screen.line(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))

    def run_processes(self) -> None:
        self.screen.step("Start the real processes: partita-scheduler run, and partita-driver run for each node")
        self.cluster.start_processes()
        devices = dict.fromkeys(NODE_NAMES, 0)
        kinds: dict[str, dict[str, int]] = {name: {} for name in NODE_NAMES}
        for piece in self.api.list("ResourceSlice"):
            for device in piece["spec"].get("devices") or []:
                node, kind = piece["spec"]["nodeName"], device["attributes"]["type"]["string"]
                devices[node] += 1
                kinds[node][kind] = kinds[node].get(kind, 0) + 1
        rows = [
            (node, str(devices[node]), ", ".join(f"{count} {kind}" for kind, count in sorted(kinds[node].items())))
            for node in NODE_NAMES
        ]
        self.screen.table(("NODE", "DEVICES", "PUBLISHED IN RESOURCESLICES"), rows)
        self.screen.line(f"the extender answers at {self.cluster.extender.url} to kube-scheduler's certificate only")
        self.expect(
            "every driver and the extender are ready",
            *(f"{node} publishes nothing" for node in NODE_NAMES if not devices[node]),
        )

    def place_examples(self) -> None:
        self.screen.step("Submit the examples: the scheduler asks the extender, the kubelets ask the drivers")
        self.cluster.start_scheduler()
        for example in EXAMPLES:
            manifests.apply_example(self.api, example.folder)
        folders = " ".join(one.folder for one in EXAMPLES)
        self.screen.command(f"for example in {folders}; do kubectl apply -k manifests/examples/$example; done")
        names = [name for example in EXAMPLES for name in example.pods]
        began = self.screen.seconds
        found = self._run(names)
        self.screen.line(f"all {len(names)} pods run {self.screen.seconds - began:.1f} s later")
        self._show_placements([found[name] for name in names])
        told = found["mig-3g"].sees["main"].env
        self.screen.line("inside mig-3g's container:  env | grep ^PARTITA_", "dim")
        self.screen.block("\n".join(f"  {key}={value}" for key, value in sorted(told.items())))
        for example in EXAMPLES:
            self._check_example(example, found)

    def choose(self) -> None:
        name = CHOSEN.pods[0]
        self.screen.step(f"Ask why, before {name} is placed: two GPUs joined by NVLink")
        with self.cluster.scheduler_paused():
            manifests.apply_example(self.api, CHOSEN.folder)
            until("its claim is made", lambda: objects.has_claims(self.api, name))
            self.screen.command(f"kubectl partita why {name}")
            report = self._why(name)
        found = self._run([name])
        self._show_placements([found[name]])
        self._check_example(CHOSEN, found)
        first = report.nodes[0]
        predicted = sorted(device.rpartition("/")[2] for names in first.devices.values() for device in names)
        self.expect(
            "it is where the answer said, on the devices that it named",
            f"{first.node} {predicted} was said"
            if (first.node, predicted) != (found[name].node, sorted(found[name].devices))
            else "",
        )
        refused = {one.node: _reasons(report, one.node) for one in report.nodes if not one.fits}
        self.summary.refusals.append(Refusal(pod=name, reasons=refused))

    def draw(self) -> None:
        self.screen.step("Draw the fleet: which GPU, which slice, whose pod")
        self.screen.command("kubectl partita map")
        self.screen.block(draw_map(fleet(view_of(self.api))))
        found = placements(self.cluster)
        self.summary.placements = sorted(found.values(), key=lambda pod: (pod.node, pod.pod))
        self.expect("no GPU and no slice belongs to two claims", *overlaps(found.values()))
        uids = sorted({uid for pod in found.values() for uid in pod.claims})
        until(
            "the extender has seen all allocations",
            lambda: not mispredicted(self.cluster.extender.predictions(), uids) or None,
            process=SCHEDULER,
        )
        self.expect(
            f"all {len(uids)} claims got exactly the devices that the extender had predicted",
            *mispredicted(self.cluster.extender.predictions(), uids),
        )
        self._check_validation(uids)
        asked, spent, silent = self.cluster.extender.answers()
        self.screen.line(
            f"the scheduler asked {asked} times, the extender took {1000 * spent / max(asked, 1):.1f} ms a time"
        )
        self.expect(
            "the extender answered every question",
            *(["it was never asked"] if not asked else []),
            *(["it had no opinion"] if silent else []),
        )

    def _check_validation(self, uids: list[str]) -> None:
        """The drivers write into each claim's status what they found, a moment after the pod starts."""

        def missing() -> list[str]:
            return unvalidated(claim for claim in self.api.list("ResourceClaim") if claim["metadata"]["uid"] in uids)

        until(lambda: f"validations in the claims' status ({missing()[0]})", lambda: not missing())
        self.expect("every one of their devices was proven to compute before its container started", *missing())

    def refuse(self) -> None:
        self.screen.step(f"Ask for what no node has: {TOO_MUCH} wants two GPUs of 90 GiB, joined by NVLink")
        for obj in objects.too_much(TOO_MUCH):
            self.api.apply(obj)
        events = until(
            "the pod is told why it is Pending",
            lambda: objects.events_of(self.api, TOO_MUCH, EVENT_REASON),
            process=SCHEDULER,
        )
        self.screen.command(f"kubectl partita why {TOO_MUCH}")
        report = self._why(TOO_MUCH)
        self.screen.line("and its one event says:")
        self.screen.line(f"  {events[0]['message']}", "yellow")
        reasons = {node: _reasons(report, node) for node in NODE_NAMES}
        self.summary.refusals.append(Refusal(pod=TOO_MUCH, reasons=reasons, event=events[0]["message"]))
        self.expect(
            "it is Pending, and one event names the reason for each node",
            f"{len(events)} events" if len(events) != 1 else "",
            "it fits" if report.fits else "",
            *(f"nothing about {node}" for node, reason in reasons.items() if not reason),
        )
        self.api.delete("Pod", TOO_MUCH, "default")

    def _why(self, name: str) -> PodReport:
        """The answer of `kubectl partita why`, shown."""
        view = view_of(self.api)
        pod: Pod = decoded(self.api.get("Pod", name, "default"), Pod)
        claims = claims_of(pod, view) or []
        report = judge(view, pod, decide)
        self.screen.block(draw_why(report, pod.status.phase, claims, concerned=True))
        return report

    def _run(self, names: list[str]) -> dict[str, Placement]:
        """Placements once all of these pods run."""

        def missing() -> list[str]:
            return sorted(set(names) - placements(self.cluster).keys())

        until(
            lambda: f"these pods run: {', '.join(missing())}; {objects.last_event(self.api, missing())}",
            lambda: not missing(),
            process=lambda: self._blamed(missing()),
        )
        return placements(self.cluster)

    def _blamed(self, missing: list[str]) -> str:
        """The process that has to do with a pod that does not run: its node's driver, else the extender."""
        nodes = [self.api.get("Pod", name, "default")["spec"].get("nodeName", "") for name in missing]
        return next((driver_of(node) for node in nodes if node), SCHEDULER)

    def _show_placements(self, found: list[Placement]) -> None:
        self.screen.table(("POD", "NODE", "HAS", "ITS CONTAINERS SEE"), [objects.row(pod) for pod in found])

    def _check_example(self, example: Example, found: dict[str, Placement]) -> None:
        problems = misplaced(example, found)
        self.expect(f"{example.folder} on {' or '.join(example.nodes)}", *problems, because=example.because)


def _reasons(report: PodReport, node: str) -> str:
    return "; ".join(reason.text for one in report.nodes if one.node == node for reason in one.reasons)
