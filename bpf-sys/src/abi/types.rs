//! The numbered lists of the ABI: types of maps, programs, attachments and links.

use super::macros::abi_enum;

abi_enum! {
    /// The kind of a map: `enum bpf_map_type` of include/uapi/linux/bpf.h.
    pub enum MapType, prefix "BPF_MAP_TYPE_" {
        Hash = 1, "BPF_MAP_TYPE_HASH", "3.19", "A hash table, allocated in advance unless `NO_PREALLOC`.";
        Array = 2, "BPF_MAP_TYPE_ARRAY", "3.19", "An array with 32-bit indexes.";
        ProgArray = 3, "BPF_MAP_TYPE_PROG_ARRAY", "4.2", "Programs to tail-call, by index.";
        PerfEventArray = 4, "BPF_MAP_TYPE_PERF_EVENT_ARRAY", "4.3", "Perf events, by index (usually the processor's number).";
        PercpuHash = 5, "BPF_MAP_TYPE_PERCPU_HASH", "4.6", "A hash table with one value for each possible processor.";
        PercpuArray = 6, "BPF_MAP_TYPE_PERCPU_ARRAY", "4.6", "An array with one value for each possible processor.";
        StackTrace = 7, "BPF_MAP_TYPE_STACK_TRACE", "4.6", "Stack traces, by the id that `bpf_get_stackid` gives.";
        CgroupArray = 8, "BPF_MAP_TYPE_CGROUP_ARRAY", "4.8", "Cgroups, by index.";
        LruHash = 9, "BPF_MAP_TYPE_LRU_HASH", "4.10", "A hash table that drops what was used longest ago.";
        LruPercpuHash = 10, "BPF_MAP_TYPE_LRU_PERCPU_HASH", "4.10", "An LRU hash table with one value for each possible processor.";
        LpmTrie = 11, "BPF_MAP_TYPE_LPM_TRIE", "4.11", "A trie for the longest matching prefix.";
        ArrayOfMaps = 12, "BPF_MAP_TYPE_ARRAY_OF_MAPS", "4.12", "Maps, by index.";
        HashOfMaps = 13, "BPF_MAP_TYPE_HASH_OF_MAPS", "4.12", "Maps, by key.";
        Devmap = 14, "BPF_MAP_TYPE_DEVMAP", "4.14", "Network devices to redirect to, by index.";
        Sockmap = 15, "BPF_MAP_TYPE_SOCKMAP", "4.14", "Sockets, by index.";
        Cpumap = 16, "BPF_MAP_TYPE_CPUMAP", "4.15", "Processors to redirect to, by index.";
        Xskmap = 17, "BPF_MAP_TYPE_XSKMAP", "4.18", "AF_XDP sockets, by index.";
        Sockhash = 18, "BPF_MAP_TYPE_SOCKHASH", "4.18", "Sockets, by key.";
        CgroupStorage = 19, "BPF_MAP_TYPE_CGROUP_STORAGE", "4.19", "Storage of a cgroup for one program (superseded by `CgrpStorage`).";
        ReuseportSockarray = 20, "BPF_MAP_TYPE_REUSEPORT_SOCKARRAY", "4.19", "Sockets of a reuseport group, by index.";
        PercpuCgroupStorage = 21, "BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE", "4.20", "Per-CPU storage of a cgroup for one program (superseded).";
        Queue = 22, "BPF_MAP_TYPE_QUEUE", "4.20", "First in, first out; no keys.";
        Stack = 23, "BPF_MAP_TYPE_STACK", "4.20", "Last in, first out; no keys.";
        SkStorage = 24, "BPF_MAP_TYPE_SK_STORAGE", "5.2", "Storage that belongs to a socket.";
        DevmapHash = 25, "BPF_MAP_TYPE_DEVMAP_HASH", "5.4", "Network devices to redirect to, by key.";
        StructOps = 26, "BPF_MAP_TYPE_STRUCT_OPS", "5.6", "Kernel operations implemented by programs.";
        Ringbuf = 27, "BPF_MAP_TYPE_RINGBUF", "5.8", "A ring buffer that all processors share.";
        InodeStorage = 28, "BPF_MAP_TYPE_INODE_STORAGE", "5.10", "Storage that belongs to an inode.";
        TaskStorage = 29, "BPF_MAP_TYPE_TASK_STORAGE", "5.11", "Storage that belongs to a task.";
        BloomFilter = 30, "BPF_MAP_TYPE_BLOOM_FILTER", "5.16", "A set that may say yes too often.";
        UserRingbuf = 31, "BPF_MAP_TYPE_USER_RINGBUF", "6.1", "A ring buffer that user space fills.";
        CgrpStorage = 32, "BPF_MAP_TYPE_CGRP_STORAGE", "6.2", "Storage that belongs to a cgroup.";
        Arena = 33, "BPF_MAP_TYPE_ARENA", "6.9", "Sparse memory that programs and user space share.";
        InsnArray = 34, "BPF_MAP_TYPE_INSN_ARRAY", "6.19", "Instruction addresses, for indirect jumps.";
        Rhash = 35, "BPF_MAP_TYPE_RHASH", "7.2", "A hash table that grows on demand.";
    }
}

abi_enum! {
    /// The kind of a program: `enum bpf_prog_type` of include/uapi/linux/bpf.h.
    pub enum ProgType, prefix "BPF_PROG_TYPE_" {
        SocketFilter = 1, "BPF_PROG_TYPE_SOCKET_FILTER", "3.19", "Filters the packets of a socket.";
        Kprobe = 2, "BPF_PROG_TYPE_KPROBE", "4.1", "Runs at kprobes, uprobes and their returns.";
        SchedCls = 3, "BPF_PROG_TYPE_SCHED_CLS", "4.1", "Classifies packets in traffic control.";
        SchedAct = 4, "BPF_PROG_TYPE_SCHED_ACT", "4.1", "Acts on packets in traffic control.";
        Tracepoint = 5, "BPF_PROG_TYPE_TRACEPOINT", "4.7", "Runs at tracepoints.";
        Xdp = 6, "BPF_PROG_TYPE_XDP", "4.8", "Handles packets in the network driver.";
        PerfEvent = 7, "BPF_PROG_TYPE_PERF_EVENT", "4.9", "Runs when a perf event overflows.";
        CgroupSkb = 8, "BPF_PROG_TYPE_CGROUP_SKB", "4.10", "Filters the packets of a cgroup.";
        CgroupSock = 9, "BPF_PROG_TYPE_CGROUP_SOCK", "4.10", "Runs when a cgroup's process makes a socket.";
        LwtIn = 10, "BPF_PROG_TYPE_LWT_IN", "4.10", "Lightweight tunnel, input.";
        LwtOut = 11, "BPF_PROG_TYPE_LWT_OUT", "4.10", "Lightweight tunnel, output.";
        LwtXmit = 12, "BPF_PROG_TYPE_LWT_XMIT", "4.10", "Lightweight tunnel, transmit.";
        SockOps = 13, "BPF_PROG_TYPE_SOCK_OPS", "4.13", "Runs at events of a TCP connection.";
        SkSkb = 14, "BPF_PROG_TYPE_SK_SKB", "4.14", "Parses and redirects the data of sockets.";
        CgroupDevice = 15, "BPF_PROG_TYPE_CGROUP_DEVICE", "4.15", "Allows a cgroup devices.";
        SkMsg = 16, "BPF_PROG_TYPE_SK_MSG", "4.17", "Decides about messages sent to a socket.";
        RawTracepoint = 17, "BPF_PROG_TYPE_RAW_TRACEPOINT", "4.17", "Runs at tracepoints with their raw arguments.";
        CgroupSockAddr = 18, "BPF_PROG_TYPE_CGROUP_SOCK_ADDR", "4.17", "Runs at bind, connect, sendmsg and the like.";
        LwtSeg6local = 19, "BPF_PROG_TYPE_LWT_SEG6LOCAL", "4.18", "Lightweight tunnel, IPv6 segment routing.";
        LircMode2 = 20, "BPF_PROG_TYPE_LIRC_MODE2", "4.18", "Decodes infrared remotes.";
        SkReuseport = 21, "BPF_PROG_TYPE_SK_REUSEPORT", "4.19", "Chooses a socket of a reuseport group.";
        FlowDissector = 22, "BPF_PROG_TYPE_FLOW_DISSECTOR", "4.20", "Takes packet headers apart.";
        CgroupSysctl = 23, "BPF_PROG_TYPE_CGROUP_SYSCTL", "5.2", "Decides about a cgroup's sysctl access.";
        RawTracepointWritable = 24, "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE", "5.2", "A raw tracepoint program that may write to its argument.";
        CgroupSockopt = 25, "BPF_PROG_TYPE_CGROUP_SOCKOPT", "5.3", "Decides about a cgroup's socket options.";
        Tracing = 26, "BPF_PROG_TYPE_TRACING", "5.5", "fentry, fexit, fmod_ret, iterators and BTF-typed tracepoints.";
        StructOps = 27, "BPF_PROG_TYPE_STRUCT_OPS", "5.6", "Implements a kernel operation.";
        Ext = 28, "BPF_PROG_TYPE_EXT", "5.6", "Replaces a function of another program.";
        Lsm = 29, "BPF_PROG_TYPE_LSM", "5.7", "Runs at Linux security module hooks.";
        SkLookup = 30, "BPF_PROG_TYPE_SK_LOOKUP", "5.9", "Chooses the listening socket of a connection.";
        Syscall = 31, "BPF_PROG_TYPE_SYSCALL", "5.14", "Makes system calls of its own.";
        Netfilter = 32, "BPF_PROG_TYPE_NETFILTER", "6.4", "Runs at netfilter hooks.";
    }
}

abi_enum! {
    /// Where a program is attached: `enum bpf_attach_type` of include/uapi/linux/bpf.h.
    pub enum AttachType, prefix "BPF_" {
        CgroupInetIngress = 0, "BPF_CGROUP_INET_INGRESS", "4.10", "The `BPF_CGROUP_INET_INGRESS` hook.";
        CgroupInetEgress = 1, "BPF_CGROUP_INET_EGRESS", "4.10", "The `BPF_CGROUP_INET_EGRESS` hook.";
        CgroupInetSockCreate = 2, "BPF_CGROUP_INET_SOCK_CREATE", "4.10", "The `BPF_CGROUP_INET_SOCK_CREATE` hook.";
        CgroupSockOps = 3, "BPF_CGROUP_SOCK_OPS", "4.13", "The `BPF_CGROUP_SOCK_OPS` hook.";
        SkSkbStreamParser = 4, "BPF_SK_SKB_STREAM_PARSER", "4.14", "The `BPF_SK_SKB_STREAM_PARSER` hook.";
        SkSkbStreamVerdict = 5, "BPF_SK_SKB_STREAM_VERDICT", "4.14", "The `BPF_SK_SKB_STREAM_VERDICT` hook.";
        CgroupDevice = 6, "BPF_CGROUP_DEVICE", "4.15", "The `BPF_CGROUP_DEVICE` hook.";
        SkMsgVerdict = 7, "BPF_SK_MSG_VERDICT", "4.17", "The `BPF_SK_MSG_VERDICT` hook.";
        CgroupInet4Bind = 8, "BPF_CGROUP_INET4_BIND", "4.17", "The `BPF_CGROUP_INET4_BIND` hook.";
        CgroupInet6Bind = 9, "BPF_CGROUP_INET6_BIND", "4.17", "The `BPF_CGROUP_INET6_BIND` hook.";
        CgroupInet4Connect = 10, "BPF_CGROUP_INET4_CONNECT", "4.17", "The `BPF_CGROUP_INET4_CONNECT` hook.";
        CgroupInet6Connect = 11, "BPF_CGROUP_INET6_CONNECT", "4.17", "The `BPF_CGROUP_INET6_CONNECT` hook.";
        CgroupInet4PostBind = 12, "BPF_CGROUP_INET4_POST_BIND", "4.17", "The `BPF_CGROUP_INET4_POST_BIND` hook.";
        CgroupInet6PostBind = 13, "BPF_CGROUP_INET6_POST_BIND", "4.17", "The `BPF_CGROUP_INET6_POST_BIND` hook.";
        CgroupUdp4Sendmsg = 14, "BPF_CGROUP_UDP4_SENDMSG", "4.18", "The `BPF_CGROUP_UDP4_SENDMSG` hook.";
        CgroupUdp6Sendmsg = 15, "BPF_CGROUP_UDP6_SENDMSG", "4.18", "The `BPF_CGROUP_UDP6_SENDMSG` hook.";
        LircMode2 = 16, "BPF_LIRC_MODE2", "4.18", "The `BPF_LIRC_MODE2` hook.";
        FlowDissector = 17, "BPF_FLOW_DISSECTOR", "4.20", "The `BPF_FLOW_DISSECTOR` hook.";
        CgroupSysctl = 18, "BPF_CGROUP_SYSCTL", "5.2", "The `BPF_CGROUP_SYSCTL` hook.";
        CgroupUdp4Recvmsg = 19, "BPF_CGROUP_UDP4_RECVMSG", "5.2", "The `BPF_CGROUP_UDP4_RECVMSG` hook.";
        CgroupUdp6Recvmsg = 20, "BPF_CGROUP_UDP6_RECVMSG", "5.2", "The `BPF_CGROUP_UDP6_RECVMSG` hook.";
        CgroupGetsockopt = 21, "BPF_CGROUP_GETSOCKOPT", "5.3", "The `BPF_CGROUP_GETSOCKOPT` hook.";
        CgroupSetsockopt = 22, "BPF_CGROUP_SETSOCKOPT", "5.3", "The `BPF_CGROUP_SETSOCKOPT` hook.";
        TraceRawTp = 23, "BPF_TRACE_RAW_TP", "5.5", "The `BPF_TRACE_RAW_TP` hook.";
        TraceFentry = 24, "BPF_TRACE_FENTRY", "5.5", "The `BPF_TRACE_FENTRY` hook.";
        TraceFexit = 25, "BPF_TRACE_FEXIT", "5.5", "The `BPF_TRACE_FEXIT` hook.";
        ModifyReturn = 26, "BPF_MODIFY_RETURN", "5.7", "The `BPF_MODIFY_RETURN` hook.";
        LsmMac = 27, "BPF_LSM_MAC", "5.7", "The `BPF_LSM_MAC` hook.";
        TraceIter = 28, "BPF_TRACE_ITER", "5.8", "The `BPF_TRACE_ITER` hook.";
        CgroupInet4Getpeername = 29, "BPF_CGROUP_INET4_GETPEERNAME", "5.8", "The `BPF_CGROUP_INET4_GETPEERNAME` hook.";
        CgroupInet6Getpeername = 30, "BPF_CGROUP_INET6_GETPEERNAME", "5.8", "The `BPF_CGROUP_INET6_GETPEERNAME` hook.";
        CgroupInet4Getsockname = 31, "BPF_CGROUP_INET4_GETSOCKNAME", "5.8", "The `BPF_CGROUP_INET4_GETSOCKNAME` hook.";
        CgroupInet6Getsockname = 32, "BPF_CGROUP_INET6_GETSOCKNAME", "5.8", "The `BPF_CGROUP_INET6_GETSOCKNAME` hook.";
        XdpDevmap = 33, "BPF_XDP_DEVMAP", "5.8", "The `BPF_XDP_DEVMAP` hook.";
        CgroupInetSockRelease = 34, "BPF_CGROUP_INET_SOCK_RELEASE", "5.9", "The `BPF_CGROUP_INET_SOCK_RELEASE` hook.";
        XdpCpumap = 35, "BPF_XDP_CPUMAP", "5.9", "The `BPF_XDP_CPUMAP` hook.";
        SkLookup = 36, "BPF_SK_LOOKUP", "5.9", "The `BPF_SK_LOOKUP` hook.";
        Xdp = 37, "BPF_XDP", "5.9", "The `BPF_XDP` hook.";
        SkSkbVerdict = 38, "BPF_SK_SKB_VERDICT", "5.13", "The `BPF_SK_SKB_VERDICT` hook.";
        SkReuseportSelect = 39, "BPF_SK_REUSEPORT_SELECT", "5.14", "The `BPF_SK_REUSEPORT_SELECT` hook.";
        SkReuseportSelectOrMigrate = 40, "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE", "5.14", "The `BPF_SK_REUSEPORT_SELECT_OR_MIGRATE` hook.";
        PerfEvent = 41, "BPF_PERF_EVENT", "5.15", "The `BPF_PERF_EVENT` hook.";
        TraceKprobeMulti = 42, "BPF_TRACE_KPROBE_MULTI", "5.18", "The `BPF_TRACE_KPROBE_MULTI` hook.";
        LsmCgroup = 43, "BPF_LSM_CGROUP", "6.0", "The `BPF_LSM_CGROUP` hook.";
        StructOps = 44, "BPF_STRUCT_OPS", "6.4", "The `BPF_STRUCT_OPS` hook.";
        Netfilter = 45, "BPF_NETFILTER", "6.4", "The `BPF_NETFILTER` hook.";
        TcxIngress = 46, "BPF_TCX_INGRESS", "6.6", "The `BPF_TCX_INGRESS` hook.";
        TcxEgress = 47, "BPF_TCX_EGRESS", "6.6", "The `BPF_TCX_EGRESS` hook.";
        TraceUprobeMulti = 48, "BPF_TRACE_UPROBE_MULTI", "6.6", "The `BPF_TRACE_UPROBE_MULTI` hook.";
        CgroupUnixConnect = 49, "BPF_CGROUP_UNIX_CONNECT", "6.7", "The `BPF_CGROUP_UNIX_CONNECT` hook.";
        CgroupUnixSendmsg = 50, "BPF_CGROUP_UNIX_SENDMSG", "6.7", "The `BPF_CGROUP_UNIX_SENDMSG` hook.";
        CgroupUnixRecvmsg = 51, "BPF_CGROUP_UNIX_RECVMSG", "6.7", "The `BPF_CGROUP_UNIX_RECVMSG` hook.";
        CgroupUnixGetpeername = 52, "BPF_CGROUP_UNIX_GETPEERNAME", "6.7", "The `BPF_CGROUP_UNIX_GETPEERNAME` hook.";
        CgroupUnixGetsockname = 53, "BPF_CGROUP_UNIX_GETSOCKNAME", "6.7", "The `BPF_CGROUP_UNIX_GETSOCKNAME` hook.";
        NetkitPrimary = 54, "BPF_NETKIT_PRIMARY", "6.7", "The `BPF_NETKIT_PRIMARY` hook.";
        NetkitPeer = 55, "BPF_NETKIT_PEER", "6.7", "The `BPF_NETKIT_PEER` hook.";
        TraceKprobeSession = 56, "BPF_TRACE_KPROBE_SESSION", "6.10", "The `BPF_TRACE_KPROBE_SESSION` hook.";
        TraceUprobeSession = 57, "BPF_TRACE_UPROBE_SESSION", "6.13", "The `BPF_TRACE_UPROBE_SESSION` hook.";
        TraceFsession = 58, "BPF_TRACE_FSESSION", "7.0", "The `BPF_TRACE_FSESSION` hook.";
        TraceFentryMulti = 59, "BPF_TRACE_FENTRY_MULTI", "7.2", "The `BPF_TRACE_FENTRY_MULTI` hook.";
        TraceFexitMulti = 60, "BPF_TRACE_FEXIT_MULTI", "7.2", "The `BPF_TRACE_FEXIT_MULTI` hook.";
        TraceFsessionMulti = 61, "BPF_TRACE_FSESSION_MULTI", "7.2", "The `BPF_TRACE_FSESSION_MULTI` hook.";
    }
}

abi_enum! {
    /// The kind of a link: `enum bpf_link_type` of include/uapi/linux/bpf.h.
    pub enum LinkType, prefix "BPF_LINK_TYPE_" {
        RawTracepoint = 1, "BPF_LINK_TYPE_RAW_TRACEPOINT", "5.7", "A raw tracepoint.";
        Tracing = 2, "BPF_LINK_TYPE_TRACING", "5.7", "fentry, fexit, fmod_ret, LSM and BTF-typed tracepoints.";
        Cgroup = 3, "BPF_LINK_TYPE_CGROUP", "5.7", "A cgroup hook.";
        Iter = 4, "BPF_LINK_TYPE_ITER", "5.8", "An iterator.";
        Netns = 5, "BPF_LINK_TYPE_NETNS", "5.8", "A network namespace hook.";
        Xdp = 6, "BPF_LINK_TYPE_XDP", "5.9", "A network device's XDP hook.";
        PerfEvent = 7, "BPF_LINK_TYPE_PERF_EVENT", "5.15", "A perf event: kprobe, uprobe, tracepoint or counter.";
        KprobeMulti = 8, "BPF_LINK_TYPE_KPROBE_MULTI", "5.18", "Many kernel functions at once.";
        StructOps = 9, "BPF_LINK_TYPE_STRUCT_OPS", "6.4", "A kernel operation.";
        Netfilter = 10, "BPF_LINK_TYPE_NETFILTER", "6.4", "A netfilter hook.";
        Tcx = 11, "BPF_LINK_TYPE_TCX", "6.6", "A traffic control hook.";
        UprobeMulti = 12, "BPF_LINK_TYPE_UPROBE_MULTI", "6.6", "Many functions of one file at once.";
        Netkit = 13, "BPF_LINK_TYPE_NETKIT", "6.7", "A netkit device.";
        Sockmap = 14, "BPF_LINK_TYPE_SOCKMAP", "6.10", "A sockmap.";
        TracingMulti = 15, "BPF_LINK_TYPE_TRACING_MULTI", "7.2", "Many functions at once through fentry and fexit.";
    }
}

abi_enum! {
    /// What a perf event link hangs on: `enum bpf_perf_event_type` of include/uapi/linux/bpf.h.
    pub enum PerfEventType, prefix "BPF_PERF_EVENT_" {
        Uprobe = 1, "BPF_PERF_EVENT_UPROBE", "6.6", "The entry of a user function.";
        Uretprobe = 2, "BPF_PERF_EVENT_URETPROBE", "6.6", "The return of a user function.";
        Kprobe = 3, "BPF_PERF_EVENT_KPROBE", "6.6", "The entry of, or an instruction in, a kernel function.";
        Kretprobe = 4, "BPF_PERF_EVENT_KRETPROBE", "6.6", "The return of a kernel function.";
        Tracepoint = 5, "BPF_PERF_EVENT_TRACEPOINT", "6.6", "A tracepoint.";
        Event = 6, "BPF_PERF_EVENT_EVENT", "6.6", "Any other perf event.";
    }
}
