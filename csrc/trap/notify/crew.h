/* crew.h - the worker threads of the notify trap, and who of them waits for notifications.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CREW_H
#define PTOVERLAY_CREW_H

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "demand.h"
#include "repeat.h"
#include "spread.h"

struct notify_trap;

struct worker {
    struct worker *next;
    struct notify_trap *trap;
    pthread_t thread;
    struct seccomp_notif *request;          /* of the sizes that the kernel asks for */
    struct seccomp_notif_resp *response;
    unsigned again;                         /* how often the call under way was begun anew */
    struct repeats *repeats;                /* repeat.c */
    struct post post;                       /* where it waits */
    bool strays;                      /* its caller is not to be woken on this CPU */
};

struct crew {
    pthread_mutex_t lock;       /* of what is not atomic */
    pthread_cond_t call;        /* for those who rest */
    struct worker *workers;
    unsigned n_workers;
    unsigned resting;           /* wait to be called */
    unsigned called;            /* how many of them are to get up */
    bool ending;
    int receiving;              /* atomic: workers that wait for a notification */
    int wanted;                 /* atomic: how many should at most */
    struct demand demand;       /* under the lock */
    struct spread spread;
    uint64_t handled;           /* atomic: notifications received */
    struct seccomp_notif_sizes sizes;
};

/* 0, or -errno. */
int crew_start(struct crew *crew, struct notify_trap *trap);
/* When no notification can come any more. */
void crew_stop(struct crew *crew);
/* A signal that does nothing but end the wait of a thread of ours that does not block it.  0: none can be had. */
int crew_wake_signal(void);
/* The calling worker may be busy for long: somebody else is to wait for notifications. */
void crew_relieve(struct crew *crew);
/* To be called now and then: *seen is the caller's memory.  Relieves workers that have made no progress since.
 * True if there was any notification since. */
bool crew_check(struct crew *crew, uint64_t *seen);

#endif
