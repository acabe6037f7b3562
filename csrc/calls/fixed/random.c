/* random.c - random bytes that come from a seed: getrandom(2), /dev/random and /dev/urandom.
 *
 * Rules: each task has a stream of its own, which its birth decides (births.h), so that no two who ask get the same and
 * none depends on who asks first; it is no secret.
 * What reads a device gets the end of a pipe that a thread of ours fills, and which that thread leaves when nobody has
 * the other end any more.  SIGPIPE is blocked in all of our threads that answer calls (run.c).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../view/view.h"
#include "../call.h"
#include "../flags.h"
#include "../handlers/handlers.h"
#include "../scratch.h"
#include "../session.h"
#include "../verdict.h"
#include "births.h"
#include "fixed.h"
#include "random.h"
#include "splitmix.h"

#define PIECE 4096u
#define ASKED_MAX (1u << 20)    /* bytes that one call gets: a shorter answer is a legal one */
#define STACK_SIZE 65536u

static void fill(uint64_t *state, unsigned char *out, size_t size) {
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t number = splitmix_next(state);
        memcpy(out + at, &number, size - at < sizeof number ? size - at : sizeof number);
    }
}

void random_take(struct call *call, void *out, size_t size) {
    struct fixed *fixed = call->session->fixed;
    lock_take(&fixed->lock);
    uint64_t *stream = births_stream(fixed, call);
    fill(stream ? stream : &fixed->random, out, size);
    lock_leave(&fixed->lock);
}

void do_getrandom(struct call *call) {
    unsigned char bytes[PIECE];
    uint64_t size = call->arg[1] < ASKED_MAX ? call->arg[1] : ASKED_MAX;
    if (!fixed_has(call->session, PTO_BUILD_RANDOM) || (call->arg[2] & ~(uint64_t)(GRND_NONBLOCK | GRND_RANDOM | 4u)))
        return;
    if (!size)
        return verdict_answer(call, 0);
    for (uint64_t at = 0; at < size; at += PIECE) {
        size_t part = size - at < PIECE ? size - at : PIECE;
        random_take(call, bytes, part);
        verdict_answer_bytes(call, call->arg[0] + at, bytes, part, (long)(at + part));
        if (call->value < 0)
            return;
    }
}

/* ---- the devices ---- */

struct source {
    uint64_t state;
    int fd;
};

static void *pour(void *arg) {
    struct source *source = arg;
    unsigned char bytes[PIECE];
    do
        fill(&source->state, bytes, sizeof bytes);
    while (descriptor_write(source->fd, (const char *)bytes, sizeof bytes) == 0);
    close(source->fd);
    free(source);
    return NULL;
}

static int start_source(struct call *call, int fd) {
    pthread_attr_t attributes;
    pthread_t thread;
    struct source *source = malloc(sizeof *source);
    int error = source ? pthread_attr_init(&attributes) : ENOMEM;
    if (error) {
        free(source);
        return -error;
    }
    source->fd = fd;
    random_take(call, &source->state, sizeof source->state);
    (void)pthread_attr_setstacksize(&attributes, STACK_SIZE);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &attributes, pour, source);
    pthread_attr_destroy(&attributes);
    if (error)
        free(source);
    return -error;
}

bool random_plan(struct call *call, int flags) {
    const struct location *loc = &call->scratch->loc[0];
    struct open_plan *plan = &call->scratch->plan;
    int ends[2];
    if (!fixed_has(call->session, PTO_BUILD_RANDOM))
        return false;
    bool device = strcmp(loc->path, "/dev/urandom") == 0 || strcmp(loc->path, "/dev/random") == 0;
    if (!device || loc->overlay || (flags & O_PATH) || (flags & O_ACCMODE) != O_RDONLY || pipe2(ends, O_CLOEXEC) < 0)
        return false;
    if (start_source(call, ends[1]) < 0) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    memcpy(plan->path, loc->path, loc->length + 1);
    plan->flags = flags;
    plan->unasked = 0;
    plan->fd = ends[0];
    call->verdict = VERDICT_OPEN;
    call->open_path = plan->path;
    call->open_flags = flags;
    call->handed = !call->session->opens;
    call->made = true;
    return true;
}
