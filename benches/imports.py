"""Measure the import of vLLM's records against `save_many` of the same results, in turns, as a ratio.

python benches/imports.py --records 10000 --rounds 5
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from functools import partial
from pathlib import Path

import machine
from llenergymeasure import ExperimentResult, ResultStore, importers
from llenergymeasure.cli.commands.bench.disk import write_out
from measure import Row, interleave, named, show
from output import add_options, console_for, end_on_sigterm, print_machine, scratch, write_json

MOST = 1.5
RECORD = {
    "date": "20260722-041843",
    "endpoint_type": "openai",
    "backend": "openai",
    "label": None,
    "model_id": "Qwen/Qwen3-VL-8B-Instruct",
    "tokenizer_id": "Qwen/Qwen3-VL-8B-Instruct",
    "num_prompts": 200,
    "request_rate": 1.0,
    "burstiness": 1.0,
    "max_concurrency": None,
    "duration": 203.5104987300001,
    "completed": 200,
    "failed": 0,
    "total_input_tokens": 40000,
    "total_output_tokens": 25600,
    "request_throughput": 0.9827502819171137,
    "output_throughput": 125.79203608539055,
    "total_token_throughput": 322.3420924688133,
} | {
    f"{statistic}_{name}_ms": 12.71286480609931
    for name in ("ttft", "tpot", "itl", "e2el")
    for statistic in ("mean", "median", "std", "p99")
}
"""A record as `vllm bench serve` writes it."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add_options(parser, rounds=5)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--dir", type=Path, default=Path.cwd(), help="directory for the stores")
    options = parser.parse_args()
    end_on_sigterm()
    console = console_for(options)
    with scratch(options.dir) as root:
        print_machine(console, machine.describe(root))
        rows = measure(root, options.records, options.rounds)
    console.print(show(f"{options.records} records of vLLM", rows))
    write_json([row.as_json() for row in rows], options.json)


def measure(root: Path, count: int, rounds: int) -> list[Row]:
    """Import records, and save the same results, in turns."""
    source = root / "vllm.jsonl"
    with source.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(RECORD | {"num_prompts": number}) + "\n" for number in range(count))
    results = list(importers.read(source))
    # An import has no other results in memory, which the garbage collector would visit again and again.
    gc.collect()
    gc.freeze()
    ways = {"save": partial(_save, root, results), "import": partial(_import, root, source, count)}
    contenders = [named(name, way) for name, way in ways.items()]
    interleave(contenders, 1)  # warm up
    times = interleave(contenders, rounds)
    return [Row.ratio("import ÷ save_many of the same results", times["import"], times["save"], MOST)]


def _save(root: Path, results: list[ExperimentResult]) -> float:
    store = _fresh(root)
    began = time.perf_counter()
    assert len(store.save_many(results)) == len(results)
    return (time.perf_counter() - began) / len(results) * 1e6


def _import(root: Path, source: Path, count: int) -> float:
    store = _fresh(root)
    began = time.perf_counter()
    assert len(store.save_many(importers.read(source))) == count
    return (time.perf_counter() - began) / count * 1e6


def _fresh(root: Path) -> ResultStore:
    write_out(root)
    gc.collect()
    return ResultStore(tempfile.mkdtemp(dir=root))


if __name__ == "__main__":
    main()
