#![no_main]

libfuzzer_sys::fuzz_target!(init: llem_fuzz::begin(), |input: &[u8]| {
    llem_fuzz::run(|| llem_store::fuzzing::footer(input, &llem_fuzz::TEMP));
});
