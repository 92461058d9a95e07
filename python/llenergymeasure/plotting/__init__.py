"""Matplotlib figures of stored results, for notebooks and scripts.

    from llenergymeasure import ResultStore, plotting

    plotting.plot_pareto(ResultStore("results")).savefig("pareto.svg")
    plotting.plot_power("results/meta-llama-llama-3.1-8b_vllm_2026-02-18T14-30")

A notebook shows a returned figure as it is. `llem plot` and `llem bench` draw with the same palette, titles
and renderer. The functions need matplotlib: `pip install 'llenergymeasure-store[plot]'`.
"""

from __future__ import annotations

from llenergymeasure.plotting._pareto import plot_pareto
from llenergymeasure.plotting._power import plot_power
from llenergymeasure.plotting._render import render

__all__ = ["plot_pareto", "plot_power", "render"]
