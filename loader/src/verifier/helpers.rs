//! Which release brought which helper (bpf-helpers(7) and the kernel's history).

use asm::Helper;

/// The first helper of each release that brought some, by rising number.
const RELEASES: &[(u32, &str)] = &[
    (1, "3.19"),
    (4, "4.1"),
    (12, "4.2"),
    (17, "4.3"),
    (23, "4.4"),
    (26, "4.5"),
    (27, "4.6"),
    (31, "4.8"),
    (37, "4.9"),
    (42, "4.10"),
    (45, "4.11"),
    (46, "4.12"),
    (48, "4.13"),
    (51, "4.14"),
    (54, "4.15"),
    (58, "4.16"),
    (60, "4.17"),
    (65, "4.18"),
    (81, "4.19"),
    (84, "4.20"),
    (91, "5.0"),
    (93, "5.1"),
    (99, "5.2"),
    (109, "5.3"),
    (111, "5.5"),
    (116, "5.6"),
    (119, "5.7"),
    (125, "5.8"),
    (136, "5.9"),
    (142, "5.10"),
    (156, "5.11"),
    (163, "5.12"),
    (164, "5.13"),
    (166, "5.14"),
    (169, "5.15"),
    (176, "5.16"),
    (180, "5.17"),
    (186, "5.18"),
    (194, "5.19"),
    (204, "6.0"),
    (208, "6.1"),
    (210, "6.2"),
];

/// The release that brought a helper; `None` for numbers that are none's.
pub fn helper_since(helper: Helper) -> Option<&'static str> {
    helper.name()?;
    let next = RELEASES.partition_point(|(first, _)| *first <= helper.id());
    Some(RELEASES.get(next.checked_sub(1)?)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_of_helpers() {
        let since = |name: &str| helper_since(Helper::by_name(name).unwrap()).unwrap();
        let known = [
            ("map_lookup_elem", "3.19"),
            ("probe_read", "4.1"),
            ("tail_call", "4.2"),
            ("get_stackid", "4.6"),
            ("probe_read_str", "4.11"),
            ("override_return", "4.16"),
            ("probe_read_kernel", "5.5"),
            ("send_signal", "5.3"),
            ("ringbuf_output", "5.8"),
            ("d_path", "5.10"),
            ("task_storage_get", "5.11"),
            ("for_each_map_elem", "5.13"),
            ("timer_init", "5.15"),
            ("get_attach_cookie", "5.15"),
            ("loop", "5.17"),
            ("kptr_xchg", "5.19"),
            ("user_ringbuf_drain", "6.1"),
            ("cgrp_storage_get", "6.2"),
        ];
        for (name, release) in known {
            assert_eq!(since(name), release, "{name}");
        }
        assert_eq!(helper_since(Helper(0)), None);
        assert_eq!(helper_since(Helper(5000)), None);
    }
}
