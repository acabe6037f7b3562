/* inside.h - answers inside of tracees, by the notify trap: untouched/ knows what, here is when.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NOTIFY_INSIDE_H
#define PTOVERLAY_NOTIFY_INSIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct caller;
struct worker;

/* Programs whose children set all their signals before they execute: posix_spawn(3). */
#define SPAWNERS 4u
struct spawners {
    struct spawner {
        uint64_t ip;        /* where they call: of one address space, mostly */
        uint32_t actions;   /* calls from there */
        pid_t last;         /* who called last */
    } of[SPAWNERS];
};
/* A child has set what a signal does, by an instruction in front of ip. */
void inside_acted(struct worker *worker, pid_t tid, uint64_t ip);

/* A call is about to be passed: what is learnt of it.  True: it has been answered, and its program has got a stub. */
bool inside_passed(struct worker *worker, struct caller *caller);
/* A debugger inside is about to trace the task, which then shows all its calls. */
void inside_traced(const struct worker *worker, pid_t tid);

#endif
