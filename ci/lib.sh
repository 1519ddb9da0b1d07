# Shared by the scripts in this folder: `. "$(dirname "$0")/lib.sh"`. Bash, sourced, prints nothing by itself.
#
# Everything comes from Debian, crates.io, PyPI or npm; nothing is fetched with rustup. The cache folder is ~/.cache/os-thread-local-ci (or
# $OS_THREAD_LOCAL_CI_DIR) and has mostly a std for each target. It may be removed.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CI_DIR=${OS_THREAD_LOCAL_CI_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/os-thread-local-ci}
mkdir -p "$CI_DIR"
cd "$ROOT"

export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
# Debug information takes most of the time and all of the disk of a cross build, and CI does not debug.
export CARGO_PROFILE_DEV_DEBUG=${CARGO_PROFILE_DEV_DEBUG:-0}
# Many tests panic on purpose, and a backtrace takes seconds in an emulator and under a checker.
export RUST_BACKTRACE=0
# CI builds each program once.
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL:-0}

say() { printf '\n== %s\n' "$*"; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# lock NAME COMMAND...: runs the command in one process at a time, because steps run side by side.
lock() {
    local name=$1
    shift
    (
        flock 9
        "$@"
    ) 9>"$CI_DIR/$name.lock"
}

# apt_need PACKAGE...: installs the missing packages.
apt_need() { lock apt apt_need_locked "$@"; }
apt_need_locked() {
    local missing=() package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "apt-get install ${missing[*]}"
    apt_update
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" \
        </dev/null >"$CI_DIR/apt.log" 2>&1 || { tail -n 20 "$CI_DIR/apt.log" >&2; die "apt-get install failed"; }
}

# Updates the lists of packages once a day.
apt_update() {
    [ -z "$(find "$CI_DIR/apt-updated" -mmin -1440 2>/dev/null)" ] || return 0
    as_root apt-get update -qq </dev/null
    touch "$CI_DIR/apt-updated"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# pip_need PACKAGE...: into a virtual environment of our own; `$VENV/bin/python` has them.
VENV=$CI_DIR/venv
pip_need() { lock pip pip_need_locked "$@"; }
pip_need_locked() {
    [ -x "$VENV/bin/python" ] || python3 -m venv "$VENV"
    local package
    for package; do
        "$VENV/bin/python" -m pip show -q "${package%%=*}" >/dev/null 2>&1 && continue
        say "pip install $package"
        "$VENV/bin/python" -m pip install -q "$package" </dev/null
    done
}

# cargo_need CRATE VERSION [ARGUMENT...]: a program from crates.io, in `$CI_DIR/cargo/bin`.
cargo_need() { cargo_has "$@" || lock cargo-install cargo_need_locked "$@"; }
cargo_has() { [ -x "$CI_DIR/cargo/bin/$1" ] && grep -q "^\"$1 $2 " "$CI_DIR/cargo/.crates.toml"; }
cargo_need_locked() {
    local crate=$1 version=$2
    shift 2
    ! cargo_has "$crate" "$version" || return 0 # another process has installed it by now
    say "cargo install $crate $version"
    # The programs run for seconds: a short build matters more.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_TARGET_DIR=$CI_DIR/cargo/target \
        cargo install -q --locked --root "$CI_DIR/cargo" "$crate" --version "$version" "$@" </dev/null
    rm -rf "$CI_DIR/cargo/target"
}

# Debian's newer compiler with the library's sources, which can build std for any target.
need_cross_cargo() { apt_need rustc-web cargo-web rust-web-src; }
cross_cargo() {
    # Not by putting /usr/bin first in PATH: rustup's cargo would then find Debian's rustc.
    RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 /usr/bin/cargo "$@"
}

# Makes gcc and clang link with LLVM's linker: a test program takes 0.7 to 1.1 s of processor time less than with GNU's. Not for musl, whose
# programs then crash in the loader.
use_lld() {
    apt_need lld-22
    mkdir -p "$CI_DIR/lld"
    ln -sf /usr/bin/ld.lld-22 "$CI_DIR/lld/ld"
    export COMPILER_PATH=$CI_DIR/lld # where both look for `ld` first
}

# Makes rustdoc compile the doc tests of later commands as one program where it can: 11 s of processor time instead of 37. Each still runs in
# its own process.
merge_doc_tests() {
    export RUSTC_BOOTSTRAP=1
    ! grep -q -e --merge-doctests <<<"$("${RUSTDOC:-rustdoc}" -Zunstable-options --help)" ||
        export RUSTDOCFLAGS="${RUSTDOCFLAGS:-} -Zunstable-options --merge-doctests=yes"
}

# For steps that run the suite once more, in another build: smaller numbers, and fewer repetitions of what depends on chance. `cargo test`,
# ci/asan, ci/tsan, ci/model and ci/processes have the large numbers.
brief() { export OS_THREAD_LOCAL_BRIEF=1 OS_THREAD_LOCAL_OPERATIONS=${OS_THREAD_LOCAL_OPERATIONS:-10_000}; }

# The environment variable of cargo's for a target: `cargo_variable x86_64-pc-windows-gnu LINKER`.
cargo_variable() { printf 'CARGO_TARGET_%s_%s' "$(tr 'a-z-.' 'A-Z__' <<<"$1")" "$2"; }

# zig's C compiler and its libcs, from PyPI: `$ZIG cc -target ...`.
need_zig() {
    pip_need ziglang
    ZIG=$(echo "$VENV"/lib/python3*/site-packages/ziglang/zig)
    [ -x "$ZIG" ] || die "no zig in $VENV"
}
