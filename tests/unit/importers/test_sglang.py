"""SGLang: the JSON Lines of `sglang.bench_serving`."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

from llenergymeasure import importers
from support.foreign import EXAMPLES, import_file


def test_read_sglang_lines_has_the_numbers_of_the_file() -> None:
    first, second = (built.result for built in import_file(EXAMPLES / "sglang_bench_serving.jsonl").built)
    assert first.total_tokens == 4641  # 3104 + 1537, and not the retokenized 1535
    assert first.total_inference_time_sec == 8.125
    assert first.avg_tokens_per_second == 571.1999999999999  # as the file states it
    assert first.latency_stats is not None
    assert first.latency_stats.ttft_median_ms == 50.75
    assert first.latency_stats.itl_p95_ms == 20.5
    assert first.extended_metrics is not None
    assert first.extended_metrics.request_latency.e2e_latency_mean_ms == 2011.5
    assert first.extended_metrics.request_latency.e2e_latency_samples == 16
    assert second.total_tokens == 17003  # 9001 + 8002
    assert second.avg_tokens_per_second == 1700.3  # 17003 / 10.0


def test_read_sglang_record_takes_model_and_version_from_the_server() -> None:
    first, second = (built.result for built in import_file(EXAMPLES / "sglang_bench_serving.jsonl").built)
    assert first.effective_config["model"] == "org/tiny-1b"
    assert first.effective_config["tp_size"] == 2
    assert first.effective_config["request_rate"] == "Infinity"
    assert (first.backend, first.backend_version) == ("sglang", "0.5.4")
    assert first.effective_config["imported_from"]["data"]["server_info"]["port"] == 30000
    assert "model" not in second.effective_config


def test_read_sglang_record_ends_when_its_file_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "online.jsonl"
    file.write_bytes((EXAMPLES / "sglang_bench_serving.jsonl").read_bytes().splitlines()[0])
    end = datetime(2026, 5, 4, 10, tzinfo=timezone.utc)
    os.utime(file, (end.timestamp(), end.timestamp()))
    [result] = importers.read(file)
    assert (result.start_time, result.end_time) == (end - timedelta(seconds=8.125), end)
    assert (
        "the source states no times: end_time is the time at which its file was last changed"
        in result.measurement_warnings
    )
