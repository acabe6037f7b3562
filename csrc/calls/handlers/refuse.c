/* refuse.c - calls that would take a tracee out of the view, or change what paths mean.
 *
 * Rule: each is answered with the errno that programs know how to live with, and counted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../process/object.h"
#include "../../process/proc.h"
#include "../../view/view.h"
#include "../call.h"
#include "../flags.h"
#include "../known.h"
#include "../scratch.h"
#include "../session.h"
#include "../settle.h"
#include "../table.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

#define FDINFO 512      /* bytes of /proc/PID/fdinfo/N that matter */
#define FAN_REPORT_PIDFD_ 0x80          /* Linux 5.15 */
#define FAN_REPORT_TARGET_FID_ 0x1000   /* Linux 5.17 */
#define FAN_REPORT_FD_ERROR_ 0x2000     /* Linux 6.13 */
#define FAN_REPORT_MNT_ 0x4000          /* Linux 6.14 */

/* detail of the row is the errno. */
void do_refuse(struct call *call) {
    verdict_refuse(call, call->row->detail, "the call would change what paths mean, or cannot be followed");
}

/* Calls that are many in one: what is not known. detail of the row is the errno. */
void do_unknown(struct call *call) {
    if (!known_holds(call->row->filter_known, (uint32_t)call->arg[call->row->filter_arg]))
        verdict_refuse(call, call->row->detail, "this command is not known to change nothing");
}

/* Whoever copies a lower file up would have to break a lease for writing on it, while the view waits; such a lease is
 * given to nobody where somebody else has the file open. */
void do_fcntl(struct call *call) {
    if ((uint32_t)call->arg[1] != F_SETLEASE)
        return do_unknown(call);
    __atomic_store_n(&call->session->leased, true, __ATOMIC_RELAXED);
    if ((int)call->arg[2] != F_WRLCK)
        return;
    const struct location *loc = settle_reading(call);
    if (loc && loc->type == S_IFREG && !loc->upper)
        verdict_refuse(call, EAGAIN, "a lease for writing on what a lower has would hold up the copy-up");
}

/* Events come with descriptors of the real files, which must not be for writing, and permission events
 * (FAN_CLASS_CONTENT and PRE_CONTENT) would let a tracee hold up the supervisor. */
void do_fanotify_init(struct call *call) {
    static const unsigned known = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE | FAN_UNLIMITED_MARKS |
                                  FAN_ENABLE_AUDIT | FAN_REPORT_PIDFD_ | FAN_REPORT_TID | FAN_REPORT_FID |
                                  FAN_REPORT_DIR_FID | FAN_REPORT_NAME | FAN_REPORT_TARGET_FID_ | FAN_REPORT_FD_ERROR_ |
                                  FAN_REPORT_MNT_;
    static const unsigned open_flags =
        O_KERNEL_LARGEFILE | O_CLOEXEC | O_NONBLOCK | O_DSYNC | O_SYNC | O_APPEND | O_NOATIME;
    const struct cred *cred = task_cred(call);
    if (cred && (unsigned)call->arg[0] & ~known)
        verdict_refuse(call, cred_capable(cred, CAP_SYS_ADMIN) ? EINVAL : EPERM,
                       "this class of fanotify could hold up the supervisor, or is not known");
    else if (cred && (unsigned)call->arg[1] & ~open_flags)
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
