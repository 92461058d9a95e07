"""vLLM: `vllm bench serve`, one record and JSON Lines."""

from __future__ import annotations

import json
import math
import tracemalloc
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure import importers
from llenergymeasure.domain.experiment import compute_measurement_config_hash
from llenergymeasure.importers import Built
from support.foreign import EXAMPLES, import_file, import_one, real_file


def test_read_vllm_record_has_the_numbers_of_the_file() -> None:
    result = import_one("vllm_bench_serve.json").result
    assert result.total_tokens == 6560  # 4000 + 2560
    assert result.total_inference_time_sec == 12.625
    assert result.avg_tokens_per_second == 519.6039603960396  # as the file states it
    # The clock was read at the end: 04:18:43 less 12.625 s.
    assert result.end_time == datetime(2026, 7, 22, 4, 18, 43)  # noqa: DTZ001 - the file has no zone
    assert result.start_time == datetime(2026, 7, 22, 4, 18, 30, 375_000)  # noqa: DTZ001
    assert result.backend == "openai"
    assert result.latency_stats is not None
    assert result.latency_stats.ttft_mean_ms == 95.6344293046277
    assert result.latency_stats.ttft_samples == 20
    assert math.isnan(result.latency_stats.ttft_p95_ms)  # not in the file
    assert result.latency_stats.itl_p99_ms == 42.0829780306667
    assert result.extended_metrics is not None
    assert result.extended_metrics.tpot_ms == 27.911832109121164
    assert result.extended_metrics.request_latency.e2e_latency_p99_ms == 4100.25


def test_read_vllm_record_without_energy_marks_it_unknown() -> None:
    result = import_one("vllm_bench_serve.json").result
    assert math.isnan(result.total_energy_j)
    assert math.isnan(result.avg_energy_per_token_j)
    assert result.measurement_warnings == ["the source states no energy: total_energy_j is NaN"]


def test_read_vllm_record_keeps_settings_metadata_and_the_rest() -> None:
    config = import_one("vllm_bench_serve.json").result.effective_config
    origin = config.pop("imported_from")
    assert config == {
        "model": "org/tiny-1b",
        "tokenizer_id": "org/tiny-1b",
        "endpoint_type": "openai",
        "num_prompts": 20,
        "request_rate": "inf",
        "burstiness": 1.0,
        "max_concurrency": 8,
        "tp": "2",  # --metadata tp=2
    }
    assert origin["format"] == "vllm"
    assert origin["file"] == "vllm_bench_serve.json"
    assert origin["data"]["std_ttft_ms"] == 12.71286480609931
    assert origin["data"]["label"] is None
    assert origin["data"]["total_input_tokens"] == 4000


def test_read_vllm_record_hashes_the_configuration_alone() -> None:
    result = import_one("vllm_bench_serve.json").result
    config = {key: value for key, value in result.effective_config.items() if key != "imported_from"}
    assert result.measurement_config_hash == compute_measurement_config_hash(config)


def test_read_vllm_lines_yields_each_record() -> None:
    first, second = import_file(EXAMPLES / "vllm_bench_serve.jsonl").built
    assert [first.result.total_tokens, second.result.total_tokens] == [900, 912]
    assert first.result.avg_tokens_per_second == 200.0  # 900 / 4.5, since the file does not state it
    assert [first.imported.line, second.imported.line] == [1, 2]
    assert second.result.total_energy_j == 912.125  # gpu_energy_j, which newer versions measure
    assert second.result.avg_energy_per_token_j == 912.125 / 912
    assert second.result.measurement_warnings == []


def test_read_vllm_record_of_embeddings_counts_the_input(tmp_path: Path) -> None:
    file = tmp_path / "pooling.json"
    file.write_text('{"model_id": "m", "completed": 2, "duration": 2.0, "total_input_tokens": 64}')
    [built] = import_file(file).built
    assert (built.result.total_tokens, built.result.avg_tokens_per_second) == (64, 32.0)


@pytest.mark.parametrize("joint", ["\n", "\n\n", "\r\n", " ", "\n\ufeff"])
def test_read_appended_records_in_one_file_yields_each(tmp_path: Path, joint: str) -> None:
    text = (EXAMPLES / "vllm_bench_serve.json").read_text().strip()
    file = tmp_path / "runs.json"
    file.write_text(joint.join([text, text, text]), encoding="utf-8", newline="")
    outcome = import_file(file)
    assert (len(outcome.built), outcome.messages) == (3, [])


def test_read_array_and_indented_records_yields_each(tmp_path: Path) -> None:
    record = json.loads((EXAMPLES / "vllm_bench_serve.json").read_text())
    for indent in (None, 2):
        file = tmp_path / f"summary{indent}.json"
        file.write_text(json.dumps([record, record], indent=indent))
        assert len(import_file(file).built) == 2
        file.write_text(json.dumps(record, indent=indent) + "\n" + json.dumps(record, indent=indent))
        assert len(import_file(file).built) == 2


@pytest.mark.slow
def test_read_long_file_keeps_one_record_in_memory(tmp_path: Path) -> None:
    record = json.loads((EXAMPLES / "vllm_bench_serve.json").read_text()) | {"errors": ["x" * 16_000]}
    file = tmp_path / "long.jsonl"
    with file.open("w") as lines:
        lines.writelines(json.dumps(record) + "\n" for _ in range(1000))
    tracemalloc.start()
    try:
        assert sum(1 for _ in importers.read(file)) == 1000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20 < file.stat().st_size


def test_read_truncated_array_imports_the_complete_records(tmp_path: Path) -> None:
    record = (EXAMPLES / "vllm_bench_serve.json").read_text().strip()
    file = tmp_path / "summary.json"
    file.write_text(f"[{record},\n{record},")
    outcome = import_file(file)
    assert len(outcome.built) == 2
    assert outcome.messages == ["expected a complete array, got a truncated one; copy the file again"]


def test_read_lines_with_faults_imports_the_others(tmp_path: Path) -> None:
    good = (EXAMPLES / "vllm_bench_serve.json").read_bytes().strip()
    wrong = good.replace(b"12.625", b'"long"')
    cut = good[:200]
    date = good.replace(b"20260722-041843", b"yesterday")
    file = tmp_path / "runs.jsonl"
    file.write_bytes(b"\n".join([good, wrong, cut, b"[1]", b"\xff\xfe{", date, good]))
    outcome = import_file(file)
    assert [built.imported.line for built in outcome.built] == [1, 7]
    assert outcome.messages == [
        "expected a number at duration, got 'long'; correct the file",
        "expected complete JSON, got a truncated object; copy the file again, or repeat the run",
        "expected a JSON object, got 1; remove it",
        "expected JSON in UTF-8, got the byte 0xff; convert the file",
        "expected a time at date, got 'yesterday'; correct the file",
    ]


def test_read_real_vllm_file_has_its_numbers() -> None:
    [built] = import_file(real_file("vllm_bench_serve.json")).built
    assert built.result.total_tokens == 40000 + 25600
    assert built.result.avg_tokens_per_second == 322.3420924688133
    assert built.result.effective_config["model"] == "Qwen/Qwen3-VL-8B-Instruct"


EARLIEST, LATEST = datetime(1990, 1, 1), datetime(9000, 1, 1)  # noqa: DTZ001 - the format has no zone
numbers = st.integers(0, 2**70) | st.floats(0, allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**70)
known: dict[str, st.SearchStrategy[Any]] = {
    "date": st.datetimes(EARLIEST, LATEST).map(lambda time: f"{time:%Y%m%d-%H%M%S}"),
    "backend": st.text(),
    "label": st.none() | st.text(),
    "tokenizer_id": st.text(),
    "num_prompts": counts,
    "request_rate": st.just("inf") | numbers,
    "duration": st.floats(0, 1e6),
    "completed": counts,
    "total_input_tokens": counts,
    "total_output_tokens": counts,
    "total_token_throughput": numbers,
    "mean_ttft_ms": numbers,
    "p99_ttft_ms": numbers,
    "mean_itl_ms": numbers,
    "mean_tpot_ms": numbers,
    "mean_e2el_ms": numbers,
    "gpu_energy_j": numbers,
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
records = st.builds(
    lambda model, some, more: {"model_id": model, "completed": 0} | more | some,
    st.text(),
    st.fixed_dictionaries({}, optional=known),
    st.dictionaries(st.text(min_size=1), json_values, max_size=5).map(
        lambda more: {key: value for key, value in more.items() if key not in {**known, "model_id": 0}}
    ),
)


def lost(record: dict[str, Any], built: Built) -> dict[str, Any]:
    """Return the entries of a record that its result does not hold."""
    fields = built.result.model_dump()
    config = fields["effective_config"]
    held = config["imported_from"]["data"]
    places = {each.key: each.field for each in built.imported.mapping}

    def value(key: str) -> Any:
        if key in held:
            return held[key]
        field = places.get(key, "")
        if field.startswith("effective_config."):
            return config[field.removeprefix("effective_config.")]
        at: Any = fields
        for step in field.split("."):
            at = at[step]
        return f"{at:%Y%m%d-%H%M%S}" if isinstance(at, datetime) else at

    # A field of floats holds a large integer as the float next to it.
    return {key: each for key, each in record.items() if value(key) not in (each, _float(each))}


def _float(value: Any) -> Any:
    return float(value) if type(value) is int and value < 2**71 else value


@pytest.mark.slow
@given(record=records)
def test_read_any_vllm_record_loses_no_data(tmp_path_factory: pytest.TempPathFactory, record: Any) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(json.dumps(record))
    outcome = import_file(file, "vllm")
    assert outcome.messages == []
    assert lost(record, outcome.built[0]) == {}
