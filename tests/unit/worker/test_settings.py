import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from worker.app import load_settings
from worker.errors import SettingsError
from worker.settings import KafkaSettings, Settings, config_file, process_id

SECRET = "hunter2-hunter2"  # noqa: S105 - no secret but what must never be shown
URL = f"redis://user:{SECRET}@127.0.0.1:6379/0"
VARIABLE = "TIDINGS_KAFKA__BOOTSTRAP_SERVERS"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Sets variables and returns what loading says of them."""

    def load(**variables: str) -> str:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError) as wrong:
            load_settings()
        return str(wrong.value)

    return load


def write(path: str, text: str) -> None:
    """Write a file below the working folder."""
    Path(path).parent.mkdir(exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def test_defaults_are_for_one_machine() -> None:
    """With nothing set, everything is on the loopback interface, and no file is needed."""
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.triton.url == "127.0.0.1:8001"
    assert settings.redis.url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.kafka.input_topics == {"news": "news", "chat": "chat"}


SOURCES: list[tuple[str, Callable[[pytest.MonkeyPatch], None]]] = [
    ("yaml:1", lambda _: write("tidings.yaml", "kafka: {bootstrap_servers: 'yaml:1'}")),
    ("stack:1", lambda _: write(".tidings/stack.env", f"{VARIABLE}=stack:1\n")),
    ("dotenv:1", lambda _: write(".env", f"{VARIABLE}=dotenv:1\n")),
    ("environment:1", lambda patch: patch.setenv(VARIABLE, "environment:1")),
]


@pytest.mark.parametrize("highest", range(len(SOURCES)))
def test_precedence(highest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment wins over .env, that over the running stack, that over the YAML file."""
    for _, write_source in SOURCES[: highest + 1]:
        write_source(monkeypatch)
    assert load_settings().kafka.bootstrap_servers == SOURCES[highest][0]


def test_sources_are_merged_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable for one field leaves the section's other fields to the sources below."""
    write("tidings.yaml", "kafka: {group_prefix: yaml, partitions: 3}\nscore: {deadline_ms: 20}")
    monkeypatch.setenv("TIDINGS_KAFKA__PARTITIONS", "9")
    settings = load_settings()
    assert (settings.kafka.group_prefix, settings.kafka.partitions, settings.score.deadline_ms) == ("yaml", 9, 20)


def test_another_yaml_file_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """TIDINGS_CONFIG takes the place of tidings.yaml."""
    write("tidings.yaml", "kafka: {group_prefix: usual}")
    write("other.yaml", "kafka: {group_prefix: other}")
    monkeypatch.setenv("TIDINGS_CONFIG", "other.yaml")
    assert config_file() == Path("other.yaml")
    assert load_settings().kafka.group_prefix == "other"


def test_mappings_and_sections_can_be_set_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Input topics, or a whole section, in one variable."""
    monkeypatch.setenv("TIDINGS_KAFKA__INPUT_TOPICS", '{"tweets": "chat"}')
    monkeypatch.setenv("TIDINGS_LOG", '{"level": "debug"}')
    settings = load_settings()
    assert settings.kafka.input_topics == {"tweets": "chat"}
    assert settings.log.level == "debug"


@pytest.mark.parametrize(
    ("variable", "value", "path", "expected"),
    [
        ("KAFKA__PARTITIONS", "many", "kafka.partitions", "valid integer"),
        ("KAFKA__PARTITIONS", "0", "kafka.partitions", "greater than 0"),
        ("KAFKA__PARTITIONS", "1.5", "kafka.partitions", "valid integer"),
        ("KAFKA__GROUP_PROTOCOL", "quantum", "kafka.group_protocol", "'classic' or 'consumer'"),
        ("KAFKA__SESSION_TIMEOUT_S", "inf", "kafka.session_timeout_s", "less than or equal"),
        ("KAFKA__SESSION_TIMEOUT_S", "nan", "kafka.session_timeout_s", "less than or equal"),
        ("KAFKA__SESSION_TIMEOUT_S", "-1", "kafka.session_timeout_s", "greater than 0"),
        ("KAFKA__INPUT_TOPICS", '{"tweets": "video"}', "kafka.input_topics.tweets", "'news' or 'chat'"),
        ("KAFKA__INPUT_TOPICS", "{}", "kafka.input_topics", "at least 1 item"),
        ("KAFKA", "5", "kafka", "valid dictionary"),
        ("ALERT__ALLOWED_LATENESS_S", "-0.1", "alert.allowed_lateness_s", "greater than or equal to 0"),
        ("MODEL__BACKEND", "torch", "model.backend", "'triton' or 'onnx'"),
        ("TRITON__TLS", "perhaps", "triton.tls", "valid boolean"),
        ("OPS__PORT", "65536", "ops.port", "less than or equal to 65535"),
        ("OPS__PORT", "http", "ops.port", "valid integer"),
        ("OPS__SHUTDOWN_TIMEOUT_S", "0", "ops.shutdown_timeout_s", "greater than 0"),
        ("LOG__LEVEL", "loud", "log.level", "'debug', 'info'"),
    ],
)
def test_a_wrong_setting_is_named(refused: Callable[..., str], variable: str, value: str, path: str, expected: str) -> None:
    """The message has the path, a variable that sets it and what was expected."""
    said = refused(**{f"TIDINGS_{variable}": value})
    assert f"{path} (TIDINGS_" in said
    assert f"(TIDINGS_{path.upper().replace('.', '__')})" in said
    assert expected in said


@pytest.mark.parametrize(("written", "port"), [("off", None), ("null", None), ("0", 0), ("8080", 8080)])
def test_the_port_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, written: str, port: int | None) -> None:
    """In the environment and in YAML, where a bare `off` is false."""
    write("tidings.yaml", f"ops: {{port: {written}}}")
    assert load_settings().ops.port == port
    write("tidings.yaml", "")
    monkeypatch.setenv("TIDINGS_OPS__PORT", written)
    assert load_settings().ops.port == port


def test_nothing_listens_beyond_this_machine_unless_told_to() -> None:
    """Health and metrics are for whoever asks from here; and the time to leave is shorter than Kubernetes' 30 s."""
    ops = load_settings().ops
    assert (ops.host, ops.port) == ("127.0.0.1", 9464)
    assert "port" not in ops.model_fields_set
    assert ops.shutdown_timeout_s < 30


def test_all_wrong_settings_are_named_at_once(refused: Callable[..., str]) -> None:
    """Nobody wants to be told of one mistake at a time."""
    said = refused(TIDINGS_KAFKA__PARTITIONS="x", TIDINGS_LOG__LEVEL="x", TIDINGS_SCOER__DEADLINE_MS="1").splitlines()
    assert len(said) == 1 + 3


@pytest.mark.parametrize(
    ("variable", "suggestion"),
    [
        ("TIDINGS_KAKFA__BOOTSTRAP_SERVERS", "did you mean KAFKA?"),
        ("TIDINGS_KAFKA__BOOTSTRAP_SERVER", "did you mean bootstrap_servers?"),
        ("TIDINGS_KAFKA_BOOTSTRAP_SERVERS", f"did you mean {VARIABLE}?"),
        ("TIDINGS_SCORE__DEADLINE", "did you mean deadline_ms?"),
        ("TIDINGS_CONFG", "no such setting"),
        ("TIDINGS_XYZZY", "no such setting"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_likely_one(
    refused: Callable[..., str], variable: str, suggestion: str
) -> None:
    """A setting that would silently not count is an error; the message names what was likely meant."""
    said = refused(**{variable: "x"})
    assert variable in said
    assert suggestion in said


def test_what_a_crashed_stack_left_behind_is_not_believed() -> None:
    """Its ports are nobody's, or somebody else's; the supervisor of a stack that is up holds the lock."""
    write(".tidings/stack.env", f"{VARIABLE}=stack:1\n")
    write(".tidings/stack.lock", "1")
    with Path(".tidings/stack.lock").open("a") as supervisor:
        fcntl.flock(supervisor, fcntl.LOCK_EX)
        assert load_settings().kafka.bootstrap_servers == "stack:1"
    assert load_settings().kafka.bootstrap_servers == KafkaSettings().bootstrap_servers


@pytest.mark.parametrize("path", [".env", ".tidings/stack.env"])
def test_a_misspelt_variable_in_a_file_is_refused_too(refused: Callable[..., str], path: str) -> None:
    """What stands in for the environment is held to the same."""
    write(path, "TIDINGS_KAKFA__BOOTSTRAP_SERVERS=x:1\nUNRELATED=1\n")
    assert "TIDINGS_KAKFA__BOOTSTRAP_SERVERS: no such setting; did you mean KAFKA?" in refused()


@pytest.mark.parametrize(
    "variable", ["TIDINGS_CACHE_DIR", "TIDINGS_DATA_DIR", "TIDINGS_RUN_DIR", "TIDINGS_TEST_X", "TIDINGS_LOCAL_KAFKA"]
)
def test_variables_of_other_parts_are_let_be(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The local stack and the tests have variables of their own."""
    monkeypatch.setenv(variable, "x")
    load_settings()


SECTIONS = "delivery, kafka, redis, model, triton, score, shadow, alert, notify, ops, tracing, log"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("kafak: {partitions: 1}", "tidings.yaml: kafak: no such section; did you mean kafka?"),
        ("kafka: {partition: 1}", "kafka.partition (TIDINGS_KAFKA__PARTITION): Extra inputs are not permitted; did you mean"),
        ("kafka: {partitions: many}", "kafka.partitions (TIDINGS_KAFKA__PARTITIONS)"),
        ("kafka: 5", "kafka (TIDINGS_KAFKA): Input should be a valid dictionary"),
        (
            "- kafka",
            f"tidings.yaml: expected sections ({SECTIONS}), got list",
        ),
        (
            "5",
            f"tidings.yaml: expected sections ({SECTIONS}), got int",
        ),
        ("kafka: [", "tidings.yaml cannot be read"),
        ("kafka: !!python/object:os.system {}", "tidings.yaml cannot be read"),
    ],
)
def test_a_wrong_yaml_file_is_named(refused: Callable[..., str], content: str, expected: str) -> None:
    """Broken YAML, another shape, an unknown section or field: file and place, no traceback."""
    write("tidings.yaml", content)
    assert expected in refused()


def test_an_empty_yaml_file_is_none() -> None:
    """Everything commented out is as good as no file."""
    write("tidings.yaml", "# kafka:\n")
    assert load_settings() == Settings()


@pytest.mark.parametrize("value", ["missing.yaml", "."])
def test_a_named_file_must_be_one(refused: Callable[..., str], value: str) -> None:
    """Who sets TIDINGS_CONFIG means that file; a default would hide a mistyped name."""
    assert value in refused(TIDINGS_CONFIG=value)


def test_a_yaml_file_that_is_no_text_is_named(refused: Callable[..., str]) -> None:
    """Bytes that are not UTF-8 are an error message."""
    Path("tidings.yaml").write_bytes(b"\xff\xfe\x00")
    assert "tidings.yaml cannot be read" in refused()


@pytest.mark.parametrize("variable", ["TIDINGS_KAFKA", "TIDINGS_KAFKA__INPUT_TOPICS", "TIDINGS_KAFKA__TOPICS"])
def test_a_variable_that_should_hold_json_is_named(refused: Callable[..., str], variable: str) -> None:
    """Sections and mappings are JSON in the environment, and the message says which variable is not."""
    assert f"{variable}: expected a JSON object" in refused(**{variable: "news"})


def with_secrets(monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a secret in every field for one."""
    monkeypatch.setenv("TIDINGS_REDIS__URL", URL)
    kafka = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": "me", "sasl_password": SECRET}
    monkeypatch.setenv("TIDINGS_KAFKA", json.dumps(kafka))
    return load_settings()


@pytest.mark.parametrize("show", [repr, str, Settings.model_dump_json, lambda s: repr(s.model_dump()), lambda s: repr(s.redis)])
def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch, show: Callable[[Settings], str]) -> None:
    """Settings can be printed and logged; passwords are starred out, those within URLs too."""
    settings = with_secrets(monkeypatch)
    assert SECRET not in show(settings)
    assert settings.redis.url.get_secret_value() == URL


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TIDINGS_KAFKA", json.dumps({"sasl_password": {"value": SECRET}})),
        ("TIDINGS_KAFKA", json.dumps({"sasl_password": SECRET, "bogus": SECRET})),
        ("TIDINGS_KAFKA", '{"sasl_password": "' + SECRET),
        ("TIDINGS_KAFKA", json.dumps([SECRET])),
        ("TIDINGS_REDIS__PASSWROD", SECRET),
        ("TIDINGS_REDSI__URL", URL),
    ],
)
def test_secrets_are_not_in_error_messages(refused: Callable[..., str], variable: str, value: str) -> None:
    """A setting may be refused, but its value is not repeated."""
    assert SECRET not in refused(**{variable: value})


@pytest.mark.parametrize(
    "content",
    [
        f"redis: {{passwrod: {SECRET}}}",
        f"redis: {{url: {SECRET}",
        f"{SECRET}",
        f"redis:\n\t- {SECRET}",
        f"a: *{SECRET}",
        f"a: !{SECRET} b",
    ],
)
def test_secrets_are_not_quoted_from_the_yaml_file(refused: Callable[..., str], content: str) -> None:
    """Not even by the parser of a broken file."""
    write("tidings.yaml", content)
    assert SECRET not in refused()


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_delivery_is_a_choice(delivery: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the environment or the file; without one, exactly once."""
    assert load_settings().delivery == "exactly_once"
    write("tidings.yaml", f"delivery: {delivery}")
    assert load_settings().delivery == delivery
    write("tidings.yaml", "{}")
    monkeypatch.setenv("TIDINGS_DELIVERY", delivery)
    assert load_settings().delivery == delivery


def test_there_is_no_third_delivery(refused: Callable[..., str]) -> None:
    """The message says which there are."""
    assert "delivery (TIDINGS_DELIVERY): Input should be 'exactly_once' or 'at_least_once'" in refused(
        TIDINGS_DELIVERY="at_most_once"
    )


def test_settings_do_not_change() -> None:
    """What was read at start holds until the end."""
    settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.partitions = 5
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka = settings.kafka


def test_the_process_has_a_name_of_its_own() -> None:
    """Transactional ids tell processes apart by it."""
    assert process_id().endswith(f"-{os.getpid()}")


def test_kinds_of_personal_data_are_a_json_list(monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]) -> None:
    """Some, none, or a word that says what was expected instead of a traceback."""
    for value, kinds in (('["email", "card"]', {"email", "card"}), ("[]", set())):
        monkeypatch.setenv("TIDINGS_SCORE__REDACT", value)
        assert load_settings().score.redact == kinds
    assert "TIDINGS_SCORE__REDACT: expected a JSON list" in refused(TIDINGS_SCORE__REDACT="email")
    assert "'email', 'phone', 'card' or 'handle'" in refused(TIDINGS_SCORE__REDACT='["mail"]')
    assert "score.phone_regions" in refused(TIDINGS_SCORE__PHONE_REGIONS='["uk"]')
