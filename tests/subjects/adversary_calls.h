/* adversary_calls.h - the calls that can change something, each with odd flags; data and one small function a call.
 *
 * Rules: only names of the operand and of the good directory are used; an open never waits; no request of ioctl(2) that
 * works on a whole file system (shutdown, freeze, resize, label).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef ADVERSARY_CALLS_H
#define ADVERSARY_CALLS_H

#include "adversary.h"

#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/fanotify.h>
#include <sys/sendfile.h>
#include <sys/time.h>
#include <utime.h>

#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#define __NR_removexattrat 466
#endif

#ifndef __NR_file_setattr
#define __NR_file_setattr 469
#endif

#define MAKE(name) static long make_##name(struct pair *p, const struct operand *o)
#define BY_NAME (BY_PATH | BY_AT)

static const char mark[] = "ADVERSARY\n";

/* ---- through a descriptor */

static sigjmp_buf beyond_the_end;

static void on_bus_error(int signal) {
    (void)signal;
    siglongjmp(beyond_the_end, 1);
}

static long map_and_write(long fd) {
    char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (sigsetjmp(beyond_the_end, 1) == 0)
        memory[0] = 'A';
    (void)munmap(memory, 4096);
    return 0;
}

static long copy_into(struct pair *p, long fd, bool range) {
    long from = SYS(openat, AT_FDCWD, p->own, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    off_t start = 0;
    long result = range ? SYS(copy_file_range, from, NULL, fd, NULL, 4, 0) : SYS(sendfile, fd, from, &start, 4);
    close_fd(from);
    return result;
}

static long set_contents(struct pair *p, long fd) {
    switch (pick(p, 8)) {
    case 0:
        return SYS(ftruncate, fd, pick(p, 64));
    case 1:
        return SYS(fallocate, fd, 0, 0, 64);
    case 2:
        return SYS(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096);
    case 3:
        return map_and_write(fd);
    case 4:
        return copy_into(p, fd, true);
    case 5:
        return copy_into(p, fd, false);
    case 6:
        return SYS(pwrite64, fd, mark, 4, 0);
    default:
        return SYS(write, fd, mark, sizeof mark - 1);
    }
}

MAKE(contents) {
    return set_contents(p, o->fd);
}

MAKE(fchmod) {
    return SYS(fchmod, o->fd, 0600 + pick(p, 0100));
}

MAKE(fchown) {
    return SYS(fchown, o->fd, pick(p, 2) ? -1 : (int)geteuid(), getegid());
}

static void some_times(struct pair *p) {
    for (int i = 0; i < 2; i++)
        p->times[i] = (struct timespec){1000000000 + pick(p, 1000), pick(p, 8) ? pick(p, 1000) : UTIME_NOW};
}

MAKE(futimens) {
    some_times(p);
    return SYS(utimensat, o->fd, NULL, pick(p, 4) ? p->times : NULL, 0);
}

MAKE(futimesat_fd) {
    const struct timeval times[2] = {{1000000000 + pick(p, 1000), 0}, {1000000000, 1}};
    return SYS(futimesat, o->fd, NULL, times);
}

static const char *const attributes[] = {"user.a", "user.n", "user.a", "trusted.a", "security.a", "user.longer.name"};

static const char *attribute(struct pair *p) {
    return attributes[pick(p, sizeof attributes / sizeof *attributes)];
}

MAKE(fsetxattr) {
    return SYS(fsetxattr, o->fd, attribute(p), mark, pick(p, sizeof mark), pick(p, 4) ? 0 : pick(p, 3));
}

MAKE(fremovexattr) {
    return SYS(fremovexattr, o->fd, attribute(p));
}

static long set_flags(struct pair *p, int fd) {
    long flags = 0;
    (void)SYS(ioctl, fd, FS_IOC_GETFLAGS, &flags);
    flags ^= pick(p, 2) ? FS_NODUMP_FL : FS_NOATIME_FL;
    return SYS(ioctl, fd, FS_IOC_SETFLAGS, &flags);
}

MAKE(setflags) {
    return set_flags(p, o->fd);
}

MAKE(fssetxattr) {
    struct fsxattr extended = {0};
    (void)SYS(ioctl, o->fd, FS_IOC_FSGETXATTR, &extended);
    extended.fsx_xflags ^= FS_XFLAG_NODUMP;
    if (!pick(p, 4))
        extended.fsx_projid++;
    return SYS(ioctl, o->fd, FS_IOC_FSSETXATTR, &extended);
}

#define EXT4_SETVERSION 0x40086604u
#define EXT4_SETVERSION_OLD 0x40046604u
#define SETVERSION 0x40087602u
#define SETVERSION_OLD 0x40047602u
#define EXT4_MIGRATE 0x6609u

MAKE(setversion) {
    static const unsigned requests[] = {EXT4_SETVERSION, SETVERSION, EXT4_SETVERSION_OLD, SETVERSION_OLD};
    long version = 1 + pick(p, 1000);
    return SYS(ioctl, o->fd, requests[pick(p, 4)], &version);
}

MAKE(migrate) {
    (void)p;
    return SYS(ioctl, o->fd, EXT4_MIGRATE, 0);
}

/* A request that no file system knows, one that makes no change by its range, and those of other file systems. */
MAKE(requests) {
    static const unsigned requests[] = {0x66dcu, 0x400866ddu, 0x40087200u, 0x40047211u,
                                        0x9402u, 0x5000940eu, 0x40185879u};
    struct fstrim_range range = {.start = UINT64_MAX, .len = 0, .minlen = UINT64_MAX};
    if (!pick(p, 8))
        return SYS(ioctl, o->fd, FITRIM, &range);
    char data[4096] = {0};
    return SYS(ioctl, o->fd, requests[pick(p, sizeof requests / sizeof *requests)], data);
}

MAKE(clone_into) {
    long from = SYS(openat, AT_FDCWD, p->own, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    long result = SYS(ioctl, o->fd, FICLONE, from);
    close_fd(from);
    return result;
}

MAKE(fcntl) {
    uint64_t hint = 2;
    switch (pick(p, 6)) {
    case 0:
        (void)SYS(fcntl, o->fd, F_SETLEASE, F_RDLCK);
        return SYS(fcntl, o->fd, F_SETLEASE, F_UNLCK);
    case 1:
        return SYS(fcntl, o->fd, F_NOTIFY, DN_MODIFY);
    case 2:
        return SYS(fcntl, o->fd, F_SETFL, O_APPEND | O_NONBLOCK | at_times(p, O_NOATIME) | at_times(p, O_DIRECT));
    case 3:
        return SYS(fcntl, o->fd, F_SET_RW_HINT, &hint);
    case 4:
        return SYS(fcntl, o->fd, F_ADD_SEALS, F_SEAL_SHRINK);
    default:
        return SYS(fcntl, o->fd, 1000 + pick(p, 100), mark);
    }
}

MAKE(sync) {
    return pick(p, 2) ? SYS(fsync, o->fd) : SYS(fdatasync, o->fd);
}

/* Opened again by the magic link, for writing. */
MAKE(again) {
    char link[64];
    (void)snprintf(link, sizeof link, "%s/%d", pick(p, 2) ? "/proc/self/fd" : "/dev/fd", o->fd);
    long fd = SYS(openat, AT_FDCWD, link, (pick(p, 2) ? O_RDWR : O_WRONLY) | O_NONBLOCK | at_times(p, O_TRUNC));
    if (fd < 0)
        return fd;
    long result = set_contents(p, fd);
    close_fd(fd);
    return result;
}

/* Everything through one descriptor, at random. */
static long through(struct pair *p, long fd) {
    static long (*const all[])(struct pair *, const struct operand *) = {
        make_contents,   make_fchmod,     make_fchown,       make_futimens,   make_fsetxattr, make_setflags, make_fcntl,
        make_setversion, make_fssetxattr, make_fremovexattr, make_clone_into, make_requests,  make_again,
    };
    const struct operand o = {.fd = (int)fd};
    return all[pick(p, sizeof all / sizeof *all)](p, &o);
}

/* ---- opening; what was opened is used */

static long use(struct pair *p, long fd) {
    if (fd < 0)
        return fd;
    (void)SYS(write, fd, mark, sizeof mark - 1);
    (void)set_contents(p, fd);
    (void)through(p, fd);
    close_fd(fd);
    return 0;
}

static int odd_flags(struct pair *p) {
    static const int odd[] = {O_APPEND, O_NOATIME, O_DIRECT, O_NOFOLLOW, O_NOCTTY, O_ASYNC, O_CLOEXEC, O_DSYNC, 0, 0};
    return O_NONBLOCK | odd[pick(p, sizeof odd / sizeof *odd)] | (pick(p, 4) ? 0 : odd[pick(p, 4)]);
}

static long open_it(struct pair *p, const struct operand *o, int flags, mode_t mode) {
    if (o->dirfd == AT_FDCWD && pick(p, 2))
        return SYS(open, o->path, flags | odd_flags(p), mode);
    return SYS(openat, o->dirfd, o->path, flags | odd_flags(p), mode);
}

MAKE(open_write) {
    return use(p, open_it(p, o, pick(p, 2) ? O_WRONLY : O_RDWR, 0));
}

MAKE(open_trunc) {
    return use(p, open_it(p, o, (int)pick(p, 4) | O_TRUNC, 0)); /* 0: for reading, and yet it writes; 3: neither */
}

MAKE(open_create) {
    return use(p, open_it(p, o, (int)pick(p, 3) | O_CREAT | at_times(p, O_EXCL), 0600 + pick(p, 0100)));
}

MAKE(creat) {
    return use(p, SYS(creat, o->path, 0640));
}

MAKE(open_read) {
    long fd = open_it(p, o, pick(p, 4) ? O_RDONLY : O_PATH, 0);
    long result = fd < 0 ? fd : through(p, fd);
    close_fd(fd);
    return result;
}

MAKE(openat2) {
    static const uint64_t resolve[] = {
        0, 0, 0, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_CACHED};
    static const uint64_t access[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_RDWR | O_CREAT, O_WRONLY | O_TRUNC};
    struct open_how how = {.flags = access[pick(p, 5)] | O_NONBLOCK | O_CLOEXEC, .resolve = resolve[pick(p, 7)]};
    if (how.flags & O_CREAT)
        how.mode = 0640;
    return use(p, SYS(openat2, o->dirfd, o->path, &how, sizeof how));
}

MAKE(open_unnamed) {
    long fd = open_it(p, o, O_TMPFILE | O_RDWR, 0640);
    if (fd < 0)
        return fd;
    (void)SYS(write, fd, mark, sizeof mark - 1);
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%ld", fd);
    long result = pick(p, 2) ? SYS(linkat, AT_FDCWD, link, o->dirfd, o->path2, AT_SYMLINK_FOLLOW)
                             : SYS(linkat, fd, "", o->dirfd, o->path2, AT_EMPTY_PATH);
    close_fd(fd);
    return result;
}

/* What the flags in memory say when the kernel looks. */
MAKE(openat2_how) {
    return use(p, SYS(openat2, o->dirfd, o->path, &p->how, sizeof p->how));
}

/* ---- names */

MAKE(mkdir) {
    return o->dirfd == AT_FDCWD && pick(p, 2) ? SYS(mkdir, o->path, 0755) : SYS(mkdirat, o->dirfd, o->path, 0755);
}

MAKE(mknod) {
    static const mode_t types[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR}; /* the last one with 0:0: a whiteout */
    mode_t mode = types[pick(p, 4)] | 0640;
    return o->dirfd == AT_FDCWD && pick(p, 2) ? SYS(mknod, o->path, mode, 0) : SYS(mknodat, o->dirfd, o->path, mode, 0);
}

MAKE(symlink) {
    return o->dirfd == AT_FDCWD && pick(p, 2) ? SYS(symlink, "to", o->path) : SYS(symlinkat, "to", o->dirfd, o->path);
}

MAKE(link_in) {
    return o->dirfd == AT_FDCWD && pick(p, 2) ? SYS(link, p->own, o->path)
                                              : SYS(linkat, AT_FDCWD, p->own, o->dirfd, o->path, 0);
}

MAKE(link_out) {
    return o->dirfd == AT_FDCWD && pick(p, 2)
               ? SYS(link, o->path, p->out)
               : SYS(linkat, o->dirfd, o->path, AT_FDCWD, p->out, at_times(p, AT_SYMLINK_FOLLOW));
}

MAKE(link_both) {
    return SYS(linkat, o->dirfd, o->path, o->dirfd, o->path2, at_times(p, AT_SYMLINK_FOLLOW));
}

MAKE(link_empty) {
    return SYS(linkat, o->dirfd, o->path, AT_FDCWD, p->out, AT_EMPTY_PATH);
}

MAKE(unlink) {
    return o->dirfd == AT_FDCWD && pick(p, 2) ? SYS(unlink, o->path) : SYS(unlinkat, o->dirfd, o->path, 0);
}

MAKE(rmdir) {
    return o->dirfd == AT_FDCWD && pick(p, 2) ? SYS(rmdir, o->path) : SYS(unlinkat, o->dirfd, o->path, AT_REMOVEDIR);
}

static int rename_flags(struct pair *p) {
    static const int flags[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_WHITEOUT};
    return flags[pick(p, 5)];
}

MAKE(rename_in) {
    return pick(p, 2) ? SYS(renameat, AT_FDCWD, p->own, o->dirfd, o->path)
                      : SYS(renameat2, AT_FDCWD, p->own, o->dirfd, o->path, rename_flags(p));
}

MAKE(rename_out) {
    return pick(p, 2) ? SYS(renameat, o->dirfd, o->path, AT_FDCWD, p->out)
                      : SYS(renameat2, o->dirfd, o->path, AT_FDCWD, pick(p, 2) ? p->out : p->own, rename_flags(p));
}

MAKE(rename_both) {
    if (o->dirfd == AT_FDCWD && pick(p, 2))
        return SYS(rename, o->path, o->path2);
    return SYS(renameat2, o->dirfd, o->path, o->dirfd, o->path2, rename_flags(p));
}

/* ---- attributes */

MAKE(truncate) {
    return SYS(truncate, o->path, pick(p, 64));
}

MAKE(chmod) {
    mode_t mode = 0600 + pick(p, 0100);
    switch (pick(p, 3)) {
    case 0:
        return SYS(fchmodat2, o->dirfd, o->path, mode, at_times(p, AT_SYMLINK_NOFOLLOW));
    case 1:
        return SYS(fchmodat, o->dirfd, o->path, mode);
    default:
        return o->dirfd == AT_FDCWD ? SYS(chmod, o->path, mode) : SYS(fchmodat, o->dirfd, o->path, mode);
    }
}

MAKE(chmod_empty) {
    return SYS(fchmodat2, o->dirfd, o->path, 0600 + pick(p, 0100), AT_EMPTY_PATH);
}

MAKE(chown) {
    int user = pick(p, 2) ? -1 : (int)geteuid(), group = (int)getegid();
    if (o->dirfd == AT_FDCWD && pick(p, 2))
        return pick(p, 2) ? SYS(chown, o->path, user, group) : SYS(lchown, o->path, user, group);
    return SYS(fchownat, o->dirfd, o->path, user, group, at_times(p, AT_SYMLINK_NOFOLLOW));
}

MAKE(chown_empty) {
    return SYS(fchownat, o->dirfd, o->path, -1, getegid(), AT_EMPTY_PATH | at_times(p, AT_SYMLINK_NOFOLLOW));
}

MAKE(utimes) {
    const struct timeval times[2] = {{1000000000 + pick(p, 1000), 0}, {1000000000, 1}};
    const struct utimbuf seconds = {1000000000, 1000000000 + pick(p, 1000)};
    some_times(p);
    if (o->dirfd == AT_FDCWD && !pick(p, 3))
        return pick(p, 2) ? SYS(utime, o->path, &seconds) : SYS(utimes, o->path, times);
    if (!pick(p, 3))
        return SYS(futimesat, o->dirfd, o->path, pick(p, 2) ? times : NULL);
    return SYS(utimensat, o->dirfd, o->path, pick(p, 4) ? p->times : NULL, at_times(p, AT_SYMLINK_NOFOLLOW));
}

MAKE(utimes_empty) {
    some_times(p);
    return SYS(utimensat, o->dirfd, o->path, p->times, AT_EMPTY_PATH);
}

MAKE(setxattr) {
    const char *name = attribute(p);
    return pick(p, 2) ? SYS(setxattr, o->path, name, mark, pick(p, sizeof mark), 0)
                      : SYS(lsetxattr, o->path, name, mark, pick(p, sizeof mark), 0);
}

MAKE(setxattrat) {
    struct xattr_value value = {(uintptr_t)mark, pick(p, sizeof mark), 0};
    return SYS(setxattrat, o->dirfd, o->path, o->at | at_times(p, AT_SYMLINK_NOFOLLOW), attribute(p), &value,
               sizeof value);
}

MAKE(file_setattr) {
    uint64_t attr[3] = {pick(p, 2) ? FS_XFLAG_NODUMP : FS_XFLAG_NOATIME, 0, 0};
    return SYS(file_setattr, o->dirfd, o->path, attr, sizeof attr, o->at | at_times(p, AT_SYMLINK_NOFOLLOW));
}

MAKE(removexattr) {
    return pick(p, 2) ? SYS(removexattr, o->path, attribute(p)) : SYS(lremovexattr, o->path, attribute(p));
}

MAKE(removexattrat) {
    return SYS(removexattrat, o->dirfd, o->path, o->at | at_times(p, AT_SYMLINK_NOFOLLOW), attribute(p));
}

/* ---- what is set stands in memory and turns; the object stays */

MAKE(times_value) {
    return pick(p, 2) ? SYS(utimensat, o->dirfd, o->path, p->times, 0) : SYS(utimensat, o->fd, NULL, p->times, 0);
}

MAKE(attribute_value) {
    return pick(p, 2) ? SYS(setxattr, o->path, p->attribute, mark, 4, 0)
                      : SYS(setxattrat, o->dirfd, o->path, 0, p->attribute, &p->value, sizeof p->value);
}

MAKE(flags_value) {
    return pick(p, 2) ? SYS(ioctl, o->fd, FS_IOC_SETFLAGS, &p->flags)
                      : SYS(ioctl, o->fd, FS_IOC_FSSETXATTR, p->extended);
}

/* ---- sockets */

static long with_socket(struct pair *p, long (*make)(struct pair *p, long socket)) {
    long socket = SYS(socket, AF_UNIX, (pick(p, 2) ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    long result = make(p, socket);
    close_fd(socket);
    return result;
}

static long bind_one(struct pair *p, long socket) {
    return SYS(bind, socket, &p->address, p->address_size);
}

static long send_one(struct pair *p, long socket) {
    struct iovec data = {(void *)(uintptr_t)mark, 1};
    const struct msghdr message = {
        .msg_name = &p->address, .msg_namelen = p->address_size, .msg_iov = &data, .msg_iovlen = 1};
    if (!pick(p, 3))
        return SYS(connect, socket, &p->address, p->address_size);
    return pick(p, 2) ? SYS(sendmsg, socket, &message, MSG_DONTWAIT)
                      : SYS(sendto, socket, mark, 1, MSG_DONTWAIT, &p->address, p->address_size);
}

MAKE(bind) {
    (void)o;
    return with_socket(p, bind_one);
}

MAKE(send) {
    (void)o;
    return with_socket(p, send_one);
}

/* ---- descriptors that the kernel opens by itself: only for one file, which is this way's own */

MAKE(fanotify) {
    long group = SYS(fanotify_init, FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDWR | O_LARGEFILE);
    if (group < 0)
        return group;
    long result = SYS(fanotify_mark, group, FAN_MARK_ADD, FAN_OPEN | FAN_ACCESS | FAN_CLOSE, o->dirfd, o->path);
    close_fd(SYS(openat, o->dirfd, o->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    struct fanotify_event_metadata events[16];
    long n = result < 0 ? 0 : SYS(read, group, events, sizeof events);
    for (struct fanotify_event_metadata *e = events; FAN_EVENT_OK(e, n); e = FAN_EVENT_NEXT(e, n))
        if (e->fd >= 0)
            (void)use(p, e->fd);
    close_fd(group);
    return result;
}

static const struct hostile hostiles[] = {
    {"open-write", A_FILE, BY_NAME, 0, make_open_write},
    {"open-trunc", A_FILE, BY_NAME, 0, make_open_trunc},
    {"open-create", NOTHING, BY_NAME, 0, make_open_create},
    {"open-over", A_FILE, BY_NAME, 0, make_open_create},
    {"open-unnamed", A_DIR, BY_NAME, PATH2, make_open_unnamed},
    {"open-read", A_FILE | A_DIR, BY_NAME, 0, make_open_read},
    {"openat2", A_FILE, BY_NAME, 0, make_openat2},
    {"openat2-how", A_FILE, BY_HOW, 0, make_openat2_how},
    {"creat", A_FILE | NOTHING, BY_PATH, 0, make_creat},
    {"mkdir", NOTHING, BY_NAME, 0, make_mkdir},
    {"mknod", NOTHING, BY_NAME, 0, make_mknod},
    {"symlink", NOTHING, BY_NAME, 0, make_symlink},
    {"link-in", NOTHING, BY_NAME, OWN, make_link_in},
    {"link-out", A_FILE, BY_NAME, OUT, make_link_out},
    {"link-both", A_FILE, BY_NAME, PATH2, make_link_both},
    {"link-empty", A_FILE, BY_EMPTY, OUT, make_link_empty},
    {"unlink", A_FILE, BY_NAME, 0, make_unlink},
    {"rmdir", A_DIR, BY_NAME, 0, make_rmdir},
    {"rename-in", NOTHING | A_FILE, BY_NAME, OWN, make_rename_in},
    {"rename-out", A_FILE | A_DIR, BY_NAME, OWN | OUT, make_rename_out},
    {"rename-both", A_FILE | A_DIR, BY_NAME, PATH2, make_rename_both},
    {"truncate", A_FILE, BY_PATH, 0, make_truncate},
    {"chmod", A_FILE | A_DIR, BY_NAME, 0, make_chmod},
    {"chmod-empty", A_FILE | A_DIR, BY_EMPTY, 0, make_chmod_empty},
    {"chown", A_FILE | A_DIR, BY_NAME, 0, make_chown},
    {"chown-empty", A_FILE | A_DIR, BY_EMPTY, 0, make_chown_empty},
    {"utimes", A_FILE | A_DIR, BY_NAME, 0, make_utimes},
    {"utimes-empty", A_FILE | A_DIR, BY_EMPTY, 0, make_utimes_empty},
    {"setxattr", A_FILE | A_DIR, BY_PATH, 0, make_setxattr},
    {"setxattrat", A_FILE | A_DIR, BY_AT | BY_EMPTY, 0, make_setxattrat},
    {"file_setattr", A_FILE | A_DIR, BY_AT | BY_EMPTY, 0, make_file_setattr},
    {"removexattr", A_FILE | A_DIR, BY_PATH, 0, make_removexattr},
    {"removexattrat", A_FILE | A_DIR, BY_AT | BY_EMPTY, 0, make_removexattrat},
    {"fanotify", A_FILE, BY_NAME, 0, make_fanotify},
    {"contents", A_FILE, BY_FD, 0, make_contents},
    {"fchmod", A_FILE | A_DIR, BY_FD, 0, make_fchmod},
    {"fchown", A_FILE | A_DIR, BY_FD, 0, make_fchown},
    {"futimens", A_FILE | A_DIR, BY_FD, 0, make_futimens},
    {"futimesat", A_FILE | A_DIR, BY_FD, 0, make_futimesat_fd},
    {"fsetxattr", A_FILE | A_DIR, BY_FD, 0, make_fsetxattr},
    {"fremovexattr", A_FILE | A_DIR, BY_FD, 0, make_fremovexattr},
    {"setflags", A_FILE | A_DIR, BY_FD, 0, make_setflags},
    {"fssetxattr", A_FILE | A_DIR, BY_FD, 0, make_fssetxattr},
    {"setversion", A_FILE | A_DIR, BY_FD, 0, make_setversion},
    {"migrate", A_FILE, BY_FD, 0, make_migrate},
    {"requests", A_FILE | A_DIR, BY_FD_ALONE, 0, make_requests},
    {"clone-into", A_FILE, BY_FD_ALONE, 0, make_clone_into},
    {"fcntl", A_FILE | A_DIR, BY_FD, 0, make_fcntl},
    {"sync", A_FILE | A_DIR, BY_FD_ALONE, 0, make_sync},
    {"again", A_FILE, BY_FD, 0, make_again},
    {"times-value", A_FILE, BY_VALUE, 0, make_times_value},
    {"attribute-value", A_FILE, BY_VALUE, 0, make_attribute_value},
    {"flags-value", A_FILE, BY_VALUE, 0, make_flags_value},
    {"bind", NOTHING, BY_ADDRESS, 0, make_bind},
    {"send", A_FILE, BY_ADDRESS, 0, make_send},
};

#endif
