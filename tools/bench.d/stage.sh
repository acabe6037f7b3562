#!/bin/sh
# Runs CMD in TREE, with an overlay that has to be mounted: `stage.sh kernel|fuse LAYER TREE CMD…`, in a user and a mount
# namespace of its own (unshare -Urm).
#
# kernel: the upper may not lie below the lower, nor may a lower have mounts of others below it, so each of the directories
#         that programs are in has an overlay of its own, and TREE has one.
# fuse:   one overlay over /, which becomes the root directory.
#
# Rules: everything that is mounted or started ends with CMD; the exit status is CMD's.
#
# SPDX-License-Identifier: GPL-2.0-or-later
set -eu
kind=$1 layer=$2 tree=$3
shift 3

# overlay NAME DIRECTORY
overlay() {
    mkdir -p "$layer/$1/upper" "$layer/$1/work"
    mount -t overlay -o "lowerdir=$2,upperdir=$layer/$1/upper,workdir=$layer/$1/work,userxattr" overlay "$2"
}

kernel() {
    for directory in /usr /bin /sbin /lib /lib64 /etc /opt /root /home /srv; do
        case "$tree" in
        "$directory"/*) continue ;;
        esac
        [ -h "$directory" ] || [ ! -d "$directory" ] || overlay "${directory#/}" "$directory"
    done
    overlay tree "$tree"
    cd "$tree"
    exec "$@"
}

fuse() {
    root=$layer/root
    mkdir -p "$layer/upper" "$layer/work" "$root"
    fuse-overlayfs -f -o "lowerdir=/,upperdir=$layer/upper,workdir=$layer/work" "$root" 2>"$layer/messages" &
    daemon=$!
    trap 'umount -l "$root" 2>/dev/null || true; kill $daemon 2>/dev/null || true; wait $daemon || true' EXIT
    until mountpoint -q "$root"; do
        kill -0 $daemon 2>/dev/null || { cat "$layer/messages" >&2; exit 125; }
        sleep 0.01
    done
    for directory in proc sys dev; do
        mount --rbind "/$directory" "$root/$directory"
    done
    chroot "$root" sh -euc 'cd "$1"; shift; exec "$@"' sh "$tree" "$@"
}

"$kind" "$@"
