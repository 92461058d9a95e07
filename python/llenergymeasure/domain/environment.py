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
    """Name of the GPU."""
    vram_total_mb: float
    """Video memory, in units of 2^20 bytes."""
    compute_capability: Text | None = None
    """Compute capability, such as `9.0`."""
    pcie_gen: Int | None = None
    """Generation of PCI Express."""
    mig_enabled: bool = False
    """True if the GPU is divided into MIG instances."""


class CUDAEnvironment(Model):
    """The CUDA runtime and its driver."""

    version: Text
    """Version of CUDA."""
    driver_version: Text
    """Version of the driver."""
    cudnn_version: Text | None = None
    """Version of cuDNN."""


class ThermalEnvironment(Model):
    """Temperature and power limits before the run."""

    temperature_c: float | None = None
    """Temperature of the GPU, in degrees Celsius."""
    power_limit_w: float | None = None
    """Limit of the power, in watts."""
    default_power_limit_w: float | None = None
    """Limit of the power that the vendor has set, in watts."""
    fan_speed_pct: float | None = None
    """Speed of the fan, in per cent."""


class CPUEnvironment(Model):
    """The processor and its frequency governor."""

    governor: Text = "unknown"
    """Governor of the frequency, such as `performance`."""
    model: Text | None = None
    """Name of the processor."""
    platform: Text
    """Operating system, such as `Linux`."""


class ContainerEnvironment(Model):
    """The container, where the run had one."""

    detected: bool = False
    """True if the run was in a container."""
    runtime: Text | None = None
    """Program that ran the container, such as `docker`."""


class EnvironmentMetadata(Model):
    """The hardware at one moment."""

    gpu: GPUEnvironment
    """GPU."""
    cuda: CUDAEnvironment
    """CUDA and its driver."""
    thermal: ThermalEnvironment = Field(default_factory=ThermalEnvironment)
    """Temperature and power limits before the run."""
    cpu: CPUEnvironment
    """Processor."""
    container: ContainerEnvironment = Field(default_factory=ContainerEnvironment)
    """Container, where the run had one."""
    collected_at: DateTime
    """Time of the collection: ISO 8601, with or without a zone."""


class EnvironmentSnapshot(Model):
    """The hardware and software of a measurement."""

    hardware: EnvironmentMetadata
    """Hardware at one moment."""
    python_version: Text
    """Version of Python."""
    installed_packages: list[Text]
    """Installed Python packages, as `name==version`."""
    tool_version: Text
    """Version of the tool that measured."""
    cuda_version: Text | None = None
    """Version of CUDA that the software was built for."""
    cuda_version_source: Text | None = None
    """Source of that version, such as `torch`."""
