"""An extender over HTTP, as a scenario asks it: the installed one, or one of its own."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an extender listens."""

    url: str
    tls: ssl.SSLContext | None = None

    @classmethod
    def with_certificates(cls, url: str, folder: Path) -> Endpoint:
        """With the certificate that kube-scheduler shows."""
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(folder / "client.crt", folder / "client.key")
        return cls(url, context)

    def ready(self) -> bool:
        try:
            return self._ask("/readyz")[0] == 200
        except OSError:
            return False

    def get(self, path: str) -> Any:
        """JSON of an endpoint."""
        status, body = self._ask(path)
        assert status == 200, f"{path} answered {status}: {body[:500]!r}"
        return json.loads(body)

    def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of a POST, whatever the status."""
        return self._ask(path, body)

    def counted(self, metric: str, label: str) -> dict[str, int]:
        """A counter's value by one of its labels."""
        _, text = self._ask("/metrics")
        samples = (one for family in text_string_to_metric_families(text.decode()) for one in family.samples)
        return {one.labels[label]: int(one.value) for one in samples if one.name == f"partita_scheduler_{metric}_total"}

    def _ask(self, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, data=body, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS, context=self.tls) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
