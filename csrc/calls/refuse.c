/* refuse.c - calls that would take a tracee out of the view, or change what paths mean.
 *
 * Rule: each is answered with the errno that programs know how to live with, and counted.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <string.h>

#include "internal.h"

#define NEW_VIEW (CLONE_NEWNS | CLONE_NEWUSER)

/* detail of the row is the errno. */
void do_refuse(struct call *call) {
    refuse(call, call->row->detail, "the call would change what paths mean, or cannot be followed");
}

/* The filter traps clone for CLONE_UNTRACED too, which is the trap's business. */
void do_clone(struct call *call) {
    if (call->arg[0] & NEW_VIEW)
        refuse(call, EPERM, "new mount and user namespaces are not supported");
}

void do_unshare(struct call *call) {
    if (call->arg[0] & NEW_VIEW)
        refuse(call, EPERM, "new mount and user namespaces are not supported");
}

static bool begins(const char *text, const char *prefix) {
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
        return answer(call, object == -ENOENT ? -EBADF : object);
    bool harmless = kind ? !(kind & NEW_VIEW) : !begins(text, "mnt:") && !begins(text, "user:");
    if (!harmless)
        refuse(call, EPERM, "entering mount and user namespaces is not supported");
}
