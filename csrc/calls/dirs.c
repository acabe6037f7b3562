/* dirs.c - getdents, getdents64; chdir, fchdir, getcwd, chroot.
 *
 * Rules: the position in a merged directory is kept where the kernel keeps it, in the open file description, so
 * that dup, fork, lseek and rewinddir mean what they always do; the current directory is the kernel's too,
 * and what the tracee reads of it is the view's path.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

#define ENTRIES_SIZE 65536u     /* one call returns no more than this: a shorter answer is a legal one */
#define CAP_SYS_CHROOT_BIT (1ull << 18)

/* The tracee's descriptor is of the directory that getdents may be left to. */
static bool real_directory(struct call *call, const struct location *loc, const char *real) {
    return view_dir_is_real(call->view, loc) && view_real(call->view, loc, call->scratch->real) == 0 &&
           strcmp(call->scratch->real, real) == 0;
}

static void iterate(struct call *call, const struct location *loc, int fd) {
    char entries[ENTRIES_SIZE];
    size_t size = (uint32_t)call->arg[2] < sizeof entries ? (uint32_t)call->arg[2] : sizeof entries;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    if (offset < 0)
        return answer(call, -errno);
    uint64_t position = (uint64_t)offset;
    ssize_t length = view_iterate(call->view, loc, &position, entries, size, call->row->detail == DIRENT_WIDE);
    if (length == -ESTALE)
        return;   /* the stream began on the real directory and ends there */
    if (length <= 0)
        return answer(call, length);
    answer_bytes(call, call->arg[1], entries, (size_t)length, length);
    if (call->value == length && lseek(fd, (off_t)position, SEEK_SET) < 0)
        answer(call, -errno);
}

void do_getdents(struct call *call) {
    struct target target;
    int rc = resolve(call, &target);
    struct location *loc = target.loc;
    if (rc < 0)
        return answer(call, rc);
    if (target.kind != OBJECT_NAMED || !loc->overlay)
        return;
    if (loc->detached)
        return loc->upper ? (void)0 : answer(call, -ENOENT);
    if (loc->type != S_IFDIR)
        return answer(call, -ENOTDIR);
    if (real_directory(call, loc, call->scratch->given[0].real))
        return;
    CLOSE_DESCRIPTOR fd = task_descriptor(call, (int)call->arg[0]);
    if (fd < 0)
        return refuse(call, -fd, "the position in a merged directory cannot be read");
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || flags & O_PATH)
        return answer(call, -EBADF);
    iterate(call, loc, fd);
}

/* ---- the current directory ---- */

void do_chdir(struct call *call) {
    struct location *loc = reading(call);
    bool asked = call->verdict == VERDICT_RETURN;
    if (asked)
        return;
    if (loc) {
        int rc = loc->type == S_IFDIR ? view_permission(call->view, loc, &call->task->cred, X_OK) : -ENOTDIR;
        if (rc == 0)
            rc = view_real(call->view, loc, call->scratch->real);
        if (rc < 0)
            return answer(call, rc);
        substitute_string(call, 0, call->scratch->real);
    }
    watch(call, &call->session->cwd_generation, &call->session->cwd_pending);
}

void do_fchdir(struct call *call) {
    watch(call, &call->session->cwd_generation, &call->session->cwd_pending);
}

void do_getcwd(struct call *call) {
    const char *path;
    bool pass;
    if (!task_cred(call))
        return;
    view_enter(call);
    int rc = current_directory(call, &path, &pass);
    if (pass)
        return;
    if (rc < 0)
        return answer(call, rc);
    size_t size = strlen(path) + 1;
    if (call->arg[1] < size)
        return answer(call, -ERANGE);
    memcpy(call->scratch->real, path, size);
    answer_bytes(call, call->arg[0], call->scratch->real, size, (long)size);
}

/* Only into the root, which changes nothing: all paths would mean something else from then on. */
void do_chroot(struct call *call) {
    struct target target;
    int rc = resolve(call, &target);
    if (rc < 0 || target.by_fd)
        return answer(call, rc < 0 ? rc : -ENOENT);
    if (target.loc->type != S_IFDIR)
        return answer(call, target.loc->type ? -ENOTDIR : -ENOENT);
    if (!(call->task->cred.caps & CAP_SYS_CHROOT_BIT))
        return answer(call, -EPERM);
    if (strcmp(target.loc->path, "/") == 0)
        return answer(call, 0);
    refuse(call, EPERM, "chroot is not supported");
}
