"""What the real kube-scheduler did, as hack/bench predict wrote it down: cases on which the model was wrong once.

`what` in each file says what was wrong. A new one comes from predict-disagreements/, as it is.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hack.benchmarks.predict.model import predict
from hack.benchmarks.predict.report import Record, minor_of

FILES = sorted((Path(__file__).parent / "predictions").glob("*.json"))


def test_there_are_cases() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_model_does_what_kube_scheduler_did(path: Path) -> None:
    record = msgspec.json.decode(path.read_bytes(), type=Record)
    assert record.what
    predicted = predict(record.case, minor_of(record.version))
    assert (predicted.kind, predicted.claims) == (record.seen.kind, record.seen.claims)
