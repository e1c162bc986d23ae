# Sourced by tests/compare-libbpf and tests/bench, after tests/apt.sh: sid's libbpf and what it needs, in the cache.
work=$cache/compare-libbpf

# A C library of its own too, as libbpf's code was compiled for a newer one than this machine's may be.
fetch_libbpf() {
    [[ -e $work/complete ]] && return
    rm -rf "$work"; mkdir -p "$work"/{deb,sysroot,tools-bookworm,tools-sid}
    private_apt libbpf sid bookworm
    (cd "$work/deb" && apt-get "${options[@]}" download {libbpf-dev,libelf-dev,zlib1g-dev,libzstd-dev,libc6-dev,linux-libc-dev,libbpf-tools}/sid libbpf-tools/bookworm) ||
        die "could not download libbpf and libbpf-tools"
    local deb
    for deb in "$work"/deb/lib{bpf,elf,zstd,c6}-dev_*.deb "$work"/deb/{zlib1g-dev,linux-libc-dev}_*.deb; do
        dpkg-deb -x "$deb" "$work/sysroot"
    done
    mapfile -t deb < <(printf '%s\n' "$work"/deb/libbpf-tools_*.deb | sort -V)
    dpkg-deb -x "${deb[0]}" "$work/tools-bookworm"
    dpkg-deb -x "${deb[-1]}" "$work/tools-sid"
    (cd "$work/deb" && printf '%s\n' *.deb) >"$work/packages"
    touch "$work/complete"
}

# build_libbpf PROGRAM SOURCE...: a static program with sid's libbpf and sid's C library.
build_libbpf() {
    local program=$1 s=$work/sysroot/usr; shift
    local l=$s/lib/x86_64-linux-gnu g
    g=$(dirname "$(gcc -print-libgcc-file-name)")
    gcc -O2 -Wall -static -nostdlib -nostdinc -isystem "$g/include" -isystem "$s/include" -isystem "$s/include/x86_64-linux-gnu" \
        -o "$program" "$l"/crt{1,i}.o "$g/crtbeginT.o" "$@" "$l"/lib{bpf,elf,z,zstd}.a \
        -Wl,--start-group "$l/libc.a" "$g"/libgcc{,_eh}.a -Wl,--end-group "$g/crtend.o" "$l/crtn.o"
}
