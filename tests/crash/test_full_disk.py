"""Single saves on full disks, at limits and on bad paths, as real systems have them."""

from __future__ import annotations

import errno as codes
import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llenergymeasure import ExperimentResult, PersistenceError, SidecarError
from llenergymeasure.results.timeseries import Timeseries
from support.disks import fill
from support.processes import open_descriptors
from support.saver import Saver, check_outcome
from support.trees import list_tree

Mount = Callable[..., Path]

NOBODY = 65534


def failed(result: ExperimentResult, root: Path, source: object = None) -> PersistenceError:
    with pytest.raises(PersistenceError) as caught:
        result.save(root, source)  # type: ignore[arg-type]
    error = caught.value
    assert error.filename is not None
    assert error.filename in str(error)
    assert os.strerror(error.errno or 0) in str(error)
    return error


def test_save_full_disk_leaves_nothing_and_succeeds_with_free_space(
    big: ExperimentResult, small: Path
) -> None:
    (small / "out").mkdir()
    fill(small / "filler", 1 << 16)
    error = failed(big, small / "out")
    assert (error.errno, error.committed) == (codes.ENOSPC, False)
    assert error.step in ("claim", "create", "write", "flush")
    assert list_tree(small) == ["filler", "out"]
    (small / "filler").unlink()
    assert ExperimentResult.from_json(big.save(small / "out")) == big


def test_save_full_disk_removes_new_root(big: ExperimentResult, small: Path) -> None:
    fill(small / "filler", 1 << 16)
    assert failed(big, small / "a" / "b").errno == codes.ENOSPC
    assert list_tree(small) == ["filler"]


def test_save_filling_disk_keeps_every_accepted_result(result: ExperimentResult, mount: Mount) -> None:
    root = mount("tmpfs", "size=1M")
    saved: list[Path] = []
    error = None
    while error is None:
        assert len(saved) < 1000
        try:
            saved.append(result.save(root))
        except PersistenceError as full:
            error = full
    assert (error.errno, error.committed) == (codes.ENOSPC, False)
    assert saved
    assert sorted(saved) == sorted(root.glob("*/result.json"))
    assert len(saved) == len(list(root.iterdir()))
    assert all(ExperimentResult.from_json(path) == result for path in saved)


def test_save_disk_out_of_inodes_keeps_earlier_results(result: ExperimentResult, small: Path) -> None:
    saved: list[Path] = []
    with pytest.raises(PersistenceError) as caught:  # noqa: PT012 - one of the saves fails, and not the first
        for _ in range(100):
            saved.append(result.save(small))  # noqa: PERF401 - saves before the error count
    assert (caught.value.errno, caught.value.committed) == (codes.ENOSPC, False)
    assert caught.value.step in ("claim", "create")
    assert len(saved) > 10
    assert list_tree(small) == sorted(
        name for path in saved for name in (path.parent.name, f"{path.parent.name}/result.json")
    )
    assert all(ExperimentResult.from_json(path) == result for path in saved)


@pytest.mark.parametrize("kind", ["path", "arrow"])
def test_save_disk_too_full_for_sidecar_keeps_record(
    result: ExperimentResult, big_parquet: Path, big_trace: Timeseries, mount: Mount, kind: str
) -> None:
    root = mount("tmpfs", "size=512k")
    error = failed(result, root, big_trace if kind == "arrow" else big_parquet)
    assert isinstance(error, SidecarError)
    assert (error.errno, error.step, error.committed) == (codes.ENOSPC, "write", True)
    assert error.result_path is not None
    record = Path(error.result_path)
    assert list_tree(root) == [record.parent.name, f"{record.parent.name}/result.json"]
    assert ExperimentResult.from_json(record) == result


def test_save_disk_too_full_for_record_leaves_nothing(
    big: ExperimentResult, parquet: Path, mount: Mount
) -> None:
    root = mount("tmpfs", "size=512k")
    error = failed(big, root, parquet)
    assert (error.errno, error.committed, type(error).__name__) == (codes.ENOSPC, False, "PersistenceError")
    assert list_tree(root) == []


def test_save_file_size_limit_raises_error_without_signal(
    saver: Saver, result: ExperimentResult, tmp_path: Path
) -> None:
    outcome = saver.save(result, tmp_path / "out", fsize=1000)
    assert check_outcome(result, tmp_path / "out", outcome) == "nothing"
    assert not (tmp_path / "out").exists()
    assert (outcome.reply["errno"], outcome.reply["step"]) == (codes.EFBIG, "write")


def test_save_file_size_limit_below_sidecar_keeps_record(
    saver: Saver, result: ExperimentResult, big_parquet: Path, tmp_path: Path
) -> None:
    outcome = saver.save(result, tmp_path / "out", source=big_parquet, fsize=100_000)
    assert check_outcome(result, tmp_path / "out", outcome) == "no sidecar"
    assert (outcome.reply["errno"], outcome.reply["step"]) == (codes.EFBIG, "write")


@pytest.mark.parametrize("with_sidecar", [False, True])
def test_save_few_descriptors_keeps_all_or_nothing(
    saver: Saver, result: ExperimentResult, parquet: Path, tmp_path: Path, *, with_sidecar: bool
) -> None:
    ends = []
    for free in range(8):
        root = tmp_path / str(free) / "a" / "b"
        root.parents[1].mkdir()
        outcome = saver.save(result, root, source=parquet if with_sidecar else None, descriptors=free)
        ends.append(check_outcome(result, root, outcome))
        if ends[-1] == "nothing":
            assert not list(root.parents[1].iterdir())
        if ends[-1] != "saved":
            assert outcome.reply["errno"] == codes.EMFILE
    assert ends[0] != "saved"
    assert ends[-1] == "saved"


def test_save_root_without_permission_raises_permission_error(
    saver: Saver, result: ExperimentResult, public_directory: Path
) -> None:
    root = public_directory / "closed"
    root.mkdir()
    root.chmod(0o555)
    outcome = saver.save(result, root, uid=NOBODY if os.getuid() == 0 else None)
    assert check_outcome(result, root, outcome) == "nothing"
    assert "PermissionError" in outcome.reply["is"]
    assert (outcome.reply["errno"], outcome.reply["step"]) == (codes.EACCES, "claim")
    outcome = saver.save(result, root / "sub", uid=NOBODY if os.getuid() == 0 else None)
    assert (outcome.reply["errno"], outcome.reply["step"]) == (codes.EACCES, "make_output_dir")


def test_save_source_without_permission_keeps_record(
    saver: Saver, result: ExperimentResult, public_directory: Path, parquet: Path
) -> None:
    source = public_directory / "source.parquet"
    source.write_bytes(parquet.read_bytes())
    source.chmod(0)
    root = public_directory / "out"
    root.mkdir()
    root.chmod(0o777)
    outcome = saver.save(result, root, source=source, uid=NOBODY if os.getuid() == 0 else None)
    assert check_outcome(result, root, outcome) == "no sidecar"
    assert "PermissionError" in outcome.reply["is"]
    assert (outcome.reply["errno"], outcome.reply["step"]) == (codes.EACCES, "read_source")
    assert outcome.reply["filename"] == str(source)


def test_save_read_only_disk_names_path_and_changes_nothing(result: ExperimentResult, mount: Mount) -> None:
    root = mount("tmpfs", "ro")
    error = failed(result, root)
    assert (error.errno, error.step, error.committed) == (codes.EROFS, "claim", False)
    error = failed(result, root / "a" / "b")
    assert (error.errno, error.step, error.filename) == (codes.EROFS, "make_output_dir", str(root / "a"))


@pytest.mark.parametrize("below", [".", "a/b"])
def test_save_file_as_root_names_file(result: ExperimentResult, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("theirs")
    error = failed(result, file / below)
    assert isinstance(error, NotADirectoryError)
    assert error.errno == codes.ENOTDIR
    assert error.step in ("open_output_dir", "make_output_dir")
    assert error.filename.startswith(str(file))
    assert file.read_text() == "theirs"


@pytest.mark.parametrize("below", [".", "a/b"])
def test_save_dangling_symlink_names_link_and_makes_nothing(
    result: ExperimentResult, tmp_path: Path, below: str
) -> None:
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    error = failed(result, link / below)
    assert (error.filename, error.step, error.committed) == (str(link), "make_output_dir", False)
    assert list_tree(tmp_path) == ["link"]


def test_save_symlink_loop_raises_eloop(result: ExperimentResult, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert failed(result, tmp_path / "loop" / "a").errno == codes.ELOOP


def test_save_too_long_name_raises_enametoolong(result: ExperimentResult, tmp_path: Path) -> None:
    assert failed(result, tmp_path / "a" / ("x" * 300)).errno == codes.ENAMETOOLONG
    assert list_tree(tmp_path) == []


@pytest.mark.parametrize("root", ["results", "."])
def test_save_removed_working_directory_raises_file_not_found(
    saver: Saver, result: ExperimentResult, root: str
) -> None:
    outcome = saver.save(result, root, gone_cwd=True)
    assert outcome.kind == "PersistenceError", outcome
    assert "FileNotFoundError" in outcome.reply["is"]
    assert (outcome.reply["errno"], outcome.reply["committed"]) == (codes.ENOENT, False)


def test_save_symlink_as_root_is_followed(result: ExperimentResult, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    path = result.save(tmp_path / "link")
    assert (tmp_path / "real" / path.parent.name / "result.json").read_text() == path.read_text()


def test_save_500_times_with_failures_leaks_no_descriptor(
    result: ExperimentResult, parquet: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    bad = tmp_path / "bad.parquet"
    bad.write_text("no")
    link = tmp_path / "link"
    link.symlink_to("nowhere")

    def once(n: int) -> None:
        with pytest.raises(PersistenceError):
            result.save((file, link / "a", tmp_path / "out" / ("x" * 300))[n % 3])
        sources = (None, parquet, Timeseries(timestamp_s=[0.0], gpu_index=[0], power_w=[1.0]), bad)
        if n % 4 == 3:
            with pytest.raises(SidecarError):
                result.save(tmp_path / "out", sources[3], durable=False)
        else:
            result.save(tmp_path / "out", sources[n % 4], durable=False)

    for n in range(4):
        once(n)
    gc.collect()  # closes descriptors of earlier tests
    before = open_descriptors()
    for n in range(500):
        once(n)
    assert open_descriptors() == before
