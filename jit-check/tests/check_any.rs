//! No bytes make the simulator panic or hang, and what it accepts keeps its promises.

mod check_exercise;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_get_a_verdict(data in proptest::collection::vec(any::<u8>(), 3..400)) {
        check_exercise::simulator(&data);
    }

    #[test]
    fn accepted_programs_keep_their_promises(data in proptest::collection::vec(any::<u8>(), 2..500)) {
        check_exercise::promises(&data);
    }
}
