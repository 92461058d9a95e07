#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| llem_store::fuzzing::name(input));
