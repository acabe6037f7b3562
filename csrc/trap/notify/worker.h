/* worker.h - a worker thread of the notify trap, and the notification that it serves.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_WORKER_H
#define PTOVERLAY_WORKER_H

#include <pthread.h>
#include <sys/types.h>

#include "../reply.h"
#include "spread.h"

struct notify_trap;
struct repeats;

struct worker {
    struct worker *next;
    struct notify_trap *trap;
    pthread_t thread;
    struct reply reply;
    pid_t *received;                        /* in the roster: whose call it has, from the first moment; 0: nobody's */
    unsigned again;                         /* how often the call under way was begun anew */
    struct repeats *repeats;                /* repeats.c */
    struct post post;                       /* where it waits */
};

#endif
