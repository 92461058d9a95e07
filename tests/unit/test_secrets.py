"""Credentials in configurations: checks report them, and `redact=True` removes their values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import ExperimentResult, ResultStore, load_result, save_result, save_results
from llenergymeasure.domain import secrets
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.domain.failure import FailedRun
from llenergymeasure.domain.secrets import SECRET_KEYS, add_secret_keys, is_secret_key, redacted
from support.results import make_power_trace, make_process, make_result

SECRET = "hf_AbCdEf0123456789"  # noqa: S105 - of nobody
HARMLESS = [
    "pad_token",
    "max_tokens",
    "eos_token_id",
    "tokenizer",
    "token_count",
    "token",
    "key",
    "pwd",
    "auth",
]
CONFIG = {
    "model": "gpt2",
    "env": {"HF_TOKEN": SECRET},
    "servers": [{"Api-Key": SECRET, "pad_token": "<pad>"}],
}
CLEAN = {"model": "gpt2", "env": {"HF_TOKEN": "***"}, "servers": [{"Api-Key": "***", "pad_token": "<pad>"}]}

Save = Callable[[ExperimentResult, Path], Path]


def with_writer(result: ExperimentResult, root: Path) -> Path:
    with ResultStore(root).writer(durable=False, redact=True) as writer:
        return writer.submit(result).result()


def with_submit(result: ExperimentResult, root: Path) -> Path:
    with ResultStore(root).writer(durable=False) as writer:
        return writer.submit(result, redact=True).result()


def with_measuring(result: ExperimentResult, root: Path) -> Path:
    with ResultStore(root).measuring(result.effective_config, durable=False, redact=True) as run:
        run.result = result
    assert isinstance(run.path, Path)
    return run.path


SAVES: dict[str, Save] = {
    "result": lambda result, root: result.save(root, durable=False, redact=True),
    "function": lambda result, root: save_result(result, root, durable=False, redact=True),
    "functions": lambda result, root: save_results([result], root, durable=False, redact=True)[0],
    "store": lambda result, root: ResultStore(root).save(result, durable=False, redact=True),
    "many": lambda result, root: ResultStore(root).save_many([result], durable=False, redact=True)[0],
    "trace": lambda result, root: result.save(
        root, make_power_trace(250.5, 250.5), durable=False, redact=True
    ),
    "writer": with_writer,
    "submit": with_submit,
    "measuring": with_measuring,
}


@pytest.fixture
def no_added_keys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the keys that a test adds."""
    monkeypatch.setattr(secrets, "_added", set())
    yield
    secrets._is_secret.cache_clear()


def result_with_secrets() -> ExperimentResult:
    process = make_process() | {"effective_config": {"password": 1234}}
    return make_result(effective_config=CONFIG, process_results=[process])


@pytest.mark.parametrize(
    "name",
    ["api_key", "hf_token", "password", "authorization", "access_token", "aws_secret_access_key"],
)
def test_is_secret_key_ignores_case_dashes_and_underscores(name: str) -> None:
    assert name in SECRET_KEYS
    camel = "".join(part.capitalize() for part in name.split("_"))
    for form in (name, name.upper(), name.replace("_", "-"), camel, f"engine.{name}"):
        assert is_secret_key(form), form


@pytest.mark.parametrize("name", HARMLESS)
def test_is_secret_key_rejects_names_that_only_contain_one(name: str) -> None:
    assert not is_secret_key(name)
    for key in SECRET_KEYS:
        assert not is_secret_key(f"{key}_path")
        assert not is_secret_key(f"no_{key}")


@pytest.mark.usefixtures("no_added_keys")
def test_add_secret_keys_extends_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    result = make_result(effective_config={"My-Pin": "12", "other_pin": "34"})
    assert result.check() == []
    add_secret_keys("my_pin")
    assert [one.field for one in result.check()] == ["effective_config.My-Pin"]
    monkeypatch.setenv("LLEM_SECRET_KEYS", "a, other-pin")
    assert len(result.check()) == 2
    for wrong, error in (("", ValueError), ("_", ValueError), (3, TypeError)):
        with pytest.raises(error, match="names expects"):
            add_secret_keys(wrong)  # type: ignore[arg-type]


def test_check_and_verify_report_the_place_and_never_the_value(tmp_path: Path) -> None:
    result = result_with_secrets()
    found = result.check()
    places = [
        "effective_config.env.HF_TOKEN",
        "effective_config.servers[0].Api-Key",
        "process_results[0].effective_config.password",
    ]
    assert [one.field for one in found] == places
    assert SECRET not in repr(found)
    assert "1234" not in repr([one[1:] for one in found])
    result.save(tmp_path, durable=False)
    verified = ResultStore(tmp_path).verify(deep=True)
    assert verified.ok
    assert verified.implausible == []
    assert [finding.problem for finding in verified.secrets] == [str(one) for one in found]
    assert str(verified) == "1 complete, 1 with credentials"
    assert ResultStore(tmp_path).verify().secrets == []


@pytest.mark.parametrize("value", [None, "", [], {}, "***", True, False])
def test_check_value_that_is_no_credential_finds_nothing(value: object) -> None:
    result = make_result(effective_config={"password": value, "a": [{"api_key": value}]})
    assert result.check() == []
    assert redacted(result) is result


@pytest.mark.parametrize("save", SAVES.values(), ids=SAVES)
def test_save_redact_replaces_values_in_the_record_only(save: Save, tmp_path: Path) -> None:
    result = result_with_secrets()
    before = result.model_dump_json()
    path = save(result, tmp_path)
    assert result.model_dump_json() == before
    assert SECRET not in path.read_text()
    record = json.loads(path.read_text())
    expected = json.loads(before)
    expected["effective_config"] = CLEAN
    expected["process_results"][0]["effective_config"] = {"password": "***"}
    assert record | {"timeseries": None} == expected
    assert load_result(path, missing_sidecar="ignore").check() == []


def test_save_without_redact_keeps_values_and_load_never_redacts(tmp_path: Path) -> None:
    result = result_with_secrets()
    assert load_result(result.save(tmp_path, durable=False)) == result


def test_save_redact_without_credentials_writes_the_same_bytes(tmp_path: Path) -> None:
    result = make_result()
    paths = [result.save(tmp_path / str(redact), durable=False, redact=redact) for redact in (False, True)]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_save_redact_counts_as_completed(tmp_path: Path) -> None:
    config = {"model": "gpt2", "api_key": SECRET}
    store = ResultStore(tmp_path)
    fields = make_result().model_dump(exclude={"measurement_config_hash", "effective_config"})
    store.save(ExperimentResult(**fields, effective_config=config), durable=False, redact=True)
    assert store.completed() == {compute_measurement_config_hash(config)}
    assert store.missing([config]) == []


def test_copy_from_redact_skips_what_it_has_copied(tmp_path: Path) -> None:
    source, target = ResultStore(tmp_path / "a"), ResultStore(tmp_path / "b")
    source.save_many(
        [result_with_secrets(), make_result(experiment_id="clean")],
        timeseries_sources=[make_power_trace(1.0, 1.0), None],
        durable=False,
    )
    source.save_failure(CONFIG, RuntimeError(SECRET), durable=False)
    assert len(target.copy_from(source, durable=False, redact=True).copied) == 3
    assert not any(SECRET in path.read_text() for path in target.root.rglob("*.json"))
    again = target.copy_from(source, durable=False, redact=True)
    assert (len(again.copied), len(again.skipped)) == (0, 3)
    assert len(list(target.root.rglob("timeseries.parquet"))) == 1


def test_save_failure_redact_replaces_values_also_in_its_texts(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    config = {"api_key": SECRET, "password": "12"}
    error = RuntimeError(f"401 for {SECRET}, 12 times")
    store.save_failure(config, error, output=f"key={SECRET}", durable=False, redact=True)
    ((path, run),) = store.failures()
    assert SECRET not in path.read_text()
    assert run.effective_config == {"api_key": "***", "password": "***"}
    assert (run.message, run.output) == ("401 for ***, 12 times", "key=***")
    assert run.measurement_config_hash == compute_measurement_config_hash(config)
    with pytest.raises(RuntimeError), store.measuring(config, durable=False, redact=True):
        raise error
    assert all(SECRET not in path.read_text() for path, _ in store.failures())
    assert store.missing([config], repeats=2) == []
    assert store.verify(deep=True).secrets == []
    store.save_failure(config, error, durable=False)
    assert [one.problem.split()[0] for one in store.verify(deep=True).secrets] == [
        "effective_config.api_key",
        "effective_config.password",
    ]


def test_save_redact_refuses_what_a_save_refuses(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with pytest.raises(TypeError, match="expected an ExperimentResult"):
        store.save({"api_key": SECRET}, redact=True)  # type: ignore[arg-type]
    fields = make_result().__dict__
    with pytest.raises(ValueError, match="process_results"):
        store.save(ExperimentResult.model_construct(**(fields | {"process_results": [{}]})), redact=True)
    assert not list(tmp_path.iterdir())
    config = {"model": "gpt2", "servers": ({"api_key": SECRET},)}
    path = store.save(
        ExperimentResult.model_construct(**(fields | {"effective_config": config})), redact=True
    )
    assert json.loads(path.read_text())["effective_config"]["servers"] == [{"api_key": "***"}]


KEYS = st.sampled_from([*sorted(SECRET_KEYS), *HARMLESS, "API-KEY", "model"]) | st.text(max_size=3)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES | st.sampled_from(["***", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
CONFIGS = st.dictionaries(KEYS, VALUES, max_size=5)
NO_CREDENTIALS = ("null", "true", "false", '""', "[]", "{}", '"***"')


def assert_only_credentials_differ(before: Any, after: Any) -> int:
    """Compare two JSON values, and return the number of credentials."""
    if isinstance(before, dict):
        assert list(before) == list(after)
        count = 0
        for key, value in before.items():
            if is_secret_key(key) and json.dumps(value) not in NO_CREDENTIALS:
                assert after[key] == "***"
                count += 1
            else:
                count += assert_only_credentials_differ(value, after[key])
        return count
    if isinstance(before, list):
        assert len(before) == len(after)
        return sum(map(assert_only_credentials_differ, before, after))
    assert (type(before), before) == (type(after), after)
    return 0


@given(config=CONFIGS, of_process=CONFIGS)
def test_redacted_changes_exactly_the_credentials(config: dict[str, Any], of_process: dict[str, Any]) -> None:
    fields = make_result().model_dump(exclude={"measurement_config_hash", "effective_config", "backend"})
    process = make_process() | {"effective_config": of_process, "backend": "b"}
    processes = {"process_results": [process], "effective_config": config, "backend": "b"}
    result = ExperimentResult(**(fields | processes))
    before = result.model_dump_json()
    clean = redacted(result)
    assert result.model_dump_json() == before
    assert clean.measurement_config_hash == compute_measurement_config_hash(result.effective_config)
    count = assert_only_credentials_differ(result.effective_config, clean.effective_config)
    count += assert_only_credentials_differ(
        result.process_results[0].effective_config, clean.process_results[0].effective_config
    )
    assert len(secrets.secret_places(result)) == count
    assert secrets.secret_places(clean) == []
    others = {"effective_config", "process_results"}
    assert clean.model_dump(exclude=others) == result.model_dump(exclude=others)


def test_redacted_failure_without_credentials_is_the_same() -> None:
    run = FailedRun.of({"model": "gpt2"}, RuntimeError("no"))
    assert secrets.redacted_failure(run) is run
