/* watches.c - inotify_add_watch, inotify_rm_watch and fanotify_mark, which watch where a path leads.
 *
 * A watch on an object of the view is set by the supervisor, by the tracee's own instance, which it keeps a descriptor
 * of, so that the view can make it hear what happens in the view and no more (view/upper/watches.c).  Where the kernel
 * gives no descriptor of another process (pidfd_getfd(2), in some containers) the tracee sets it, and hears what
 * happens in the upper.
 *
 * Rules: an instance that no task has any more is given back, at the latest when the next one is met; view_lock guards
 * them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../view/view.h"
#include "../args.h"
#include "../call.h"
#include "../reach.h"
#include "../scratch.h"
#include "../session.h"
#include "../settle.h"
#include "../table.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"
#include "watches.h"

#define INSTANCES 64u

struct instances {
    unsigned count;
    struct instance {
        int fd; /* ours */
        pid_t holder; /* a process that had it … */
        int number; /* … as this descriptor */
    } list[INSTANCES];
};

static bool is_instance(pid_t pid, int number) {
    char link[PROC_LINK], text[32];
    descriptor_link(pid, number, link);
    ssize_t length = readlink(link, text, sizeof text);
    return length == (ssize_t)strlen("anon_inode:inotify") && memcmp(text, "anon_inode:inotify", (size_t)length) == 0;
}

static bool is_same_instance(pid_t pid, int number, int ours) {
    return syscall(SYS_kcmp, pid, getpid(), KCMP_FILE, number, ours) == 0;
}

/* Has the process the instance, as whichever number? */
static bool has_instance(pid_t pid, struct instance *instance) {
    char path[PROC_LINK];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    CLOSE_DIRECTORY *dir = opendir(path);
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        int number = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] == '.' || !is_instance(pid, number) || !is_same_instance(pid, number, instance->fd))
            continue;
        instance->holder = pid;
        instance->number = number;
        return true;
    }
    return false;
}

static bool is_used(struct session *session, struct instance *instance) {
    bool used = is_instance(instance->holder, instance->number) &&
                is_same_instance(instance->holder, instance->number, instance->fd);
    lock_take(&session->lock);
    pid_t last = 0;
    for (const struct task *task = session->tasks; task && !used; task = task->next) {
        pid_t pid = task->tgid ? task->tgid : task->tid;
        used = pid != last && has_instance(pid, instance);
        last = pid;
    }
    lock_leave(&session->lock);
    return used;
}

static void close_unused(struct session *session) {
    struct instances *instances = session->instances;
    for (unsigned i = 0; i < instances->count;) {
        struct instance *instance = &instances->list[i];
        if (is_used(session, instance)) {
            i++;
            continue;
        }
        (void)view_unwatch(session->view, instance->fd, -1);
        close(instance->fd);
        *instance = instances->list[--instances->count];
    }
}

static int find_instance(const struct instances *instances, int fd) {
    for (unsigned i = 0; instances && i < instances->count; i++)
        if (is_same_instance(getpid(), fd, instances->list[i].fd))
            return instances->list[i].fd;
    return -1;
}

/* The instance of the call's first argument, as ours; -1: it cannot be had. */
static int instance_of(struct call *call, bool add) {
    struct session *session = call->session;
    int number = (int)call->arg[0];
    if (!is_instance(call->task->tid, number))
        return -1;
    CLOSE_DESCRIPTOR fd = task_descriptor(call, number);
    int known = fd < 0 ? -1 : find_instance(session->instances, fd);
    if (fd < 0 || known >= 0 || !add)
        return known;
    if (!session->instances)
        session->instances = calloc(1, sizeof *session->instances);
    if (!session->instances)
        return -1;
    close_unused(session);
    if (session->instances->count == INSTANCES || !is_same_instance(call->task->tid, number, fd))
        return -1;
    int ours = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (ours >= 0)
        session->instances->list[session->instances->count++] =
            (struct instance){.fd = ours, .holder = call->task->tgid, .number = number};
    return ours;
}

void watches_clear(struct session *session) {
    for (unsigned i = 0; session->instances && i < session->instances->count; i++) {
        (void)view_unwatch(session->view, session->instances->list[i].fd, -1);
        close(session->instances->list[i].fd);
    }
    free(session->instances);
    session->instances = NULL;
}

/* ---- the calls ---- */

/* What the path names, followed or not, is on an overlay, and where it is to be watched; false: the verdict is
 * there. */
static bool find_watched(struct call *call, bool follow, uint32_t mask) {
    struct target target;
    struct location *loc = &call->scratch->loc[0];
    int error = args_fetch(call, 0);
    if (error < 0)
        return verdict_answer(call, error), false;
    verdict_enter_view(call);
    error = args_walk(call, 0, follow ? WALK_FOLLOW : 0, &target);
    call->repeat = NULL;
    if (target.by_fd || (target.pass && (!loc->overlay || !mask)))
        return false;
    if (error == 0 && (loc->hidden || loc->type == 0))
        error = -ENOENT;
    if (error == 0 && !loc->overlay)
        return settle_host(call, 0, loc), false;
    if (error == 0)
        error = view_permission(call->view, loc, &call->task->cred, R_OK);
    if (error == 0)
        error = view_watch_ready(call->view, loc, mask);
    if (error == 0)
        error = args_walk(call, 0, follow ? WALK_FOLLOW : 0, &target);   /* it may have moved to the upper */
    if (error < 0)
        verdict_answer(call, error);
    return error == 0;
}

/* The same call on the real path. */
static void watch_real(struct call *call) {
    int error = view_real(call->view, &call->scratch->loc[0], call->scratch->real, VIEW_PATH_MAX);
    if (error < 0)
        return verdict_answer(call, error);
    reach_substitute(call, (unsigned)call->row->operand[0].path, call->scratch->real);
}

void do_inotify_add_watch(struct call *call) {
    uint32_t mask = (uint32_t)call->arg[2];
    if (!task_cred(call) || !find_watched(call, !(mask & IN_DONT_FOLLOW), mask))
        return;
    int instance = instance_of(call, true);
    if (instance < 0)
        return watch_real(call);
    verdict_answer(call, view_watch(call->view, &call->scratch->loc[0], instance, mask));
}

void do_inotify_rm_watch(struct call *call) {
    if (!task_cred(call))
        return;
    verdict_enter_view(call);
    int instance = call->session->instances ? instance_of(call, false) : -1;
    if (instance < 0 || !view_unwatch(call->view, instance, (int)call->arg[1]))
        return;
    verdict_answer(call, inotify_rm_watch(instance, (int)call->arg[1]) < 0 ? -errno : 0);
}

/* Events of inotify(7) have the same bits in both; FAN_RENAME is newer. */
static uint32_t marked(const struct call *call) {
    static const unsigned whole = FAN_MARK_MOUNT | 0x100u;   /* FAN_MARK_FILESYSTEM */
    if (!(call->arg[1] & FAN_MARK_ADD) || call->arg[1] & whole)
        return 0;
    return ((uint32_t)call->arg[2] & IN_ALL_EVENTS) | (call->arg[2] & 0x10000000u ? IN_MOVE : 0);
}

void do_fanotify_mark(struct call *call) {
    if (find_watched(call, !(call->arg[1] & FAN_MARK_DONT_FOLLOW), marked(call)))
        watch_real(call);
}
