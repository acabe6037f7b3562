/* inside.h - answers inside of tracees, for both traps: untouched/ knows what, here is when.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INSIDE_H
#define PTOVERLAY_INSIDE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct call;
struct inside;
struct run;

/* Not with a trace, in which each call has its record, nor with a view within the view, which decides otherwise. */
bool inside_possible(const struct run *run);
/* Changes when what was learnt counts no more; 0: there is nothing to learn for. */
uint64_t inside_generation(const struct run *run);
/* Is the call that could be passed unasked to be decided all the same, since its program is to get a stub? */
bool inside_due(const struct run *run, struct inside *inside);
/* A call is about to be passed; ip: behind its instruction.  What it tells is learnt. */
enum inside_next {
    INSIDE_NOTHING,
    INSIDE_ENTER,   /* its program is to get a stub */
    INSIDE_PATCH, /* untouched_patch(): text that was mapped later calls for the first time, by dlopen(3) or since the
                     * stub came before the C library */
};
enum inside_next inside_learn(struct run *run, struct call *call, struct inside *inside, uint64_t ip);
/* An execve is about to be passed, by a child of a program that makes many: that is to get a stub, whose memory the
 * child has, too. */
enum inside_next inside_spawned(struct run *run, const struct call *call, struct inside *inside);
/* A call that changes what the stub knows of its process has been decided, and not been answered yet. */
void inside_before(struct run *run, struct call *call, struct inside *inside);

#endif
