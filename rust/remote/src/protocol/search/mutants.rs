//! Protocols without one rule, each of which the search refutes.

use super::*;

/// Define a protocol without one rule, and a test that the search refutes it.
macro_rules! refute {
    ($test:ident, $weak:ident, $rule:ident, $sidecars:expr, $faults:expr, $objects:expr, $violation:expr) => {
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        struct $weak;

        impl Rules for $weak {
            const $rule: bool = false;
        }

        #[test]
        fn $test() {
            let violation = search::<$weak>(&$sidecars, $faults, $objects).unwrap_err();
            assert!(violation.starts_with($violation), "{violation}");
        }
    };
}

refute!(
    search_protocol_that_takes_exists_for_taken_finds_second_record,
    NeverAsks,
    ASK_OWNER,
    [false, false],
    1,
    Objects::new(),
    "a save made two records"
);
refute!(
    search_protocol_with_next_name_after_lost_answer_finds_second_record,
    OtherKey,
    SAME_KEY,
    [false, false],
    1,
    Objects::new(),
    "a save made two records"
);
refute!(
    search_protocol_with_shared_names_finds_foreign_sidecar,
    SharedNames,
    PARITY,
    [false, true],
    0,
    Objects::new(),
    "a record is next to another save's sidecar"
);
refute!(
    search_protocol_without_list_finds_sidecar_next_to_copied_record,
    NeverLists,
    LIST_FIRST,
    [true],
    0,
    copied(),
    "a record is next to another save's sidecar"
);
refute!(
    search_protocol_with_record_first_finds_record_without_sidecar,
    RecordFirst,
    SIDECAR_FIRST,
    [true],
    0,
    Objects::new(),
    "a record is visible without the sidecar"
);
refute!(
    search_protocol_without_third_outcome_finds_record_of_failed_save,
    TwoOutcomes,
    UNKNOWN,
    [false],
    1,
    Objects::new(),
    "a failed save left a record"
);
refute!(
    search_protocol_that_takes_absent_for_final_finds_second_record,
    AbsentIsFinal,
    ABSENT_IS_NOT_FINAL,
    [false, false],
    2,
    Objects::new(),
    "a"
);
refute!(
    search_protocol_with_second_delete_finds_lost_sidecar,
    DeletesTwice,
    DELETE_ONCE,
    [true, true],
    2,
    Objects::new(),
    "a"
);

#[test]
fn search_saver_that_asks_for_a_suffix_without_list_finds_foreign_sidecar() {
    let search = Search { store: Store::Correct, most_states: usize::MAX };
    let violation = search.run(wishing::<NeverLists>(&[(true, Some(1))], 0, copied())).unwrap_err();
    assert!(violation.starts_with("a record is next to another save's sidecar"), "{violation}");
}
