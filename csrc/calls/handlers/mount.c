/* mount.c - mount, umount2, pivot_root, in a mount namespace of the program's own.
 *
 * Rules: none of them reaches the kernel, whose mounts are the supervisor's too; outside of such a namespace they are
 * refused.  What a view cannot have is EPERM, and counted: block devices, file systems that it does not know.
 * mount(2).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "../../process/memory.h"
#include "../../process/object.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../scratch.h"
#include "../session.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

#define PROPAGATION (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)
#define MS_MGC_MASK 0xffff0000ul
#define TEXT 256   /* bytes of a type, or of options that matter */

/* False: the verdict is there. */
static bool may_mount(struct call *call) {
    if (!view_has_mounts(call->view)) {
        verdict_refuse(call, EPERM, "mounts would change what paths mean: unshare the mount namespace first");
        return false;
    }
    if (!task_cred(call))
        return false;
    bool may = call->task->cred.caps & 1ull << CAP_SYS_ADMIN;
    if (!may)
        verdict_answer(call, -EPERM);
    return may;
}

/* Where the operand leads, in loc[i] of the scratch.  The view is entered. */
static int find(struct call *call, unsigned i, bool nofollow) {
    struct target target;
    int error = args_walk(call, i, nofollow ? 0 : WALK_FOLLOW, &target);
    if (!error && target.by_fd && !target.loc->detached)
        error = target.kind == OBJECT_NAMED ? 0 : -EINVAL;
    return !error && (target.loc->hidden || (target.loc->type == 0 && !target.loc->detached)) ? -ENOENT : error;
}

/* Both operands.  second: it is a path, too. */
static int find_both(struct call *call, bool second) {
    int error = args_fetch(call, 0);
    if (!error && second)
        error = args_fetch(call, 1);
    if (error < 0)
        return error;
    verdict_enter_view(call);
    error = find(call, 0, false);
    return !error && second ? find(call, 1, false) : error;
}

/* ---- file systems ---- */

/* What stands for a file system is what the run's own view has of it. */
static const struct known_type {
    const char *name, *at;   /* at: NULL, one in memory */
} known_types[] = {
    {"tmpfs", NULL},
    {"ramfs", NULL},
    {"proc", "/proc"},
    {"sysfs", "/sys"},
    {"devpts", "/dev/pts"},
    {"devtmpfs", "/dev"},
    {"mqueue", "/dev/mqueue"},
    {"cgroup2", "/sys/fs/cgroup"},
    {"cgroup", "/sys/fs/cgroup"},
};

static const struct known_type *find_type(const char *name) {
    for (size_t i = 0; i < sizeof known_types / sizeof *known_types; i++)
        if (strcmp(known_types[i].name, name) == 0)
            return &known_types[i];
    return NULL;
}

/* mode= of the options, in octal. */
static mode_t mode_of(const char *options, mode_t otherwise) {
    for (const char *at = options; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, "mode=", 5) == 0)
            return (mode_t)strtoul(at + 5, NULL, 8) & 07777;
    return otherwise;
}

static int mount_type(struct call *call, const struct known_type *type, const char *options) {
    struct location *to = &call->scratch->loc[0], *from = &call->scratch->loc[1];
    struct walker walker = {.cred = &call->task->cred};
    if (!type->at)
        return view_mount_memory(call->view, to, mode_of(options, 01777), &call->task->cred, type->name);
    int error = view_walk(call->session->view, &walker, "/", type->at, WALK_FOLLOW, from);
    if (!error && from->type != S_IFDIR)
        error = -ENODEV;
    return error ? error : view_mount_bind(call->view, from, to, type->name);
}

static long mount_new(struct call *call, unsigned long flags) {
    char name[TEXT], options[TEXT] = "";
    ssize_t length = memory_read_string(&call->memory, call->arg[2], name, sizeof name);
    if (length < 0)
        return length == -ENAMETOOLONG ? -EINVAL : length;
    if (call->arg[4])   /* what is longer says nothing that matters in its end */
        (void)!memory_read_string(&call->memory, call->arg[4], options, sizeof options - 1);
    const struct known_type *type = find_type(name);
    if (!type) {
        verdict_refuse(call, EPERM, "a file system that a view cannot have is to be mounted");
        return -EPERM;
    }
    long error = find_both(call, false);
    if (!error)
        error = mount_type(call, type, options);
    if (!error && flags & MS_RDONLY) {
        error = find(call, 0, false);
        error = error ? error : view_mount_change(call->view, &call->scratch->loc[0], true);
    }
    return error;
}

/* "/proc/self/exe" and the like. */
static bool is_executable_link(const char *path) {
    size_t length = strlen(path);
    return strncmp(path, "/proc/", 6) == 0 && length > 4 && strcmp(path + length - 4, "/exe") == 0;
}

/* Container runtimes bind their own executable, read-only, run it from there, and look whether they were, by statfs(2)
 * of a descriptor, which leads to the file and not to the mount: they would start themselves without end. */
static long mount_bind(struct call *call, bool moves) {
    struct call_scratch *scratch = call->scratch;
    long error = find_both(call, true);
    if (!error && is_executable_link(scratch->given[1].path)) {
        verdict_refuse(call, EPERM, "a program's own executable is to be bound: programs copy it then");
        return -EPERM;
    }
    if (!error)
        error = view_mount_bind(call->view, &scratch->loc[1], &scratch->loc[0], NULL);
    if (!error && moves)
        error = view_umount(call->view, &scratch->loc[1], true);
    return error;
}

void do_mount(struct call *call) {
    unsigned long flags = call->arg[3];
    if (!may_mount(call))
        return;
    if ((flags & MS_MGC_MASK) == MS_MGC_VAL)
        flags &= ~MS_MGC_MASK;
    long error;
    if (flags & MS_REMOUNT) {
        error = find_both(call, false);
        error = error ? error : view_mount_change(call->view, &call->scratch->loc[0], flags & MS_RDONLY);
    } else if (flags & (MS_BIND | MS_MOVE)) {
        error = mount_bind(call, flags & MS_MOVE);
    } else if (flags & PROPAGATION) {
        error = find_both(call, false);   /* nothing comes from elsewhere, and nothing goes there */
    } else {
        error = mount_new(call, flags);
    }
    if (call->verdict != VERDICT_RETURN || error != -EPERM || !call->reason)
        verdict_answer(call, error);
}

void do_umount(struct call *call) {
    unsigned flags = (unsigned)call->arg[1];
    if (!may_mount(call))
        return;
    if (flags & ~(unsigned)(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
        return verdict_answer(call, -EINVAL);
    int error = args_fetch(call, 0);
    if (error < 0)
        return verdict_answer(call, error);
    verdict_enter_view(call);
    error = find(call, 0, flags & UMOUNT_NOFOLLOW);
    if (!error)
        error = view_umount(call->view, &call->scratch->loc[0], flags & MNT_DETACH);
    verdict_answer(call, error);
}

void do_pivot_root(struct call *call) {
    struct call_scratch *scratch = call->scratch;
    if (!may_mount(call))
        return;
    int error = call->root ? -EINVAL : find_both(call, true);   /* its root is no mount */
    if (!error && (scratch->loc[0].type != S_IFDIR || scratch->loc[1].type != S_IFDIR))
        error = -ENOTDIR;
    if (!error)
        error = view_pivot(call->view, &scratch->loc[0], &scratch->loc[1]);
    verdict_answer(call, error);
}
