# Sourced by the compare-* scripts, after tests/apt.sh: a guest that runs shell commands, and what is in a kernel's file.

# guest KERNEL COMMANDS OUT FILE...: runs the commands in a guest and unpacks what they leave in their folder into OUT.
# Programs are given as PATH:NAME and found in the guest's PATH, other files are in its /objects.
guest() {
    local kernel=$1 commands=$2 out=$3 scratch tree file
    shift 3
    tests/fetch-qemu >/dev/null
    tests/fetch-kernels "$kernel" >/dev/null
    scratch=$(mktemp -d)
    tree=$scratch/tree
    mkdir -p "$tree"/{bin,boot,proc,sys,dev,tmp,objects}
    [[ -e $cache/kernels/$kernel/config ]] && cp "$cache/kernels/$kernel/config" "$tree/boot/config-$(<"$cache/kernels/$kernel/release")"
    cp /bin/busybox "$tree/bin/"
    for file; do
        if [[ $file == *:* ]]; then cp "${file%%:*}" "$tree/bin/${file##*:}"; else cp "$file" "$tree/objects/"; fi
    done
    cat >"$tree/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
mount -t tracefs nodev /sys/kernel/tracing; mount -t debugfs nodev /sys/kernel/debug; mount -t bpf nodev /sys/fs/bpf
stty -F /dev/ttyS1 raw -echo
ip link set lo up
echo 0 >/proc/sys/kernel/kptr_restrict; echo 0 >/proc/sys/kernel/unprivileged_bpf_disabled
cd /tmp
$commands
tar cz * | cat >/dev/ttyS1
sync; reboot -f
INIT
    chmod +x "$tree/init"
    (cd "$tree" && find . | cpio -o -H newc --quiet) >"$scratch/initrd"
    rm -rf "$tree"
    # The same addresses in every run: instructions hold some.
    timeout 3600 tests/qemu -accel tcg -cpu max -smp 2 -m 3072 -kernel "$cache/kernels/$kernel/vmlinuz" -initrd "$scratch/initrd" \
        -append "console=ttyS0 quiet panic=-1 nokaslr" -display none -nodefaults -no-reboot -nic none \
        -serial "file:$scratch/console" -serial "file:$scratch/result" </dev/null || true
    mkdir -p "$out"
    tar xzf "$scratch/result" -C "$out" 2>/dev/null || { tail -n 20 "$scratch/console"; die "the guest $kernel gave no results"; }
    rm -rf "$scratch"
}

# unpack VMLINUZ OUT: the kernel inside of a vmlinuz: where a compressed stream of a known kind begins and unpacks to an ELF
# file.
unpack() {
    local offset tool pattern
    for tool in zstd 'xz --single-stream' lz4 gzip; do
        case $tool in
            zstd) pattern='\x28\xb5\x2f\xfd' ;;
            'xz --single-stream') pattern='\xfd7zXZ\x00' ;;
            gzip) pattern='\x1f\x8b\x08\x00' ;;
            lz4) pattern='\x02\x21\x4c\x18' ;;
        esac
        for offset in $(LC_ALL=C grep -aboP "$pattern" "$1" | tr -d '\0' | cut -d: -f1 || true); do
            # What follows the stream is no part of it, and makes the tools fail after they have done their work.
            tail -c "+$((offset + 1))" "$1" | $tool -dcq 2>/dev/null >"$2" || true
            [[ $(head -c 4 "$2" | od -An -tx1) == ' 7f 45 4c 46' ]] && return 0
        done
    done
    return 1
}
