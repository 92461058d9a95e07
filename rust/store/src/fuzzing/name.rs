//! Any strings become one legal directory name.

use unicode_normalization::is_nfc;

use crate::name::{directory_name, is_given};

const MINUTE: &str = "2026-02-18T14-30";
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// Check the name of a model, a backend and a timestamp; the input separates them with a byte that is not in any text.
pub fn name(input: &[u8]) {
    let mut texts = input.split(|&byte| byte == 0xff).map(String::from_utf8_lossy);
    let [model, backend, timestamp] = [(); 3].map(|()| texts.next().unwrap_or_default());
    legal(&directory_name(&model, &backend, &timestamp));
    let name = directory_name(&model, &backend, MINUTE);
    legal(&name);
    assert!(name.len() <= 238, "{} bytes: {name:?}", name.len());
    assert!(name.ends_with(MINUTE) && is_given(&name) && is_given(&format!("{name}_12")), "{name:?}");
    let alike = directory_name(&model.to_uppercase().to_lowercase(), &backend, MINUTE);
    legal(&alike);
}

fn legal(name: &str) {
    assert!(!name.is_empty(), "empty");
    assert!(!name.contains(['/', '\\', '<', '>', ':', '"', '|', '?', '*']), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
    assert!(!name.starts_with(['.', '-']) && !name.ends_with(['.', ' ']), "{name:?}");
    assert!(is_nfc(name), "{name:?}");
    // Windows reads the part before the first dot, without trailing spaces, as the name of a device.
    if let Some((stem, _)) = name.split_once('.') {
        let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
        let numbered = ["COM", "LPT"].iter().any(|port| {
            let number = stem.strip_prefix(port).unwrap_or_default();
            number.chars().count() == 1 && number.chars().all(|c| c.is_ascii_digit() || "¹²³".contains(c))
        });
        assert!(!numbered && !DEVICES.contains(&stem.as_str()), "{name:?}");
    }
}
