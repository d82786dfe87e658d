#!/bin/sh
# confined.sh ROOT USER [NAME=VALUE…] COMMAND…: runs a command in an image's mounted file system as a cluster does.
# The root is read-only, /tmp and /dev/shm are in memory; the user is USER, without capabilities or a way to gain any.
# To be called in mount, process and network namespaces of its own (unshare), which is where all mounts end.
set -eu
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" env -i "$@"
