//! The suffixes of names.

/// Return a name with a suffix; 0 is the bare name.
#[must_use]
pub fn suffixed(base: &str, suffix: u64) -> String {
    if suffix == 0 { base.to_owned() } else { format!("{base}_{suffix}") }
}

/// Return the suffix of a name; `None` where no save of `base` gives it.
#[must_use]
pub fn suffix_of(base: &str, name: &str) -> Option<u64> {
    let rest = name.strip_prefix(base)?;
    if rest.is_empty() {
        return Some(0);
    }
    let suffix: u64 = rest.strip_prefix('_')?.parse().ok()?;
    // `base_01` and `base_+1` are other names.
    (suffixed(base, suffix) == name && suffix > 0).then_some(suffix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffix_of_reads_only_names_that_saves_give() {
        let read = |name| suffix_of("b_x", name);
        assert_eq!([read("b_x"), read("b_x_1"), read("b_x_12")], [Some(0), Some(1), Some(12)]);
        for other in
            ["b_x_0", "b_x_01", "b_x_+1", "b_x_", "b_x1", "b_", "b_x_1_2", "b_x_99999999999999999999"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
