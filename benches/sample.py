"""A result as in a sweep, with all its usual parts; its record has about 9 KB."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from llenergymeasure import ExperimentResult
from llenergymeasure.domain.environment import (
    ContainerEnvironment,
    CPUEnvironment,
    CUDAEnvironment,
    EnvironmentMetadata,
    EnvironmentSnapshot,
    GPUEnvironment,
    ThermalEnvironment,
)
from llenergymeasure.domain.experiment import AggregationMetadata, compute_measurement_config_hash
from llenergymeasure.domain.metrics import (
    EnergyBreakdown,
    ExtendedEfficiencyMetrics,
    LatencyStatistics,
    MultiGPUMetrics,
    ThermalThrottleInfo,
    WarmupResult,
)

__all__ = ["MODEL", "make_result"]

MODEL = "meta-llama/Llama-3.1-8B"
START = datetime(2026, 2, 18, 14, 30, 5, 123456, tzinfo=timezone.utc)
END = START + timedelta(seconds=61.804117)
CONFIG = {
    "model": MODEL,
    "backend": "vllm",
    "dataset": {"name": "aienergyscore", "split": "test", "samples": 100, "seed": 42},
    "precision": "bfloat16",
    "batch_size": 8,
    "max_input_tokens": 512,
    "max_output_tokens": 128,
    "decoding": {"temperature": 0.7, "top_p": 0.95, "top_k": 50, "do_sample": True},
    "vllm": {"tensor_parallel_size": 1, "gpu_memory_utilization": 0.9, "enforce_eager": False},
    "warmup": {"enabled": True, "target_cv": 0.05, "max_prompts": 10, "thermal_floor_s": 30.0},
    "gpu_ids": [0],
    "traffic": None,
}
PACKAGES = """
accelerate aiohttp annotated-types anyio attrs certifi cffi charset-normalizer click cloudpickle
compressed-tensors cryptography cuda-python datasets depyf dill diskcache distro docker einops
fastapi filelock frozenlist fsspec gguf grpcio h11 hf-xet httpcore httptools httpx huggingface-hub
idna importlib-metadata interegular jinja2 jiter joblib jsonschema lark llvmlite lm-format-enforcer
markdown-it-py markupsafe mistral-common mpmath msgpack msgspec multidict multiprocess networkx
ninja numba numpy nvidia-cublas-cu12 nvidia-cuda-runtime-cu12 nvidia-cudnn-cu12 nvidia-cufft-cu12
nvidia-curand-cu12 nvidia-cusolver-cu12 nvidia-ml-py nvidia-nccl-cu12 openai opencv-python-headless
outlines packaging pandas partial-json-parser pillow pip prometheus-client propcache protobuf psutil
py-cpuinfo pyarrow pycountry pycparser pydantic pydantic-core pygments python-dateutil python-dotenv
pytz pyyaml pyzmq ray referencing regex requests rich rpds-py safetensors scikit-learn scipy
sentencepiece setuptools shellingham six sniffio starlette sympy threadpoolctl tiktoken tokenizers
torch torchaudio torchvision tqdm transformers triton typer typing-extensions tzdata urllib3 uvicorn
uvloop vllm watchfiles websockets wheel xformers xgrammar xxhash yarl zipp
""".split()  # noqa: SIM905 - a list literal is a page long


def make_result() -> ExperimentResult:
    """Return a result of one GPU, with an environment of some 120 packages."""
    return ExperimentResult(
        experiment_id="sweep-0001/llama-3.1-8b/bfloat16/b8",
        measurement_config_hash=compute_measurement_config_hash(CONFIG),
        backend="vllm",
        backend_version="0.9.2",
        measurement_methodology="steady_state",
        steady_state_window=(5.017, 61.804117),
        total_tokens=64103,
        total_energy_j=18273.418209,
        total_inference_time_sec=56.787117,
        avg_tokens_per_second=1128.8299,
        avg_energy_per_token_j=0.28506338,
        total_flops=1.0294e15,
        flops_per_output_token=1.606e10,
        baseline_power_w=61.42,
        energy_adjusted_j=14785.553481,
        energy_per_device_j=[18273.418209],
        energy_breakdown=_energy_breakdown(),
        multi_gpu=MultiGPUMetrics(
            num_gpus=1,
            energy_per_gpu_j=[18273.418209],
            energy_total_j=18273.418209,
            energy_per_output_token_j=1.4276107,
        ),
        environment_snapshot=_environment(),
        measurement_warnings=["GPU persistence mode is off: the first measurement of a series may be high"],
        warmup_excluded_samples=5,
        start_time=START,
        end_time=END,
        effective_config=CONFIG,
        aggregation=AggregationMetadata(num_processes=1, gpu_attribution_verified=True),
        thermal_throttle=ThermalThrottleInfo(max_temperature_c=71.0),
        warmup_result=_warmup(),
        latency_stats=LatencyStatistics(
            ttft_mean_ms=41.73,
            ttft_median_ms=40.98,
            ttft_p95_ms=52.11,
            ttft_p99_ms=58.402,
            ttft_min_ms=33.207,
            ttft_max_ms=61.9,
            ttft_samples=100,
            itl_mean_ms=7.0861,
            itl_median_ms=7.02,
            itl_p95_ms=8.31,
            itl_p99_ms=9.774,
            itl_samples=12700,
        ),
        extended_metrics=ExtendedEfficiencyMetrics(tpot_ms=7.0861, token_efficiency_index=3.5079),
    )


def _environment() -> EnvironmentSnapshot:
    hardware = EnvironmentMetadata(
        gpu=GPUEnvironment(
            name="NVIDIA A100-SXM4-80GB", vram_total_mb=81920.0, compute_capability="8.0", pcie_gen=4
        ),
        cuda=CUDAEnvironment(version="12.4", driver_version="550.54.15", cudnn_version="9.1.0"),
        thermal=ThermalEnvironment(temperature_c=34.0, power_limit_w=400.0, default_power_limit_w=400.0),
        cpu=CPUEnvironment(governor="performance", model="AMD EPYC 7742 64-Core Processor", platform="Linux"),
        container=ContainerEnvironment(detected=True, runtime="docker"),
        collected_at=START,
    )
    return EnvironmentSnapshot(
        hardware=hardware,
        python_version="3.11.7",
        installed_packages=[f"{name}=={n % 7}.{n % 31}.{n % 5}" for n, name in enumerate(PACKAGES)],
        tool_version="0.1.0",
        cuda_version="12.4",
        cuda_version_source="torch",
    )


def _energy_breakdown() -> EnergyBreakdown:
    return EnergyBreakdown(
        raw_j=18273.418209,
        adjusted_j=14785.553481,
        baseline_power_w=61.42,
        baseline_method="fresh",
        baseline_timestamp=START,
    )


def _warmup() -> WarmupResult:
    return WarmupResult(
        converged=True,
        final_cv=0.031,
        iterations_completed=5,
        target_cv=0.05,
        max_prompts=10,
        latencies_ms=[913.2, 905.8, 899.41, 902.77, 898.05],
        thermal_floor_wait_s=30.0,
    )
