//! No bytes make the interpreter panic or hang.

mod interp_exercise;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_in_a_result_or_a_trap(data in proptest::collection::vec(any::<u8>(), 2..400)) {
        interp_exercise::run(&data);
    }
}
