# For ci/env-for: linkers for rustc, and what Debian does not have for them to link with. Bash, sourced after lib.sh; defines functions
# only. $target is the target.
#
# shellcheck shell=bash disable=SC2154 # the caller sets $target

# Links with musl's own start files through Debian's musl-gcc, not with those of rustup's std, and with LLVM's libunwind for panics.
# Debian builds that archive for glibc with fortified prints: a shim defines the one function that musl lacks.
musl() {
    local dir=$CI_DIR/musl-libunwind
    mkdir -p "$dir"
    if [ ! -e "$dir/libunwind.a" ]; then
        cat >"$dir/shim.c" <<'C'
#include <stdarg.h>
#include <stdio.h>
int __fprintf_chk(FILE *file, int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int written = vfprintf(file, format, arguments);
    va_end(arguments);
    return written;
}
C
        musl-gcc -c -O1 -o "$dir/shim.o" "$dir/shim.c"
        cp /usr/lib/llvm-22/lib/libunwind.a "$dir/new.a"
        ar r "$dir/new.a" "$dir/shim.o"
        mv "$dir/new.a" "$dir/libunwind.a"
    fi
    local flags="-C link-self-contained=no -C relocation-model=static -L native=$dir"
    export RUSTFLAGS="${RUSTFLAGS:-} $flags" RUSTDOCFLAGS="${RUSTDOCFLAGS:-} $flags"
}

# mingw_linker: prints a linker for i686. Its std registers unwinding tables in two objects that Debian's package lacks.
mingw_linker() {
    local dir=$CI_DIR/rtstartup object
    mkdir -p "$dir"
    for object in rsbegin rsend; do
        RUSTC_BOOTSTRAP=1 /usr/bin/rustc --target i686-pc-windows-gnu --emit=obj -o "$dir/$object.o" \
            "/usr/lib/rustlib/src/rust/library/rtstartup/$object.rs"
    done
    cat >"$dir/cc" <<SH
#!/usr/bin/env bash
arguments=()
for argument; do
    case \$argument in
    rsbegin.o | */rsbegin.o) argument=$dir/rsbegin.o ;;
    rsend.o | */rsend.o) argument=$dir/rsend.o ;;
    esac
    arguments+=("\$argument")
done
exec i686-w64-mingw32-gcc "\${arguments[@]}"
SH
    chmod +x "$dir/cc"
    echo "$dir/cc"
}

# zig_linker ZIG_TARGET: prints a linker that removes the libraries that rustc names and zig adds by itself or lacks.
zig_linker() {
    local file=$CI_DIR/zig-cc-$1
    cat >"$file.new" <<SH
#!/usr/bin/env bash
arguments=()
for argument; do
    case \$argument in
    -lmsvcrt | -lgcc | -lgcc_eh | -lgcc_s | -l:libc.a) ;;
    *) arguments+=("\$argument") ;;
    esac
done
exec "$ZIG" cc -target $1 "\${arguments[@]}"
SH
    chmod +x "$file.new"
    mv "$file.new" "$file"
    echo "$file"
}

# The MSVC ABI without Microsoft's files, for programs without std: links with lld-link, takes kernel32's import library from a crate of
# the windows family, makes other import libraries from the names of the functions, and defines what the C runtime would.
msvc() {
    local arch=${target%%-*} machine dir=$CI_DIR/msvc/$target library names
    case $arch in x86_64) machine=x64 ;; i686) machine=x86 ;; aarch64) machine=arm64 ;; esac
    mkdir -p "$dir"
    # Cargo prints the crate's folder.
    cargo fetch -q --locked --manifest-path dev/import-libraries/Cargo.toml </dev/null
    cp "$(cargo metadata --locked --format-version 1 --manifest-path dev/import-libraries/Cargo.toml </dev/null |
        grep -oE "[^\"]*/windows_${arch}_msvc-[^/\"]*/Cargo.toml" | head -n 1 | xargs dirname)"/lib/windows.*.lib "$dir/kernel32.lib"
    for library in msvcrt ntdll; do
        case $library in
        msvcrt) names='malloc free abort _write puts' ;;
        ntdll) names='__chkstk' && [ "$arch" != i686 ] || names='_chkstk _aulldiv _aullrem' ;;
        esac
        # A DLL of that name with functions of these names, for its import library.
        # shellcheck disable=SC2086 # words
        printf 'void %s(void) {}\n' $names >"$dir/$library.c"
        clang-22 --target="$target" -w -fno-builtin -c -o "$dir/$library.obj" "$dir/$library.c"
        # shellcheck disable=SC2046,SC2086 # words
        lld-link /dll /noentry /nodefaultlib /machine:$machine $(printf '/export:%s ' $names) \
            "/out:$dir/$library.dll" "/implib:$dir/$library.lib" "$dir/$library.obj"
    done
    # The compiler refers to it in a program that uses floating point.
    echo 'int _fltused = 0;' >"$dir/fltused.c"
    clang-22 --target="$target" -c -o "$dir/fltused.obj" "$dir/fltused.c"
    RUSTFLAGS="${RUSTFLAGS:-} -C linker-flavor=lld-link -L native=$dir -C link-arg=$dir/fltused.obj -C link-arg=ntdll.lib \
-C link-arg=/ENTRY:main -C link-arg=/SUBSYSTEM:CONSOLE -C link-arg=/NODEFAULTLIB -C link-arg=/SAFESEH:NO"
    export RUSTFLAGS
    # shellcheck disable=SC2034 # ci/no-std reads it
    BUILD_STD_FEATURES=compiler-builtins-mem # no C runtime to take memcpy from
}

# `time_t` has 64 bits in std, as in newer versions of Emscripten, and 32 in Debian's. Without conversion the clock's values are wrong:
# timeouts expire at once, and reading the clock sometimes panics. The linker redirects std's calls to functions that convert.
emscripten_clock() {
    local dir=$CI_DIR/emscripten name
    if [ ! -e "$dir/clock.o" ]; then
        cat >"$dir/clock.c" <<'C'
#include <stdint.h>
#include <time.h>
struct wide { int64_t seconds; int32_t nanoseconds; };
int __real_clock_gettime(clockid_t, struct timespec *);
int __real_nanosleep(const struct timespec *, struct timespec *);
int __wrap_clock_gettime(clockid_t clock, struct wide *now) {
    struct timespec narrow;
    int result = __real_clock_gettime(clock, &narrow);
    now->seconds = narrow.tv_sec;
    now->nanoseconds = narrow.tv_nsec;
    return result;
}
int __wrap_nanosleep(const struct wide *wanted, struct wide *left) {
    struct timespec narrow = {wanted->seconds, wanted->nanoseconds}, rest = {0, 0};
    int result = __real_nanosleep(&narrow, &rest);
    if (left) {
        left->seconds = rest.tv_sec;
        left->nanoseconds = rest.tv_nsec;
    }
    return result;
}
C
        emcc -pthread -O1 -c -o "$dir/clock.new.o" "$dir/clock.c"
        mv "$dir/clock.new.o" "$dir/clock.o"
    fi
    RUSTFLAGS+=" -C link-arg=$dir/clock.o"
    for name in clock_gettime nanosleep; do RUSTFLAGS+=" -C link-arg=-Wl,--wrap=$name"; done
}

# Call it after `cross`: it replaces the runner.
emscripten() {
    local node argument
    node=$(command -v node || command -v nodejs)
    # The slowest program takes 15 s, or 50 s on a busy machine.
    export "$(cargo_variable "$target" RUNNER)=timeout 300 $node --no-experimental-fetch"
    # Debian has Emscripten 3.1.6, where a deleted key keeps its values. The crate creates no keys there without the cfg below, and with it
    # two programs fail: tests/used_key.rs follows an invalid pointer, and three tests of tests/key_module.rs find an old key's word in a
    # new key. There are no child processes: programs that need them print that (tests/children) and succeed.
    # "Stack overflow! Stack cookie has been overwritten" at a program's end is no failure: Emscripten frees the stacks of running threads
    # then, and prints it for programs without the crate, too. Programs do not see the environment of the shell.
    RUSTFLAGS="${RUSTFLAGS:-} --cfg os_thread_local_trust_new_keys"
    # emcc builds its libraries at their first use, into this cache.
    export EM_CACHE=$CI_DIR/emscripten/cache EM_CONFIG=$CI_DIR/emscripten/config
    if [ ! -e "$EM_CONFIG" ]; then
        mkdir -p "$CI_DIR/emscripten"
        cp -rT /usr/share/emscripten/cache "$EM_CACHE"
        # The file does not end with a line break.
        { cat /usr/share/emscripten/.emscripten; printf '\nFROZEN_CACHE = False\n'; } >"$EM_CONFIG"
    fi
    RUSTFLAGS="${RUSTFLAGS:-} -C link-self-contained=no -C target-cpu=mvp"
    RUSTFLAGS+=" -C target-feature=+atomics,+bulk-memory,+mutable-globals,+sign-ext"
    for argument in -pthread -sPROXY_TO_PTHREAD=1 -sEXIT_RUNTIME=1 -sINITIAL_MEMORY=268435456 -sPTHREAD_POOL_SIZE=8; do
        RUSTFLAGS+=" -C link-arg=$argument"
    done
    emscripten_clock
    export RUSTFLAGS
}
