# Sourced by the fetch-* scripts: apt over lists and state of our own, from the mirror that this machine's apt uses.
# The machine's own apt never sees the suites that are read here, and every file is verified with the archive keyring
# that is installed.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tracewell
codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# Prints "URI KEYRING" for the entry that serves this release's main suite.
own_mirror() {
    shopt -s nullglob
    local files=(/etc/apt/sources.list.d/*.sources)
    local lists=(/etc/apt/sources.list /etc/apt/sources.list.d/*.list)
    {
        # deb822: one stanza for each paragraph.
        ((${#files[@]})) && awk -v RS= -v FS='\n' -v want="$codename" '{
            uri = keys = suites = ""; off = 0
            for (i = 1; i <= NF; i++) {
                line = $i
                if (line ~ /^#/) continue
                if (tolower(line) ~ /^enabled:[ \t]*no/) off = 1
                if (line ~ /^URIs:/) { sub(/^URIs:[ \t]*/, "", line); split(line, u, /[ \t]+/); uri = u[1] }
                else if (line ~ /^Suites:/) { sub(/^Suites:[ \t]*/, "", line); suites = " " line " " }
                else if (line ~ /^Signed-By:[ \t]*\//) { sub(/^Signed-By:[ \t]*/, "", line); keys = line }
            }
            if (!off && uri != "" && index(suites, " " want " ")) { print uri, keys; exit }
        }' "${files[@]}"
        # One line each: deb [options] URI SUITE COMPONENT...
        for f in "${lists[@]}"; do
            [[ -r $f ]] && awk -v want="$codename" '$1 == "deb" {
                keys = ""; n = 2
                if ($2 ~ /^\[/) {
                    for (; n <= NF; n++) {
                        if (match($n, /signed-by=[^] ]*/)) keys = substr($n, RSTART + 10, RLENGTH - 10)
                        if ($n ~ /\]$/) { n++; break }
                    }
                }
                if ($(n + 1) == want) { print $n, keys; exit }
            }' "$f"
        done
    } | head -n 1
}

# private_apt NAME SUITE...: reads the suites' lists; afterwards `apt-get "${options[@]}"` works on them.
private_apt() {
    local apt=$cache/$1/.apt uri keyring suite
    shift
    read -r uri keyring < <(own_mirror) || true
    [[ ${uri:-} ]] || die "no Debian mirror found in /etc/apt/sources.list or /etc/apt/sources.list.d; add this release's main suite there"
    [[ ${keyring:-} ]] || keyring=/usr/share/keyrings/debian-archive-keyring.gpg

    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/none"
    : >"$apt/status"
    for suite; do
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$suite"
    done | sort -u >"$apt/sources.list"
    options=(
        -qq
        -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=-
        -o Dir::Etc::Preferences=/dev/null -o "Dir::Etc::PreferencesParts=$apt/none"
        -o "Dir::State=$apt/state" -o "Dir::State::Lists=$apt/state/lists" -o "Dir::State::status=$apt/status"
        -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::Retries=3
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        # The machine's own hooks are about the machine's own lists.
        -o APT::Update::Post-Invoke::=true
    )
    say "reading the package lists of $*"
    if ! apt-get "${options[@]}" update >"$apt/update.log" 2>&1; then
        # A keyring older than a suite's key: the machine's own suite ships a newer one.
        if grep -q NO_PUBKEY "$apt/update.log"; then
            say "the archive keyring lacks a key; updating the package debian-archive-keyring"
            apt-get -qq update && apt-get -qq -y install --only-upgrade debian-archive-keyring >/dev/null
            apt-get "${options[@]}" update >"$apt/update.log" 2>&1 || { cat "$apt/update.log" >&2; die "apt-get update failed"; }
        else
            cat "$apt/update.log" >&2
            die "apt-get update failed"
        fi
    fi
}
