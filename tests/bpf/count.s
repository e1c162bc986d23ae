// Calls of vfs_read, counted in element 0.
.section "kprobe/vfs_read"
.license GPL
.map counts type=hash key=4 value=8 entries=1024
.rodata one = u64 1
.func count
    *(u32 *)(r10 -4) = 0
    r1 = map[counts]; r2 = r10; r2 += -4
    call lookup
    if r0 == 0 goto out
    r1 = &one; r1 = *(u64 *)(r1 +0)
    lock *(u64 *)(r0 +0) += r1
out:
    r0 = 0
    exit
.func lookup
    call bpf_map_lookup_elem
    exit
