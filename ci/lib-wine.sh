# For ci/env-for: Wine, which runs programs for Windows. Bash, sourced after lib.sh; defines functions only.
#
# shellcheck shell=bash

process_prng() {
    cat <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) {
    return SystemFunction036(data, (ULONG)size);
}
C
}

# Sets up Wine. Wine 8 has no bcryptprimitives.dll, which std takes random numbers from: we build one with the documented function.
wine() {
    # Without Wine's debugger, which prints a page about a program that crashed and sometimes makes it exit with status 0.
    export WINEPREFIX=$CI_DIR/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml,winedbg.exe="
    lock wine wine_prefix
}
wine_prefix() {
    [ ! -e "$WINEPREFIX/ready" ] || return 0
    say "a Windows 10 for Wine"
    mkdir -p "$WINEPREFIX"
    /usr/lib/wine/wine64 wineboot -i </dev/null >/dev/null 2>&1
    /usr/lib/wine/wine64 winecfg -v win10 </dev/null >/dev/null 2>&1
    process_prng >"$WINEPREFIX/shim.c"
    x86_64-w64-mingw32-gcc -O1 -shared -o "$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll" \
        "$WINEPREFIX/shim.c" -ladvapi32
    touch "$WINEPREFIX/ready"
}

# Sets up Wine for 32-bit programs, in a chroot of 700 MB: Debian's i386 packages cannot be installed beside those of amd64.
wine32() {
    export OS_THREAD_LOCAL_WINE32=$CI_DIR/wine32 WINEDEBUG=-all WINEDLLOVERRIDES="mscoree,mshtml,winedbg.exe="
    lock wine32 wine32_chroot
}
wine32_chroot() {
    local root=$OS_THREAD_LOCAL_WINE32
    if [ -e "$root/ready" ]; then
        # Wine reads /proc/self/exe. A restart of the machine removes the mount.
        mountpoint -q "$root/proc" || as_root mount -t proc proc "$root/proc"
        return 0
    fi
    say "a Debian with a 32-bit Wine"
    if [ ! -e "$root/bootstrapped" ]; then
        ! mountpoint -q "$root/proc" || as_root umount "$root/proc"
        as_root rm -rf "$root"
        as_root debootstrap --arch=i386 --variant=minbase --include=wine32,wine bookworm "$root" http://deb.debian.org/debian \
            >"$CI_DIR/wine32.log" 2>&1
        as_root touch "$root/bootstrapped"
    fi
    mountpoint -q "$root/proc" || as_root mount -t proc proc "$root/proc"
    as_root chroot "$root" env WINEPREFIX=/root/prefix WINEARCH=win32 /usr/lib/wine/wine wineboot -i </dev/null >/dev/null 2>&1
    as_root chroot "$root" env WINEPREFIX=/root/prefix /usr/lib/wine/wine winecfg -v win10 </dev/null >/dev/null 2>&1
    process_prng >"$CI_DIR/shim32.c"
    # Undecorated, as std imports it.
    i686-w64-mingw32-gcc -O1 -shared -Wl,--kill-at -o "$CI_DIR/shim32.dll" "$CI_DIR/shim32.c" -ladvapi32
    as_root install "$CI_DIR/shim32.dll" "$root/root/prefix/drive_c/windows/system32/bcryptprimitives.dll"
    as_root touch "$root/ready"
}
