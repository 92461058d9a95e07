"""`llem plot`."""

from __future__ import annotations

import json
import math
import re
import subprocess
from html.parser import HTMLParser
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from llenergymeasure import ExperimentResult, ResultStore
from llenergymeasure.plotting import plot_pareto, render
from llenergymeasure.plotting._points import OTHER, ParetoPoints
from llenergymeasure.results.timeseries import Timeseries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


needs_matplotlib = pytest.mark.skipif(find_spec("matplotlib") is None, reason="there is no matplotlib")
SVG = "{http://www.w3.org/2000/svg}"
# Model, tokens per second and joules per token; the second dominates the third.
NUMBERS = [("b/slow", 100.0, 0.5), ("a/fast", 1000.0, 1.0), ("a/fast", 900.0, 2.0), ("b/slow", 5000.0, 30.0)]
HOSTILE = [
    "$x_1$ $\\frac{",
    "</script><script>alert(1)</script>",
    "<b>&amp;\"'-->",
    "a\x1b[31m\nb",
    "模型",
    "{}%s",
]


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


@pytest.fixture
def save(store: ResultStore, make_result: Callable[..., ExperimentResult]) -> Callable[..., Path]:
    """Save a result of a model with a rate and an energy per token."""

    def saved(model: str, rate: float, energy: float, trace: Timeseries | None = None) -> Path:
        result = make_result(
            effective_config={"model": model}, avg_tokens_per_second=rate, avg_energy_per_token_j=energy
        )
        return store.save(result, trace, durable=False)

    return saved


@pytest.fixture
def four(save: Callable[..., Path]) -> None:
    for numbers in NUMBERS:
        save(*numbers)


def texts(svg: ET.Element) -> list[str]:
    return ["".join(text.itertext()) for text in svg.iter(f"{SVG}text")]


def marks(svg: ET.Element, gid: str) -> int:
    group = svg.find(f".//{SVG}g[@id='{gid}']")
    assert group is not None
    return len(list(group.iter(f"{SVG}use")))


def drawn(path: Path) -> ET.Element:
    return ET.parse(path).getroot()  # noqa: S314 - of our own making


def points_of(numbers: list[tuple[Any, Any, Any]]) -> ParetoPoints:
    models, rates, energies = zip(*numbers, strict=True)
    names = [f"run-{number}" for number in range(len(numbers))]
    return ParetoPoints(
        [
            {
                "path": names,
                "effective_config.model": list(models),
                "backend": ["vllm"] * len(numbers),
                "avg_tokens_per_second": list(rates),
                "avg_energy_per_token_j": list(energies),
            }
        ]
    )


def test_compute_front_keeps_unbeaten_results() -> None:
    numbers = [("m", 1.0 + 37 * number % 23, 1.0 + 53 * number % 29) for number in range(60)]
    pareto = points_of(numbers)
    unbeaten = {
        (rate, energy)
        for _, rate, energy in numbers
        if not any(r >= rate and e <= energy and (r, e) != (rate, energy) for _, r, e in numbers)
    }
    front = [(pareto.points[place].rate, pareto.points[place].energy) for place in pareto.front]
    assert set(front) == unbeaten
    assert front == sorted(front)
    assert len(front) == len(unbeaten)


@pytest.mark.parametrize("value", [None, 0.0, -1.0, math.nan, math.inf])
def test_group_points_omits_and_counts_unusable_results(value: float | None) -> None:
    pareto = points_of([("m", value, 1.0), ("m", 1.0, value), ("m", 1.0, 1.0), (None, 2.0, 2.0)])
    assert [point.path for point in pareto.points] == ["run-2", "run-3"]
    assert pareto.points[1].model == "unknown"
    assert pareto.left_out == 2


def test_group_points_by_model_merges_the_rarest_models() -> None:
    numbers = [(f"m{number}", 1.0, 10.0 - number) for number in range(6) for _ in range(number + 1)]
    groups = points_of(numbers).by_model(4)
    assert list(groups) == ["m5", "m4", "m3", OTHER]
    assert [len(places) for places in groups.values()] == [6, 5, 4, 6]
    once = [(f"m{number}", 1.0, 10.0 - number) for number in range(6)]
    assert list(points_of(once).by_model(3)) == ["m5", "m4", OTHER]
    assert list(points_of(numbers).by_model(6)) == ["m5", "m4", "m3", "m2", "m1", "m0"]


@needs_matplotlib
@pytest.mark.usefixtures("four")
def test_plot_svg_draws_a_mark_for_each_result(llem: Run, tmp_path: Path) -> None:
    done = llem("plot", "results", "-o", "p.svg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "The picture is in p.svg\n")
    svg = drawn(tmp_path / "p.svg")
    assert [marks(svg, "model-0"), marks(svg, "model-1"), marks(svg, "front-marks")] == [2, 2, 3]
    written = texts(svg)
    for text in (
        "Energy per token against throughput: results",
        "4 results, 2 models. Better is lower, and further right.",
        "throughput (tokens/s)",
        "energy per token (J)",
        "b/slow (2)",
        "a/fast (2)",
        "Pareto front (3)",
    ):
        assert text in written


@needs_matplotlib
@pytest.mark.parametrize("ending", ["svg", "png", "html"])
@pytest.mark.usefixtures("four")
def test_plot_same_results_gives_the_same_bytes(llem: Run, tmp_path: Path, ending: str) -> None:
    pictures = []
    for name in ("one", "two"):
        assert llem("plot", "results", "-o", f"{name}.{ending}").returncode == 0
        pictures.append((tmp_path / f"{name}.{ending}").read_bytes())
    assert pictures[0] == pictures[1]
    begins = {"svg": b"<?xml", "png": b"\x89PNG\r\n\x1a\n", "html": b"<!DOCTYPE html>"}
    assert pictures[0].startswith(begins[ending])


@pytest.mark.usefixtures("four")
def test_plot_json_gives_the_points_without_a_picture(llem: Run) -> None:
    document = json.loads(llem("plot", "results", "--json", "--where", "J/token<20").stdout)
    assert (document["directory"], document["file"], document["left_out"]) == ("results", None, 0)
    assert sorted(
        (point["model"], point["tokens_per_second"], point["joules_per_token"], point["on_front"])
        for point in document["points"]
    ) == [("a/fast", 900.0, 2.0, False), ("a/fast", 1000.0, 1.0, True), ("b/slow", 100.0, 0.5, True)]
    assert {point["backend"] for point in document["points"]} == {"pytorch"}


@needs_matplotlib
def test_plot_with_unusable_results_counts_them(
    llem: Run, save: Callable[..., Path], store: ResultStore
) -> None:
    save("m", 1.0, 1.0)
    save("m", 0.0, 1.0)
    save("m", 1.0, math.nan)
    bad = store.root / "zz" / "result.json"
    bad.parent.mkdir()
    bad.write_text("{")
    done = llem("plot", "results", "-o", "p.svg")
    assert done.returncode == 1
    assert "zz/result.json (1 bytes) is not a " in done.stderr
    assert "2 results left out: energy per token or throughput is missing, zero or not finite" in done.stderr
    svg = drawn(store.root.parent / "p.svg")
    assert marks(svg, "model-0") == 1
    assert any("2 results without both values left out" in text for text in texts(svg))


@needs_matplotlib
def test_draw_thousands_of_points_embeds_an_image(tmp_path: Path) -> None:
    numbers = [(f"m{number % 50}", 1 + number % 977, 1 + number % 883) for number in range(6000)]
    (tmp_path / "p.svg").write_bytes(render(plot_pareto(points_of(numbers)), "svg"))
    svg = drawn(tmp_path / "p.svg")
    assert len(list(svg.iter(f"{SVG}image"))) == 1
    assert len(list(svg.iter(f"{SVG}use"))) < 200
    assert f"{OTHER} (1,800)" in texts(svg)
    assert (tmp_path / "p.svg").stat().st_size < 3_000_000


class Page(HTMLParser):
    """The elements of a page and the texts of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, _attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script":
            self.scripts[-1] += data


@needs_matplotlib
@pytest.mark.parametrize("directory", ["results", "$a_b$ <script>&\x07"])
def test_plot_any_model_name_escapes_it(
    llem: Run, save: Callable[..., Path], store: ResultStore, directory: str
) -> None:
    for number, model in enumerate(HOSTILE):
        save(model, 1.0 + number, 1.0 + number)
    store.root.rename(store.root.parent / directory)
    for ending in ("svg", "png", "html"):
        done = llem("plot", directory, "-o", f"p.{ending}")
        assert (done.returncode, done.stderr) == (0, f"The picture is in p.{ending}\n")
    assert "$x_1$ $\\frac{ (1)" in texts(drawn(store.root.parent / "p.svg"))
    content = (store.root.parent / "p.html").read_text()
    page = Page()
    page.feed(content)
    assert page.tags.count("script") == 2
    assert "b" not in page.tags
    data = json.loads(page.scripts[0])
    models = data["labels"][0]
    assert sorted(models["words"]) == sorted([*HOSTILE[:3], "a\\x1b[31m\\nb", *HOSTILE[4:]])
    assert len(data["x"]) == len(data["y"]) == len(data["notes"]) == len(models["of"]) == len(HOSTILE)
    # The page loads nothing: a name space is its only address.
    assert not re.search(r"(src|href)\s*=\s*(?![\"']?(#|data:))", content)


@needs_matplotlib
def test_plot_page_knows_the_position_of_each_mark(
    llem: Run, save: Callable[..., Path], tmp_path: Path
) -> None:
    for model, rate, energy in NUMBERS:
        save(model, rate, energy)
    llem("plot", "results", "-o", "p.html")
    content = (tmp_path / "p.html").read_text()
    data = json.loads(re.findall(r'id="marks">(.*?)</script>', content, re.DOTALL)[0])
    svg = ET.fromstring(content[content.index("<svg") : content.index("</svg>") + 6])  # noqa: S314
    placed = [
        (round(float(use.attrib["x"]), 1), round(float(use.attrib["y"]), 1))
        for number in range(2)
        for use in svg.findall(f".//{SVG}g[@id='model-{number}']//{SVG}use")
    ]
    assert sorted(zip(data["x"], data["y"], strict=True)) == [
        (pytest.approx(x, abs=0.11), pytest.approx(y, abs=0.11)) for x, y in sorted(placed)
    ]


def trace(*gpus: int) -> Timeseries:
    """Return a trace of ten seconds with a gap; each GPU draws 100 W more than the last."""
    rows = [(float(second), gpu) for second in range(11) for gpu in gpus]
    powers = [None if time == 5 else 100.0 * (gpu + 2) for time, gpu in rows]
    return Timeseries(
        timestamp_s=[time for time, _ in rows], gpu_index=[gpu for _, gpu in rows], power_w=powers
    )


@needs_matplotlib
@pytest.mark.parametrize("by", ["directory", "record"])
def test_plot_result_draws_power_mean_and_energy(
    llem: Run, save: Callable[..., Path], tmp_path: Path, by: str
) -> None:
    record = save("m$_", 1.0, 1.0, trace(0, 1))
    done = llem("plot", record if by == "record" else record.parent, "-o", "p.svg")
    assert (done.returncode, done.stderr) == (0, "The picture is in p.svg\n")
    svg = drawn(tmp_path / "p.svg")
    ids = [group.attrib.get("id") for group in svg.iter(f"{SVG}g")]
    assert [ids.count(gid) for gid in ("gpu-0", "gpu-1", "mean-0", "mean-1", "gpu-2")] == [1, 1, 1, 1, 0]
    written = texts(svg)
    assert "Power of m$_, pytorch" in written
    assert "GPU 0, mean 200.0 W" in written
    assert "GPU 1, mean 300.0 W" in written
    assert "power (W)" in written
    assert (
        "5,000 J by the trapezoid rule over 10 s; recorded: 250.5 J (the trace differs by +1896.01 %)"
        in written
    )


@needs_matplotlib
def test_plot_result_page_gives_power_at_each_time(
    llem: Run, save: Callable[..., Path], tmp_path: Path
) -> None:
    llem("plot", save("m", 1.0, 1.0, trace(-1)).parent, "-o", "p.html")
    page = Page()
    page.feed((tmp_path / "p.html").read_text())
    data = json.loads(page.scripts[0])
    assert data["labels"] == [{"words": ["whole system"], "of": [0] * 10}]
    assert data["notes"][:2] == ["100 W at 0 s", "100 W at 1 s"]


def test_plot_result_json_gives_its_curves(llem: Run, save: Callable[..., Path]) -> None:
    record = save("m", 1.0, 1.0, trace(-1))
    document = json.loads(llem("plot", record, "--json").stdout)
    curves = document.pop("curves")
    assert document == {
        "path": str(record),
        "file": None,
        "model": "m",
        "backend": "pytorch",
        "recorded_energy_j": 250.5,
        "energy_j": 1000.0,
        "mean_power_w": 100.0,
        "duration_s": 10.0,
    }
    assert [curve["gpu_index"] for curve in curves] == [-1]
    assert curves[0]["timestamp_s"] == [float(second) for second in range(11)]
    assert curves[0]["power_w"] == [100.0] * 5 + [None] + [100.0] * 5


@pytest.mark.parametrize("kind", ["none", "damaged", "empty"])
def test_plot_result_without_usable_trace_exits_1(llem: Run, save: Callable[..., Path], kind: str) -> None:
    blank = Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[None])
    record = save("m", 1.0, 1.0, {"none": None, "damaged": trace(0), "empty": blank}[kind])
    if kind == "damaged":
        record.with_name("timeseries.parquet").write_bytes(b"PAR1")
    done = llem("plot", record, "--json")
    expected = {
        "none": "has no power trace",
        "damaged": "timeseries.parquet",
        "empty": "no sample with a power",
    }
    assert (done.returncode, done.stdout) == (1, "")
    assert expected[kind] in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_without_matplotlib_names_the_package(
    patched_llem: Run,
    tmp_path: Path,
    four: None,  # noqa: ARG001
) -> None:
    patch = "sys.modules['matplotlib'] = sys.modules['matplotlib.figure'] = None"
    done = patched_llem(patch, "plot", "results", "-o", "p.svg")
    assert done.returncode == 1
    expected = "expected matplotlib, got none installed; do: pip install 'llenergymeasure-store[plot]'"
    assert done.stderr == f"llem plot: {expected}\n"
    assert not (tmp_path / "p.svg").exists()
    points = json.loads(patched_llem(patch, "plot", "results", "--json").stdout)["points"]
    assert len(points) == len(NUMBERS)


def test_plot_directory_without_results_names_the_save_command(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    done = llem("plot", "results", "--json")
    assert done.returncode == 1
    assert "no result in results; add some: `llem save FILE" in done.stderr
    assert json.loads(done.stdout)["points"] == []


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (("results",), "--output FILE is missing; give one that ends in .svg, .png, .html"),
        (("results", "-o", "p.pdf"), "--output expects a file that ends in .svg, .png, .html, got p.pdf"),
        (("results", "-o", "absent/p.svg"), "in a directory that does not exist"),
        (("results", "-o", "made.svg"), "is a directory"),
        (("absent", "-o", "p.svg"), "absent does not exist"),
        (("", "-o", "p.svg"), "PATH is empty"),
        (("results", "--json", "--where", "enrgy=1"), "enrgy"),
    ],
)
@pytest.mark.usefixtures("four")
def test_plot_with_invalid_arguments_exits_2_and_writes_nothing(
    llem: Run, tmp_path: Path, args: tuple[str, ...], expected: str
) -> None:
    (tmp_path / "made.svg").mkdir()
    done = llem("plot", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert done.stderr.endswith("Try 'llem plot --help'.\n")
    assert sorted(place.name for place in tmp_path.iterdir()) == ["made.svg", "results"]


def test_plot_result_with_conditions_exits_2(llem: Run, save: Callable[..., Path]) -> None:
    done = llem("plot", save("m", 1.0, 1.0), "--json", "--where", "backend=vllm")
    assert done.returncode == 2
    assert "--where selects among results" in done.stderr


@needs_matplotlib
@pytest.mark.usefixtures("four")
def test_plot_replaces_an_existing_file(llem: Run, tmp_path: Path) -> None:
    (tmp_path / "p.svg").write_text("old" * 1_000_000)
    assert llem("plot", "results", "-o", "p.svg").returncode == 0
    assert drawn(tmp_path / "p.svg").tag == f"{SVG}svg"
    assert sorted(place.name for place in tmp_path.iterdir()) == ["p.svg", "results"]


@needs_matplotlib
def test_plot_real_results_draws_all(data: Path, llem: Run, tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results")
    with (data / "mlenergy_llm_results.jsonl").open() as lines:
        store.save_many(map(ExperimentResult.model_validate_json, lines), durable=False)
    done = llem("plot", "results", "-o", "p.svg")
    assert (done.returncode, done.stderr) == (0, "The picture is in p.svg\n")
    svg = drawn(tmp_path / "p.svg")
    assert sum(marks(svg, f"model-{number}") for number in range(27)) == 565
    assert any(text.startswith("565 results, 27 models.") for text in texts(svg))
