"""The files in deploy/ against the code: commands parse, paths and ports exist, what is mounted or copied is there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import click
import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from deputize.cli.main import cli
from deputize.core.config import EngineSettings
from deputize.gateway.metrics import METRICS
from deputize.gateway.paths import HEALTH, READY
from deputize.gateway.settings import GatewaySettings
from deputize.hosting import specialist_host as host_paths
from deputize.hosting.host_process import DRAIN_S
from deputize.specialists.export_forms.merged_weights import MODEL_FOLDER
from deputize.specialists.tuned_model import ADAPTER_FOLDER
from deputize.specialists.writing.completions_server import N_LISTED
from deputize.specialists.writing.vllm_server import MAX_RANK

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "deputize"
GRACE_S = GatewaySettings().drain_s + 10
"""A worker that has not ended `drain_s` after the signal is killed ten seconds later (gateway.supervisor)."""


def parses(words: list[str]) -> None:
    """The words are a command of deputize with options that it has."""
    name, *rest = words
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"there is no command {name}"
    command.make_context(name, rest).close()


def instructions(dockerfile: str) -> list[tuple[str, str]]:
    """(instruction, its arguments), with continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", dockerfile)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


DOCKERFILE = instructions((DEPLOY / "docker" / "Dockerfile").read_text())


def test_what_the_image_copies_is_there_and_reaches_the_build() -> None:
    sources = [
        word
        for name, rest in DOCKERFILE
        if name == "COPY" and "--from" not in rest
        for word in rest.split()[:-1]
    ]
    passed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources and all((ROOT / one).exists() for one in sources)
    assert set(sources) == passed, "all else stays out of the build: homes, keys, caches"


def test_the_image_installs_extras_that_exist_and_runs_a_command_that_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    gateway, full = re.findall(r"\.whl\)\[([a-z,]+)\]", "\n".join(rest for _, rest in DOCKERFILE))
    assert {*gateway.split(","), *full.split(",")} <= set(extras) and "train" in full
    (entry,) = [json.loads(rest) for name, rest in DOCKERFILE if name == "ENTRYPOINT"]
    (command,) = [json.loads(rest) for name, rest in DOCKERFILE if name == "CMD"]
    assert entry == ["deputize"]
    parses(command)
    (exposed,) = [rest for name, rest in DOCKERFILE if name == "EXPOSE"]
    (health,) = [rest for name, rest in DOCKERFILE if name == "HEALTHCHECK"]
    assert command[-1] == exposed and f":{exposed}{HEALTH}" in health
    users = [rest for name, rest in DOCKERFILE if name == "USER"]
    assert users[-1] == "10001:10001", "neither image runs as root"


def test_the_composition_starts_what_exists() -> None:
    folder = DEPLOY / "docker"
    services = yaml.safe_load((folder / "compose.yaml").read_text())["services"]
    gateway = services["gateway"]
    parses([re.sub(r"\$\{.*\}", "http://llm", str(word)) for word in gateway["command"]])
    targets = {rest.split(" AS ")[1] for name, rest in DOCKERFILE if name == "FROM"}
    assert gateway["build"]["target"] in targets and int(gateway["stop_grace_period"].rstrip("s")) >= GRACE_S
    for name, service in services.items():
        assert not service["image"].endswith(":latest"), name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith(".") and not source.endswith(".key"):
                assert (folder / source).exists(), source
    (job,) = yaml.safe_load((folder / "prometheus.yaml").read_text())["scrape_configs"]
    port = gateway["command"][gateway["command"].index("--port") + 1]
    assert job["static_configs"] == [{"targets": [f"gateway:{port}"]}]


@pytest.mark.parametrize("name", ["deputize-gateway.service", "deputize-watch.service"])
def test_the_units_run_commands_that_exist(name: str, tmp_path: Path) -> None:
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "systemd" / name)
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"].replace("${DEPUTIZE_UPSTREAM}", "http://llm"))
    assert program.endswith("/deputize")
    parses(words)
    assert float(service["TimeoutStopSec"]) >= GRACE_S and service["UMask"] == "0077"
    if shutil.which("systemd-analyze"):
        here = tmp_path / name
        text = (DEPLOY / "systemd" / name).read_text()
        here.write_text(text.replace("/opt/deputize/bin/deputize", "/bin/true"))
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True, check=False
        )
        said = [line for line in done.stderr.splitlines() if name in line]
        assert not said, said


def rendered(template: str, values: dict[str, Any]) -> Any:
    """A template of the chart, for the constructs that it uses: values, `required`, `toYaml`, and `if` of a value."""

    def value(path: str) -> Any:
        found: Any = {"Values": values, "Release": {"Name": "one"}}
        for part in path.strip(".").split("."):
            found = found[part]
        return found

    lines, shown = [], [True]
    for line in template.splitlines():
        if condition := re.fullmatch(r"\s*\{\{- if (\S+) \}\}", line):
            shown.append(bool(value(condition[1])))
        elif re.fullmatch(r"\s*\{\{- end \}\}", line):
            shown.pop()
        elif all(shown):
            if block := re.fullmatch(r"\s*\{\{- toYaml (\S+) \| nindent (\d+) \}\}", line):
                dumped = yaml.safe_dump(value(block[1])).splitlines()
                lines += [" " * int(block[2]) + one for one in dumped]
                continue
            line = re.sub(r'\{\{ required "[^"]*" (\S+) \}\}', lambda m: str(value(m[1])), line)
            lines.append(re.sub(r"\{\{ (\.\S+) \}\}", lambda m: str(value(m[1])), line))
    assert shown == [True] and not [line for line in lines if "{{" in line]
    return yaml.safe_load("\n".join(lines))


@pytest.mark.parametrize("secret", ["", "llm-key"])
@pytest.mark.parametrize("store", ["", "store-url"])
def test_the_chart_asks_what_the_gateway_answers(secret: str, store: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.validate(values, schema)
    values["upstream"], values["upstreamKey"]["secretName"] = "http://llm", secret
    values["storeUrl"]["secretName"] = store
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "replicas": 2}, schema)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert chart["appVersion"] == version
    service = rendered((CHART / "templates" / "service.yaml").read_text(), values)
    stateful = rendered((CHART / "templates" / "statefulset.yaml").read_text(), values)
    pod = stateful["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert stateful["spec"]["selector"]["matchLabels"] == service["spec"]["selector"]
    assert stateful["spec"]["replicas"] == 1, "a home has one disk"
    (container,) = pod["spec"]["containers"]
    parses(container["args"])
    named = [one["name"] for one in container["env"]][1:]
    assert named == ["DEPUTIZE_UPSTREAM_KEY"] * bool(secret) + ["DEPUTIZE_STORE_URL"] * bool(store)
    assert ("--api-key-env=DEPUTIZE_UPSTREAM_KEY" in container["args"]) == bool(secret)
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
    assert paths == [HEALTH, READY, HEALTH]
    assert pod["spec"]["terminationGracePeriodSeconds"] >= GRACE_S
    assert (
        pod["spec"]["securityContext"]["runAsNonRoot"]
        and service["spec"]["ports"][0]["port"] == values["port"]
    )


def test_the_job_of_kuberay_runs_a_command_that_exists_with_the_pinned_ray() -> None:
    text = (DEPLOY / "kuberay" / "rayjob.yaml").read_text()
    job = yaml.safe_load(text)["spec"]
    program, option, home, *command = shlex.split(job["entrypoint"])
    assert (program, option) == ("deputize", "--home")
    parses(command)
    cluster = job["rayClusterSpec"]
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
    )
    assert cluster["rayVersion"] == pinned["ray"]
    needs = [f"ray[default]=={pinned['ray']}", "wget"]  # the head's job server, and KubeRay's probes
    assert all(name in text.partition("apiVersion")[0] for name in needs)
    head = cluster["headGroupSpec"]["template"]["spec"]
    mounted = {m["mountPath"]: m["name"] for c in head["containers"] for m in c["volumeMounts"]}
    assert mounted[home] in {volume["name"] for volume in head["volumes"]}


def test_the_autoscaled_hosts_run_a_command_that_exists_and_scale_by_metrics_that_there_are() -> None:
    service, deployment, scaler = yaml.safe_load_all((DEPLOY / "autoscaling" / "hosts.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    (container,), (first,) = pod["containers"], pod["initContainers"]
    parses(container["args"])
    parses(shlex.split(first["command"][-1].rpartition("&& deputize")[2]))
    paths = [container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
    assert paths == [HEALTH, READY, HEALTH] == [host_paths.HEALTH, host_paths.READY, host_paths.HEALTH]
    port = container["ports"][0]["containerPort"]
    assert port == service["spec"]["ports"][0]["port"] and f"--port={port}" in container["args"]
    assert pod["terminationGracePeriodSeconds"] > DRAIN_S
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels == deployment["spec"]["selector"]["matchLabels"]
    mounted = {m["name"] for one in (container, first) for m in one["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    keda = yaml.safe_load((DEPLOY / "autoscaling" / "keda.yaml").read_text())
    for target in (scaler["spec"]["scaleTargetRef"], keda["spec"]["scaleTargetRef"]):
        assert target["name"] == deployment["metadata"]["name"]
    queries = " ".join(trigger["metadata"]["query"] for trigger in keda["spec"]["triggers"])
    named = {scaler["spec"]["metrics"][0]["pods"]["metric"]["name"], *re.findall(r"deputize_\w+", queries)}
    assert len(named) == 4 and named <= set(METRICS)


def engine_template(name: str) -> tuple[EngineSettings, list[Any]]:
    """(the settings of the gateway that stand in its head, its documents)."""
    text = (DEPLOY / "engines" / name).read_text()
    head = [line.removeprefix("#") for line in text.splitlines() if line.startswith("#")]
    settings = head[head.index("   [engine]") :]
    assert "Not tried on a cluster" in text
    return EngineSettings(**tomllib.loads("\n".join(settings))["engine"]), list(yaml.safe_load_all(text))


def options(words: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)


def commands_in(name: str) -> list[list[str]]:
    """The commands of deputize that the head of a template names."""
    head = (DEPLOY / "engines" / name).read_text().partition("apiVersion")[0]
    quoted = re.findall(r"`deputize ([^`]+)`", " ".join(line.lstrip("# ") for line in head.splitlines()))
    return [shlex.split(one) for one in quoted]


@pytest.mark.parametrize("name", ["vllm.yaml", "dynamo.yaml", "kserve.yaml"])
def test_the_heads_of_engine_templates_name_commands_and_forms_that_exist(name: str) -> None:
    for words in commands_in(name):
        command = cli
        while (
            words
            and isinstance(command, click.Group)
            and (sub := command.get_command(click.Context(cli), words[0]))
        ):
            command, words = sub, words[1:]  # type: ignore[assignment]
        assert not isinstance(command, click.Group), words
        if words and words != ["ROUTE"]:
            command.make_context("", words).close()


def test_a_vllm_of_ones_own_serves_exported_adapters_as_the_gateway_asks_it() -> None:
    settings, (service, deployment) = engine_template("vllm.yaml")
    (port,) = service["spec"]["ports"]
    assert settings.base_url == f"http://{service['metadata']['name']}:{port['port']}/v1"
    assert (settings.kind, settings.constraint, settings.model) == ("openai", "pattern", "")
    pod = deployment["spec"]["template"]
    assert (
        service["spec"]["selector"]
        == pod["metadata"]["labels"]
        == deployment["spec"]["selector"]["matchLabels"]
    )
    (container,) = pod["spec"]["containers"]
    given = options(container["args"])
    assert given["port"] == str(port["port"]) == str(container["ports"][0]["containerPort"])
    assert given["max-lora-rank"] == str(MAX_RANK) and "--enable-lora" in container["args"]
    assert given["max-logprobs"] == str(N_LISTED) and given["dtype"] == settings.served_precision
    at = container["args"].index("--lora-modules") + 1
    paths = [word.partition("=")[2] for word in container["args"][at:]]
    assert paths and all(re.fullmatch(rf"/exports/[a-z]+/{ADAPTER_FOLDER}", path) for path in paths)
    key = next(one for one in container["env"] if one["name"] == "VLLM_API_KEY")
    assert key["valueFrom"]["secretKeyRef"] and settings.api_key_env == "VLLM_KEY"
    mounted = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert mounted["exports"] == "/exports" and set(mounted) == {v["name"] for v in pod["spec"]["volumes"]}


def test_dynamo_and_kserve_serve_an_exported_model_under_the_name_that_is_asked_for() -> None:
    settings, (graph,) = engine_template("dynamo.yaml")
    services, name = graph["spec"]["services"], graph["metadata"]["name"]
    assert {one["componentType"] for one in services.values()} == {"frontend", "worker"}
    assert settings.base_url == f"http://{name}-frontend:8000/v1"
    spec = next(one for one in services.values() if one["componentType"] == "worker")["extraPodSpec"]
    given = options(spec["mainContainer"]["args"])
    assert given["served-model-name"] == settings.model and given["dtype"] == settings.served_precision
    (mount,), (volume,) = spec["mainContainer"]["volumeMounts"], spec["volumes"]
    assert (
        mount["name"] == volume["name"] and given["model"] == f"{mount['mountPath']}/refunds/{MODEL_FOLDER}"
    )

    settings, (service,) = engine_template("kserve.yaml")
    model = service["spec"]["predictor"]["model"]
    assert settings.base_url == f"http://{service['metadata']['name']}-predictor/openai/v1"
    assert options(model["args"])["model_name"] == settings.model
    assert model["storageUri"] == f"pvc://deputize-exports/refunds/{MODEL_FOLDER}"
