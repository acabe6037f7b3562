/* inputs.c - what a run depends on: the paths that it asked the view for, each once a program.
 *
 * Rules: a path is canonical, so that what it leads over are directories; the symlinks that were followed are told by
 * themselves.  A question that was noted allocates nothing and is found by one hash.  What is lost for want of memory
 * is said at the end, so that nobody takes the rest for all.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../arch/numbers.h"
#include "../process/descriptor.h"
#include "../process/lock.h"
#include "../process/object.h"
#include "../view/view.h"
#include "call.h"
#include "flags.h"
#include "inputs.h"
#include "scratch.h"
#include "session.h"
#include "shown/magic.h"
#include "table.h"
#include "tasks/task.h"

#define FIRST_SLOTS 4096u
#define FIRST_BYTES (1u << 18)

struct inputs {
    struct lock lock;       /* of all */
    uint64_t *seen;         /* hashes; a power of two of slots, half of them free */
    size_t slots, count;
    char *log;              /* struct pto_input, and paths */
    size_t used, size;
    uint64_t *programs;     /* hashes; a program's number is its place, and 1 */
    uint32_t n_programs;
    bool lost;
};

struct inputs *inputs_new(void) {
    struct inputs *inputs = calloc(1, sizeof *inputs);
    if (!inputs)
        return NULL;
    inputs->seen = calloc(FIRST_SLOTS, sizeof *inputs->seen);
    inputs->log = malloc(FIRST_BYTES);
    inputs->slots = FIRST_SLOTS;
    inputs->size = FIRST_BYTES;
    if (inputs->seen && inputs->log && lock_init(&inputs->lock) == 0)
        return inputs;
    free(inputs->seen);
    free(inputs->log);
    free(inputs);
    return NULL;
}

void inputs_free(struct inputs *inputs) {
    if (!inputs)
        return;
    lock_destroy(&inputs->lock);
    free(inputs->seen);
    free(inputs->programs);
    free(inputs->log);
    free(inputs);
}

/* ---- the set and the log ---- */

static uint64_t hash_of(const char *path, size_t length, uint64_t hash) {
    for (size_t at = 0; at < length; at += sizeof hash) {
        uint64_t word = 0;
        memcpy(&word, path + at, length - at < sizeof word ? length - at : sizeof word);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    return hash ? hash : 1;
}

/* The slot of this hash, or the free one where it belongs. */
static uint64_t *slot_of(uint64_t *seen, size_t slots, uint64_t hash) {
    size_t at = hash % slots;
    while (seen[at] && seen[at] != hash)
        at = (at + 1) % slots;
    return &seen[at];
}

static bool grow_set(struct inputs *inputs) {
    size_t slots = inputs->slots * 2;
    uint64_t *seen = calloc(slots, sizeof *seen);
    if (!seen)
        return false;
    for (size_t i = 0; i < inputs->slots; i++)
        if (inputs->seen[i])
            *slot_of(seen, slots, inputs->seen[i]) = inputs->seen[i];
    free(inputs->seen);
    inputs->seen = seen;
    inputs->slots = slots;
    return true;
}

static bool append(struct inputs *inputs, const struct pto_input *input, const char *path) {
    size_t more = sizeof *input + input->path_length;
    if (inputs->size - inputs->used < more) {
        size_t size = inputs->size * 2 + more;
        char *log = realloc(inputs->log, size);
        if (!log)
            return false;
        inputs->log = log;
        inputs->size = size;
    }
    memcpy(inputs->log + inputs->used, input, sizeof *input);
    memcpy(inputs->log + inputs->used + sizeof *input, path, input->path_length);
    inputs->used += more;
    return true;
}

static void add(struct inputs *inputs, const struct pto_input *input, const char *path) {
    HELD(&inputs->lock);
    uint64_t hash = hash_of(path, input->path_length, (uint64_t)input->program << 32 ^ input->kind << 8 ^ input->flags);
    uint64_t *slot = slot_of(inputs->seen, inputs->slots, hash);
    if (*slot)
        return;
    if ((inputs->count * 2 >= inputs->slots && !grow_set(inputs)) || !append(inputs, input, path)) {
        inputs->lost = true;
        return;
    }
    *slot_of(inputs->seen, inputs->slots, hash) = hash;
    inputs->count++;
}

int inputs_write(struct inputs *inputs, int fd) {
    const struct pto_input lost = {.flags = PTO_INPUT_LOST};
    lock_take(&inputs->lock);
    int error = descriptor_write(fd, inputs->log, inputs->used);
    if (!error && inputs->lost)
        error = descriptor_write(fd, (const char *)&lost, sizeof lost);
    lock_leave(&inputs->lock);
    return error;
}

/* ---- who asks ---- */

/* The number of a program, by its path in the view. */
static uint32_t number_of(struct inputs *inputs, const char *path) {
    HELD(&inputs->lock);
    const struct pto_input input = {.kind = PTO_INPUT_PROGRAM, .path_length = (uint32_t)strlen(path)};
    uint64_t hash = hash_of(path, input.path_length, 0);
    for (uint32_t i = 0; i < inputs->n_programs; i++)
        if (inputs->programs[i] == hash)
            return i + 1;
    uint64_t *programs = realloc(inputs->programs, (inputs->n_programs + 1) * sizeof *programs);
    if (!programs || (inputs->programs = programs, !append(inputs, &input, path))) {
        inputs->lost = true;
        return 0;
    }
    programs[inputs->n_programs] = hash;
    return ++inputs->n_programs;
}

static uint32_t program_of(struct call *call) {
    char link[PROC_LINK], path[VIEW_PATH_MAX];
    struct inputs *inputs = call->session->inputs;
    struct task *task = call->task;
    int kind;
    bool same;
    if (task->program)
        return task->program;
    snprintf(link, sizeof link, "/proc/%d/exe", (int)task->tid);
    if (object_read(link, path) < 0 || magic_shown(call, path, &kind, &same) < 0)
        return 0;
    lock_take(&inputs->lock);
    task->program = number_of(inputs, path);
    lock_leave(&inputs->lock);
    return task->program;
}

/* ---- questions ---- */

static void note(struct call *call, int kind, unsigned flags, const char *path, size_t length) {
    struct inputs *inputs = call->session->inputs;
    const struct pto_input input = {
        .kind = (uint32_t)kind, .flags = flags, .program = program_of(call), .path_length = (uint32_t)length};
    lock_take(&inputs->lock);
    add(inputs, &input, path);
    inputs->lost = inputs->lost || call->nest;   /* those are paths of another view */
    lock_leave(&inputs->lock);
}

void inputs_note(struct call *call, int kind, const struct location *loc) {
    unsigned own = loc->upper && loc->type != S_IFDIR ? PTO_INPUT_OWN : 0;
    if (!loc->hidden)
        note(call, kind, own | (loc->overlay ? 0 : PTO_INPUT_HOST), loc->path, loc->length);
}

void inputs_followed(void *arg, const struct location *link) {
    inputs_note(arg, PTO_INPUT_TARGET, link);
}

void inputs_socket(struct call *call, const char *path) {
    note(call, PTO_INPUT_SOCKET, PTO_INPUT_HOST, path, strlen(path));
}

void inputs_clock(struct call *call) {
    note(call, PTO_INPUT_CLOCK, 0, "", 0);
}

static int kind_of_open(const struct call *call) {
    if (call->nr == __NR_openat2)
        return PTO_INPUT_READ;
    if (call->row->detail == OPEN_CREAT)
        return PTO_INPUT_CHANGED;
    uint64_t flags = call->arg[call->row->operand[0].path + 1];
    return flags & O_PATH ? PTO_INPUT_LOOKED : flags & O_TRUNC ? PTO_INPUT_CHANGED : PTO_INPUT_READ;
}

static bool removes_directory(const struct call *call) {
    const struct call_row *row = call->row;
    return row->detail == UNLINK_DIRECTORY || (row->at_flags != NO_ARG && call->arg[row->at_flags] & AT_REMOVEDIR);
}

/* What is written without being cut, renamed, linked or gets other attributes carries its contents along, and whether a
 * directory can be removed says its list. */
static int kind_of(const struct call *call, unsigned i) {
    const struct call_row *row = call->row;
    if (call->nr == __NR_execve || call->nr == __NR_execveat)
        return PTO_INPUT_EXECUTED;
    if (row->contents == CONTENTS_OPENED)
        return kind_of_open(call);
    if (call->nr == __NR_readlink || call->nr == __NR_readlinkat)
        return PTO_INPUT_TARGET;
    if (row->reads || call->nr == __NR_chdir)
        return PTO_INPUT_LOOKED;
    bool unlinks = call->nr == __NR_unlink || call->nr == __NR_rmdir || call->nr == __NR_unlinkat;
    bool gone = unlinks && !removes_directory(call);
    return i == 1 || row->name_is == NAME_MADE || gone ? PTO_INPUT_CHANGED : PTO_INPUT_READ;
}

void inputs_walked(struct call *call, unsigned i, int error) {
    const struct location *loc = &call->scratch->loc[i];
    if (error)
        note(call, PTO_INPUT_LOOKED, PTO_INPUT_FAILED, loc->path, loc->length);
    else
        inputs_note(call, kind_of(call, i), loc);
}
