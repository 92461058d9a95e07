use super::*;
use crate::timeseries::Columns;
use arrow_array::{RecordBatch, RecordBatchIterator};
use arrow_schema::ArrowError;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use std::fs::{self, File, FileTimes};
use std::io;
use std::time::SystemTime;

fn trace(seconds: u32) -> RecordBatch {
    let rows = seconds as usize;
    let columns = Columns {
        timestamp_s: (0..seconds).map(f64::from).collect(),
        gpu_index: vec![0; rows],
        power_w: vec![Some(250.5); rows],
        temperature_c: vec![None; rows],
        memory_used_mb: vec![None; rows],
        memory_total_mb: vec![Some(81920.0); rows],
        sm_utilisation_pct: vec![None; rows],
        throttle_reasons: vec![Some(1 << 40); rows],
    };
    columns.try_into().unwrap()
}

fn stream(batches: Vec<Result<RecordBatch, ArrowError>>) -> Source {
    Source::Arrow(Box::new(RecordBatchIterator::new(batches, crate::timeseries::schema())))
}

fn write_into(path: &Path, source: Source) -> Result<()> {
    let dir = Arc::new(Dir::open(path).unwrap());
    publish(write(&dir, &mut check(source)?, Interrupt::NEVER)?.0)
}

fn parquet_file(path: &Path) -> PathBuf {
    fs::create_dir(path).unwrap();
    write_into(path, stream(vec![Ok(trace(600))])).unwrap();
    path.join(SIDECAR)
}

fn reason(bytes: &[u8]) -> String {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("x.parquet");
    fs::write(&path, bytes).unwrap();
    check(Source::File(path)).err().unwrap().to_string()
}

#[test]
fn write_arrow_stream_reads_back_from_parquet() {
    let temp = tempfile::tempdir().unwrap();
    write_into(temp.path(), stream(vec![Ok(trace(3)), Ok(trace(2))])).unwrap();
    let file = File::open(temp.path().join(SIDECAR)).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let codec = builder.metadata().row_group(0).column(0).compression();
    assert!(matches!(codec, Compression::ZSTD(_)));
    let rows: usize = builder.build().unwrap().map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!(rows, 5);
}

#[test]
fn write_file_keeps_bytes_and_modification_time() {
    let temp = tempfile::tempdir().unwrap();
    let source = parquet_file(&temp.path().join("source"));
    let then = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let times = FileTimes::new().set_modified(then);
    File::options().write(true).open(&source).unwrap().set_times(times).unwrap();
    write_into(temp.path(), Source::File(source.clone())).unwrap();
    let copy = temp.path().join(SIDECAR);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&source).unwrap());
    assert_eq!(fs::metadata(&copy).unwrap().modified().unwrap(), then);
}

#[test]
fn check_invalid_parquet_names_the_fault() {
    assert!(reason(b"").contains("(0 bytes): the file is empty"));
    assert!(reason(b"PAR1").contains("too short"));
    assert!(reason(b"timestamp_s,power_w\n").contains("does not begin with"));
    assert!(reason(b"PAR1 and then the disk was full").contains("truncated"));
    assert!(reason(b"PAR1\xff\xff\xff\x7fPAR1").contains("footer cannot be read"));
    assert!(reason(b"PAR1\0\0\0\0\x04\0\0\0PAR1").contains("footer cannot be read"));
}

#[test]
fn check_missing_source_returns_none() {
    let temp = tempfile::tempdir().unwrap();
    assert!(check(Source::File(temp.path().join("absent"))).unwrap().is_none());
}

#[test]
fn check_directory_returns_error() {
    let temp = tempfile::tempdir().unwrap();
    let error = check(Source::File(temp.path().to_owned())).err().unwrap();
    assert!(matches!(error, Error::NotAFile { .. }), "{error}");
}

#[test]
fn write_changed_source_fails() {
    let temp = tempfile::tempdir().unwrap();
    let source = parquet_file(&temp.path().join("source"));
    let mut checked = check(Source::File(source.clone())).unwrap();
    File::options().append(true).open(&source).unwrap().write_all(b"more").unwrap();
    let dir = Arc::new(Dir::open(temp.path()).unwrap());
    let error = write(&dir, &mut checked, Interrupt::NEVER).unwrap_err();
    assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn write_broken_stream_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let broken = Err(ArrowError::ComputeError("the sensor went away".into()));
    let error = write_into(temp.path(), stream(vec![Ok(trace(3)), broken])).unwrap_err();
    assert!(error.to_string().contains("the sensor went away"), "{error}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn write_cancelled_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let mut checked = check(stream(vec![Ok(trace(3))])).unwrap();
    let dir = Arc::new(Dir::open(temp.path()).unwrap());
    let error = write(&dir, &mut checked, Interrupt::new(&|_| true)).unwrap_err();
    assert!(matches!(error, Error::Interrupted));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn encode_error_full_disk_keeps_its_code() {
    let full = ParquetError::from(io::Error::from_raw_os_error(28));
    assert_eq!(encode_error(Path::new("/x"), &full).raw_os_error(), Some(28));
}
