/* nest.c - views within the view of the run, for a ptoverlay that runs inside it.
 *
 * One supervisor serves them all: two could not trap the same calls.  Which view a call is answered by is said by a
 * mark of the process (members.h), which is only looked at while there is such a view.
 *
 * Rules: a nest lives as long as its owner, the inner ptoverlay; when that dies its members are killed, as those of a
 * supervisor are.  Its view is freed when nobody is in it: the owner, calls under way, nests in it.  Who uses one after
 * the lock is let go holds it (take_nest(), put_nest()), since its owner may die or end it meanwhile.  Only who asks
 * with the supervisor's own credentials may have layers laid, since an upper says what its objects are.  Nothing here
 * waits, since the thread that would have to bring the end about may be ours; a thread for each nest watches its owner.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/descriptor.h"
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
#include "task.h"

#define IDS 0xffffffu /* a mark is that of the session, at random, less the id: other runs have others */
#define MESSAGE 1024 /* bytes */
#define PATIENCE_MS 100

struct nest {
    struct nest *next;
    struct session *session;
    struct nest *parent; /* NULL: in the run's own view */
    pto_view *view; /* NULL: it is over */
    unsigned id, flags;
    uint64_t mark;
    unsigned users; /* its owner, calls under way, in it or about it, nests in it */
    pid_t owner; /* a process */
    int pidfd; /* of it */
    int wake; /* the watcher is to end */
    bool watched;
    pthread_t watcher;
};

struct nest_call {
    struct nest_request request;
    struct nest *nest;
    char message[MESSAGE];
};

/* ---- who is where ---- */

static struct nest *find_nest(struct session *session, unsigned id) {
    HELD(&session->lock);
    struct nest *nest = session->nests;
    while (nest && (nest->id != id || !nest->view))
        nest = nest->next;
    return nest;
}

static struct nest *find_marked(struct session *session, uint64_t mark) {
    HELD(&session->lock);
    struct nest *nest = session->nests;
    while (nest && (nest->mark != mark || !nest->view))
        nest = nest->next;
    return nest;
}

/* NULL is nothing. */
static struct nest *take_nest(struct nest *nest) {
    if (!nest)
        return NULL;
    HELD(&nest->session->lock);
    nest->users++;
    return nest;
}

static void put_nest(struct nest *nest) {
    while (nest) {
        struct session *session = nest->session;
        struct nest *parent = nest->parent;
        lock_take(&session->lock);
        pto_view *view = --nest->users ? NULL : nest->view;
        if (view)
            nest->view = NULL;
        lock_leave(&session->lock);
        if (!view)
            return;
        pto_view_free(view);
        __atomic_sub_fetch(&session->n_nests, 1, __ATOMIC_SEQ_CST);
        nest = parent;
    }
}

bool nest_enter(struct call *call) {
    struct session *session = call->session;
    call->view = session->view;
    call->flags = session->flags;
    if (__atomic_load_n(&session->n_nests, __ATOMIC_SEQ_CST) == 0)
        return true;
    uint64_t mark = members_mark(call->task->tid);
    if (mark != MARK_UNKNOWN && (mark | IDS) != session->mark)
        return true;
    lock_take(&session->lock);
    struct nest *nest = take_nest(find_marked(session, mark));
    lock_leave(&session->lock);
    if (nest) {
        call->nest = nest;
        call->view = nest->view;
        call->flags |= nest->flags;
    }
    if (!nest)
        verdict_refuse(call, EPERM, "the view of the task is no more");
    return nest;
}

void nest_leave(struct call *call) {
    struct nest *nest = call->nest;
    call->nest = NULL;
    put_nest(nest);
}

void nest_hide(struct session *session, const char *path) {
    char message[MESSAGE];
    lock_take(&session->lock);
    for (struct nest *nest = session->nests; nest; nest = nest->next)
        if (nest->view)
            (void)view_add_place(nest->view, PTO_HIDDEN, path, message, sizeof message);
    lock_leave(&session->lock);
}

/* ---- members ---- */

struct member_search {
    struct nest *nest;
    int signal; /* 0: the first one is enough */
    int count;
    pid_t found;
};

static bool is_inside(const struct nest *nest, uint64_t mark) {
    lock_take(&nest->session->lock);
    const struct nest *other = find_marked(nest->session, mark);
    while (other && other != nest)
        other = other->parent;
    lock_leave(&nest->session->lock);
    return other;
}

static bool meet(void *arg, pid_t pid, uint64_t mark) {
    struct member_search *search = arg;
    if (!is_inside(search->nest, mark))
        return true;
    search->count++;
    search->found = pid;
    if (search->signal)
        (void)kill(pid, search->signal);
    return search->signal;
}

static struct member_search search_members(struct nest *nest, int signal) {
    struct member_search search = {.nest = nest, .signal = signal};
    members_each(meet, &search);
    if (!search.count)
        members_each(meet, &search); /* none can be missed by two looks in a row */
    return search;
}

static void wait_for_death(pid_t pid) {
    CLOSE_DESCRIPTOR pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd pollfd = {.fd = pidfd, .events = POLLIN};
    if (pidfd >= 0)
        (void)poll(&pollfd, 1, PATIENCE_MS);
}

/* ---- the owner ---- */

static void *watch_owner(void *arg) {
    struct nest *nest = arg;
    struct pollfd pollfds[2] = {{.fd = nest->pidfd, .events = POLLIN}, {.fd = nest->wake, .events = POLLIN}};
    while (poll(pollfds, 2, -1) < 0 && errno == EINTR)
        continue;
    if (pollfds[1].revents)
        return NULL;
    for (;;) {
        struct member_search search = search_members(nest, SIGKILL);
        if (!search.count)
            break;
        wait_for_death(search.found);
    }
    view_within_end(nest->view);
    put_nest(nest);
    return nest;
}

/* Ends the watcher: true if it has not given up the owner's part, which is then the caller's to give up. */
static bool stop_watching(struct nest *nest) {
    const uint64_t one = 1;
    void *result = NULL;
    if (!__atomic_exchange_n(&nest->watched, false, __ATOMIC_SEQ_CST))
        return false;
    (void)!write(nest->wake, &one, sizeof one);
    pthread_join(nest->watcher, &result);
    return !result;
}

static void destroy(struct nest *nest) {
    descriptor_close(&nest->pidfd);
    descriptor_close(&nest->wake);
    free(nest);
}

/* Takes those that are over out of the list. */
static void sweep_nests(struct session *session) {
    struct nest *over = NULL;
    lock_take(&session->lock);
    for (struct nest **link = &session->nests; *link;) {
        struct nest *nest = *link;
        if (nest->view) {
            link = &nest->next;
            continue;
        }
        *link = nest->next;
        nest->next = over;
        over = nest;
    }
    lock_leave(&session->lock);
    while (over) {
        struct nest *nest = over;
        over = nest->next;
        (void)stop_watching(nest);
        destroy(nest);
    }
}

void nest_clear(struct session *session) {
    for (struct nest *nest = session->nests; nest; nest = nest->next)
        if (stop_watching(nest))
            put_nest(nest);
    sweep_nests(session);
}

static int start_watching(struct nest *nest) {
    nest->pidfd = (int)syscall(SYS_pidfd_open, nest->owner, 0);
    if (nest->pidfd < 0)
        return -errno;
    nest->wake = eventfd(0, EFD_CLOEXEC);
    if (nest->wake < 0)
        return -errno;
    int error = pthread_create(&nest->watcher, NULL, watch_owner, nest);
    __atomic_store_n(&nest->watched, !error, __ATOMIC_SEQ_CST);
    return -error;
}

/* ---- what is asked ---- */

static long probe(struct call *call, struct nest_call *asked) {
    (void)call;
    (void)asked;
    return 0;
}

/* Half of what fits, so that the lower ones do too, and no limit that somebody would set. */
static int choose_mark(struct session *session) {
    uint64_t mark = 0;
    if (session->mark)
        return session->last_nest < IDS ? 0 : -ENOSPC;
    if (getrandom(&mark, sizeof mark, 0) != sizeof mark)
        return -EIO;
    session->mark = (mark >> 1) | (UINT64_C(1) << 62) | IDS;
    return 0;
}

/* From here on it is the session's; the caller holds it. */
static unsigned enlist_nest(struct nest *nest) {
    struct session *session = nest->session;
    lock_take(&session->lock);
    unsigned id = nest->id = ++session->last_nest;
    nest->mark = session->mark - id;
    nest->users = 1;
    take_nest(nest);
    take_nest(nest->parent);
    nest->next = session->nests;
    session->nests = nest;
    lock_leave(&session->lock);
    __atomic_add_fetch(&session->n_nests, 1, __ATOMIC_SEQ_CST);
    return id;
}

static long new_nest(struct call *call, struct nest_call *asked) {
    struct session *session = call->session;
    if (!call->task->cred.own) {
        strcpy(asked->message, "run inside a run: it belongs to another user");
        return -EPERM;
    }
    sweep_nests(session);
    int random = choose_mark(session);
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
    unsigned id = enlist_nest(nest);
    int error = start_watching(nest);
    if (error)
        put_nest(nest);
    put_nest(nest);
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
    return search_members(asked->nest, 0).found;
}

static long kill_members(struct call *call, struct nest_call *asked) {
    (void)call;
    return search_members(asked->nest, SIGKILL).count;
}

static long end_nest(struct call *call, struct nest_call *asked) {
    (void)call;
    if (search_members(asked->nest, 0).found)
        return -EBUSY;
    view_within_end(asked->nest->view);   /* a call of a dead member may not have been ended yet */
    if (stop_watching(asked->nest))
        put_nest(asked->nest);
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
    asked->nest = take_nest(find_nest(call->session, asked->request.id));
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
    put_nest(asked.nest);
    size_t length = strlen(asked.message) + 1;
    if (result < 0 && asked.request.message && asked.request.room >= length &&
        memory_write(&call->memory, asked.request.message, asked.message, length) < 0)
        result = -EFAULT;
    verdict_answer(call, result);
}
