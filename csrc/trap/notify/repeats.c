/* repeats.c - calls that are passed because the same ones were.
 *
 * Compilers ask the same of the same few paths again and again (readlink of /usr, /usr/include…).  To decide such a
 * call needs its path, a hash and a comparison; not the walk, and not what else a call takes and gives back.
 *
 * Rules: kept are calls that change nothing, were passed, and would have been for every task with our credentials,
 * as long as the view has not changed (view_changes()).  What is read here decides about PASS alone: the kernel
 * reads the path itself, so /proc/PID/mem will do, which is faster than process_vm_readv(2) and reads what the
 * tracee cannot.  That descriptor is of one address space: it goes with the program.  Who repeats little is not
 * asked for a while.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "../../command/record.h"
#include "../../process/clock.h"
#include "../../process/memory.h"
#include "../inside.h"
#include "repeats.h"
#include "trap.h"
#include "worker.h"

#define ENTRIES 2048u       /* a power of two */
#define PATH_ROOM 168u

struct kept_call {
    uint64_t changes;
    uint64_t inside;        /* the generation in which it was learnt for answers inside (inside.c) */
    uint64_t key;
    uint32_t missing;
    uint16_t nr;
    uint8_t length;         /* 0: nothing is kept here */
    char path[PATH_ROOM];
};

struct repeats {
    struct kept_call calls[ENTRIES];
};

struct repeats *repeats_new(void) {
    return calloc(1, sizeof(struct repeats)); /* of which what is never used is never there */
}

static struct kept_call *entry_of(struct repeats *repeats, int nr, uint64_t key, const char *path, size_t length) {
    uint64_t hash = (uint64_t)(unsigned)nr * 0x9e3779b97f4a7c15u ^ key;
    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        memcpy(&word, path + at, length - at < 8 ? length - at : 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdu;
        hash ^= hash >> 32;
    }
    return &repeats->calls[hash % ENTRIES];
}

/* With a trace each call has its record; a view within the view decides otherwise. */
static bool is_possible(const struct run *run) {
    return __atomic_load_n(&run->trace_fd, __ATOMIC_RELAXED) < 0 &&
           __atomic_load_n(&run->session.n_nests, __ATOMIC_RELAXED) == 0;
}

void repeat_keep(struct worker *worker, struct caller *caller) {
    const struct call *call = &caller->call;
    unsigned path_arg;
    uint64_t key;
    size_t length = call->repeat_length;
    if (call->verdict != VERDICT_PASS || !call->repeat || call->watch_exit || !is_possible(worker->trap->run))
        return;
    if (!call->task->cred_known || !call->task->cred.own || !call_repeats(call->nr, call->arg, &path_arg, &key))
        return;
    callers_note_pass(&worker->trap->callers, caller);
    if (length > PATH_ROOM || caller->memory < 0 || !worker->repeats)
        return;
    struct kept_call *kept = entry_of(worker->repeats, call->nr, key, call->repeat, length);
    *kept = (struct kept_call){.changes = call->repeat_at->changes,
                               .inside = inside_generation(worker->trap->run),
                               .key = key,
                               .missing = call->repeat_at->missing,
                               .nr = (uint16_t)call->nr,
                               .length = (uint8_t)length};
    memcpy(kept->path, call->repeat, length);
}

/* The path at this address, if it is absolute and fits: its length, else 0. */
static size_t read_path(int memory, uint64_t address, char path[PATH_ROOM + 1]) {
    ssize_t n = memory_peek(memory, address, path, PATH_ROOM + 1);
    const char *end = n > 1 && path[0] == '/' ? memchr(path, '\0', (size_t)n) : NULL;
    return end ? (size_t)(end - path) : 0;
}

static bool is_kept(struct worker *worker, int nr, uint64_t key, const char *path, size_t length, bool inside) {
    const struct kept_call *kept = entry_of(worker->repeats, nr, key, path, length);
    if (inside && kept->inside != inside_generation(worker->trap->run))
        return false;
    return kept->length == length && kept->nr == nr && kept->key == key && memcmp(kept->path, path, length) == 0 &&
           kept->changes == view_changes(worker->trap->run->view, kept->missing);
}

bool repeat_pass(struct worker *worker) {
    const struct seccomp_data *data = &worker->reply.request->data;
    struct run *run = worker->trap->run;
    char path[PATH_ROOM + 1];
    unsigned path_arg;
    uint64_t key, args[6];
    if (!worker->repeats || !is_possible(run))
        return false;
    memcpy(args, data->args, sizeof args);
    if (!call_repeats(data->nr, args, &path_arg, &key))
        return false;
    struct caller *caller = callers_peek(&worker->trap->callers, (pid_t)worker->reply.request->pid);
    if (!caller)
        return false;
    if (inside_due(worker->trap->run, &caller->inside)) {
        callers_peeked(caller, true);
        return false;
    }
    uint64_t start = clock_now();
    size_t length = read_path(caller->memory, args[path_arg], path);
    bool kept = length && is_kept(worker, data->nr, key, path, length, caller->inside.here);
    callers_peeked(caller, kept);
    if (!kept)
        return false;
    record_passed(run, data->nr, clock_now() - start);
    reply_continue(&worker->reply);
    return true;
}
