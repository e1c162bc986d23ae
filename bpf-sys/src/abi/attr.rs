//! One structure for each command of bpf(2): the members of `union bpf_attr`, without implicit padding.
//!
//! All of them are plain integers and start zeroed, which is what the kernel takes for "not given". The bytes that
//! the kernel gets are cut behind the last one that is not zero (see [`crate::syscall::bpf`]).

/// Length of an object's name in the kernel, with the NUL.
pub(crate) const OBJ_NAME_LEN: usize = 16;

/// Defines a zeroable `#[repr(C)]` structure of integers.
macro_rules! attr {
    ($(#[$meta:meta])* $Name:ident { $($field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Default)]
        pub(crate) struct $Name {
            $( pub $field: $ty, )*
        }

        impl $Name {
            /// The fields with their offsets and sizes, for the tests.
            #[cfg(test)]
            pub(crate) const FIELDS: &'static [(&'static str, usize, usize)] = &[
                $( (stringify!($field), std::mem::offset_of!($Name, $field), size_of::<$ty>()), )*
            ];
        }
    };
}
pub(crate) use attr;

attr! {
    /// `BPF_MAP_CREATE`
    MapCreate {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; OBJ_NAME_LEN],
        map_ifindex: u32,
        btf_fd: u32,
        btf_key_type_id: u32,
        btf_value_type_id: u32,
        btf_vmlinux_value_type_id: u32,
        map_extra: u64,
        value_type_btf_obj_fd: i32,
        map_token_fd: i32,
        excl_prog_hash: u64,
        excl_prog_hash_size: u32,
        _pad: u32,
    }
}

attr! {
    /// `BPF_MAP_{LOOKUP,UPDATE,DELETE,LOOKUP_AND_DELETE}_ELEM`, `BPF_MAP_GET_NEXT_KEY`, `BPF_MAP_FREEZE`
    MapElem {
        map_fd: u32,
        _pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
}

attr! {
    /// `BPF_MAP_*_BATCH`
    MapBatch {
        in_batch: u64,
        out_batch: u64,
        keys: u64,
        values: u64,
        count: u32,
        map_fd: u32,
        elem_flags: u64,
        flags: u64,
    }
}

attr! {
    /// `BPF_PROG_LOAD`
    ProgLoad {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; OBJ_NAME_LEN],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_prog_fd: u32,
        core_relo_cnt: u32,
        fd_array: u64,
        core_relos: u64,
        core_relo_rec_size: u32,
        log_true_size: u32,
        prog_token_fd: i32,
        fd_array_cnt: u32,
    }
}

attr! {
    /// `BPF_OBJ_PIN`, `BPF_OBJ_GET`
    Obj {
        pathname: u64,
        bpf_fd: u32,
        file_flags: u32,
        path_fd: i32,
        _pad: u32,
    }
}

attr! {
    /// `BPF_PROG_TEST_RUN`
    TestRun {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        _pad: u32,
    }
}

attr! {
    /// `BPF_*_GET_NEXT_ID`, `BPF_*_GET_FD_BY_ID`
    Id {
        start_id: u32,
        next_id: u32,
        open_flags: u32,
        fd_by_id_token_fd: i32,
    }
}

attr! {
    /// `BPF_OBJ_GET_INFO_BY_FD`
    Info {
        bpf_fd: u32,
        info_len: u32,
        info: u64,
    }
}

attr! {
    /// `BPF_RAW_TRACEPOINT_OPEN`
    RawTracepoint {
        name: u64,
        prog_fd: u32,
        _pad: u32,
        cookie: u64,
    }
}

attr! {
    /// `BPF_BTF_LOAD`
    BtfLoad {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        btf_log_true_size: u32,
        btf_flags: u32,
        btf_token_fd: i32,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of hooks that need no more than a target; `target_btf_id` also carries an iterator's info
    LinkCreate {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of iterators
    LinkCreateIter {
        base: LinkCreate,
        iter_info: u64,
        iter_info_len: u32,
        _pad: u32,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of perf events
    LinkCreatePerf {
        base: LinkCreate,
        bpf_cookie: u64,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of many kernel functions
    LinkCreateKprobeMulti {
        base: LinkCreate,
        flags: u32,
        cnt: u32,
        syms: u64,
        addrs: u64,
        cookies: u64,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of many user functions
    LinkCreateUprobeMulti {
        base: LinkCreate,
        path: u64,
        offsets: u64,
        ref_ctr_offsets: u64,
        cookies: u64,
        cnt: u32,
        flags: u32,
        pid: u32,
        path_fd: u32,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of fentry, fexit, fmod_ret, LSM and program extensions
    LinkCreateTracing {
        base: LinkCreate,
        target_btf_id: u32,
        _pad: u32,
        cookie: u64,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of hooks whose programs have an order: tcx, netkit, cgroups
    LinkCreateOrdered {
        base: LinkCreate,
        relative_fd: u32,
        _pad: u32,
        expected_revision: u64,
    }
}

attr! {
    /// `BPF_LINK_CREATE` of netfilter hooks
    LinkCreateNetfilter {
        base: LinkCreate,
        pf: u32,
        hooknum: u32,
        priority: i32,
        flags: u32,
    }
}

attr! {
    /// `BPF_PROG_ATTACH`, `BPF_PROG_DETACH`
    ProgAttach {
        target_fd: u32,
        attach_bpf_fd: u32,
        attach_type: u32,
        attach_flags: u32,
        replace_bpf_fd: u32,
        relative_fd: u32,
        expected_revision: u64,
    }
}

attr! {
    /// `BPF_PROG_QUERY`
    ProgQuery {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        _pad: u32,
        prog_attach_flags: u64,
        link_ids: u64,
        link_attach_flags: u64,
        revision: u64,
    }
}

attr! {
    /// `BPF_TOKEN_CREATE`
    TokenCreate {
        flags: u32,
        bpffs_fd: u32,
    }
}

attr! {
    /// `BPF_PROG_STREAM_READ_BY_FD`
    StreamRead {
        stream_buf: u64,
        stream_buf_len: u32,
        stream_id: u32,
        prog_fd: u32,
        _pad: u32,
    }
}

attr! {
    /// `BPF_LINK_UPDATE`
    LinkUpdate {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    }
}

attr! {
    /// `BPF_LINK_DETACH`
    LinkDetach {
        link_fd: u32,
    }
}

attr! {
    /// `BPF_ENABLE_STATS`
    EnableStats {
        stats_type: u32,
    }
}

attr! {
    /// `BPF_ITER_CREATE`
    IterCreate {
        link_fd: u32,
        flags: u32,
    }
}

attr! {
    /// `BPF_PROG_BIND_MAP`
    ProgBindMap {
        prog_fd: u32,
        map_fd: u32,
        flags: u32,
    }
}

attr! {
    /// `BPF_TASK_FD_QUERY`
    TaskFdQuery {
        pid: u32,
        fd: u32,
        flags: u32,
        buf_len: u32,
        buf: u64,
        prog_id: u32,
        fd_type: u32,
        probe_offset: u64,
        probe_addr: u64,
    }
}
