"""The extender's command line, and the real process from start to SIGTERM."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from partita_scheduler.install.stanza import PRESETS
from partita_scheduler.main import main
from partita_scheduler.policy.decision import BEST_SCORE, REST_SCORE
from tests.scheduler.edge.cluster import api_server
from tests.testing.signals import send_beside_main
from tests.waiting import WAIT_SECONDS, until


def call(*args: str) -> str:
    result = CliRunner().invoke(main, list(args))
    assert result.exit_code == 0, result.output
    return result.output


def test_the_stanza_is_what_kube_scheduler_needs_to_go_on_without_us() -> None:
    (extender,) = yaml.safe_load(call("stanza"))["extenders"]
    assert extender["ignorable"] is True
    assert extender["nodeCacheCapable"] is True
    assert extender["filterVerb"] == "choose"
    assert not extender.keys() & {"prioritizeVerb", "weight"}, "asked once for each pod"
    assert "managedResources" not in extender
    assert "bindVerb" not in extender
    assert extender["enableHTTPS"] is True
    assert set(extender["tlsConfig"]) == {"caFile", "certFile", "keyFile"}


@pytest.mark.parametrize(("args", "weight"), [(("--preset", "mild"), 1), (("--preset", "strong", "--weight", "7"), 7)])
def test_the_weight_may_be_chosen(args: tuple[str, ...], weight: int) -> None:
    text = call("stanza", *args)
    assert yaml.safe_load(text)["extenders"][0]["weight"] == weight
    assert f"ahead by {weight * (BEST_SCORE - REST_SCORE) * 10}:" in text


def test_the_strong_preset_outweighs_any_one_of_the_usual_plugins_and_not_all_together() -> None:
    (extender,) = yaml.safe_load(call("stanza", "--preset", "strong"))["extenders"]
    assert 200 < (BEST_SCORE - REST_SCORE) * extender["weight"] * 10 < 14 * 100
    assert (extender["filterVerb"], extender["prioritizeVerb"]) == ("filter", "prioritize")


def test_the_strict_preset_lets_nothing_pass_without_us() -> None:
    (extender,) = yaml.safe_load(call("stanza", "--preset", "strict", "--preempt"))["extenders"]
    assert extender["filterVerb"] == "choose"
    assert extender["ignorable"] is False
    assert extender["preemptVerb"] == "preempt"


def test_every_preset_waits_less_than_kube_schedulers_default() -> None:
    for preset in PRESETS:
        (extender,) = yaml.safe_load(call("stanza", "--preset", preset))["extenders"]
        assert extender["httpTimeout"].endswith("ms")
        assert int(extender["httpTimeout"].removesuffix("ms")) < 5000


def test_the_certificates_name_may_differ_from_the_address() -> None:
    (extender,) = yaml.safe_load(call("stanza", "--server-name", "partita-scheduler.partita-system.svc"))["extenders"]
    assert extender["tlsConfig"]["serverName"] == "partita-scheduler.partita-system.svc"


def test_plain_http_has_no_tls_settings() -> None:
    (extender,) = yaml.safe_load(call("stanza", "--url", "http://127.0.0.1:8888"))["extenders"]
    assert "tlsConfig" not in extender


def test_pods_are_explained_without_a_certificate_on_loopback_alone() -> None:
    result = CliRunner().invoke(main, ["run", "--why-listen", "0.0.0.0:8887"])
    assert result.exit_code == 1
    assert result.output == "Error: --why-listen 0.0.0.0:8887 would explain pods to anybody; listen on 127.0.0.1\n"


def test_certificates_are_named_once_made_and_refused_the_second_time(tmp_path: Path) -> None:
    made = call("certificates", "--out", str(tmp_path), "--host", "localhost").split()
    assert [Path(path).name for path in made] == [
        "ca.crt",
        "ca.key",
        "server.crt",
        "server.key",
        "client.crt",
        "client.key",
    ]
    again = CliRunner().invoke(main, ["certificates", "--out", str(tmp_path), "--host", "localhost"])
    assert again.exit_code == 1
    assert "already has" in again.output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["run", "--listen", "0.0.0.0:1"], "--tls-cert"),
        (["run", "--listen", "nowhere"], "HOST:PORT"),
        (["run", "--tls-cert", __file__], "together"),
        (["stanza", "--url", "ftp://x"], "https://HOST:PORT"),
        (["stanza", "--weight", "7"], "drop --weight, or add --preset strong or mild"),
        (["certificates", "--out", "unused"], "--host NAME"),
        (["run", "--settings", __file__], "correct the file that --settings names"),
    ],
)
def test_mistakes_are_one_line_with_the_next_action(args: list[str], says: str, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with api_server(tmp_path):
        result = CliRunner().invoke(main, args, env={"PARTITA_KUBECONFIG": str(kubeconfig)})
    assert result.exit_code == 1
    assert says in result.output
    assert "Traceback" not in result.output


def test_an_option_is_read_from_the_variable_that_help_names() -> None:
    assert "PARTITA_SETTINGS" in call("run", "--help")
    result = CliRunner().invoke(main, ["run"], env={"PARTITA_SETTINGS": __file__})
    assert "correct the file that --settings names" in result.output


def test_help_teaches_the_three_steps() -> None:
    text = call("--help")
    assert all(f"partita-scheduler {step}" in text for step in ("certificates", "stanza", "run"))


def test_the_process_answers_on_after_sigterm_and_leaves_at_the_second_whichever_thread_hears_of_it(
    tmp_path: Path,
) -> None:
    call("certificates", "--out", str(tmp_path / "pki"), "--host", "127.0.0.1")
    with api_server(tmp_path):
        args = [sys.executable, "-m", "partita_scheduler", "run", "--kubeconfig", str(tmp_path / "kubeconfig")]
        args += ["--listen", "127.0.0.1:0", "--handover-seconds", "60", "--tls-cert", f"{tmp_path}/pki/server.crt"]
        args += ["--tls-key", f"{tmp_path}/pki/server.key", "--client-ca", f"{tmp_path}/pki/ca.crt"]
        process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        try:
            address = next(line.split()[-1] for line in process.stderr if line.startswith("listening on "))
            context = ssl.create_default_context(cafile=f"{tmp_path}/pki/ca.crt")
            context.load_cert_chain(f"{tmp_path}/pki/client.crt", f"{tmp_path}/pki/client.key")
            until(lambda: _ready(f"https://{address}/readyz", context))
            send_beside_main(process.pid, signal.SIGTERM)
            assert any("lease offered" in line for line in process.stderr)
            until(lambda: _ready(f"https://{address}/readyz", context))
            send_beside_main(process.pid, signal.SIGTERM)
            assert process.wait(WAIT_SECONDS) == 0
        finally:
            process.kill()
            process.stderr.close()
            process.wait()


def test_a_second_address_that_is_taken_ends_the_process_and_not_only_its_start(tmp_path: Path) -> None:
    with api_server(tmp_path), socket.create_server(("127.0.0.1", 0)) as taken:
        args = [sys.executable, "-m", "partita_scheduler", "run", "--kubeconfig", str(tmp_path / "kubeconfig")]
        args += ["--listen", "127.0.0.1:0", "--health-listen", f"127.0.0.1:{taken.getsockname()[1]}"]
        with subprocess.Popen(args, stderr=subprocess.PIPE, text=True) as process:
            try:
                _, told = process.communicate(timeout=WAIT_SECONDS)
            finally:
                process.kill()
    assert process.returncode == 1
    assert "choose another HOST:PORT" in told


def _ready(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=context, timeout=WAIT_SECONDS) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
