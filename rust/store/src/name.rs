//! The legal directory name of a model, a backend and a minute.

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

/// The name of an absent or empty model or backend.
const UNKNOWN: &str = "unknown";
/// Bytes of the model's part: with the backend's, a minute and a 16-byte suffix the name fits 255.
const MAX_SLUG: usize = 180;
/// Bytes of the backend's part.
const MAX_BACKEND: usize = 40;
/// The end of the name of a failure, before its suffix.
const FAILED: &str = "_failed";
/// The pattern of a save's minute: a digit for each zero.
const MINUTE: &str = "0000-00-00T00-00";

/// Name the directory of a result: `{model_slug}_{backend}_{timestamp}`.
///
/// The slug is the model with `/` as `-`, in lower case. For any strings, the name is one legal
/// component on every platform: NFC, without separators, control characters and `<>:"|?*`, without a
/// leading dot or dash, a trailing dot or space, or a Windows device name, and at most 238 bytes long for a
/// timestamp of 16. A name that is legal by the plain rule comes out exactly by the plain rule.
///
/// Names are labels. Two different models may share one; nothing parses a name for identity.
#[must_use]
pub fn directory_name(model: &str, backend: &str, timestamp: &str) -> String {
    let slug = clean(&model.to_lowercase());
    let slug = shorten(or_unknown(slug.trim_start_matches(['.', '-'])), MAX_SLUG);
    let backend = clean(backend);
    let backend = shorten(or_unknown(&backend), MAX_BACKEND);
    let mut name = format!("{slug}_{backend}_{}", clean(timestamp));
    name.truncate(name.trim_end_matches(['.', ' ']).len());
    if let Some(dot) = device_name(&name) {
        name.replace_range(dot..=dot, "-");
    }
    name
}

/// Name the directory of a failure, from the name that its result would have.
///
/// No result has such a name: the name of a result ends in a minute. So the claims of both never meet, on an object
/// store either, where they are names of different files.
///
/// ```
/// assert_eq!(llem_store::name::failure_name("gpt2_vllm_2026-02-18T14-30"), "gpt2_vllm_2026-02-18T14-30_failed");
/// ```
#[must_use]
pub fn failure_name(name: &str) -> String {
    format!("{name}{FAILED}")
}

/// Return `true` for a name that a save gives: it ends in a minute, or in that of a failure, and perhaps a suffix.
#[must_use]
pub fn is_given(name: &str) -> bool {
    given_base(name).is_some()
}

/// Return a name that a save gives without its suffix; `None` for any other name.
///
/// A copy of a result keeps the name, which then only labels it.
///
/// ```
/// use llem_store::name::given_base;
///
/// assert_eq!(given_base("gpt2_vllm_2026-02-18T14-30_7"), Some("gpt2_vllm_2026-02-18T14-30"));
/// assert_eq!(given_base("gpt2_vllm_2026-02-18T14-30_failed_7"), Some("gpt2_vllm_2026-02-18T14-30_failed"));
/// assert_eq!(given_base("notes_7"), None);
/// ```
#[must_use]
pub fn given_base(name: &str) -> Option<&str> {
    let name = match name.rsplit_once('_') {
        Some((base, suffix)) if !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()) => {
            base
        }
        _ => name,
    };
    let (model_and_backend, minute) = name.strip_suffix(FAILED).unwrap_or(name).rsplit_once('_')?;
    let is_minute = minute.len() == MINUTE.len()
        && minute.bytes().zip(MINUTE.bytes()).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            like => byte == like,
        });
    (is_minute && model_and_backend.contains('_')).then_some(name)
}

/// Return the string in NFC, with `-` for every character that some platform forbids in a file name.
fn clean(text: &str) -> String {
    // ASCII is in NFC as it is, and most names are ASCII.
    if text.is_ascii() { text.chars().map(permitted).collect() } else { text.nfc().map(permitted).collect() }
}

fn permitted(c: char) -> char {
    match c {
        '/' | '\\' | '<' | '>' | ':' | '"' | '|' | '?' | '*' => '-',
        c if c.is_control() => '-',
        c => c,
    }
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { UNKNOWN } else { text }
}

/// Cut a string above `max` bytes on a character boundary, and end it in a hash of the complete string.
fn shorten(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(text.as_bytes()));
    let mut end = max - "-".len() - 8;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{a:02x}{b:02x}{c:02x}{d:02x}", &text[..end])
}

/// Return the position of the first dot, if Windows takes the part before it for a device (`con.7b_vllm_...`).
fn device_name(name: &str) -> Option<usize> {
    let dot = name.find('.')?;
    let stem = name[..dot].trim_end_matches(' ').to_ascii_uppercase();
    let numbered = |prefix| {
        stem.strip_prefix(prefix).is_some_and(|rest: &str| {
            let mut digits = rest.chars();
            matches!(digits.next(), Some('0'..='9' | '¹' | '²' | '³')) && digits.next().is_none()
        })
    };
    let reserved = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$");
    (reserved || numbered("COM") || numbered("LPT")).then_some(dot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: &str = "2026-02-18T14-30";

    fn slug(model: &str) -> String {
        let name = directory_name(model, "vllm", MINUTE);
        name.strip_suffix("_vllm_2026-02-18T14-30").unwrap().to_owned()
    }

    #[test]
    fn directory_name_legal_follows_the_plain_rule() {
        assert_eq!(slug("meta-llama/Llama-3.1-8B"), "meta-llama-llama-3.1-8b");
        assert_eq!(slug("con"), "con");
        assert_eq!(slug("a b."), "a b.");
        assert_eq!(slug("模型/Größe"), "模型-größe");
        assert_eq!(directory_name("gpt2", "vLLM 0.6", MINUTE), "gpt2_vLLM 0.6_2026-02-18T14-30");
    }

    #[test]
    fn directory_name_replaces_forbidden_characters() {
        assert_eq!(slug("a\\b:c*d?e\"f<g>h|i\0j\nk"), "a-b-c-d-e-f-g-h-i-j-k");
        assert_eq!(directory_name("m", "a/b", MINUTE), "m_a-b_2026-02-18T14-30");
    }

    #[test]
    fn directory_name_drops_leading_dots_and_dashes() {
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("/models/llama"), "models-llama");
        assert_eq!(slug("-rf"), "rf");
    }

    #[test]
    fn directory_name_of_empty_parts_is_unknown() {
        assert_eq!(slug(""), "unknown");
        assert_eq!(slug("./.."), "unknown");
        assert_eq!(directory_name("m", "", MINUTE), "m_unknown_2026-02-18T14-30");
    }

    #[test]
    fn directory_name_changes_windows_devices() {
        assert_eq!(slug("con.7b"), "con-7b");
        assert_eq!(slug("Lpt1 .gguf"), "lpt1 -gguf");
        assert_eq!(slug("com10.x"), "com10.x");
        assert_eq!(slug("console.x"), "console.x");
    }

    #[test]
    fn directory_name_is_normalised() {
        assert_eq!(slug("caf\u{e9}"), slug("cafe\u{301}"));
    }

    #[test]
    fn directory_name_cuts_long_parts_and_appends_a_hash() {
        assert_eq!(slug(&"x".repeat(180)), "x".repeat(180));
        let cut = slug(&"é".repeat(91));
        assert!(cut.len() <= 180 && cut.starts_with(&"é".repeat(85)));
        let (_, hash) = cut.rsplit_once('-').unwrap();
        assert!(hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(slug(&format!("{}a", "x".repeat(200))), slug(&format!("{}b", "x".repeat(200))));
        assert_eq!(directory_name("m", &"b".repeat(40), MINUTE), format!("m_{}_{MINUTE}", "b".repeat(40)));
        assert_eq!(directory_name("m", &"b".repeat(41), MINUTE).len(), "m_".len() + 40 + 17);
    }

    proptest! {
        #[test]
        fn clean_treats_ascii_as_any_string(text in "[ -~\\x00-\\x1f\\x7f]*") {
            prop_assert_eq!(clean(&text), text.nfc().map(permitted).collect::<String>());
        }

        #[test]
        fn directory_name_of_any_strings_is_one_legal_component(model in any::<String>(), backend in any::<String>()) {
            let name = directory_name(&model, &backend, MINUTE);
            prop_assert!(!name.is_empty() && name.len() <= 238);
            prop_assert!(!name.contains(['/', '\\', '\0', '<', '>', ':', '"', '|', '?', '*']));
            prop_assert!(!name.chars().any(char::is_control));
            prop_assert!(!name.starts_with(['.', '-']) && !name.ends_with(['.', ' ']));
            prop_assert!(device_name(&name).is_none());
            prop_assert_eq!(name.nfc().collect::<String>(), name);
        }
    }

    proptest! {
        #[test]
        fn failure_name_of_any_strings_is_the_name_of_no_result(
            model in "([a-z_]|_failed|_2026-02-18T14-30){0,9}", backend in "([a-z_]|_failed|_2026-02-18T14-30){0,4}",
            one in 0_u32..99, other in 0_u32..99,
        ) {
            let result = directory_name(&model, &backend, MINUTE);
            let failure = failure_name(&result);
            let suffixed = |name: &str, suffix| if suffix == 0 { name.to_owned() } else { format!("{name}_{suffix}") };
            let (of_result, of_failure) = (suffixed(&result, one), suffixed(&failure, other));
            prop_assert_eq!(given_base(&of_result), Some(result.as_str()));
            prop_assert_eq!(given_base(&of_failure), Some(failure.as_str()));
            prop_assert!(failure.len() + "_9999999999".len() <= 256);
        }
    }

    #[test]
    fn is_given_recognises_names_of_saves() {
        for name in [
            "gpt2_pytorch_2026-02-18T14-30",
            "a_b_vllm_2026-02-18T14-30_12",
            "gpt2_pytorch_2026-02-18T14-30_failed",
            "a_failed_b_2026-02-18T14-30_failed_3",
        ] {
            assert!(is_given(name), "{name}");
        }
        for name in [
            "",
            "traces",
            "x_2026-02-18T14-30",
            "a_b_2026-02-18T14-30_",
            "a_b_2026-02-18T14-3x",
            "a_b_é",
            "a_b_2026-02-18T14-30_3_failed",
            "a_b_failed",
        ] {
            assert!(!is_given(name), "{name}");
        }
    }
}
