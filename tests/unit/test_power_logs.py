"""Power logs of each tool: their energies, computed by hand, and their power traces."""

from __future__ import annotations

import csv
import gzip
import math
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llenergymeasure.errors import NotImportableError
from llenergymeasure.importers.power import PowerLog, read_power
from llenergymeasure.results.timeseries import read_timeseries, write_timeseries_parquet

DATA = Path(__file__).parents[1] / "data" / "power"
NOON = datetime(2026, 5, 4, 10)  # noqa: DTZ001 - nvidia-smi writes the local time
NOON_UTC = NOON.replace(tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def log_of(tmp_path: Path, text: str, **options: object) -> PowerLog:
    path = tmp_path / "log.csv"
    path.write_text(text)
    return read_power(path, **options)  # type: ignore[arg-type]


def refusal_of(tmp_path: Path, text: str, **options: object) -> str:
    with pytest.raises(NotImportableError) as error:
        log_of(tmp_path, text, **options).energy_j()
    return str(error.value)


def test_read_power_of_nvidia_smi() -> None:
    log = read_power(DATA / "nvidia_smi.csv")
    assert (log.tool, log.power_columns, log.gpus) == (
        "nvidia-smi",
        ("power.draw.instant [W]",),
        {0: "GPU-aaaa", 1: "GPU-bbbb"},
    )
    # GPU 0: (90 + 210) / 2 + (210 + 190) / 2 = 350 J. GPU 1, without its [N/A]: (50 + 70) / 2 = 60 J.
    assert log.energy_per_gpu_j() == {0: 350.0, 1: 60.0}
    average = read_power(DATA / "nvidia_smi.csv", power="power.draw", gpus=["GPU-aaaa"])
    # (100 + 300) / 2 + (300 + 200) / 2 = 450 J.
    assert average.energy_per_gpu_j() == {0: 450.0}
    # From 0.5 s (200 W on the line) to 1.5 s (250 W): (200 + 300) / 4 + (300 + 250) / 4 = 262.5 J.
    assert average.energy_j(at(0.5), at(1.5)) == 262.5


@pytest.mark.parametrize(
    ("name", "energies"),
    [
        # GPU 0: 450 + 550 = 1000 J. GPU 1 has N/A first: (100 + 140) / 2 = 120 J.
        ("amd_smi.csv", {0: 1000.0, 1: 120.0}),
        # GPU 0: (61 + 65) / 2 + (65 + 67) / 2 = 129 J. GPU 1: (70 + 80) / 2 = 75 J.
        ("dcgmi_dmon.txt", {0: 129.0, 1: 75.0}),
        # Two instances of one GPU, 10 s: 10 x 45 = 450 J, and 10 x 65 = 650 J.
        ("dcgm_exporter_mig.csv", {0: 450.0, 1: 650.0}),
        # 0.5 s x 75.125 + 1 s x 85.125 = 122.6875 J, and 0.5 s x 65.5 + 1 s x 70.5 = 103.25 J.
        ("zeus.csv", {0: 122.6875, 1: 103.25}),
        # (100 + 140) / 2 = 120 J, and (50 + 70) / 2 = 60 J.
        ("nvidia_smi_dmon.txt", {0: 120.0, 1: 60.0}),
    ],
)
def test_read_power_of_each_tool(name: str, energies: dict[int, float]) -> None:
    assert read_power(DATA / name).energy_per_gpu_j() == energies


def test_read_power_of_eight_gpus_sums_them() -> None:
    log = read_power(DATA / "eight_gpus.csv")
    # 0.295 s of each GPU. The means: 387.31, 422.64, 389.355, 371.0, 385.785, 372.7, 378.0 and 375.73 W,
    # 3082.52 W together; 3082.52 x 0.295 = 909.3434 J.
    assert log.energy_j() == 909.3434
    assert list(log.gpus) == list(range(8))
    assert log.kind == "aware"


def test_read_power_of_the_reduced_log_names_its_gap() -> None:
    log = read_power(DATA / "nvidia_smi_reduced.csv")
    # 0.105 x 75.19 + 70.327 x 333.335 + 0.1 x 558.135 + 0.1 x 496.89
    # = 7.89495 + 23442.450545 + 55.8135 + 49.689 = 23555.847995 J.
    assert log.energy_j() == 23555.847995
    assert log.warnings_of() == ["the power log has no sample of GPU 0 for 70.3 s of the run"]


def test_instances_that_repeat_the_power_of_their_gpu_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{time},0,{instance},50.0\n" for time in (1777888800, 1777888801) for instance in (1, 2))
    said = refusal_of(tmp_path, "timestamp,gpu,gpu_i_id,power_w\n" + rows)
    assert "expected the power of each instance, got the same of 2 instances of one GPU" in said


def test_rows_of_several_gpus_without_a_column_of_them_are_refused(tmp_path: Path) -> None:
    header = "timestamp,power_w\n"
    equal = "".join(f"2026-05-04 10:00:{second:02d},100.0\n" for second in range(11) for _ in range(8))
    assert "got 8 of one time and no column of the GPU" in refusal_of(tmp_path, header + equal)
    # nvidia-smi reads one GPU after the other, so that the times of one reading differ by milliseconds.
    burst = "".join(
        f"2026-05-04 10:00:{second:02d}.{gpu * 3:03d},100.0\n" for second in range(11) for gpu in range(8)
    )
    assert "got bursts of 8 rows and no column of the GPU" in refusal_of(tmp_path, header + burst)
    regular = "".join(f"2026-05-04 10:00:{tick // 10:02d}.{tick % 10}03,100.0\n" for tick in range(101))
    # 10 s x 100 W.
    assert log_of(tmp_path, header + regular).energy_j() == 1000.0
    assert log_of(tmp_path, header + regular, gpu="5").energy_per_gpu_j() == {5: 1000.0}


def test_units_of_headers_and_cells_are_converted(tmp_path: Path) -> None:
    header = "timestamp,index,power.draw [W]\n"
    for first, second in (("118.11 W", "118110 mW"), ("118.11", "0.11811 kW")):
        log = log_of(tmp_path, f"{header}1777888800,0,{first}\n1777888801,0,{second}\n")
        assert log.energy_j() == 118.11
    log = log_of(tmp_path, "time,gpu,power_mw\n1777888800,0,118110\n1777888801,0,118110\n")
    assert log.energy_j() == 118.11
    without = "2026/05/04 10:00:00.000, 0, 118.11 W, 32\n2026/05/04 10:00:01.000, 0, 118.11 W, 32\n"
    assert log_of(tmp_path, without).energy_j() == 118.11


def test_times_of_all_forms_are_read(tmp_path: Path) -> None:
    forms = [
        ("2026/05/04 10:00:00.000", "2026/05/04 10:00:01.500", NOON),
        ("2026-05-04T12:00:00,000000000+02:00", "2026-05-04T12:00:01,500000000+02:00", NOON_UTC),
        ("2026-05-04T10:00:00Z", "2026-05-04T10:00:01.5Z", NOON_UTC),
        ("1777888800", "1777888801.5", NOON_UTC),
        ("1777888800000", "1777888801500", NOON_UTC),
        ("1777888800000000", "1777888801500000", NOON_UTC),
        ("1777888800000000000", "1777888801500000000", NOON_UTC),
    ]
    for first, second, start in forms:
        log = log_of(tmp_path, f"timestamp;index;power\n{first.replace(',', '.')};0;10\n{second};0;10\n")
        assert (log.start, log.energy_j()) == (start, 15.0), first


def test_a_naive_log_and_an_aware_run_need_a_zone(tmp_path: Path) -> None:
    text = "timestamp,index,power\n2026/05/04 12:00:00,0,10\n2026/05/04 12:00:10,0,10\n"
    with pytest.raises(NotImportableError, match="a log without a time zone and a run with one; name"):
        log_of(tmp_path, text).energy_j(NOON_UTC, NOON_UTC + timedelta(seconds=10))
    log = log_of(tmp_path, text, zone="+02:00")
    assert log.energy_j(NOON_UTC, NOON_UTC + timedelta(seconds=10)) == 100.0
    aware = log_of(tmp_path, text.replace("/04 12", "-04T10").replace("/", "-").replace(",0,10", "Z,0,10"))
    with pytest.raises(NotImportableError, match="a log with a time zone and a run without one"):
        aware.energy_j(NOON, at(10))


def test_a_run_that_the_log_does_not_cover_is_an_error(tmp_path: Path) -> None:
    log = log_of(
        tmp_path, "timestamp,index,power\n" + "".join(f"{at(s).isoformat()},0,10\n" for s in range(11))
    )
    # As much as one interval outside the log is at the power of the nearest sample, and the result says so.
    assert log.energy_j(at(-1), at(11)) == 120.0
    assert "ends 1.000 s inside the run" in log.warnings_of(at(-1), at(11))[0]
    for start, end in ((-2, 5), (5, 12), (100, 110)):
        with pytest.raises(
            NotImportableError, match="expected a power log that covers the run, from 2026-05-04T"
        ):
            log.energy_j(at(start), at(end))


def test_a_log_without_times_needs_a_start_and_an_interval(tmp_path: Path) -> None:
    text = "#Entity   POWER\nID        W\n" + "GPU 0     10.0\nGPU 1     30.0\n" * 3
    assert "give the time of the first sample" in refusal_of(tmp_path, text)
    log = log_of(tmp_path, text, start=NOON, interval_s=0.5)
    # Three samples, 0.5 s apart: 1 s.
    assert log.energy_per_gpu_j(at(0), at(1)) == {0: 10.0, 1: 30.0}


def test_trace_has_a_row_of_each_second_and_gpu(tmp_path: Path) -> None:
    log = read_power(DATA / "nvidia_smi.csv", gpus=[0])
    trace = log.trace(at(0), at(1.5))
    # 0 s to 1 s: (90 + 210) / 2. The last row ends with the run: 210 to 200 W in 0.5 s.
    assert trace.power_w == [150.0, 205.0]
    assert (trace.timestamp_s, trace.gpu_index) == ([0.0, 1.0], [0, 0])
    assert (trace.temperature_c, trace.memory_used_mb) == ([32.0, 40.0], [1024.0, 2048.0])
    path = log.write(tmp_path / "trace.parquet", at(0), at(1.5))
    read = read_timeseries(path)
    # 150 + 205 / 2.
    assert read.energy_j == log.energy_j(at(0), at(1.5)) == 252.5
    assert read.gpu_names == {0: "GPU-aaaa"}


@given(
    st.lists(st.integers(1, 3_000_000), min_size=2, max_size=40),
    st.data(),
)
def test_energy_of_the_rows_of_a_trace_is_the_integral(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], data: st.DataObject
) -> None:
    powers = data.draw(st.lists(st.floats(0, 1000, width=32), min_size=len(steps), max_size=len(steps)))
    times = [sum(steps[:count]) for count in range(len(steps))]
    rows = zip(times, powers, strict=True)
    text = "timestamp,gpu,power\n" + "".join(
        f"{1777888800000000 + time},0,{power!r}\n" for time, power in rows
    )
    log = log_of(tmp_path_factory.mktemp("log"), text)
    ends = sorted(data.draw(st.tuples(st.integers(0, times[-1]), st.integers(0, times[-1]))))
    start, end = (NOON_UTC + timedelta(microseconds=each) for each in ends)
    trace = log.trace(start, end)
    lengths = [min(1.0, (ends[1] - ends[0]) / 1e6 - second) for second in trace.timestamp_s]
    total = math.fsum(power * length for power, length in zip(trace.power_w, lengths, strict=True) if power)
    assert total == pytest.approx(log.energy_j(start, end), rel=1e-6, abs=1e-6)
    assert trace.energy_j is None or trace.energy_j == log.energy_j(start, end)


def test_compressed_and_utf_16_logs_are_read(tmp_path: Path) -> None:
    content = (DATA / "nvidia_smi.csv").read_text()
    expected = read_power(DATA / "nvidia_smi.csv").energy_j()
    forms = {
        "log.csv.gz": gzip.compress(content.encode()),
        "utf16.csv": content.encode("utf-16"),
        "bom.csv": content.encode("utf-8-sig"),
        "crlf.csv": content.replace("\n", "\r\n").encode(),
    }
    for name, form in forms.items():
        (tmp_path / name).write_bytes(form)
        assert read_power(tmp_path / name).energy_j() == expected, name


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.iterdir()))
def test_a_truncated_log_is_one_sentence(tmp_path: Path, name: str) -> None:
    content = (DATA / name).read_bytes()
    path = tmp_path / name
    refused = []
    for cut in (*range(0, 40, 3), *range(40, len(content), 17), *range(len(content) - 12, len(content))):
        path.write_bytes(content[:cut])
        try:
            read_power(path).energy_j()
        except NotImportableError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in said for said in refused)


def test_lines_that_are_no_samples_are_counted(tmp_path: Path) -> None:
    text = "timestamp,index,power\n1777888800,0,10\nGPU is lost\n1777888801,0,10\n1777888802,0\n"
    log = log_of(tmp_path, text)
    assert log.energy_j() == 10.0
    assert log.warnings == (
        "the last line of the power log is incomplete (expected 3 cells, got 2 cells)",
        "the power log has 1 line, the first in line 3, that are no samples",
    )


def test_columns_and_gpus_that_are_not_there_are_named(tmp_path: Path) -> None:
    text = "when,card,juice\n1777888800,a,10\n1777888801,a,10\n"
    assert "expected a power log, got a file whose first line is 'when,card,juice'" in refusal_of(
        tmp_path, text
    )
    named = {"time": "when", "power": "juice", "gpu": "card"}
    log = log_of(tmp_path, text, **named)
    assert (log.gpus, log.energy_j()) == ({0: "a"}, 10.0)
    assert "expected a column 'x' for the GPU" in refusal_of(tmp_path, text, **(named | {"gpu": "x"}))
    assert "expected a GPU of the power log, 0 (a), got '7'" in refusal_of(
        tmp_path, text, **named, gpus=["7"]
    )
    assert "expected a time zone" in refusal_of(tmp_path, text, **named, zone="Mars/North")


def test_rows_of_a_dict_reader_are_samples(tmp_path: Path) -> None:
    with (DATA / "nvidia_smi.csv").open() as file:
        path = write_timeseries_parquet(csv.DictReader(file, skipinitialspace=True), tmp_path / "x.parquet")
    trace = read_timeseries(path)
    assert trace.gpu_index == [0, 1, 0, 1, 0, 1]
    assert trace.power_w == [90.0, None, 210.0, 50.0, 190.0, 70.0]
    assert trace.memory_used_mb[0] == 1024.0
    for text, said in (("a,b\n1,2\n", "expected a column of the power"), ("power\n1\n", "of the time")):
        with pytest.raises(ValueError, match=said):
            write_timeseries_parquet(csv.DictReader(text.splitlines()), path)


def test_a_number_that_is_cut_at_the_end_is_no_sample(tmp_path: Path) -> None:
    header = "timestamp,index,power.draw [W]\n"
    rows = "".join(f"177788880{second},0,200.00 W\n" for second in range(6))
    for cut in ("200.00", "200.0", "20", "2"):
        log = log_of(tmp_path, f"{header}{rows}1777888806,0,{cut}")
        assert (log.energy_j(), len(log.warnings)) == (1000.0, 1), cut
    whole = log_of(tmp_path, f"{header}{rows}1777888806,0,200.00 W")
    assert (whole.energy_j(), whole.warnings) == (1200.0, ())
    floats = "\n".join(f"177788880{second},0,{second * 12.5}" for second in range(7))
    assert log_of(tmp_path, header + floats).energy_j() == 225.0


def test_grafana_has_a_column_for_each_gpu(tmp_path: Path) -> None:
    names = [f'DCGM_FI_DEV_POWER_USAGE{{gpu=""{gpu}"", instance=""node:9400""}}' for gpu in (2, 3)]
    text = "Time," + ",".join(f'"{name}"' for name in names) + "\n"
    text += "2026-05-04 10:00:00,100 W,50 W\n2026-05-04 10:00:10,100 W,50 W\n"
    assert log_of(tmp_path, text).energy_per_gpu_j() == {2: 1000.0, 3: 500.0}


@pytest.mark.parametrize(
    "header",
    [
        "time,0,1",
        "time,gpu0,gpu1",
        "Time (s),GPU 0 Power (W),GPU 1 Power (W)",
        "t,power0,power1",
        "t,gpu_0_power_w,gpu_1_power_w",
    ],
)
def test_a_column_for_each_gpu_is_found(tmp_path: Path, header: str) -> None:
    text = f"{header.replace('t,', 'timestamp,', 1)}\n1777888800,10.0,30.0\n1777888801,10.0,30.0\n"
    assert log_of(tmp_path, text).energy_per_gpu_j() == {0: 10.0, 1: 30.0}
    if "ower" in header:
        others = text.replace("\n", ",gpu0_util\n", 1).replace(".0\n", ".0,99\n")
        assert log_of(tmp_path, others).energy_per_gpu_j() == {0: 10.0, 1: 30.0}


def test_columns_without_a_header_have_their_places_as_names(tmp_path: Path) -> None:
    rows = "".join(
        f"2026/05/04 10:00:0{second}.000, {gpu}, 7, 100.0\n" for second in (0, 1) for gpu in (3, 4)
    )
    for text in (rows, rows.replace("7", "7.5").replace(", 3", ", 3.0").replace(", 4", ", 4.0")):
        assert "expected a power log, got a file whose first line is" in refusal_of(tmp_path, text)
    log = log_of(tmp_path, rows, power="4", gpu="2")
    assert log.energy_per_gpu_j() == {3: 100.0, 4: 100.0}


@pytest.mark.parametrize("name", ["timestamp_ms", "elapsed_ms", "time (ms)", "timestamp [ms]"])
def test_read_power_takes_the_unit_of_the_time_from_its_header(tmp_path: Path, name: str) -> None:
    log = log_of(tmp_path, f"{name},power_w\n" + "".join(f"{second * 1000},100\n" for second in range(10)))
    assert log.energy_j() == 900.0  # 100 W for 9 s


def test_read_power_takes_the_unit_from_the_name_of_a_column_that_the_caller_names(tmp_path: Path) -> None:
    text = "wall_us,watt\n" + "".join(f"{second * 1_000_000},100\n" for second in range(10))
    assert log_of(tmp_path, text, time="wall_us", power="watt").energy_j() == 900.0  # 100 W for 9 s


@pytest.mark.parametrize(("header", "cell"), [("power", "50 %"), ("power [%]", "50"), ("power (C)", "50")])
def test_read_power_refuses_a_power_of_another_unit(tmp_path: Path, header: str, cell: str) -> None:
    rows = "".join(f"2026-05-04T10:00:0{second}Z,{cell}\n" for second in range(5))
    assert "expected a" in refusal_of(tmp_path, f"timestamp,{header}\n{rows}")


def test_read_power_tells_gpus_of_different_models_apart(tmp_path: Path) -> None:
    rows = "".join(
        f"2026/05/04 10:00:0{second}.{gpu}00, {('A100', 'H100')[gpu]}, {100 + 100 * gpu} W\n"
        for second in range(10)
        for gpu in (0, 1)
    )
    log = log_of(tmp_path, "timestamp, name, power.draw [W]\n" + rows)
    assert log.gpus == {0: "A100", 1: "H100"}
    assert log.energy_per_gpu_j() == {0: 900.0, 1: 1800.0}  # 100 W and 200 W for 9 s


def test_read_power_refuses_several_gpus_of_one_model(tmp_path: Path) -> None:
    rows = "".join(
        f"2026/05/04 10:00:0{second}.00{gpu}, H100, 100 W\n" for second in range(9) for gpu in (0, 5)
    )
    assert "of 2 GPUs" in refusal_of(tmp_path, "timestamp, name, power.draw [W]\n" + rows)


@pytest.mark.parametrize(("cell", "doubt"), [("118110", "in milliwatts"), ("-5", "below 0 W")])
def test_read_power_doubts_powers_of_no_gpu(tmp_path: Path, cell: str, doubt: str) -> None:
    rows = "".join(f"2026-05-04T10:00:0{second}Z,{cell}\n" for second in range(5))
    [warning] = log_of(tmp_path, "timestamp,power\n" + rows).warnings
    assert doubt in warning


@pytest.mark.parametrize(("last", "joules"), [("4", 1600.0), ("405", 2002.5)])
def test_read_power_leaves_out_an_integer_that_is_cut(tmp_path: Path, last: str, joules: float) -> None:
    rows = "".join(f"2026-05-04T10:00:0{second}Z,400\n" for second in range(5))
    log = log_of(tmp_path, f"timestamp,socket_power\n{rows}2026-05-04T10:00:05Z,{last}")
    # 400 W for 4 s, and (400 + 405) / 2 J in the next second if that is complete.
    assert log.energy_j() == joules


def test_read_power_without_a_value_names_the_column(tmp_path: Path) -> None:
    rows = "".join(f"2026/05/04 10:00:0{second}.000, 100 W, [N/A]\n" for second in range(3))
    refused = refusal_of(tmp_path, "timestamp, power.draw.average [W], power.draw.instant [W]\n" + rows)
    assert "got none in power.draw.instant [W]; choose another column with --power-columns" in refused
