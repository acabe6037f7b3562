/* tracees.c - the tracees of the ptrace trap, found by thread id.
 *
 * The rule to keep: one thread id, one entry; an id is used again only after its last owner was reaped.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/ptrace.h>

#include "../stops.h"
#include "tracees.h"

static struct tracee **bucket_of(struct tracees *tracees, pid_t tid) {
    return &tracees->buckets[(unsigned)tid % TRACEE_BUCKETS];
}

/* The pointer that points at tracee. */
static struct tracee **link_to(struct tracees *tracees, const struct tracee *tracee) {
    struct tracee **link = bucket_of(tracees, tracee->task.tid);
    while (*link != tracee)
        link = &(*link)->next;
    return link;
}

static void link_tracee(struct tracees *tracees, struct tracee *tracee) {
    struct tracee **bucket = bucket_of(tracees, tracee->task.tid);
    tracee->next = *bucket;
    *bucket = tracee;
}

struct tracee *tracees_find(struct tracees *tracees, pid_t tid) {
    struct tracee *tracee = *bucket_of(tracees, tid);
    while (tracee && tracee->task.tid != tid)
        tracee = tracee->next;
    return tracee;
}

struct tracee *tracees_add(struct tracees *tracees, struct session *session, pid_t tid) {
    struct tracee *tracee = calloc(1, sizeof *tracee);
    if (!tracee)
        return NULL;
    task_init(&tracee->task, session, tid);
    tracee->files = files_new();
    link_tracee(tracees, tracee);
    tracees->count++;
    return tracee;
}

void tracees_remove(struct tracees *tracees, struct tracee *tracee) {
    *link_to(tracees, tracee) = tracee->next;
    tracees->count--;
    space_release(tracee->area);
    space_drop(tracee->space);
    files_drop(tracee->files);
    task_clear(&tracee->task);
    free(tracee);
}

void tracees_rename(struct tracees *tracees, struct tracee *tracee, pid_t tid) {
    *link_to(tracees, tracee) = tracee->next;
    tracee->task.tid = tid;
    link_tracee(tracees, tracee);
}

void tracees_each(struct tracees *tracees, void (*each)(void *arg, struct tracee *tracee), void *arg) {
    for (size_t i = 0; i < TRACEE_BUCKETS; i++) {
        struct tracee *next;
        for (struct tracee *tracee = tracees->buckets[i]; tracee; tracee = next) {
            next = tracee->next;
            each(arg, tracee);
        }
    }
}

void tracee_resume(const struct tracee *tracee, int signal) {
    bool to_exit = tracee->state == TRACEE_CALL || tracee->state == TRACEE_MAPPING || tracee->state == TRACEE_GIVEN;
    (void)ptrace(to_exit ? PTRACE_SYSCALL : PTRACE_CONT, tracee->task.tid, NULL, (long)signal);
}

void tracee_resume_from_stop(const struct tracee *tracee, int signal) {
    if (stops_by(signal))
        (void)ptrace(PTRACE_LISTEN, tracee->task.tid, NULL, NULL);
    else
        tracee_resume(tracee, 0);
}
