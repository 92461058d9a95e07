"""Models of the environment of a measurement: GPU, driver, machine, packages."""

from __future__ import annotations

from pydantic import Field

from llenergymeasure.domain._base import DateTime, Int, Model, Text

__all__ = [
    "CPUEnvironment",
    "CUDAEnvironment",
    "ContainerEnvironment",
    "EnvironmentMetadata",
    "EnvironmentSnapshot",
    "GPUEnvironment",
    "ThermalEnvironment",
]


class GPUEnvironment(Model):
    """A GPU; `mig` is its multi-instance mode."""

    name: Text
    vram_total_mb: float
    compute_capability: Text | None = None
    pcie_gen: Int | None = None
    mig_enabled: bool = False


class CUDAEnvironment(Model):
    """The CUDA runtime and its driver."""

    version: Text
    driver_version: Text
    cudnn_version: Text | None = None


class ThermalEnvironment(Model):
    """Temperature and power limits before the run."""

    temperature_c: float | None = None
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    fan_speed_pct: float | None = None


class CPUEnvironment(Model):
    """The processor and its frequency governor."""

    governor: Text = "unknown"
    model: Text | None = None
    platform: Text


class ContainerEnvironment(Model):
    """The container, where the run had one."""

    detected: bool = False
    runtime: Text | None = None


class EnvironmentMetadata(Model):
    """The hardware at one moment."""

    gpu: GPUEnvironment
    cuda: CUDAEnvironment
    thermal: ThermalEnvironment = Field(default_factory=ThermalEnvironment)
    cpu: CPUEnvironment
    container: ContainerEnvironment = Field(default_factory=ContainerEnvironment)
    collected_at: DateTime


class EnvironmentSnapshot(Model):
    """The hardware and software of a measurement."""

    hardware: EnvironmentMetadata
    python_version: Text
    installed_packages: list[Text]
    tool_version: Text
    cuda_version: Text | None = None
    cuda_version_source: Text | None = None
