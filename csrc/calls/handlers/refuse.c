/* refuse.c - calls that would take a tracee out of the view, or change what paths mean.
 *
 * Rule: each is answered with the errno that programs know how to live with, and counted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../process/proc.h"
#include "../call.h"
#include "../flags.h"
#include "../known.h"
#include "../scratch.h"
#include "../table.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

#define FDINFO 512      /* bytes of /proc/PID/fdinfo/N that matter */
#define FAN_REPORT_FD_ERROR_ 0x2000     /* Linux 6.13 */
#define FAN_REPORT_MNT_ 0x4000          /* Linux 6.14 */
#define NEW_VIEW (CLONE_NEWNS | CLONE_NEWUSER)

/* detail of the row is the errno. */
void do_refuse(struct call *call) {
    verdict_refuse(call, call->row->detail, "the call would change what paths mean, or cannot be followed");
}

/* Calls that are many in one: what is not known. detail of the row is the errno. */
void do_unknown(struct call *call) {
    if (!known_holds(call->row->filter_known, (uint32_t)call->arg[call->row->filter_arg]))
        verdict_refuse(call, call->row->detail, "this command is not known to change nothing");
}

/* Events come with descriptors of the real files, which must not be for writing, and permission events
 * (FAN_CLASS_CONTENT and PRE_CONTENT) would let a tracee hold up the supervisor. */
void do_fanotify_init(struct call *call) {
    static const unsigned known = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS |
                                  FAN_ENABLE_AUDIT | FAN_REPORT_PIDFD | FAN_REPORT_TID | FAN_REPORT_FID |
                                  FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_TARGET_FID | FAN_REPORT_FD_ERROR_ |
                                  FAN_REPORT_MNT_;
    static const unsigned open_flags =
        O_KERNEL_LARGEFILE | O_CLOEXEC | O_NONBLOCK | O_DSYNC | O_SYNC | O_APPEND | O_NOATIME;
    if ((unsigned)call->arg[0] & ~known)
        verdict_refuse(call, EINVAL, "this class of fanotify could hold up the supervisor, or is not known");
    else if ((unsigned)call->arg[1] & ~open_flags)
        verdict_refuse(call, (unsigned)call->arg[1] & O_ACCMODE ? EPERM : EINVAL,
                       "fanotify would give descriptors of lower files for writing");
}

/* What another process of the user has open is the host's, and what the supervisor has is its own. */
void do_pidfd_getfd(struct call *call) {
    char text[FDINFO], name[PROC_LINK];
    snprintf(name, sizeof name, "fdinfo/%d", (int)call->arg[0]);
    if (!proc_read(call->task->tid, name, text, sizeof text))
        return verdict_answer(call, -EBADF);
    pid_t pid = (pid_t)proc_field(text, "\nPid:\t", 10);
    if (pid && !task_in_run(call->session, pid))
        verdict_refuse(call, EPERM, "the process is not one of the run");
}

/* The filter traps clone for CLONE_UNTRACED too, which is the trap's business. */
void do_clone(struct call *call) {
    if (call->arg[0] & NEW_VIEW)
        verdict_refuse(call, EPERM, "new mount and user namespaces are not supported");
}

void do_unshare(struct call *call) {
    if (call->arg[0] & ~(uint64_t)(UNSHARE_KNOWN | NEW_VIEW))
        verdict_refuse(call, EINVAL, "not all of this is known to leave paths alone");
    else if (call->arg[0] & NEW_VIEW)
        verdict_refuse(call, EPERM, "new mount and user namespaces are not supported");
}

static bool starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* With a kind of 0 the descriptor tells which namespace it is, or that it is a process. */
void do_setns(struct call *call) {
    char link[PROC_LINK];
    unsigned kind = (unsigned)call->arg[1];
    char *text = call->scratch->real;
    descriptor_link(call->task->tid, (int)call->arg[0], link);
    int object = object_read(link, text);
    if (object < 0)
        return verdict_answer(call, object == -ENOENT ? -EBADF : object);
    bool harmless = kind ? !(kind & NEW_VIEW) : !starts_with(text, "mnt:") && !starts_with(text, "user:");
    if (!harmless)
        verdict_refuse(call, EPERM, "entering mount and user namespaces is not supported");
}
