/* way_in.h - answers inside of tracees, by the ptrace trap: ../inside.h says when.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_WAY_IN_H
#define PTOVERLAY_WAY_IN_H

#include <stdbool.h>
#include <stdint.h>

#include "../reply.h"

struct ptrace_trap;
struct tracee;
struct untouched;

/* How tracees get descriptors of ours: they make a call of which the filter's listener hears. */
struct way_in {
    uint64_t cookie;        /* marks that call; 0: there is no way in */
    int ours, theirs;       /* a socket, over which CMD sends the listener; -1: closed */
    struct reply reply;     /* listener -1: not there yet, or never */
    bool asked;
};

void way_in_init(struct way_in *way, const struct untouched *untouched);
unsigned way_in_flags(const struct way_in *way);    /* of seccomp(2), for CMD's filter */
void way_in_started(struct way_in *way);            /* CMD has been forked */
void way_in_clear(struct way_in *way);

/* A call is about to be passed, at its seccomp stop.  True: its program has got a stub, or not, and is to make the call
 * again when it is resumed. */
bool way_in_passed(struct ptrace_trap *trap, struct tracee *tracee);

#endif
