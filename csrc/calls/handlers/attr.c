/* attr.c - chmod, chown, truncate, utime and their kin, by path and by descriptor; ioctl's file flags.
 *
 * Rules: the change happens in the view and the call is answered, whether the object was named by a path or by a
 * descriptor: a descriptor that was opened for reading leads to a lower file and may not change it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include "../../arch/numbers.h"
#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../process/object.h"
#include "../../process/rlimit.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../compat_layout.h"
#include "../flags.h"
#include "../host/host.h"
#include "../host/outside.h"
#include "../known.h"
#include "../scratch.h"
#include "../session.h"
#include "../settle.h"
#include "../tasks/place.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../tasks/userns.h"
#include "../verdict.h"
#include "handlers.h"

static void change(struct call *call, const struct location *loc, const struct attr_change *attr) {
    verdict_answer(call, host_held(call, 0) ? host_setattr(call, attr)
                                            : view_setattr(call->view, loc, attr, &call->task->cred));
}

void do_chmod(struct call *call) {
    struct location *loc = settle_changing(call);
    if (!loc)
        return;
    if (!host_held(call, 0) && loc->type == S_IFLNK)
        return verdict_answer(call, -EOPNOTSUPP);
    change(call, loc, &(struct attr_change){.valid = ATTR_MODE, .mode = (mode_t)call->arg[args_after(call)] & 07777});
}

#define TERMINALS 136u          /* UNIX98_PTY_SLAVE_MAJOR and the seven behind it: include/uapi/linux/major.h */

/* A terminal of our user's, which a fake root may give to anybody: it shows as his as before. */
static bool gives_terminal(struct call *call) {
    struct stat st;
    const struct seen *seen = seen_wanted(call->session) ? seen_of(call->task) : NULL;
    return seen && seen_capable(seen, CAP_CHOWN) && host_held(call, 0) && host_stat(call, &st) == 0 &&
           S_ISCHR(st.st_mode) && major(st.st_rdev) - TERMINALS < 8 && st.st_uid == geteuid();
}

void do_chown(struct call *call) {
    unsigned at = args_after(call);
    struct attr_change attr = {.valid = ATTR_OWNER, .uid = (uid_t)call->arg[at], .gid = (gid_t)call->arg[at + 1]};
    struct location *loc = settle_changing(call);
    if (!loc)
        return;
    if (!userns_uid(call->task, &attr.uid) || !userns_gid(call->task, &attr.gid))
        return verdict_answer(call, -EINVAL);
    if (attr.uid != (uid_t)-1)
        attr.valid |= ATTR_UID;
    if (attr.gid != (gid_t)-1)
        attr.valid |= ATTR_GID;
    change(call, loc, &attr);
    if (call->verdict == VERDICT_RETURN && call->value == -EPERM && gives_terminal(call))
        verdict_answer(call, 0);
}

void do_truncate(struct call *call) {
    int64_t length = (int64_t)call->arg[1];
    struct target target;
    if (length < 0)
        return verdict_answer(call, -EINVAL);
    int error = args_resolve(call, &target);
    if (error == 0 && target.loc->magic && outside_truncate(call, target.loc->path, length))
        return;
    struct location *loc = settle_change(call, 0, error, &target);
    if (!loc)
        return;
    if (!host_held(call, 0) && loc->type && loc->type != S_IFREG)
        return verdict_answer(call, loc->type == S_IFDIR ? -EISDIR : -EINVAL);
    struct attr_change attr = {.valid = ATTR_SIZE, .size = length};
    if (__atomic_load_n(&call->session->leased, __ATOMIC_RELAXED))
        attr.valid |= ATTR_LEASED;
    struct rlimit limit;
    if (rlimit_get(call->task->tid, RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        attr.valid |= ATTR_LIMIT;
        attr.size_limit = limit.rlim_cur;
    }
    change(call, loc, &attr);
    if (call->value == -EFBIG && attr.valid & ATTR_LIMIT && (uint64_t)length > attr.size_limit)
        (void)syscall(SYS_tgkill, call->task->tgid, call->task->tid, SIGXFSZ);   /* it may be dead */
}

/* ---- times ---- */

static bool valid_nanoseconds(long nanoseconds) {
    return nanoseconds == UTIME_NOW || nanoseconds == UTIME_OMIT || (nanoseconds >= 0 && nanoseconds < 1000000000);
}

/* times NULL: now. */
static void change_times(struct call *call, const struct timespec *times) {
    static const struct timespec now[2] = {{.tv_nsec = UTIME_NOW}, {.tv_nsec = UTIME_NOW}};
    if (!times)
        times = now;
    struct attr_change attr = {.atime = times[0], .mtime = times[1]};
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
        return verdict_answer(call, 0);
    call->scratch->touches = times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW;
    struct location *loc = settle_changing(call);
    if (!loc)
        return;
    if ((host_held(call, 0) || loc->type) &&
        !(valid_nanoseconds(times[0].tv_nsec) && valid_nanoseconds(times[1].tv_nsec)))
        return verdict_answer(call, -EINVAL);
    if (times[0].tv_nsec != UTIME_OMIT)
        attr.valid |= ATTR_ATIME;
    if (times[1].tv_nsec != UTIME_OMIT)
        attr.valid |= ATTR_MTIME;
    if (call->scratch->touches)
        attr.valid |= ATTR_TIMES_NOW;
    change(call, loc, &attr);
}

void do_utime(struct call *call) {
    struct utimbuf buffer;
    int32_t narrow[2] = {0};
    if (!call->arg[1])
        return change_times(call, NULL);
    int error = call->compat ? memory_read(&call->memory, call->arg[1], narrow, sizeof narrow)
                             : memory_read(&call->memory, call->arg[1], &buffer, sizeof buffer);
    if (call->compat)
        buffer = (struct utimbuf){.actime = narrow[0], .modtime = narrow[1]};
    if (error < 0)
        return verdict_answer(call, error);
    change_times(call, (struct timespec[2]){{.tv_sec = buffer.actime}, {.tv_sec = buffer.modtime}});
}

static int read_timevals(struct call *call, uint64_t address, struct timeval buffer[2]) {
    struct timespec narrow[2];
    if (!call->compat)
        return memory_read(&call->memory, address, buffer, 2 * sizeof *buffer);
    int error = compat_read_times(&call->memory, address, call->compat, narrow);
    for (int i = 0; i < 2; i++)
        buffer[i] = (struct timeval){.tv_sec = narrow[i].tv_sec, .tv_usec = narrow[i].tv_nsec};
    return error;
}

/* utimes and futimesat */
void do_utimes(struct call *call) {
    struct timeval buffer[2];
    struct timespec times[2];
    uint64_t address = call->arg[args_after(call)];
    if (!address)
        return change_times(call, NULL);
    int error = read_timevals(call, address, buffer);
    if (error < 0)
        return verdict_answer(call, error);
    for (int i = 0; i < 2; i++) {
        if (buffer[i].tv_usec < 0 || buffer[i].tv_usec >= 1000000)
            return verdict_answer(call, -EINVAL);
        times[i] = (struct timespec){buffer[i].tv_sec, buffer[i].tv_usec * 1000};
    }
    change_times(call, times);
}

void do_utimensat(struct call *call) {
    struct timespec times[2];
    if (!call->arg[1] && (int)call->arg[0] != AT_FDCWD && call->arg[3])
        return verdict_answer(call, -EINVAL);
    if (!call->arg[2])
        return change_times(call, NULL);
    int error = call->compat ? compat_read_times(&call->memory, call->arg[2], call->compat, times)
                             : memory_read(&call->memory, call->arg[2], times, sizeof times);
    if (error < 0)
        return verdict_answer(call, error);
    change_times(call, times);
}

/* ---- ioctl ---- */

/* Extended flags that are the same thing as one of FS_IOC_SETFLAGS. fs/ioctl.c, fileattr_fill_xflags() */
static const struct {
    uint32_t extended, plain;
} flag_pairs[] = {
    {FS_XFLAG_IMMUTABLE, FS_IMMUTABLE_FL},     {FS_XFLAG_APPEND, FS_APPEND_FL}, {FS_XFLAG_SYNC, FS_SYNC_FL},
    {FS_XFLAG_NOATIME, FS_NOATIME_FL},         {FS_XFLAG_NODUMP, FS_NODUMP_FL}, {FS_XFLAG_DAX, FS_DAX_FL},
    {FS_XFLAG_PROJINHERIT, FS_PROJINHERIT_FL},
};

/* What of the flags both forms have, over the rest of those that the file has. */
static int plain_flags(const struct fsxattr *extended, unsigned *plain) {
    uint32_t rest = extended->fsx_xflags & ~(uint32_t)FS_XFLAG_HASATTR;
    for (size_t i = 0; i < sizeof flag_pairs / sizeof *flag_pairs; i++) {
        *plain &= ~flag_pairs[i].plain;
        if (rest & flag_pairs[i].extended)
            *plain |= flag_pairs[i].plain;
        rest &= ~flag_pairs[i].extended;
    }
    return rest || extended->fsx_extsize || extended->fsx_projid || extended->fsx_cowextsize ? -EOPNOTSUPP : 0;
}

static int read_flags(struct call *call, struct fsxattr *extended, unsigned *flags) {
    if ((uint32_t)call->arg[1] == FS_IOC_FSSETXATTR)
        return memory_read(&call->memory, call->arg[2], extended, sizeof *extended);
    return memory_read(&call->memory, call->arg[2], flags, sizeof *flags);
}

/* The object's real file, or directory, opened for an ioctl; real[VIEW_PATH_MAX] becomes its path. -errno. */
static int open_real_object(struct call *call, const struct location *loc, char *real) {
    int error =
        loc->type == S_IFREG || loc->type == S_IFDIR ? view_real(call->view, loc, real, VIEW_PATH_MAX) : -ENOTTY;
    if (error < 0)
        return error;
    return view_open_exact(real, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
}

static int flags_over_present(struct call *call, const struct location *loc, const struct fsxattr *extended,
                              unsigned *flags) {
    CLOSE_DESCRIPTOR fd = open_real_object(call, loc, call->scratch->real);
    if (fd < 0)
        return fd;
    return ioctl(fd, FS_IOC_GETFLAGS, flags) < 0 ? -errno : plain_flags(extended, flags);
}

/* A descriptor from before a copy-up is of the lower file, whose flags are not the view's any more. */
static void get_flags(struct call *call, uint32_t request) {
    union {
        unsigned plain;
        long wide;
        struct fsxattr extended;
    } flags = {.wide = 0};
    struct location *loc = settle_reading(call);
    if (!loc || !loc->upper)
        return;
    CLOSE_DESCRIPTOR fd = open_real_object(call, loc, call->scratch->real);
    if (fd < 0 || strcmp(call->scratch->real, call->scratch->given[0].real) == 0 || settle_path_descriptor(call))
        return;
    if (ioctl(fd, request, &flags) < 0)
        return verdict_answer(call, -errno);
    verdict_answer_bytes(call, call->arg[2], &flags,
                         request == FS_IOC_FSGETXATTR ? sizeof flags.extended : sizeof flags.plain, 0);
}

/* Does the path lead, or did it, to a place that no overlay covers? */
static bool is_of_host(struct call *call, const char *real) {
    struct location *loc = &call->scratch->spare;
    verdict_enter_view(call);
    return view_locate(call->view, real, loc) == 0 && !loc->overlay && !loc->detached;
}

/* Not known to change nothing: passed to devices, terminals, sockets and what is the host's, but never one of a file
 * system's. */
static void unknown_request(struct call *call) {
    struct stat object;
    char link[PROC_LINK];
    descriptor_link(call->task->tid, (int)call->arg[0], link);
    int flags = descriptor_flags(call->task->tid, (int)call->arg[0]);
    if (flags < 0 || flags & O_PATH || stat(link, &object) < 0)
        return verdict_answer(call, -EBADF);
    if (!known_is_of_files((uint32_t)call->arg[1])) {
        bool named = S_ISREG(object.st_mode) || S_ISDIR(object.st_mode);
        int kind = named ? place_read(link, call->scratch->text) : OBJECT_ANONYMOUS;
        if (kind == OBJECT_ANONYMOUS || (kind >= 0 && is_of_host(call, call->scratch->text)))
            return;
    }
    verdict_refuse(call, ENOTTY, "this request is not known to change nothing");
}

/* The filter passes what known_requests holds. */
void do_ioctl(struct call *call) {
    struct attr_change attr = {.valid = ATTR_FLAGS};
    uint32_t request = (uint32_t)call->arg[1];
    if (known_holds(&known_requests, request))
        return do_grow_request(call);
    if (request == FS_IOC32_GETFLAGS && !call->compat)
        return;     /* the kernel knows it from 32-bit programs alone */
    if (request == FS_IOC32_GETFLAGS)
        request = FS_IOC_GETFLAGS;
    if (request == FS_IOC_GETFLAGS || request == FS_IOC_FSGETXATTR)
        return get_flags(call, request);
    bool flags = request == FS_IOC_SETFLAGS || request == FS_IOC32_SETFLAGS || request == FS_IOC_FSSETXATTR;
    if (!flags)
        return unknown_request(call);
    struct fsxattr extended;
    int error = read_flags(call, &extended, &attr.fsflags);
    struct location *loc = settle_changing(call);
    if (!loc)
        return;
    if (error == 0 && request == FS_IOC_FSSETXATTR)
        error = flags_over_present(call, loc, &extended, &attr.fsflags);
    if (error < 0)
        return verdict_answer(call, error);
    change(call, loc, &attr);
}

/* ---- file_getattr and file_setattr ---- */

/* struct file_attr of Linux 6.17, include/uapi/linux/fs.h */
struct file_attributes {
    uint64_t xflags;
    uint32_t extsize, nextents, projid, cowextsize;
};
#define XFLAGS_KNOWN UINT64_C(0x8001fffb)                           /* FS_XFLAGS_MASK … */
#define XFLAGS_READ_ONLY (FS_XFLAG_PREALLOC | FS_XFLAG_HASATTR)     /* … and FS_XFLAG_RDONLY_MASK */

/* copy_struct_from_user(), and the size that copy_struct_to_user() takes. */
static int attributes_size(const struct call *call) {
    if (call->arg[3] > (uint64_t)sysconf(_SC_PAGESIZE))
        return -E2BIG;
    return call->arg[3] < sizeof(struct file_attributes) ? -EINVAL : 0;
}

static int read_attributes(const struct call *call, struct file_attributes *attributes) {
    int error = attributes_size(call);
    return error ? error
                 : memory_read_struct(&call->memory, call->arg[2], call->arg[3], attributes, sizeof *attributes);
}

static bool has_flags(const struct location *loc) {
    return loc->type == S_IFREG || loc->type == S_IFDIR;
}

void do_file_getattr(struct call *call) {
    struct target target;
    char bytes[4096] = {0};
    int error = args_resolve(call, &target);
    if (error == 0)
        error = attributes_size(call);
    struct location *loc = settle_read(call, error, &target);
    if (!loc || settle_path_descriptor(call))
        return;
    error = has_flags(loc) ? view_real(call->view, loc, call->scratch->real, VIEW_PATH_MAX) : -EOPNOTSUPP;
    if (error == 0 && syscall(__NR_file_getattr, AT_FDCWD, call->scratch->real, bytes, sizeof(struct file_attributes),
                              AT_SYMLINK_NOFOLLOW) < 0)
        error = -errno;
    if (error < 0)
        return verdict_answer(call, error);
    size_t size = call->arg[3] < sizeof bytes ? call->arg[3] : sizeof bytes;
    verdict_answer_bytes(call, call->arg[2], bytes, size, 0);
}

void do_file_setattr(struct call *call) {
    struct file_attributes given = {0};
    struct attr_change attr = {.valid = ATTR_FLAGS};
    int error = read_attributes(call, &given);
    struct location *loc = error < 0 ? NULL : settle_changing(call);
    if (error < 0)
        return verdict_answer(call, error);
    if (!loc)
        return;
    const struct fsxattr extended = {.fsx_xflags = (uint32_t)given.xflags & ~XFLAGS_READ_ONLY,
                                     .fsx_extsize = given.extsize,
                                     .fsx_projid = given.projid,
                                     .fsx_cowextsize = given.cowextsize};
    if (given.xflags & ~XFLAGS_KNOWN)
        return verdict_answer(call, -EINVAL);
    error = host_held(call, 0) || loc->type ? flags_over_present(call, loc, &extended, &attr.fsflags) : -ENOENT;
    if (error < 0)
        return verdict_answer(call, error == -ENOTTY ? -EOPNOTSUPP : error);
    change(call, loc, &attr);
}
