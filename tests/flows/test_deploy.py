"""The files of ``deploy/`` and ``compose.yaml`` agree with the code: names of settings and metrics, limits, times, rights."""

import json
import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

from tests.conftest import settings_for
from tests.flows.live import ROOT
from tradepost.core.settings.settings import Settings
from tradepost.main import create_app

DEPLOY: Final = ROOT / "deploy"
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
OWN: Final = ("api", "worker", "migrate")
_SUFFIXES: Final = re.compile(r"_(total|bucket|count|sum)$")


def manifests() -> Iterator[dict[str, Any]]:
    """All objects of the base for Kubernetes."""
    for file in sorted((DEPLOY / "kubernetes/base").glob("*.yaml")):
        yield from yaml.safe_load_all(file.read_text("utf-8"))


def workloads() -> dict[str, dict[str, Any]]:
    """The pods of the base, by what they belong to."""
    kinds = {"Deployment", "Job"}
    return {
        found["metadata"]["name"]: found["spec"]["template"]["spec"]
        for found in manifests()
        if found["kind"] in kinds
    }


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_no_container_can_write_gain_rights_or_take_all(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory"} <= limits.keys()
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def test_one_port_is_open_to_all() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == ["${PORT:-8000}:8080"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert COMPOSE["services"]["db"]["networks"] == COMPOSE["services"]["redis"]["networks"] == ["inside"]


def test_compose_sets_what_is_a_setting() -> None:
    names = {name.removesuffix("_FILE") for name in COMPOSE["services"]["api"]["environment"]}
    assert names <= Settings.model_fields.keys()
    config = next(found for found in manifests() if found["kind"] == "ConfigMap")
    assert config["data"].keys() <= Settings.model_fields.keys()


def test_the_secrets_are_made_once_and_suit_production(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "deploy/secrets.sh"
    script.parent.mkdir()
    script.write_bytes((DEPLOY / "secrets.sh").read_bytes())

    def made() -> dict[str, str]:
        subprocess.run(["sh", script], check=True, capture_output=True)
        return {file.name: file.read_text("utf-8") for file in (tmp_path / "secrets").iterdir()}

    first = made()
    assert made() == first
    assert first.keys() == COMPOSE["secrets"].keys()
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    for name, value in COMPOSE["services"]["api"]["environment"].items():
        if name.endswith("_FILE"):
            by_default = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
            monkeypatch.setenv(name, str(tmp_path / "secrets" / Path(by_default).name))
    monkeypatch.setenv("ENVIRONMENT", "production")
    settings = Settings.load()
    assert settings.FIRST_SUPERUSER_PASSWORD.get_secret_value() == first["first_superuser_password"]
    assert settings.database_url.host == "db"


async def test_rules_and_board_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    app = create_app(settings_for(f"sqlite:///{tmp_path}/x.db", tmp_path))
    async with (
        app.router.lifespan_context(app) as state,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(_with_state(app, state)), base_url="http://test"
        ) as client,
    ):
        await client.get("/livez")
        shown = (await client.get("/metrics")).text
    there = {_SUFFIXES.sub("", name) for name in re.findall(r"^# HELP (tradepost_\w+)", shown, re.MULTILINE)}
    asked = "".join(
        (DEPLOY / path).read_text("utf-8")
        for path in ("prometheus/rules.yml", "grafana/dashboards/tradepost.json")
    )
    # The rules' own records have a colon. SQLite has two gates where PostgreSQL has the pool.
    names = {_SUFFIXES.sub("", name) for name in re.findall(r"\btradepost_\w+\b", asked)}
    pools = {name for name in names if name.startswith("tradepost_database_pool_")}
    assert pools <= {name.replace("_write_", "_pool_") for name in there}
    # Shown over several workers; one alone has Prometheus' own names for them.
    several = {"tradepost_worker_cpu_seconds", "tradepost_worker_resident_memory_bytes"}
    assert names - pools - several <= there
    assert all(
        f"# HELP {name} " in shown for name in ("process_resident_memory_bytes", "process_cpu_seconds_total")
    )
    assert len(json.loads((DEPLOY / "grafana/dashboards/tradepost.json").read_text("utf-8"))["panels"]) > 10


def _with_state(app: Any, state: Any) -> Any:
    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"state": dict(state)}, receive, send)

    return call


def test_proxies_refuse_later_and_let_go_earlier_than_the_server() -> None:
    nginx = (DEPLOY / "nginx/nginx.conf").read_text("utf-8")
    general, larger = (int(size) * 2**20 for size in re.findall(r"client_max_body_size (\d+)m;", nginx))
    fields = Settings.model_fields
    assert general > fields["MAX_BODY_BYTES"].default
    assert larger > max(fields["MAX_BULK_BYTES"].default, 5 * fields["MAX_UPLOAD_BYTES"].default)
    kept = re.search(r"keepalive_timeout (\d+)s;", (DEPLOY / "nginx/upstream.conf").read_text("utf-8"))
    assert kept is not None
    assert int(kept[1]) < fields["KEEP_ALIVE_SECONDS"].default
    assert "keepalive 74s" in (DEPLOY / "caddy/Caddyfile").read_text("utf-8")
    assert "http_503" not in nginx


@pytest.mark.parametrize("name", workloads())
def test_no_pod_can_write_or_gain_rights(name: str) -> None:
    pod = workloads()[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]


def test_a_pod_has_time_to_drain() -> None:
    config = next(found for found in manifests() if found["kind"] == "ConfigMap")
    drain = float(config["data"]["DRAIN_SECONDS"])
    pod = workloads()["tradepost-api"]
    # Twenty seconds for what is in flight: `timeout_graceful_shutdown` of the server.
    assert pod["terminationGracePeriodSeconds"] > drain + 20
    (container,) = pod["containers"]
    probe = container["readinessProbe"]
    assert probe["httpGet"]["path"] == "/readyz"
    assert probe["periodSeconds"] * probe["failureThreshold"] < drain
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
