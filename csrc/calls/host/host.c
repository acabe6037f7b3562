/* host.c - changes of what no overlay covers, made by the supervisor in the tracee's stead.
 *
 * Such a place is the tracee's own business.  But where a path or a descriptor leads may be another place by the time
 * that the kernel looks: another thread has changed the words, a symlink, the number.  So the object, or the
 * directory of the name, is held by a descriptor of ours, which is looked at and by which the change is made, with
 * the tracee's credentials.
 *
 * Rules: a path is opened without following any symlink; what was found another way (a descriptor of the tracee's, a
 * link of /proc) is looked at once it is held; an object of an overlay is changed in the view alone.  The view is
 * left before anything is changed: a file system may let us wait.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../call.h"
#include "../flags.h"
#include "../scratch.h"
#include "../table.h"
#include "../tasks/place.h"
#include "../verdict.h"
#include "acting.h"
#include "host.h"
#include "keeps.h"

#define HOST_NAME_PATH (PROC_LINK + sizeof((struct host *)0)->name)   /* bytes of "/proc/self/fd/N/NAME" */

/* ---- holding ---- */

static void close_held(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void host_drop(struct host *host) {
    close_held(&host->dir);
    close_held(&host->object);
}

const char *host_ending(const struct location *loc) {
    if (loc->last == LAST_DOT || loc->last == LAST_DOTDOT)
        return "/.";
    return loc->slash ? "/" : "";
}

int host_hold_name(struct call *call, unsigned i, const struct location *loc) {
    ENTERED(call);
    struct host *host = &call->scratch->host[i];
    char parent[VIEW_PATH_MAX];
    memcpy(parent, loc->path, loc->length + 1);
    char *slash = strrchr(parent, '/');
    const char *name = slash + 1;
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    char last[sizeof host->name];
    snprintf(last, sizeof last, "%s%s", *name ? name : "/", *name ? host_ending(loc) : "");
    slash[slash == parent] = '\0';
    int fd = view_open_exact(parent, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd == -ELOOP || fd == -ENOTDIR ? -VIEW_AGAIN : fd;
    host_drop(host);
    host->dir = fd;
    memcpy(host->name, last, sizeof last);
    return 0;
}

int host_hold_object(struct call *call, unsigned i, const struct location *loc) {
    struct host *host = &call->scratch->host[i];
    struct stat st;
    int error = host_hold_name(call, i, loc);
    if (error < 0)
        return error;
    host->object = openat(host->dir, host->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (host->object < 0)
        return errno == ENOENT || errno == ENOTDIR ? -VIEW_AGAIN : -errno;
    return fstat(host->object, &st) < 0 || (st.st_mode & S_IFMT) != loc->type ? -VIEW_AGAIN : 0;
}

/* True when real is, or was, an object of the upper layer. */
static bool is_of_upper(struct call *call, const struct location *loc, const char *real) {
    if (!loc->upper)
        return false;
    return loc->detached || (view_real(call->view, loc, call->scratch->real, VIEW_PATH_MAX) == 0 &&
                             strcmp(call->scratch->real, real) == 0);
}

/* The errors of ovl_copy_up(), which meets the whiteout. */
static int refuse_lower(struct call *call, const struct stat *st) {
    int error = S_ISDIR(st->st_mode) ? ENOTDIR : EEXIST;
    verdict_refuse(call, error, "the file belongs to a lower layer and has no name any more");
    return -error;
}

/* May what we hold be changed where it is?  1; 0: it is the view's to change; -errno. */
static int check_held(struct call *call, int fd) {
    struct call_scratch *scratch = call->scratch;
    struct location *loc = &scratch->spare;
    struct stat st;
    char link[PROC_LINK];
    descriptor_own_link(fd, link);
    int kind = place_read(link, scratch->text);
    if (kind < 0)
        return kind;
    if (kind == OBJECT_ANONYMOUS)
        return 1;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (kind == OBJECT_DELETED && st.st_nlink == 0)
        return 1;
    int error = view_locate(call->view, scratch->text, loc);
    if (error < 0)
        return refuse_lower(call, &st);
    if (!loc->overlay && view_covers(call->view, scratch->text))
        return refuse_lower(call, &st);   /* what lies below a mount point */
    if (!loc->overlay)
        return host_keeps(call, loc, false) ? (int)call->value : 1;
    if (kind == OBJECT_NAMED && !loc->detached)
        return 0;
    return is_of_upper(call, loc, scratch->text) ? 1 : refuse_lower(call, &st);
}

int host_hold_link(struct call *call, unsigned i, const char *link) {
    ENTERED(call);
    int fd = open(link, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -EBADF : -errno;
    int error = check_held(call, fd);
    if (error != 1) {
        close(fd);
        return error == 0 ? -VIEW_AGAIN : error;
    }
    host_drop(&call->scratch->host[i]);
    call->scratch->host[i].object = fd;
    return 0;
}

bool host_held(const struct call *call, unsigned i) {
    const struct host *host = &call->scratch->host[i];
    return host->dir >= 0 || host->object >= 0;
}

/* A path that leads to the object. */
static const char *object_path(const struct host *host, char out[PROC_LINK]) {
    descriptor_own_link(host->object, out);
    return out;
}

void host_object_path(const struct call *call, unsigned i, char out[PROC_LINK]) {
    (void)object_path(&call->scratch->host[i], out);
}

static bool is_symlink(const struct host *host) {
    struct stat st;
    return fstat(host->object, &st) == 0 && S_ISLNK(st.st_mode);
}

static long error_of(long result) {
    return result < 0 ? -errno : result;
}

/* ---- names ---- */

static pthread_rwlock_t names = PTHREAD_RWLOCK_INITIALIZER;

bool host_names_lock(void) {
    return pthread_rwlock_wrlock(&names) == 0;
}

void host_names_unlock(const bool *locked) {
    if (*locked)
        pthread_rwlock_unlock(&names);
}

/* To the end of the block names may be moved and removed. */
#define NAMES_MOVE __attribute__((cleanup(host_names_unlock), unused)) const bool moving = names_move()

static bool names_move(void) {
    return pthread_rwlock_rdlock(&names) == 0;
}

#define ACT(call, makes)                                                                                               \
    verdict_leave_view(call);                                                                                          \
    ACTING acting;                                                                                                     \
    int refused = acting_begin(&acting, call, makes);                                                                  \
    if (refused < 0)                                                                                                   \
    return refused

long host_mkdir(struct call *call, mode_t mode) {
    const struct host *host = &call->scratch->host[0];
    ACT(call, true);
    return error_of(mkdirat(host->dir, host->name, mode));
}

long host_mknod(struct call *call, mode_t mode, dev_t dev) {
    const struct host *host = &call->scratch->host[0];
    ACT(call, true);
    return error_of(mknodat(host->dir, host->name, mode, dev));
}

long host_symlink(struct call *call, const char *target) {
    const struct host *host = &call->scratch->host[0];
    ACT(call, true);
    return error_of(symlinkat(target, host->dir, host->name));
}

long host_bind(struct call *call, int fd, const struct sockaddr *name, socklen_t size) {
    ACT(call, true);
    return error_of(bind(fd, name, size));
}

long host_unlink(struct call *call, bool directory) {
    const struct host *host = &call->scratch->host[0];
    ACT(call, false);
    NAMES_MOVE;
    return error_of(unlinkat(host->dir, host->name, directory ? AT_REMOVEDIR : 0));
}

long host_rename(struct call *call, unsigned flags) {
    const struct host *from = &call->scratch->host[0], *to = &call->scratch->host[1];
    ACT(call, false);
    NAMES_MOVE;
    if (!flags)
        return error_of(renameat(from->dir, from->name, to->dir, to->name));
    return error_of(renameat2(from->dir, from->name, to->dir, to->name, flags));
}

long host_link(struct call *call, bool by_descriptor) {
    const struct host *from = &call->scratch->host[0], *to = &call->scratch->host[1];
    char path[PROC_LINK];
    ACT(call, false);
    if (from->object < 0)
        return error_of(linkat(from->dir, from->name, to->dir, to->name, 0));
    if (by_descriptor && linkat(from->object, "", to->dir, to->name, AT_EMPTY_PATH) == 0)
        return 0;
    return error_of(linkat(AT_FDCWD, object_path(from, path), to->dir, to->name, AT_SYMLINK_FOLLOW));
}

/* ---- attributes ---- */

static long apply_owner(const struct host *host, const struct attr_change *change) {
    uid_t uid = change->valid & ATTR_UID ? change->uid : (uid_t)-1;
    gid_t gid = change->valid & ATTR_GID ? change->gid : (gid_t)-1;
    return error_of(fchownat(host->object, "", uid, gid, AT_EMPTY_PATH));
}

static long apply_times(const struct host *host, const struct attr_change *change) {
    char path[PROC_LINK];
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_OMIT}};
    if (change->valid & ATTR_ATIME)
        times[0] = change->atime;
    if (change->valid & ATTR_MTIME)
        times[1] = change->mtime;
    if (is_symlink(host))
        return error_of(utimensat(host->object, "", times, AT_EMPTY_PATH));
    return error_of(utimensat(AT_FDCWD, object_path(host, path), times, 0));
}

static long apply_flags(const struct host *host, const struct attr_change *change) {
    char path[PROC_LINK];
    struct stat st;
    if (fstat(host->object, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return -ENOTTY;
    CLOSE_DESCRIPTOR fd = open(object_path(host, path), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : error_of(ioctl(fd, FS_IOC_SETFLAGS, &change->fsflags));
}

/* The limit is the caller's and not ours: inode_newsize_ok() in fs/attr.c, after who may. */
static long apply_size(const struct host *host, const struct attr_change *change) {
    struct stat st;
    char path[PROC_LINK];
    (void)object_path(host, path);
    bool beyond = (change->valid & ATTR_LIMIT) && (uint64_t)change->size > change->size_limit;
    if (beyond && stat(path, &st) == 0 && S_ISREG(st.st_mode) && change->size > st.st_size &&
        faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
        return -EFBIG;
    return view_cut(path, change->size, change->valid & ATTR_LEASED);
}

long host_setattr(struct call *call, const struct attr_change *change) {
    const struct host *host = &call->scratch->host[0];
    char path[PROC_LINK];
    ACT(call, false);
    if (change->valid & ATTR_MODE)
        return is_symlink(host) ? -EOPNOTSUPP : error_of(chmod(object_path(host, path), change->mode));
    if (change->valid & (ATTR_OWNER | ATTR_UID | ATTR_GID))
        return apply_owner(host, change);
    if (change->valid & ATTR_SIZE)
        return apply_size(host, change);
    return change->valid & ATTR_FLAGS ? apply_flags(host, change) : apply_times(host, change);
}

/* A symlink's own attributes are reached by its name alone; a descriptor of one has none.  False: it is no symlink. */
static bool symlink_path(const struct host *host, char out[HOST_NAME_PATH]) {
    if (host->dir < 0 || !is_symlink(host))
        return false;
    snprintf(out, HOST_NAME_PATH, "/proc/self/fd/%d/%s", host->dir, host->name);
    return true;
}

long host_setxattr(struct call *call, const char *name, const void *value, size_t size, int flags) {
    const struct host *host = &call->scratch->host[0];
    char path[HOST_NAME_PATH];
    ACT(call, false);
    if (symlink_path(host, path))
        return error_of(lsetxattr(path, name, value, size, flags));
    return error_of(setxattr(object_path(host, path), name, value, size, flags));
}

long host_removexattr(struct call *call, const char *name) {
    const struct host *host = &call->scratch->host[0];
    char path[HOST_NAME_PATH];
    ACT(call, false);
    if (symlink_path(host, path))
        return error_of(lremovexattr(path, name));
    return error_of(removexattr(object_path(host, path), name));
}

long host_getxattr(struct call *call, const char *link, const char *name, void *value, size_t size) {
    ACT(call, false);
    return error_of(getxattr(link, name, value, size));
}

long host_listxattr(struct call *call, const char *link, char *list, size_t size) {
    ACT(call, false);
    return error_of(listxattr(link, list, size));
}

/* ---- opening ---- */

int host_stat(const struct call *call, struct stat *st) {
    const struct host *host = &call->scratch->host[0];
    int error = host->object >= 0 ? fstat(host->object, st) : fstatat(host->dir, host->name, st, AT_SYMLINK_NOFOLLOW);
    return error < 0 ? -errno : 0;
}

/* openat(2) of a name that is no symlink. unasked: flags that F_GETFL is not to tell, if that can be had without. */
static int open_name(const struct host *host, int flags, int unasked, mode_t mode) {
    bool makes = flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE;
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags & ~unasked), .mode = makes ? mode : 0, .resolve = RESOLVE_NO_SYMLINKS};
    int fd = unasked ? (int)syscall(SYS_openat2, host->dir, host->name, &how, sizeof how) : -1;
    if (fd >= 0 || (unasked && errno != ENOSYS && errno != EPERM && errno != EINVAL))
        return fd;
    return openat(host->dir, host->name, flags | O_NOFOLLOW, mode);
}

int host_open(const struct call *call, int flags, mode_t mode) {
    const struct host *host = &call->scratch->host[0];
    char path[PROC_LINK];
    ACTING acting;
    bool makes = (flags & O_TMPFILE) == O_TMPFILE || (flags & O_CREAT && host->object < 0);
    int error = acting_begin(&acting, call, makes);
    if (error < 0)
        return error;
    flags |= O_CLOEXEC;
    int fd = host->object >= 0 ? open(object_path(host, path), flags & ~O_NOFOLLOW, mode)
                               : open_name(host, flags, call->scratch->plan.unasked, mode);
    return (int)error_of(fd);
}
