/* nest_ask.c - what a ptoverlay that runs inside the run asks for its nest (nest_request.h).
 *
 * Rule: only who asks with the supervisor's own credentials may have layers laid, since an upper says what its objects
 * are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "../../process/family.h"
#include "../../process/memory.h"
#include "../../ptoverlay.h"
#include "../../view/view.h"
#include "../call.h"
#include "../session.h"
#include "../verdict.h"
#include "members.h"
#include "nest.h"
#include "nest_request.h"
#include "nests.h"
#include "task.h"

#define MESSAGE 1024 /* bytes */

struct nest_call {
    struct nest_request request;
    struct nest *nest;
    char message[MESSAGE];
};

static long probe(struct call *call, struct nest_call *asked) {
    (void)call;
    (void)asked;
    return 0;
}

static long new_nest(struct call *call, struct nest_call *asked) {
    struct session *session = call->session;
    if (call->root) {
        strcpy(asked->message, "run inside a run: not in another root");
        return -EPERM;
    }
    if (!call->task->cred.own) {
        strcpy(asked->message, "run inside a run: it belongs to another user");
        return -EPERM;
    }
    nests_sweep(session);
    int random = nests_choose_mark(session);
    if (random)
        return random;
    struct nest *nest = calloc(1, sizeof *nest);
    if (!nest)
        return -ENOMEM;
    *nest = (struct nest){.session = session, .parent = call->nest, .owner = call->task->tgid, .pidfd = -1, .wake = -1};
    nest->view = view_within(call->view);
    if (!nest->view) {
        free(nest);
        return -ENOMEM;
    }
    unsigned id = nests_enlist(nest);
    int error = nests_start_watching(nest);
    if (error)
        nests_put(nest);
    nests_put(nest);
    return error ? error : (long)id;
}

/* The next string of data; NULL: there is none. */
static const char *next_string(const char **at, const char *end) {
    const char *string = *at, *nul = memchr(string, '\0', (size_t)(end - string));
    if (!nul)
        return NULL;
    *at = nul + 1;
    return string;
}

static int parse_overlay(const char *data, size_t size, struct pto_overlay *spec, const char **lowers, size_t most) {
    struct nest_overlay header;
    const char *at = data + sizeof header, *end = data + size;
    if (size < sizeof header)
        return -EINVAL;
    memcpy(&header, data, sizeof header);
    if (header.n_lowers > most)
        return -EINVAL;
    for (uint32_t i = 0; i < header.n_lowers; i++)
        lowers[i] = next_string(&at, end);
    *spec = (struct pto_overlay){
        .lowers = lowers, .n_lowers = header.n_lowers, .n_data = header.n_data, .flags = header.flags};
    spec->mount = next_string(&at, end);
    spec->upper = header.has_upper ? next_string(&at, end) : NULL;
    spec->work = header.has_work ? next_string(&at, end) : NULL;
    bool whole = spec->mount && (!header.has_upper || spec->upper) && (!header.has_work || spec->work);
    return whole && header.n_data < header.n_lowers ? 0 : -EINVAL;
}

static void free_data(char **data) {
    free(*data);
}
#define DATA __attribute__((cleanup(free_data))) char

/* What the request points to, with a NUL behind it. */
static int read_data(struct call *call, const struct nest_request *request, char **data) {
    if (request->size > NEST_DATA_MAX)
        return -E2BIG;
    *data = malloc(request->size + 1);
    if (!*data)
        return -ENOMEM;
    (*data)[request->size] = '\0';
    return memory_read(&call->memory, request->data, *data, request->size);
}

/* Is there a nest that is about to end, since its owner is dead? */
static bool is_ending(struct session *session) {
    bool ending = false;
    lock_take(&session->lock);
    for (const struct nest *nest = session->nests; nest && !ending; nest = nest->next) {
        struct pollfd pollfd = {.fd = nest->pidfd, .events = POLLIN};
        bool watched = __atomic_load_n(&nest->watched, __ATOMIC_SEQ_CST);
        ending = nest->view && watched && poll(&pollfd, 1, 0) > 0;
    }
    lock_leave(&session->lock);
    return ending;
}

#define LOWERS 512
static long add_overlay(struct call *call, struct nest_call *asked) {
    DATA *data = NULL;
    const char *lowers[LOWERS];
    struct pto_overlay spec;
    int error = read_data(call, &asked->request, &data);
    if (!error)
        error = parse_overlay(data, asked->request.size, &spec, lowers, LOWERS);
    if (!error)
        error = view_within_add(asked->nest->view, &spec, asked->message, MESSAGE);
    return error == -EBUSY && is_ending(call->session) ? -EAGAIN : error;
}

static long add_place(struct call *call, struct nest_call *asked) {
    DATA *data = NULL;
    pto_view *view = asked->nest->view;
    int error = read_data(call, &asked->request, &data);
    if (error)
        return error;
    view_lock(view);
    error = view_add_place(view, (int)asked->request.kind, data, asked->message, MESSAGE);
    view_unlock(view);
    return error;
}

static long enter_nest(struct call *call, struct nest_call *asked) {
    struct nest *nest = asked->nest;
    if (call->nest != nest->parent || family_parent(call->task->tgid) != nest->owner)
        return -EPERM;
    nest->flags = asked->request.kind & PTO_STRICT;
    call->task->cwd_generation = 0;
    return members_set_mark(call->task->tgid, nest->mark);
}

static long find_member(struct call *call, struct nest_call *asked) {
    (void)call;
    return nests_members(asked->nest, 0).found;
}

static long kill_members(struct call *call, struct nest_call *asked) {
    (void)call;
    return nests_members(asked->nest, SIGKILL).count;
}

static long end_nest(struct call *call, struct nest_call *asked) {
    (void)call;
    if (nests_members(asked->nest, 0).found)
        return -EBUSY;
    view_within_end(asked->nest->view);   /* a call of a dead member may not have been ended yet */
    nests_put_roots(asked->nest);
    if (nests_stop_watching(asked->nest))
        nests_put(asked->nest);
    return 0;
}

static const struct {
    long (*carry_out)(struct call *call, struct nest_call *asked);
    bool of_owner; /* only he may ask */
    bool of_any; /* no nest is named */
} ops[NEST_OPS] = {
    [NEST_PROBE] = {probe, .of_any = true},           [NEST_NEW] = {new_nest, .of_any = true},
    [NEST_OVERLAY] = {add_overlay, .of_owner = true}, [NEST_PLACE] = {add_place, .of_owner = true},
    [NEST_ENTER] = {enter_nest, .of_owner = false},   [NEST_MEMBER] = {find_member, .of_owner = true},
    [NEST_KILL] = {kill_members, .of_owner = true},   [NEST_END] = {end_nest, .of_owner = true},
};

static long carry_out_op(struct call *call, uint64_t op, struct nest_call *asked) {
    if (op >= NEST_OPS)
        return -EINVAL;
    if (op != NEST_PROBE && memory_read(&call->memory, call->arg[2], &asked->request, sizeof asked->request) < 0)
        return -EFAULT;
    lock_take(&call->session->lock);
    asked->nest = nests_take(nests_find(call->session, asked->request.id));
    lock_leave(&call->session->lock);
    if (!ops[op].of_any && !asked->nest)
        return -ESRCH;
    if (ops[op].of_owner && asked->nest->owner != call->task->tgid)
        return -EPERM;
    return ops[op].carry_out(call, asked);
}

void nest_ask(struct call *call) {
    struct nest_call asked = {.message = ""};
    if (!task_cred(call))
        return;
    long result = carry_out_op(call, call->arg[1], &asked);
    nests_put(asked.nest);
    size_t length = strlen(asked.message) + 1;
    if (result < 0 && asked.request.message && asked.request.room >= length &&
        memory_write(&call->memory, asked.request.message, asked.message, length) < 0)
        result = -EFAULT;
    verdict_answer(call, result);
}
