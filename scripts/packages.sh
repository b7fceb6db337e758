# The Debian packages this repository needs, and how they are installed. Sourced by scripts/run and
# scripts/test, never run by itself.
#
# `name` is a package that must be installed; `name=command` is content with the command from
# wherever it comes, so that a compiler or a node that Debian did not package is taken as it is.

# To build the program. LMDB, libuv, nghttp2, protobuf-c, xxHash, zstd, simdjson, cJSON, CRoaring, libcurl, libunistring, expat and OpenSSL are linked;
# toml++ is headers alone; the two compilers make code and descriptors of api/proto.
packages_build=(
    cmake=cmake ninja-build=ninja gcc=gcc g++=g++ libc6-dev
    libcjson-dev libcurl4-openssl-dev libexpat1-dev liblmdb-dev libnghttp2-dev libprotobuf-c-dev libroaring-dev libsimdjson-dev libssl-dev
    libtomlplusplus-dev libunistring-dev libuv1-dev libxxhash-dev libzstd-dev protobuf-c-compiler=protoc-c protobuf-compiler=protoc
)
# To try it as scripts/run suggests.
packages_run=(curl=curl)
# To build and run every test: cmocka, clang for the fuzzers, libs3 as a second opinion, the formatter, python for the scripts, npm (which asks
# registries over TLS) for the word vectors of scripts/demo, a file system of their own for the
# integration tests that fill a disk or cut its power, virtual environments and a certificate for scripts/s3_servers.
packages_test=(
    libcmocka-dev libs3-dev clang-14=clang-14 libclang-rt-14-dev clang-format-14=clang-format-14 python3=python3 npm=npm ca-certificates
    curl=curl e2fsprogs=mkfs.ext4 xfsprogs=mkfs.xfs nbdkit=nbdkit libnbd-bin=nbdfuse mount=mount openssl=openssl python3-venv
)

# packages_missing <entry...>: prints the packages that have to be installed, one a line.
packages_missing()
{
    local entry package tool

    for entry in "$@"; do
        package=${entry%%=*}
        tool=
        [ "$entry" = "$package" ] || tool=${entry#*=}
        if [ -n "$tool" ] && command -v "$tool" >/dev/null 2>&1; then
            continue
        fi
        if [ -z "$tool" ] && dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii'; then
            continue
        fi
        echo "$package"
    done
}

# packages_need <entry...>: installs what is missing, says what it does, and on failure what to do.
packages_need()
{
    local missing as_root=() log

    if ! command -v apt-get >/dev/null 2>&1 || ! command -v dpkg-query >/dev/null 2>&1; then
        echo "This is not a Debian machine (no apt-get): the build goes on with what is here." >&2
        echo "It needs what these packages of Debian 12 hold: ${*%%=*}" >&2
        return 0
    fi
    mapfile -t missing < <(packages_missing "$@")
    [ "${#missing[@]}" -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "error: packages are missing and this is neither root nor a machine with sudo." >&2
            echo "As root: apt-get install ${missing[*]}" >&2
            return 1
        fi
        as_root=(sudo)
    fi
    echo "installing: ${missing[*]}"
    log=$(mktemp)
    # An unreachable source is no reason to stop yet: the lists of before may still do.
    "${as_root[@]}" apt-get -q update >"$log" 2>&1 </dev/null || true
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
        -o DPkg::Lock::Timeout=120 --no-install-recommends install "${missing[@]}" >>"$log" 2>&1 </dev/null; then
        grep -E '^(E|W|Err):' "$log" >&2 || tail -n 20 "$log" >&2
        rm -f "$log"
        echo "error: apt-get could not install: ${missing[*]}" >&2
        echo "Look above for its reason (no network, a lock held by another apt, a full disk), then run again." >&2
        return 1
    fi
    rm -f "$log"
}
