/* compat_layout.c - structures of i386: arch/x86/include/asm/compat.h and asm/sys_ia32.h in Linux.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "compat_layout.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "../process/memory.h"

#define OVERFLOW_ID 65534u      /* DEFAULT_OVERFLOWUID */

struct stat32 {
    uint32_t dev, ino;
    uint16_t mode, nlink, uid, gid;
    uint32_t rdev, size, blksize, blocks, atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns, unused[2];
};

struct __attribute__((packed)) stat64_32 {
    uint64_t dev;
    uint32_t pad0, short_ino, mode, nlink, uid, gid;
    uint64_t rdev;
    uint32_t pad3;
    int64_t size;
    uint32_t blksize;
    uint64_t blocks;
    uint32_t atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
    uint64_t ino;
};
_Static_assert(sizeof(struct stat32) == 64 && sizeof(struct stat64_32) == COMPAT_LAYOUT_MAX, "as the kernel's");

struct statfs32 {
    uint32_t type, bsize, blocks, bfree, bavail, files, ffree, fsid[2], namelen, frsize, flags, spare[4];
};

struct __attribute__((packed)) statfs64_32 {
    uint32_t type, bsize;
    uint64_t blocks, bfree, bavail, files, ffree;
    uint32_t fsid[2], namelen, frsize, flags, spare[4];
};
_Static_assert(sizeof(struct statfs32) == 64 && sizeof(struct statfs64_32) == 84, "as the kernel's");

static uint16_t short_id(uint32_t id) {
    return (uint16_t)(id > UINT16_MAX ? OVERFLOW_ID : id);
}

/* new_encode_dev() */
static uint32_t short_dev(uint32_t major, uint32_t minor) {
    return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

/* What both structures of stat(2) have in the same way … */
#define STAT_ALIKE(from)                                                                                               \
    .dev = short_dev((from)->stx_dev_major, (from)->stx_dev_minor), .mode = (from)->stx_mode,                          \
    .rdev = short_dev((from)->stx_rdev_major, (from)->stx_rdev_minor), .blksize = (from)->stx_blksize,                 \
    .atime = (uint32_t)(from)->stx_atime.tv_sec, .atime_ns = (from)->stx_atime.tv_nsec,                                \
    .mtime = (uint32_t)(from)->stx_mtime.tv_sec, .mtime_ns = (from)->stx_mtime.tv_nsec,                                \
    .ctime = (uint32_t)(from)->stx_ctime.tv_sec, .ctime_ns = (from)->stx_ctime.tv_nsec

/* … and both of statfs(2). */
#define STATFS_ALIKE(from)                                                                                             \
    .type = (uint32_t)(from)->f_type, .bsize = (uint32_t)(from)->f_bsize, .namelen = (uint32_t)(from)->f_namelen,      \
    .frsize = (uint32_t)(from)->f_frsize, .flags = (uint32_t)(from)->f_flags

/* cp_compat_stat() in fs/stat.c */
static int short_stat(const struct statx *from, void *out) {
    struct stat32 to = {STAT_ALIKE(from),
                        .ino = (uint32_t)from->stx_ino,
                        .nlink = (uint16_t)from->stx_nlink,
                        .uid = short_id(from->stx_uid),
                        .gid = short_id(from->stx_gid),
                        .size = (uint32_t)from->stx_size,
                        .blocks = (uint32_t)from->stx_blocks};
    if (from->stx_ino > UINT32_MAX || from->stx_nlink > UINT16_MAX || from->stx_size > INT32_MAX)
        return -EOVERFLOW;
    memcpy(out, &to, sizeof to);
    return sizeof to;
}

/* cp_stat64() in arch/x86/kernel/sys_ia32.c */
static int wide_stat(const struct statx *from, void *out) {
    struct stat64_32 to = {
        STAT_ALIKE(from),     .short_ino = (uint32_t)from->stx_ino, .nlink = from->stx_nlink,   .uid = from->stx_uid,
        .gid = from->stx_gid, .size = (int64_t)from->stx_size,      .blocks = from->stx_blocks, .ino = from->stx_ino};
    memcpy(out, &to, sizeof to);
    return sizeof to;
}

int compat_stat(enum compat_form form, const struct statx *from, void *out) {
    return form == COMPAT_STAT ? short_stat(from, out) : wide_stat(from, out);
}

/* put_compat_statfs() in fs/statfs.c */
static int short_statfs(const struct statfs *from, void *out) {
    uint64_t all = (uint64_t)from->f_blocks | (uint64_t)from->f_bfree | (uint64_t)from->f_bavail |
                   (uint64_t)from->f_bsize | (uint64_t)from->f_frsize;
    uint64_t files = from->f_files, free_files = from->f_ffree;
    bool unknown = files == UINT64_MAX || free_files == UINT64_MAX;
    if (all > UINT32_MAX || (!unknown && (files | free_files) > UINT32_MAX))
        return -EOVERFLOW;
    struct statfs32 to = {STATFS_ALIKE(from),
                          .blocks = (uint32_t)from->f_blocks,
                          .bfree = (uint32_t)from->f_bfree,
                          .bavail = (uint32_t)from->f_bavail,
                          .files = (uint32_t)files,
                          .ffree = (uint32_t)free_files};
    memcpy(to.fsid, &from->f_fsid, sizeof to.fsid);
    memcpy(out, &to, sizeof to);
    return sizeof to;
}

int compat_statfs(enum compat_form form, const struct statfs *from, void *out) {
    if (form == COMPAT_STATFS)
        return short_statfs(from, out);
    struct statfs64_32 to = {STATFS_ALIKE(from),       .blocks = from->f_blocks, .bfree = from->f_bfree,
                             .bavail = from->f_bavail, .files = from->f_files,   .ffree = from->f_ffree};
    memcpy(to.fsid, &from->f_fsid, sizeof to.fsid);
    memcpy(out, &to, sizeof to);
    return sizeof to;
}

struct dirent32 {
    uint32_t ino, off;
    uint16_t length;
    char name[];    /* with its NUL; the type is the last byte of all */
};
#define NAME_32 offsetof(struct dirent32, name)

struct dirent64 {
    uint64_t ino, off;
    uint16_t length;
    char name[];
};
#define NAME_64 offsetof(struct dirent64, name)

size_t compat_entries(char *entries, size_t length) {
    size_t done = 0;
    for (size_t at = 0; at + NAME_64 < length;) {
        struct dirent64 from;
        memcpy(&from, entries + at, NAME_64);
        size_t name = strlen(entries + at + NAME_64) + 1;
        char type = entries[at + from.length - 1];
        struct dirent32 to = {.ino = (uint32_t)from.ino, .off = (uint32_t)from.off};
        to.length = (uint16_t)((NAME_32 + name + 1 + 3) & ~(size_t)3);
        memmove(entries + done + NAME_32, entries + at + NAME_64, name);
        memcpy(entries + done, &to, NAME_32);
        memset(entries + done + NAME_32 + name, 0, to.length - NAME_32 - name);
        entries[done + to.length - 1] = type;
        done += to.length;
        at += from.length;
    }
    return done;
}

static uint32_t short_limit(rlim_t limit, uint32_t most) {
    return limit > most ? most : (uint32_t)limit;
}

/* kernel/sys.c */
size_t compat_limit(enum compat_form form, const struct rlimit *from, void *out) {
    uint32_t most = form == COMPAT_LIMIT_OLD ? INT32_MAX : UINT32_MAX;
    uint32_t to[2] = {short_limit(from->rlim_cur, most), short_limit(from->rlim_max, most)};
    memcpy(out, to, sizeof to);
    return sizeof to;
}

int compat_read_limit(const struct memory *memory, uint64_t at, struct rlimit *limit) {
    uint32_t from[2];
    int error = memory_read(memory, at, from, sizeof from);
    limit->rlim_cur = from[0] == UINT32_MAX ? RLIM_INFINITY : from[0];
    limit->rlim_max = from[1] == UINT32_MAX ? RLIM_INFINITY : from[1];
    return error;
}

int compat_read_times(const struct memory *memory, uint64_t at, enum compat_form form, struct timespec times[2]) {
    int32_t narrow[4] = {0};
    int64_t wide[4] = {0};
    bool is_wide = form == COMPAT_TIMES64;
    int error = memory_read(memory, at, is_wide ? (void *)wide : narrow, is_wide ? sizeof wide : sizeof narrow);
    for (int i = 0; i < 2; i++) {
        times[i].tv_sec = is_wide ? wide[2 * i] : narrow[2 * i];
        times[i].tv_nsec = is_wide ? (long)(uint32_t)wide[2 * i + 1] : narrow[2 * i + 1];
    }
    return error;
}

int compat_read_pointers(const struct memory *memory, uint64_t at, uint64_t *pointers, size_t n) {
    uint32_t *narrow = (uint32_t *)pointers;
    int error = memory_read(memory, at, narrow, n * sizeof *narrow);
    for (size_t i = n; error == 0 && i-- > 0;) {
        uint32_t pointer;
        memcpy(&pointer, &narrow[i], sizeof pointer);
        pointers[i] = pointer;
    }
    return error;
}
