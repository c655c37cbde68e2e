#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pieceful::fuzzing::join_lines(bytes));
