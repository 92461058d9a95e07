"""Values of a configuration, accepted by protocol; their hash; and the fields that follow from them."""

from __future__ import annotations

import argparse
import json
import math
import pickle
import warnings
from collections import ChainMap, OrderedDict, UserDict, UserList, UserString, deque, namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError

from llenergymeasure import ExperimentResult, load_result
from llenergymeasure.domain._json import to_json_value
from llenergymeasure.domain.experiment import RawProcessResult, compute_measurement_config_hash
from support import previous_json
from support.optional import load, needs
from support.results import make_process, make_record, make_result

pytestmark = pytest.mark.published

omegaconf = load("omegaconf")


class Settings(Mapping[str, Any]):
    """A mapping that is not a dict."""

    def __init__(self, **settings: Any) -> None:
        self._settings = settings

    def __getitem__(self, key: str) -> Any:
        return self._settings[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)


class Batches(Sequence[int]):
    """A sequence that is not a list."""

    def __getitem__(self, index: Any) -> Any:
        return [1, 2, 4][index]

    def __len__(self) -> int:
        return 3


class Row:
    """A row of a database, which has keys and items but is not a mapping."""

    def keys(self) -> list[str]:
        return ["a", "b"]

    def __getitem__(self, key: str) -> int:
        return {"a": 1, "b": 2}[key]


@dataclass
class Decoder:
    top_k: Any = 50
    stop: tuple[str, ...] = ("\n",)
    seeds: Any = field(default_factory=lambda: np.array([1, 2]))


class Sampling(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    top_p: Any = np.float32(0.5)
    decoder: Decoder = field(default_factory=Decoder)


class Level(Enum):
    ONE = 1


Pair = namedtuple("Pair", "keys values")  # noqa: PYI024 - its fields have the names of methods


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (Settings(a=Settings(b=np.int8(1))), {"a": {"b": 1}}),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
        (UserDict({"a": UserList([1, UserString("x")])}), {"a": [1, "x"]}),
        (Row(), {"a": 1, "b": 2}),
        (Batches(), [1, 2, 4]),
        (range(3), [0, 1, 2]),
        (deque([np.int64(1), range(2)]), [1, [0, 1]]),
        ({"b": 1, "a": 2}.keys(), ["a", "b"]),
        ({"b": 1, "a": 2}.values(), [1, 2]),
        (Pair(1, 2), [1, 2]),
        (Decoder(), {"top_k": 50, "stop": ["\n"], "seeds": [1, 2]}),
        (Decoder({np.float32(0.5): range(1)}), {"top_k": {"0.5": [0]}, "stop": ["\n"], "seeds": [1, 2]}),
        (Sampling(), {"top_p": 0.5, "decoder": {"top_k": 50, "stop": ["\n"], "seeds": [1, 2]}}),
        (
            argparse.Namespace(lr=np.float64(0.5), nested=SimpleNamespace(a=1)),
            {"lr": 0.5, "nested": {"a": 1}},
        ),
        ([np.float16(0.5), np.bool_(1), np.uint64(2**63), np.str_("x")], [0.5, True, 2**63, "x"]),
        (np.array([Path("x"), Level.ONE], dtype=object), ["x", 1]),
        (np.array(7), 7),
        (np.ma.masked_array([1, 2], [False, True]), [1, None]),
    ],
)
def test_validate_config_accepts_value_by_protocol(value: Any, normal: Any, tmp_path: Path) -> None:
    result = make_result(effective_config={"value": value})
    assert result.effective_config == {"value": normal}
    assert json.dumps(result.effective_config) == json.dumps({"value": normal})
    assert compute_measurement_config_hash({"value": value}) == compute_measurement_config_hash(
        {"value": normal}
    )
    assert load_result(result.save(tmp_path)) == result


@pytest.mark.parametrize(
    ("key", "written"),
    [
        (0.5, "0.5"),
        (1e16, "1e+16"),
        (1e-7, "1e-07"),
        (-0.0, "-0.0"),
        (math.inf, "Infinity"),
        (np.float32(0.1), "0.10000000149011612"),
        (np.float16(0.5), "0.5"),
        (np.int8(-3), "-3"),
        (np.uint64(2**63), str(2**63)),
        (np.bool_(1), "true"),
        (np.str_("x"), "x"),
        (np.datetime64("2026-01-01"), "2026-01-01"),
        (False, "false"),
        (None, "null"),
        (date(2026, 1, 1), "2026-01-01"),
        (Decimal("1.50"), "1.50"),
        (Level.ONE, "1"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_validate_config_key_is_written_as_json_writes_it(key: Any, written: str) -> None:
    assert make_result(effective_config={"of": {key: 1}}).effective_config == {"of": {written: 1}}
    if isinstance(key, (float, bool, type(None))):
        assert json.dumps({key: 1}) == json.dumps({written: 1})


class Broken(Settings):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError(f"no value of {key}\nand more")


def _circle() -> UserList[Any]:
    circle: UserList[Any] = UserList()
    circle.append({"again": circle})
    return circle


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Broken(a=1), "value is a Broken that cannot be read: no value of a$"),
        ([{"x": bytearray(b"\xff")}], r"value\[0\].x is a bytearray, which JSON cannot represent"),
        (Decoder(object()), "value.top_k is a object, which JSON cannot represent"),
        (Level, "value is a EnumType|value is a EnumMeta"),
        ({1.0: 1, "1.0": 2}, "the key '1.0' twice"),
        ({True: 1, "true": 2}, "the key 'true' twice"),
        ({None: 1, "null": 2}, "the key 'null' twice"),
        ({np.float32(0.5): 1, "0.5": 2}, "the key '0.5' twice"),
        ({object(): 1}, "value has a key of type object"),
        ({frozenset({1}): 1}, "value has a key of type frozenset"),
        (
            _circle(),
            r"^value\[0\].again\[0\].{1,120} is nested more than 128 levels deep, or contains itself$",
        ),
    ],
)
def test_validate_config_rejects_value_with_a_clear_error(value: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make_result(effective_config={"value": value})
    (error,) = caught.value.errors()
    assert error["loc"] == ("effective_config",)
    import re

    assert re.search(reason, error["msg"].removeprefix("Value error, ")), error["msg"]
    with pytest.raises(ValueError, match=reason.removeprefix("^")):
        compute_measurement_config_hash({"value": value})


@needs("omegaconf")
def test_validate_config_of_omegaconf_resolves_interpolations() -> None:
    config = omegaconf.OmegaConf.create(
        {"model": "m", "batch": [1, {"size": "${model}"}], "none": None, "by": {1: "a", 0.5: "b"}}
    )
    normal = {
        "model": "m",
        "batch": [1, {"size": "m"}],
        "none": None,
        "by": {"1": "a", "0.5": "b"},
    }
    assert make_result(effective_config=config).effective_config == normal
    assert make_result(effective_config={"all": config}).effective_config == {"all": normal}
    assert compute_measurement_config_hash(config) == compute_measurement_config_hash(normal)
    for text, reason in (
        ("???", "Missing mandatory value: of"),
        ("${no}", "Interpolation key 'no' not found"),
    ):
        with pytest.raises(ValidationError, match=f"is a DictConfig that cannot be read: {reason}"):
            make_result(effective_config=omegaconf.OmegaConf.create({"of": text}))


@pytest.mark.parametrize(
    "config",
    [
        {"top_k": 50, "stop": ["\n"], "seeds": [1, 2]},
        Decoder(),
        argparse.Namespace(seeds=np.array([1, 2]), top_k=50, stop=("\n",)),
        OrderedDict(stop=["\n"], top_k=50, seeds=(1, 2)),
        Settings(top_k=50, stop=["\n"], seeds=range(1, 3)),
    ],
)
def test_construct_result_from_any_configuration_gives_one_hash(config: Any) -> None:
    result = make_result(effective_config=config)
    assert result.effective_config == {"top_k": 50, "stop": ["\n"], "seeds": [1, 2]}
    assert compute_measurement_config_hash(config) == compute_measurement_config_hash(result.effective_config)


class Mode(str, Enum):
    EAGER = "eager"


class Rate(float):
    pass


_plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary(max_size=4)
    | st.datetimes(timezones=st.none() | st.just(timezone.utc))
    | st.timedeltas()
    | st.dates()
    | st.decimals()
    | st.uuids()
    | st.fractions()
    | st.complex_numbers(allow_nan=False)
    | st.sampled_from([Mode.EAGER, Level.ONE, Rate(0.5), PurePosixPath("a/b"), object(), Level])
    | st.integers(-128, 127).map(np.int8)
    | st.floats(width=32).map(np.float32)
    | st.lists(st.floats(width=16), max_size=3).map(lambda items: np.array(items, dtype=np.float16))
    | st.just(np.datetime64("2026-01-01T00:00:01", "ns"))
    | st.just(np.timedelta64(1, "s"))
)
_keys = (
    st.text(max_size=3)
    | st.integers()
    | st.booleans()
    | st.floats()
    | st.sampled_from([Mode.EAGER, Level.ONE, PurePosixPath("a"), None, (1, 2)])
)


def _compound(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = st.lists(inner, max_size=3)
    return (
        lists
        | lists.map(tuple)
        | lists.map(deque)
        | lists.map(lambda items: Pair(items, items))
        | st.sets(st.integers() | st.text(max_size=2), max_size=3)
        | st.dictionaries(_keys, inner, max_size=3)
        | st.dictionaries(_keys, inner, max_size=3).map(MappingProxyType)
        | inner.map(lambda item: Decoder(item, seeds=()))
        | inner.map(lambda item: Sampling(top_p=item, decoder=Decoder(seeds=[item])))
    )


@given(value=st.recursive(_plain, _compound, max_leaves=8))
def test_normalise_value_that_was_accepted_before_gives_the_same_json(value: Any) -> None:
    try:
        before = previous_json.to_json_value(value)
    except Exception:  # noqa: BLE001 - anything: the value was not accepted
        return
    assert json.dumps(to_json_value(value), sort_keys=True) == json.dumps(before, sort_keys=True)


def test_hash_real_configurations_is_the_hash_of_their_records(data: Path) -> None:
    lines = (data / "mlenergy_llm_results.jsonl").read_text().splitlines()
    files = [data / "gpt2_a100_result.json", *sorted((data / "mlperf").glob("*.json"))]
    records = [json.loads(text) for text in (*lines, *(file.read_text() for file in files))]
    assert len(records) == 572
    for record in records:
        assert (
            compute_measurement_config_hash(record["effective_config"]) == record["measurement_config_hash"]
        )


def _construct(**fields: Any) -> ExperimentResult:
    given = make_result().model_dump(exclude={"measurement_config_hash", "backend", "effective_config"})
    return ExperimentResult(**(given | fields))


def test_construct_without_hash_takes_that_of_the_configuration() -> None:
    config = {"model": "m", "batch": (1, np.int64(2))}
    digest = compute_measurement_config_hash({"batch": [1, 2], "model": "m"})
    assert _construct(effective_config=config).measurement_config_hash == digest
    assert ExperimentResult.model_validate(dict(_construct(effective_config=config))) == _construct(
        effective_config=config
    )
    assert _construct().measurement_config_hash == compute_measurement_config_hash({})
    kept = _construct(effective_config=config, measurement_config_hash="anything")
    assert kept.measurement_config_hash == "anything"
    with pytest.raises(ValidationError) as caught:
        _construct(effective_config={"value": object()})
    assert [error["loc"] for error in caught.value.errors()] == [("effective_config",)]


def test_load_file_without_hash_stays_invalid(tmp_path: Path) -> None:
    record = make_record()
    del record["measurement_config_hash"]
    file = tmp_path / "result.json"
    file.write_text(json.dumps(record))
    with pytest.raises(ValidationError, match=r"measurement_config_hash\n  Field required"):
        ExperimentResult.from_json(file)
    with pytest.raises(ValidationError, match="Field required"):
        ExperimentResult.model_validate_json(file.read_text())
    assert "measurement_config_hash" in ExperimentResult.model_json_schema()["required"]


@pytest.mark.parametrize(
    "construct", [_construct, lambda **fields: RawProcessResult(**make_process(), **fields)]
)
def test_construct_takes_the_backend_of_the_configuration(construct: Callable[..., Any]) -> None:
    assert construct(effective_config={"backend": "vllm"}).backend == "vllm"
    assert construct(effective_config=SimpleNamespace(backend=Mode.EAGER)).backend == "eager"
    for config in ({}, {"backend": None}, {"backend": ""}):
        assert construct(effective_config=config).backend == "pytorch"
        assert construct(effective_config=config, backend="x").backend == "x"
    assert construct(effective_config={"backend": "vllm"}, backend="vllm").backend == "vllm"
    assert construct(effective_config={"backend": "eager"}, backend=Mode.EAGER).backend == "eager"
    assert construct(effective_config={"backend": {"name": "x"}}, backend="vllm").backend == "vllm"


def test_construct_nested_process_takes_the_backend_of_its_configuration() -> None:
    result = _construct(process_results=[make_process() | {"effective_config": {"backend": "vllm"}}])
    assert result.process_results[0].backend == "vllm"


def test_construct_with_two_backends_keeps_the_explicit_one_and_warns() -> None:
    config = {"model": "m", "backend": "vllm"}
    said = r"backend='sglang' and effective_config\[\"backend\"\]='vllm'; the result has 'sglang'"
    with pytest.warns(UserWarning, match=said) as caught:
        result = _construct(effective_config=config, backend="sglang")
    assert result.backend == "sglang"
    assert result.effective_config == config
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match=r"to be a string, got \['vllm'\]; pass backend="):
        assert _construct(effective_config={"backend": ["vllm"]}).backend == "pytorch"


def test_load_file_keeps_its_backend_silently(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="expected one backend"):
        result = _construct(effective_config={"backend": "vllm"}, backend="sglang")
    record = make_record(effective_config={"backend": "vllm"})
    file = tmp_path / "result.json"
    file.write_text(json.dumps(record))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = result.save(tmp_path, durable=False)
        assert path.parent.name.startswith("unknown_sglang_")
        assert load_result(path) == result
        assert ExperimentResult.model_validate_json(path.read_bytes()) == result
        assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 - its own bytes
        assert result.model_copy(update={"experiment_id": "y"}).backend == "sglang"
        assert ExperimentResult.model_validate(result) is result
        assert load_result(file).backend == "pytorch"
        assert timedelta(0) == load_result(file).start_time - result.start_time


def test_validate_config_with_an_iterator_is_refused() -> None:
    said = r"stop.of is a \w+, which can be read only once; make it a list"
    for value in ((item for item in "ab"), iter([1]), map(str, [1]), zip([1], [2], strict=True)):
        config = {"model": "m", "stop": {"of": value}}
        with pytest.raises(ValueError, match=said):
            compute_measurement_config_hash(config)
        with pytest.raises(ValueError, match=said):
            make_result(effective_config=config)
    assert make_result(effective_config={"bytes": memoryview(b"x")}).effective_config == {"bytes": "x"}
