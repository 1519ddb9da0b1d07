//! The model test's programs, with a fuzzer's bytes for choices.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../../tests/model/machine.rs"]
mod machine;

struct Bytes<'a>(&'a [u8]);

impl machine::Choices for Bytes<'_> {
    fn below(&mut self, n: usize) -> usize {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first as usize % n
            }
            None => 0,
        }
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

fuzz_target!(|bytes: &[u8]| {
    machine::run(&mut Bytes(bytes), 10_000, 48);
});
