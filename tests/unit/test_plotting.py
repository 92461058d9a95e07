"""Figures of `llenergymeasure.plotting`: what they show, in which units."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llenergymeasure import ResultStore, plotting
from llenergymeasure.results.timeseries import Timeseries, write_timeseries_parquet
from support.optional import needs
from support.processes import run_script
from support.results import make_result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# Tokens a second and joules a token; the third is worse than the second in both.
NUMBERS = [("b/slow", 100.0, 0.5), ("a/fast", 1000.0, 1.0), ("a/fast", 900.0, 2.0), ("b/slow", 5000.0, 30.0)]


def make_store(root: Path, numbers: list[tuple[str, Any, Any]]) -> ResultStore:
    """Save a result for each model, throughput and energy per token."""
    store = ResultStore(root)
    for model, rate, energy in numbers:
        result = make_result(
            effective_config={"model": model}, avg_tokens_per_second=rate, avg_energy_per_token_j=energy
        )
        store.save(result, durable=False)
    return store


def make_trace(*gpus: int) -> Timeseries:
    """Return ten seconds at 100 W for GPU 0, 200 W for GPU 1, ..., with a gap in the middle."""
    rows = [(float(second), gpu) for second in range(11) for gpu in gpus]
    return Timeseries(
        timestamp_s=[time for time, _ in rows],
        gpu_index=[gpu for _, gpu in rows],
        power_w=[None if time == 5 else 100.0 * (gpu + 1) for time, gpu in rows],
    )


def lines_of(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_gid()): line for line in axes.get_lines()}


def texts_of(axes: Axes) -> list[str]:
    return [axes.get_title(loc="left").strip(), *(text.get_text() for text in axes.texts)]


def points_of(line: Line2D) -> list[tuple[float, float]]:
    data: Any = line.get_xydata()
    return [(x, y) for x, y in data.tolist()]


@needs("matplotlib")
def test_plot_pareto_marks_each_result_and_the_front(tmp_path: Path) -> None:
    figure = plotting.plot_pareto(make_store(tmp_path / "sweep", NUMBERS))
    (axes,) = figure.axes
    lines = lines_of(axes)
    assert sorted(points_of(lines["model-0"])) == [(100.0, 0.5), (5000.0, 30.0)]
    assert sorted(points_of(lines["model-1"])) == [(900.0, 2.0), (1000.0, 1.0)]
    assert points_of(lines["front-marks"]) == [(100.0, 0.5), (1000.0, 1.0), (5000.0, 30.0)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("throughput (tokens/s)", "energy per token (J)")
    assert texts_of(axes) == [
        "Energy per token against throughput: sweep",
        "4 results, 2 models. Better is lower, and further right.",
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "b/slow (2)",
        "a/fast (2)",
        "Pareto front (3)",
    ]


@needs("matplotlib")
@pytest.mark.parametrize(
    ("energies", "scale"), [((1.0, 19.0), "linear"), ((1.0, 20.0), "log"), ((1e-3, 1e3), "log")]
)
def test_plot_pareto_scales_wide_ranges_logarithmically(
    tmp_path: Path, energies: tuple[float, ...], scale: str
) -> None:
    store = make_store(tmp_path, [("m", 1.0, energy) for energy in energies])
    (axes,) = plotting.plot_pareto(store).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", scale)


@needs("matplotlib")
def test_plot_pareto_of_scan_draws_selected_results_under_the_given_name(tmp_path: Path) -> None:
    store = make_store(tmp_path, NUMBERS)
    scan = store.scan(where=[("effective_config.model", "==", "a/fast")])
    (axes,) = plotting.plot_pareto(scan, name="$fast_1$").axes
    assert sorted(points_of(lines_of(axes)["model-0"])) == [(900.0, 2.0), (1000.0, 1.0)]
    assert texts_of(axes)[0] == "Energy per token against throughput: $fast_1$"


@needs("matplotlib")
def test_plot_pareto_counts_results_without_both_values(tmp_path: Path) -> None:
    numbers = [("m", 1.0, 1.0), ("m", 0.0, 1.0), ("m", 1.0, float("nan"))]
    (axes,) = plotting.plot_pareto(make_store(tmp_path, numbers)).axes
    assert len(points_of(lines_of(axes)["model-0"])) == 1
    assert texts_of(axes)[1].endswith("2 results without both values left out.")


@needs("matplotlib")
def test_plot_pareto_without_results_or_columns_names_the_fix(tmp_path: Path) -> None:
    store = make_store(tmp_path, [("m", 0.0, 0.0)])
    with pytest.raises(ValueError, match=r"expected results with avg_tokens_per_second .*, got none; check"):
        plotting.plot_pareto(store)
    with pytest.raises(ValueError, match=r"column effective_config\.model; do: store\.scan\(\['path', "):
        plotting.plot_pareto(store.scan(["path"]))


@needs("matplotlib")
def test_plot_power_of_result_compares_trace_and_record(tmp_path: Path) -> None:
    record = make_result(total_energy_j=1500.0).save(tmp_path, make_trace(0, 1), durable=False)
    (stored,) = ResultStore(tmp_path)
    for source in (record, str(record.parent), stored):
        figure = plotting.plot_power(source)
        (axes,) = figure.axes
        lines = lines_of(axes)
        assert set(lines) == {"gpu-0", "gpu-1", "mean-0", "mean-1"}
        assert [time for time, _ in points_of(lines["gpu-1"])] == [float(second) for second in range(11)]
        assert {power for time, power in points_of(lines["gpu-1"]) if time != 5} == {200.0}
        assert points_of(lines["mean-0"])[0][1] == 100.0
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("time from the first sample (s)", "power (W)")
        assert texts_of(axes) == [
            "Power of gpt2, pytorch",
            "3,000 J by the trapezoid rule over 10 s; recorded: 1,500 J (the trace differs by +100.00 %)",
        ]
        (legend,) = figure.legends
        assert [text.get_text() for text in legend.get_texts()][:2] == [
            "GPU 0, mean 100.0 W",
            "GPU 1, mean 200.0 W",
        ]


@needs("matplotlib")
def test_plot_power_of_trace_without_record_shows_its_integral(tmp_path: Path) -> None:
    samples = [{"timestamp": float(second), "power_w": 50.0} for second in range(5)]
    path = write_timeseries_parquet(samples, tmp_path / "x.parquet", gpu_index=-1)
    (of_trace,) = plotting.plot_power(make_trace(0), name="one", recorded_j=1000.0).axes
    (of_file,) = plotting.plot_power(path).axes
    assert texts_of(of_trace)[0] == "Power of one"
    assert texts_of(of_trace)[1].endswith("recorded: 1,000 J (the trace differs by +0.00 %)")
    assert texts_of(of_file) == ["Power of x.parquet", "200.0 J by the trapezoid rule over 4 s"]


@needs("matplotlib")
def test_plot_power_of_unknown_energy_says_so() -> None:
    trace = Timeseries(timestamp_s=[0, 0, 1, 1], gpu_index=[0, 1] * 2, power_w=[100.0, None] * 2)
    figure = plotting.plot_power(trace, recorded_j=100.0)
    (axes,) = figure.axes
    assert texts_of(axes)[1] == "energy unknown over 1 s; recorded: 100.0 J; 1 warning in trace.warnings"
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()][:2] == [
        "GPU 0, mean 100.0 W",
        "GPU 1, power unknown",
    ]


@needs("matplotlib")
def test_plot_power_without_power_or_trace_raises(tmp_path: Path) -> None:
    blank = Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[None])
    with pytest.raises(ValueError, match="expected a power trace with a power_w, got none"):
        plotting.plot_power(blank)
    record = make_result().save(tmp_path, durable=False)
    with pytest.raises(FileNotFoundError):
        plotting.plot_power(record)


@needs("matplotlib")
def test_render_figure_is_reproducible_and_independent_of_user_settings(tmp_path: Path) -> None:
    import matplotlib as mpl

    store = make_store(tmp_path, NUMBERS)
    plain = plotting.render(plotting.plot_pareto(store), "svg")
    with mpl.rc_context({"font.size": 30.0, "axes.facecolor": "red", "svg.fonttype": "path"}):
        styled = plotting.render(plotting.plot_pareto(store), "svg")
        assert mpl.rcParams["font.size"] == 30.0
    assert plain == styled
    assert b">throughput (tokens/s)</text>" in plain


@needs("matplotlib")
def test_display_figure_in_notebook_is_png(tmp_path: Path) -> None:
    figure: Any = plotting.plot_pareto(make_store(tmp_path, NUMBERS))
    assert figure._repr_png_().startswith(b"\x89PNG\r\n\x1a\n")
    assert figure._repr_png_() == plotting.render(figure, "png")


def test_plot_without_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, module, None)
    expected = r"expected matplotlib, got none installed; do: pip install 'llenergymeasure-store\[plot\]'"
    with pytest.raises(ImportError, match=expected):
        plotting.plot_pareto(make_store(tmp_path, NUMBERS))
    with pytest.raises(ImportError, match=expected):
        plotting.plot_power(make_trace(0))


def test_import_plotting_does_not_import_matplotlib(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys, llenergymeasure.plotting; print('matplotlib' in sys.modules)")
    assert run_script(script).stdout == "False\n"
