//! A swarm, compared with a plain model, under random operations.

use proptest::prelude::*;

#[path = "../../fuzz/checks/swarm_operations.rs"]
#[allow(dead_code, reason = "the fuzzer checks all kinds at once")]
mod swarm_operations;

use swarm_operations::{check_ipv4, check_ipv6, check_web};

fn history() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..3_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn ipv4(history in history()) {
        check_ipv4(&history);
    }

    #[test]
    fn ipv6(history in history()) {
        check_ipv6(&history);
    }

    #[test]
    fn web(history in history()) {
        check_web(&history);
    }
}
