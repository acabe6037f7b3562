/* magic.c - the links of /proc that lead to an object and not along a path.
 *
 * Rules: /proc/self is the tracee's, not ours; what such a link shows is a path of the view; an object
 * without a path in the view, or one that is to be what it is outside (outside.c), ends the walk on the link itself.
 * proc(5), fs/proc/base.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../process/proc.h"
#include "../../view/view.h"
#include "../call.h"
#include "../host/outside.h"
#include "../programs/programs.h"
#include "../scratch.h"
#include "../table.h"
#include "../tasks/cwd.h"
#include "../tasks/nest.h"
#include "../tasks/place.h"
#include "../tasks/task.h"
#include "magic.h"

#define CAP_SYS_PTRACE 19 /* linux/capability.h */
#define CAP_SYS_ADMIN 21
#define CAP_CHECKPOINT_RESTORE 40

static const char *after(const char *text, const char *prefix) {
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/* "cwd", "root", "exe", "fd/N", "map_files/RANGE", "ns/KIND" below a process or a task of it: whose it is; 0: it is
 * none. */
static pid_t owner(const char *link) {
    pid_t pid;
    const char *rest = proc_process(link, &pid);
    if (!rest)
        return 0;
    static const char *const names[] = {"cwd", "root", "exe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(rest, names[i]) == 0)
            return pid;
    return after(rest, "fd/") || after(rest, "map_files/") || after(rest, "ns/") ? pid : 0;
}

/* ptrace(2), "ptrace access mode checking", as far as ids tell; our own access is not the tracee's. */
static int may_look(const struct call *call, pid_t pid) {
    char path[PROC_LINK];
    struct stat process;
    const struct task *task = call->task;
    if (task->cred.own || pid == task->tgid || pid == task->tid || cred_capable(&task->cred, CAP_SYS_PTRACE))
        return 0;
    snprintf(path, sizeof path, "/proc/%d", pid);
    if (stat(path, &process) < 0)
        return -errno;
    return process.st_uid == task->cred.fsuid && process.st_gid == task->cred.fsgid ? 0 : -EACCES;
}

/* proc_map_files_get_link(), fs/proc/base.c: these are followed by few, and looked at by all who may. */
static int may_follow(const struct call *call, const char *link) {
    pid_t pid;
    const struct cred *cred = &call->task->cred;
    const char *rest = proc_process(link, &pid);
    if (!after(rest, "map_files/") || cred_capable(cred, CAP_CHECKPOINT_RESTORE) || cred_capable(cred, CAP_SYS_ADMIN))
        return 0;
    return -EPERM;
}

/* The view's path that a removed object had: below the innermost directory that is still there, or of which is known
 * what it was called, if that is known.  What was put aside lies below no directory of the view. */
static void removed_path(struct call *call, char *path) {
    char rest[VIEW_PATH_MAX];
    struct location *loc = &call->scratch->spare;
    bool aside = loc->aside;
    size_t whole = strlen(path);
    memcpy(rest, path, whole + 1);
    for (size_t length = whole;; length = (size_t)(strrchr(path, '/') - path)) {
        path[length + !length] = '\0';
        const char *shown = view_gone(call->view, path, length);
        bool there = length < whole && !aside && view_locate(call->view, path, loc) == 0 && !loc->detached;
        if (there && (length || loc->length == 1))
            shown = loc->length == 1 ? "" : loc->path;
        if (shown && strlen(shown) + whole - length < VIEW_PATH_MAX) {
            size_t size = strlen(shown);
            memcpy(path, shown, size);
            memcpy(path + size, rest + length, whole - length + 1);
            return;
        }
        if (!length)
            break;
        path[length] = '\0';
    }
    const char *name = strrchr(rest, '/');
    memcpy(path, name, strlen(name) + 1);
}

int magic_shown(struct call *call, char *path, int *kind, bool *same) {
    struct location *loc = &call->scratch->spare;
    const char *original = programs_original(call->session, path);
    *same = false;
    if (original) {
        memcpy(path, original, strlen(original) + 1);
        *kind = OBJECT_NAMED;
        return 0;
    }
    int error = view_locate(call->view, path, loc);
    if (error < 0)
        return error;
    *same = loc->pass;
    if (loc->detached) {
        *kind = OBJECT_DELETED;
        removed_path(call, path);
    } else {
        error = view_name(call->view, loc);
        memcpy(path, loc->path, loc->length + 1);
    }
    return error;
}

/* Where the link leads: the view's path into target and *kind, or "" when it has none. */
static int find_end(struct call *call, const char *link, char *target, int *kind) {
    char kept[PROC_LINK];
    bool same;
    pid_t pid = owner(link);
    if (strcmp(strrchr(link, '/'), "/cwd") == 0 && cwd_kept(call->session, pid)) {
        cwd_link(call->session, pid, kept);
        link = kept;
    }
    *kind = place_read(link, target);
    if (*kind < 0)
        return *kind;
    if (strcmp(strrchr(link, '/'), "/root") == 0 && nest_root_of(call->session, pid, target))
        return LEADS_ELSEWHERE;
    if (*kind == OBJECT_ANONYMOUS)
        return LEADS_TO_OBJECT;
    int error = magic_shown(call, target, kind, &same);
    if (error < 0)
        return error;
    if (*kind != OBJECT_NAMED)
        return LEADS_TO_OBJECT;
    return same && link != kept ? LEADS_TO_PATH : LEADS_ELSEWHERE;
}

int magic_link(void *arg, const char *link, char *target) {
    struct call *call = arg;
    const struct task *task = call->task;
    int kind;
    if (strcmp(link, "/proc/self") == 0) {
        snprintf(target, PATH_MAX, "/proc/%d", task->tgid);
        return LEADS_TO_PATH;
    }
    if (strcmp(link, "/proc/thread-self") == 0) {
        snprintf(target, PATH_MAX, "/proc/%d/task/%d", task->tgid, task->tid);
        return LEADS_TO_PATH;
    }
    pid_t pid = owner(link);
    if (!pid)
        return LEADS_BY_TEXT;
    int error = may_look(call, pid);
    if (error == 0)
        error = may_follow(call, link);
    if (error < 0)
        return error;
    /* Attributes and names are the view's. */
    return call->row->contents != CONTENTS_STAY && outside_leads(call, link) ? LEADS_TO_OBJECT
                                                                             : find_end(call, link, target, &kind);
}

bool magic_from_root(const struct call *call, char *path) {
    size_t length = call->root ? strlen(call->root) : 1;
    if (length == 1)
        return true;
    if (strncmp(path, call->root, length) != 0 || (path[length] && path[length] != '/'))
        return false;
    memmove(path, path + length, strlen(path + length) + 1);
    if (!*path)
        strcpy(path, "/");
    return true;
}

int magic_text(struct call *call, const char *link, char *out) {
    static const char deleted[] = " (deleted)";
    int kind;
    pid_t pid = owner(link);
    if (!pid)
        return 0;
    int error = may_look(call, pid);
    if (error == 0)
        error = find_end(call, link, out, &kind);
    if (error < 0)
        return error;
    if (*out == '/')
        (void)magic_from_root(call, out);
    size_t length = strlen(out), tail = kind == OBJECT_DELETED ? sizeof deleted - 1 : 0;
    if (length + tail >= PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(out + length, deleted, tail);
    out[length + tail] = '\0';
    return 1;
}
