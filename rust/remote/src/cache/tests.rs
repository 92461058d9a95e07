use std::path::Path;

use super::*;

fn options(directory: &Path) -> CacheOptions {
    CacheOptions { directory: directory.to_owned(), max_bytes: 1 << 20 }
}

fn found(bytes: &[u8], etag: &str) -> Found {
    Found { size: bytes.len() as u64, etag: Some(etag.into()), modified: 0 }
}

fn fill(options: &CacheOptions, entries: &[(&str, &[u8])]) {
    let cache = Cache::open(options, "s3 bucket");
    for (key, bytes) in entries {
        cache.put(key, &found(bytes, "e"), &Bytes::copy_from_slice(bytes));
    }
    cache.finish();
}

#[test]
fn get_returns_what_was_put_while_the_listing_shows_it() {
    let temp = tempfile::tempdir().unwrap();
    let options = options(temp.path());
    fill(&options, &[("a/result.json", b"one"), ("b/result.json", b"")]);
    let cache = Cache::open(&options, "s3 bucket");
    assert_eq!(cache.get("a/result.json", &found(b"one", "e")).as_deref(), Some(&b"one"[..]));
    assert_eq!(cache.get("b/result.json", &found(b"", "e")).as_deref(), Some(&b""[..]));
    for other in [found(b"one", "f"), found(b"two!", "e"), Found { etag: None, ..found(b"one", "e") }] {
        assert_eq!(cache.get("a/result.json", &other), None);
    }
    assert_eq!(Cache::open(&options, "s3 other").get("a/result.json", &found(b"one", "e")), None);
}

#[test]
fn get_from_damaged_files_returns_none_or_the_truth() {
    let temp = tempfile::tempdir().unwrap();
    let options = options(temp.path());
    fill(&options, &[("a", b"the first record"), ("b", b"the second record")]);
    let path = pack_files(&Cache::open(&options, "s3 bucket").directory).remove(0);
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let cache = Cache::open(&options, "s3 bucket");
        for (key, truth) in [("a", &b"the first record"[..]), ("b", b"the second record")] {
            let got = cache.get(key, &found(truth, "e"));
            assert!(got.is_none_or(|got| *got == *truth));
        }
    };
    for index in 0..whole.len() {
        let mut changed = whole.clone();
        changed[index] ^= 0x55;
        check(&changed);
        check(&whole[..index]);
    }
}

#[test]
fn finish_joins_many_files_and_keeps_to_the_bound() {
    let temp = tempfile::tempdir().unwrap();
    let options = options(temp.path());
    for number in 0..2 * MANY {
        fill(&options, &[(&number.to_string(), format!("record {number}").as_bytes())]);
    }
    let cache = Cache::open(&options, "s3 bucket");
    assert!(cache.packs.len() <= MANY, "{}", cache.packs.len());
    for number in 0..2 * MANY {
        let truth = format!("record {number}");
        assert_eq!(
            cache.get(&number.to_string(), &found(truth.as_bytes(), "e")).as_deref(),
            Some(truth.as_bytes())
        );
    }
    let small = CacheOptions { max_bytes: 300, ..options };
    fill(&small, &[("last", b"last")]);
    let bytes: u64 = pack_files(&cache.directory).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= 300, "{bytes}");
}

#[test]
fn cache_without_a_directory_is_empty() {
    let options = options(Path::new("/dev/null/cache"));
    fill(&options, &[("a", b"x")]);
    assert_eq!(Cache::open(&options, "s3 bucket").get("a", &found(b"x", "e")), None);
}
