/* handle.c - name_to_handle_at and open_by_handle_at.
 *
 * The kernel's overlayfs, without nfs_export, gives no handle that could be opened, but one that tells objects apart
 * (AT_HANDLE_FID); neither does a view.  Ours is made of the identity that copy-up does not change.
 *
 * Rule: a handle of the file system below an overlay is neither told nor opened: it would lead to a layer's file.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include "../../process/memory.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../flags.h"
#include "../scratch.h"
#include "../settle.h"
#include "../shown/mounts.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

#define HANDLE_MAX 128u             /* MAX_HANDLE_SZ */
#define HANDLE_OVERLAY 0xf8u        /* OVL_FILEID_V1 of include/linux/exportfs.h */
#define HANDLE_NONE 0xffu           /* FILEID_INVALID */
#define MOUNT_ID 0x1000u            /* STATX_MNT_ID, which old headers lack, … */
#define MOUNT_ID_UNIQUE 0x4000u
#define MOUNT_ID_AT 0x90u           /* … as they do stx_mnt_id */

struct handle {
    uint32_t bytes, type;           /* struct file_handle */
    uint32_t major, minor;
    uint64_t inode, unused[2];
};
#define HEADER offsetof(struct handle, major)
#define IDENTITY (sizeof(struct handle) - HEADER)
_Static_assert(IDENTITY == 32, "as long as overlayfs makes it");

/* The mount that the view's path is in, as /proc/PID/mountinfo tells it. */
static uint64_t mount_of(struct call *call, const struct location *loc, bool unique) {
    struct statx stx;
    uint64_t id = 0;
    char *path = call->scratch->text, *end = path;
    if (view_has_mounts(call->view))
        return mounts_id(call->view, loc->path);
    memcpy(path, loc->path, loc->length + 1);
    while (statx(AT_FDCWD, *path ? path : "/", AT_SYMLINK_NOFOLLOW, unique ? MOUNT_ID_UNIQUE : MOUNT_ID, &stx) < 0) {
        end = strrchr(path, '/');   /* what the upper alone has is in the mount of what it is in */
        if (!end)
            return 0;
        *end = '\0';
    }
    memcpy(&id, (const char *)&stx + MOUNT_ID_AT, sizeof id);
    return id;
}

/* Where the path leads; NULL: the verdict is there.  A view answers for all that is in it, also where the kernel would
 * find the same object by itself. */
static struct location *find_object(struct call *call) {
    struct target target;
    int error = args_resolve(call, &target);
    if (error == 0 && target.loc->overlay)
        target.pass = false;
    return settle_read(call, error, &target);
}

static void answer_identity(struct call *call, const struct location *loc) {
    struct statx stx;
    struct handle handle = {.bytes = 0};
    bool unique = call->arg[4] & AT_HANDLE_MNT_ID_UNIQUE;
    int error = memory_read(&call->memory, call->arg[2], &handle, HEADER);
    if (!error && handle.bytes > HANDLE_MAX)
        error = -EINVAL;
    if (!error)
        error = view_getattr(call->view, loc, &stx);
    if (error)
        return verdict_answer(call, error);
    uint64_t id = mount_of(call, loc, unique);
    verdict_leave_view(call);
    error = memory_write(&call->memory, call->arg[3], &id, unique ? sizeof id : sizeof(int));
    if (error)
        return verdict_answer(call, error);
    bool fits = handle.bytes >= IDENTITY;
    handle = (struct handle){.bytes = IDENTITY,
                             .type = fits ? HANDLE_OVERLAY : HANDLE_NONE,
                             .major = stx.stx_dev_major,
                             .minor = stx.stx_dev_minor,
                             .inode = stx.stx_ino};
    verdict_answer_bytes(call, call->arg[2], &handle, fits ? sizeof handle : HEADER, fits ? 0 : -EOVERFLOW);
}

void do_name_to_handle_at(struct call *call) {
    unsigned flags = (unsigned)call->arg[4];
    if (flags & AT_HANDLE_FID && flags & AT_HANDLE_CONNECTABLE)
        return verdict_answer(call, -EINVAL);
    const struct location *loc = find_object(call);
    if (!loc)
        return;
    if (!(flags & AT_HANDLE_FID))
        return verdict_answer(call, -EOPNOTSUPP);
    answer_identity(call, loc);
}

/* The directory says of which file system the handle is. */
void do_open_by_handle_at(struct call *call) {
    uint32_t header[2];
    struct target target;
    int error = memory_read(&call->memory, call->arg[1], header, sizeof header);
    if (!error && (header[0] == 0 || header[0] > HANDLE_MAX))
        error = -EINVAL;
    if (!error)
        error = args_resolve(call, &target);
    if (error)
        return verdict_answer(call, error);
    if (!(call->task->cred.caps & 1ull << CAP_DAC_READ_SEARCH))
        return verdict_answer(call, -EPERM);
    if (target.kind != OBJECT_NAMED || target.loc->detached || !target.loc->overlay)
        return verdict_refuse(call, EPERM, "the handle may lead to what a view covers");
    verdict_answer(call, -ESTALE);
}
