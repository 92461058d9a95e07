//! What the system calls of a save cost, in plain std: the floor that the benchmarks stand on.
//!
//! `llem-floor DIR RECORD_FILE COUNT [--durable] [--start N]` saves the bytes of a file `COUNT` times as a
//! sweep does, one after the other: `mkdir`, create, write, rename; `--durable` adds the flushes of the file,
//! of its directory and of `DIR`. The directories are `base`, `base_1`, ... from suffix `N` on. It knows the
//! next name and probes for none, checks nothing and cleans nothing up: no store can do less.

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

const USAGE: &str = "usage: llem-floor DIR RECORD_FILE COUNT [--durable] [--start N]";
/// As long as a real name, since the names fill the directory.
const BASE: &str = "meta-llama-llama-3.1-8b_vllm_2026-02-18T14-30";

struct Arguments {
    dir: PathBuf,
    record: PathBuf,
    count: u64,
    durable: bool,
    start: u64,
}

fn main() -> ExitCode {
    match run() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("llem-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Box<dyn Error>> {
    let Arguments { dir, record, count, durable, start } = parse(std::env::args_os().skip(1))?;
    let record = fs::read(record)?;
    let mut each = Vec::new();
    let begin = Instant::now();
    for suffix in start..start + count {
        let begin = Instant::now();
        save(&dir, suffix, &record, durable)?;
        each.push(begin.elapsed().as_nanos());
    }
    let total = begin.elapsed().as_nanos();
    each.sort_unstable();
    let median = each.get(each.len() / 2).ok_or("COUNT is at least 1")?;
    Ok(format!(
        r#"{{"durable": {durable}, "count": {count}, "bytes": {}, "total_ns": {total}, "mean_ns": {}, "median_ns": {median}}}"#,
        record.len(),
        total / u128::from(count),
    ))
}

fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Arguments, Box<dyn Error>> {
    let mut positional = Vec::new();
    let (mut durable, mut start) = (false, 0);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--durable") => durable = true,
            Some("--start") => start = number(arguments.next().ok_or(USAGE)?)?,
            _ => positional.push(argument),
        }
    }
    let [dir, record, count] = <[OsString; 3]>::try_from(positional).map_err(|_| USAGE)?;
    Ok(Arguments { dir: dir.into(), record: record.into(), count: number(count)?, durable, start })
}

fn number(argument: OsString) -> Result<u64, Box<dyn Error>> {
    Ok(argument.into_string().map_err(|_| USAGE)?.parse()?)
}

fn save(root: &Path, suffix: u64, record: &[u8], durable: bool) -> io::Result<()> {
    let dir = if suffix == 0 { root.join(BASE) } else { root.join(format!("{BASE}_{suffix}")) };
    fs::create_dir(&dir)?;
    let temp = dir.join(".result.json.tmp");
    let mut file = File::create_new(&temp)?;
    file.write_all(record)?;
    if durable {
        file.sync_all()?;
    }
    drop(file);
    fs::rename(&temp, dir.join("result.json"))?;
    if durable {
        File::open(&dir)?.sync_all()?;
        File::open(root)?.sync_all()?;
    }
    Ok(())
}
