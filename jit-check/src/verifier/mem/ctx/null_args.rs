//! Arguments of tracepoints that may be NULL or hold an error number, though their type does not say so.

use crate::kernel::Version;

/// What an argument may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Odd {
    /// NULL.
    Null,
    /// An error number: it is no pointer then.
    Error,
}

/// Tracepoint, argument from 0, and what it may hold. Since Linux 6.13 (and stable 6.12).
const ARGS: &[(&str, u32, Odd)] = &[
    ("sched_pi_setprio", 1, Odd::Null),
    ("sched_stick_numa", 2, Odd::Null),
    ("sched_swap_numa", 2, Odd::Null),
    ("afs_make_fs_call", 1, Odd::Null),
    ("afs_make_fs_calli", 1, Odd::Null),
    ("afs_make_fs_call1", 1, Odd::Null),
    ("afs_make_fs_call2", 1, Odd::Null),
    ("afs_protocol_error", 0, Odd::Null),
    ("afs_flock_ev", 1, Odd::Null),
    ("cachefiles_lookup", 0, Odd::Null),
    ("cachefiles_lookup", 2, Odd::Error),
    ("cachefiles_unlink", 0, Odd::Null),
    ("cachefiles_rename", 0, Odd::Null),
    ("cachefiles_prep_read", 0, Odd::Null),
    ("cachefiles_mark_active", 0, Odd::Null),
    ("cachefiles_mark_failed", 0, Odd::Null),
    ("cachefiles_mark_inactive", 0, Odd::Null),
    ("cachefiles_vfs_error", 0, Odd::Null),
    ("cachefiles_io_error", 0, Odd::Null),
    ("cachefiles_ondemand_open", 0, Odd::Null),
    ("cachefiles_ondemand_copen", 0, Odd::Null),
    ("cachefiles_ondemand_close", 0, Odd::Null),
    ("cachefiles_ondemand_read", 0, Odd::Null),
    ("cachefiles_ondemand_cread", 0, Odd::Null),
    ("cachefiles_ondemand_fd_write", 0, Odd::Null),
    ("cachefiles_ondemand_fd_release", 0, Odd::Null),
    ("ext4_mballoc_discard", 1, Odd::Null),
    ("ext4_mballoc_free", 1, Odd::Null),
    ("fib_table_lookup", 2, Odd::Null),
    ("posix_lock_inode", 1, Odd::Null),
    ("fcntl_setlk", 1, Odd::Null),
    ("locks_remove_posix", 1, Odd::Null),
    ("flock_lock_inode", 1, Odd::Null),
    ("break_lease_noblock", 1, Odd::Null),
    ("break_lease_block", 1, Odd::Null),
    ("break_lease_unblock", 1, Odd::Null),
    ("generic_delete_lease", 1, Odd::Null),
    ("time_out_leases", 1, Odd::Null),
    ("host1x_cdma_push_gather", 4, Odd::Null),
    ("mm_khugepaged_scan_pmd", 1, Odd::Null),
    ("mm_collapse_huge_page_isolate", 0, Odd::Null),
    ("mm_khugepaged_scan_file", 1, Odd::Null),
    ("mm_khugepaged_collapse_file", 1, Odd::Null),
    ("mm_page_alloc", 0, Odd::Null),
    ("mm_page_pcpu_drain", 0, Odd::Null),
    ("mm_page_alloc_zone_locked", 0, Odd::Null),
    ("netfs_failure", 1, Odd::Null),
    ("device_pm_callback_start", 1, Odd::Null),
    ("qdisc_dequeue", 3, Odd::Null),
    ("rxrpc_recvdata", 0, Odd::Null),
    ("rxrpc_resend", 1, Odd::Null),
    ("kfree_skb", 3, Odd::Null),
    ("xs_stream_read_data", 0, Odd::Null),
    ("xprt_reserve_cong", 1, Odd::Null),
    ("xprt_release_cong", 1, Odd::Null),
    ("xprt_get_cong", 1, Odd::Null),
    ("xprt_put_cong", 1, Odd::Null),
    ("tcp_send_reset", 0, Odd::Null),
    ("tcp_send_reset", 1, Odd::Null),
    ("tegra_dma_tx_status", 2, Odd::Null),
    ("tmigr_update_events", 0, Odd::Null),
    ("writeback_dirty_folio", 1, Odd::Null),
    ("folio_wait_writeback", 1, Odd::Null),
    ("mr_integ_alloc", 3, Odd::Error),
];

/// More that newer kernels know of.
const NEWER: &[(&str, u32, Odd)] = &[
    ("hugetlbfs_alloc_inode", 1, Odd::Null),
    ("xfs_inodegc_flush", 0, Odd::Null),
    ("xfs_inodegc_push", 0, Odd::Null),
    ("xfs_inodegc_start", 0, Odd::Null),
    ("xfs_inodegc_stop", 0, Odd::Null),
    ("xfs_inodegc_queue", 0, Odd::Null),
    ("xfs_inodegc_throttle", 0, Odd::Null),
    ("xfs_fs_sync_fs", 0, Odd::Null),
    ("xfs_blockgc_start", 0, Odd::Null),
    ("xfs_blockgc_stop", 0, Odd::Null),
    ("xfs_blockgc_worker", 0, Odd::Null),
    ("xfs_blockgc_flush_all", 0, Odd::Null),
    ("xfs_defer_create_intent", 0, Odd::Null),
    ("xfs_defer_cancel_list", 0, Odd::Null),
    ("xfs_defer_pending_finish", 0, Odd::Null),
    ("xfs_defer_pending_abort", 0, Odd::Null),
    ("xfs_defer_relog_intent", 0, Odd::Null),
    ("xfs_defer_isolate_paused", 0, Odd::Null),
    ("xfs_defer_item_pause", 0, Odd::Null),
    ("xfs_defer_item_unpause", 0, Odd::Null),
    ("xfs_defer_add_item", 0, Odd::Null),
    ("xfs_defer_cancel_item", 0, Odd::Null),
    ("xfs_defer_finish_item", 0, Odd::Null),
    ("xfs_map_blocks_found", 4, Odd::Null),
    ("xfs_map_blocks_alloc", 4, Odd::Null),
    ("xfs_btree_updkeys", 2, Odd::Null),
    ("xfs_btree_overlapped_query_range", 2, Odd::Null),
    ("xfs_ioc_free_eofblocks", 1, Odd::Null),
    ("xfs_blockgc_free_space", 1, Odd::Null),
    ("tcp_sendmsg_locked", 2, Odd::Null),
];

/// More that kernels of 2026 know of: stable 6.12, and 7.0.
const LATEST: &[(&str, u32, Odd)] = &[
    ("sched_process_wait", 0, Odd::Null),
    ("signal_generate", 1, Odd::Error),
    ("signal_deliver", 1, Odd::Error),
];

/// Tracepoints of modules all of whose pointers are known to be there: their other arguments are not taken as NULL.
const SOUND: &[&str] = &["bpf_testmod_test_read"];

fn lists(version: Version) -> impl Iterator<Item = &'static (&'static str, u32, Odd)> {
    let newer: &[_] = if version >= Version(6, 13) { NEWER } else { &[] };
    let latest: &[_] = if version == Version(6, 12) || version >= Version(7, 0) { LATEST } else { &[] };
    ARGS.iter().chain(newer).chain(latest)
}

/// What the argument may hold.
pub(crate) fn odd(version: Version, tracepoint: &str, arg: u32) -> Option<Odd> {
    lists(version).find(|(name, at, _)| *name == tracepoint && *at == arg).map(|(_, _, odd)| *odd)
}

/// Whether anything is known of the tracepoint's arguments.
pub(crate) fn is_known(version: Version, tracepoint: &str) -> bool {
    SOUND.contains(&tracepoint) || lists(version).any(|(name, _, _)| *name == tracepoint)
}
