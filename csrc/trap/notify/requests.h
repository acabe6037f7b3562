/* requests.h - what others ask of the tender.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_REQUESTS_H
#define PTOVERLAY_REQUESTS_H

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

#include "../../process/lock.h"

struct attachment;
struct replacer;
struct tender;
struct worker;

/* On the stack of the thread that waits for it. */
struct request {
    struct request *next;
    /* By the tender; in the end it, or whatever it has begun, calls requests_served(). */
    void (*begin)(struct tender *tender, struct request *request);
    pid_t pid;
    /* What it is about, each for some alone. */
    struct attachment *at;
    struct replacer *task;
    struct worker *worker;
    long options;
    bool taken, served, done;
};

struct requests {
    struct lock lock;
    pthread_cond_t asked;               /* for the tender, while it has no tracee */
    pthread_cond_t served;              /* for those who ask */
    pthread_t thread;
    void *(*work)(void *tender);        /* what the thread does */
    void *tender;
    bool made, has_thread, ending;
    struct request *first;
};

void requests_init(struct requests *requests, void *(*work)(void *tender), void *tender);
/* When the tender has no tracee any more. */
void requests_clear(struct requests *requests);

/* Waits until it was served: true if it was done, false if it was not, or there is no tender.  may_start: then there is
 * one from now on. */
bool requests_ask(struct requests *requests, struct request *request, bool may_start);

/* By the tender.  The next one, NULL: none. */
struct request *requests_take(struct requests *requests);
void requests_served(struct requests *requests, struct request *request, bool done);
/* Waits for one; false: the run is over. */
bool requests_wait(struct requests *requests);

#endif
