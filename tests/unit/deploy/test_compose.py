import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from typer.testing import CliRunner

from worker.alert.rules import parse_rules
from worker.cli import build
from worker.notify.config import parse_notify
from worker.score.matching import parse_watchlist
from worker.settings import PREFIX, KafkaSettings, Settings, unknown_variables

DEPLOY = Path(__file__).parents[3] / "deploy"
FILES = [DEPLOY / "compose.yaml", DEPLOY / "compose.gpu.yaml"]
ROLES = ("topics", "score", "alert", "notify")
Service = dict[str, Any]


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    """The services of compose.yaml, anchors resolved."""
    found: dict[str, Service] = yaml.safe_load(FILES[0].read_text())["services"]
    return found


def ports(services: dict[str, Service]) -> Iterator[str]:
    """Every published port as written."""
    for service in services.values():
        yield from service.get("ports", ())


def bind_sources(services: dict[str, Service]) -> Iterator[Path]:
    """What is mounted from the checkout."""
    for service in services.values():
        volumes = [volume for volume in service.get("volumes", ()) if isinstance(volume, dict)]
        yield from ((DEPLOY / volume["source"]).resolve() for volume in volumes if volume["type"] == "bind")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_follow_the_compose_specification(path: Path) -> None:
    """Compose files are valid against the schema of the Compose Specification."""
    checker = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(checker, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_schema_check_notices(tmp_path: Path) -> None:
    """The schema check is one that fails: a misspelt key is an error."""
    wrong = tmp_path / "compose.yaml"
    wrong.write_text("services: {kafka: {imagine: apache/kafka}}")
    checker = [str(Path(sys.executable).with_name("check-jsonschema")), "--builtin-schema", "vendor.compose-spec", str(wrong)]
    assert subprocess.run(checker, capture_output=True, check=False).returncode == 1


def test_gpu_file_adds_to_a_service_that_exists(services: dict[str, Service]) -> None:
    """The overlay names only services of compose.yaml, and brings no image of its own."""
    overlay = yaml.safe_load(FILES[1].read_text())["services"]
    assert overlay.keys() <= services.keys()
    assert all("image" not in service for service in overlay.values())


def test_nothing_listens_beyond_the_host(services: dict[str, Service]) -> None:
    """Every published port is bound to 127.0.0.1."""
    published = list(ports(services))
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert all("network_mode" not in service for service in services.values())


def test_images_are_pinned(services: dict[str, Service]) -> None:
    """Every image has a tag that is a version."""
    images = {re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["image"]) for service in services.values()}
    assert "tidings:local" in images
    assert all(re.search(r":v?\d+\.\d", image) for image in images - {"tidings:local"}), images


def test_kafka_is_the_version_of_the_local_stack(services: dict[str, Service]) -> None:
    """Both ways to run Kafka run the same one."""
    version = re.search(r"<kafka.version>(.+)</kafka.version>", (DEPLOY / "local" / "pom.xml").read_text())
    assert version
    assert services["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_waiting_is_for_something_that_can_come_true(services: dict[str, Service]) -> None:
    """A service that is waited for exists; for `service_healthy` it has a health check, for `completed` it is not restarted."""
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[name]
            else:
                assert services[name]["restart"] == "no"


@pytest.mark.parametrize("role", ROLES)
def test_settings_are_real_ones(
    role: str, services: dict[str, Service], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every TIDINGS_ variable is a setting of the worker with a valid value, and points at a service of the file."""
    monkeypatch.chdir(tmp_path)
    for name, value in services[role]["environment"].items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert unknown_variables() == []
    assert all(name.startswith(PREFIX) for name in services[role]["environment"])
    assert settings.kafka.bootstrap_servers.split(":")[0] in services
    assert urlsplit(settings.redis.url.get_secret_value()).hostname in services
    assert settings.triton.url.split(":")[0] in services


def test_misspelt_section_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above is one that fails."""
    monkeypatch.setenv("TIDINGS_KAFKKA__BOOTSTRAP_SERVERS", "kafka:19092")
    assert unknown_variables()


def test_kafka_is_reached_where_it_listens(services: dict[str, Service]) -> None:
    """The worker's address and the published port are among those that the broker advertises."""
    advertised = {
        address.split("://")[1] for address in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    }
    assert services["score"]["environment"]["TIDINGS_KAFKA__BOOTSTRAP_SERVERS"] in advertised
    assert services["kafka"]["ports"] == ["127.0.0.1:9092:9092"]
    assert "127.0.0.1:9092" in advertised


def test_kafka_takes_what_the_worker_sends(services: dict[str, Service]) -> None:
    """A dead letter as large as the worker's limit fits the broker's."""
    assert int(services["kafka"]["environment"]["KAFKA_MESSAGE_MAX_BYTES"]) == KafkaSettings().message_max_bytes


def test_mounts_are_in_the_checkout_and_read_only(services: dict[str, Service]) -> None:
    """What is mounted exists, or Docker would make an empty folder of that name, and no container may change it."""
    assert [path for path in bind_sources(services) if not path.exists()] == []
    binds = [volume for service in services.values() for volume in service.get("volumes", ()) if isinstance(volume, dict)]
    assert all(volume["read_only"] for volume in binds)


@pytest.mark.parametrize("role", ROLES)
def test_mounts_are_where_the_settings_look(role: str, services: dict[str, Service]) -> None:
    """Every path in the settings is one that is mounted."""
    targets = {volume["target"] for volume in services[role]["volumes"]}
    assert {value for value in services[role]["environment"].values() if value.startswith("/")} == targets


@pytest.mark.parametrize("role", ["score", "alert", "notify"])
def test_a_worker_is_asked_whether_it_is_alive(role: str, services: dict[str, Service]) -> None:
    """By what the image has, where the settings say that it listens; Docker waits for longer than it takes to leave."""
    service = services[role]
    command = service["healthcheck"]["test"]
    assert command[:3] == ["CMD", "python", "-c"]
    compile(command[3], "healthcheck", "exec")
    assert f"http://127.0.0.1:{service['environment']['TIDINGS_OPS__PORT']}/healthz" in command[3]
    assert service["environment"]["TIDINGS_OPS__HOST"] == "0.0.0.0"  # noqa: S104 - in a container, nothing is published
    assert float(service["stop_grace_period"].removesuffix("s")) > Settings().ops.shutdown_timeout_s


def test_example_files_are_valid() -> None:
    """The example files pass the checks that the worker makes when it starts."""
    watchlist = parse_watchlist((DEPLOY / "compose" / "watchlist.yaml").read_text(), "watchlist.yaml")
    assert [entity.name for entity in watchlist.entities] == ["acme", "NASA"]
    assert [topic.name for topic in watchlist.topics] == ["outage"]
    (rule,) = parse_rules((DEPLOY / "compose" / "rules.yaml").read_text()).rules
    assert rule.detector.min_messages == 20
    assert list(parse_notify((DEPLOY / "compose" / "notify.yaml").read_text()).targets) == ["host/webhook/0"]


@pytest.mark.parametrize("role", ROLES)
def test_commands_are_real_ones(role: str, services: dict[str, Service]) -> None:
    """The command line knows each service's command and its options: --help answers only where it does."""
    done = CliRunner().invoke(build(), [*services[role]["command"], "--help"])
    assert done.exit_code == 0, done.output


def test_misspelt_option_would_be_noticed() -> None:
    """The check above is one that fails."""
    assert CliRunner().invoke(build(), ["check", "--create-topic", "--help"]).exit_code == 2


@pytest.mark.parametrize("role", ROLES)
def test_roles_are_confined(role: str, services: dict[str, Service]) -> None:
    """The worker's containers have a read-only file system, no capabilities and no way to gain any."""
    service = services[role]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_prometheus_scrapes_services_that_are_there(services: dict[str, Service]) -> None:
    """By the names and the port that they have in this file."""
    scraped = {
        job["job_name"]: job for job in yaml.safe_load((DEPLOY / "compose" / "prometheus.yaml").read_text())["scrape_configs"]
    }
    (roles,) = scraped["tidings"]["dns_sd_configs"]
    assert set(roles["names"]) == set(ROLES) - {"topics"}
    assert str(roles["port"]) == services["score"]["environment"]["TIDINGS_OPS__PORT"]
    assert scraped["triton"]["static_configs"][0]["targets"][0].split(":")[0] in services
    (grafana,) = yaml.safe_load((DEPLOY / "compose" / "grafana" / "datasources.yaml").read_text())["datasources"]
    assert urlsplit(grafana["url"]).hostname in services
