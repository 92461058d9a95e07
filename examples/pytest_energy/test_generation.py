"""Tests that measure: a result is saved also if its assertion fails, and an error becomes a failed run."""

import time

import pytest


def generate(config):
    time.sleep(0.1)  # your inference goes here; wait for the GPU, as torch.cuda.synchronize() does
    return 64 * config["batch_size"]  # tokens


@pytest.mark.parametrize("batch_size", [1, 8, 64])
def test_generation_needs_less_than_two_joules_per_token(measured, batch_size):
    result = measured({"model": "gpt2", "backend": "vllm", "batch_size": batch_size}, generate)
    assert result.avg_energy_per_token_j < 2
