/* nest.c - views within the view of the run, for a ptoverlay that runs inside it.
 *
 * One supervisor serves them all: two could not trap the same calls.  Which view a call is answered by is said by a
 * mark of the process (members.h), which is only looked at while there is such a view.
 *
 * A root of a process's own (chroot(2)) is told by such a mark too: it is a nest without an owner and with the view of
 * the nest, or of the run, that it is in, and lives as long as that.  The same directory is the same root again; its
 * path changes with its name, while the view and the session are locked.
 *
 * Rules: a nest lives as long as its owner, the inner ptoverlay; when that dies its members are killed, as those of a
 * supervisor are.  Its view is freed when nobody is in it: the owner, calls under way, nests in it.  Who uses one after
 * the lock is let go holds it (nests_take(), nests_put()), since its owner may die or end it meanwhile.  Only who asks
 * with the supervisor's own credentials may have layers laid, since an upper says what its objects are.  Nothing here
 * waits, since the thread that would have to bring the end about may be ours; a thread for each nest watches its owner.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kcmp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/descriptor.h"
#include "../../process/family.h"
#include "../../ptoverlay.h"
#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../session.h"
#include "../verdict.h"
#include "clones.h"
#include "members.h"
#include "nest.h"
#include "nests.h"
#include "task.h"

#define IDS 0xffffffu /* a mark is that of the session, at random, less the id: other runs have others */
#define MESSAGE 1024 /* bytes */
#define PATIENCE_MS 100

/* ---- who is where ---- */

struct nest *nests_find(struct session *session, unsigned id) {
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
struct nest *nests_take(struct nest *nest) {
    if (!nest)
        return NULL;
    HELD(&nest->session->lock);
    nest->users++;
    return nest;
}

void nests_put(struct nest *nest) {
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
        if (nest->root)
            __atomic_sub_fetch(&session->n_roots, 1, __ATOMIC_SEQ_CST);
        else
            pto_view_free(view);
        __atomic_sub_fetch(&session->n_nests, 1, __ATOMIC_SEQ_CST);
        nest = parent;
    }
}

bool nest_enter(struct call *call) {
    struct session *session = call->session;
    call->view = session->view;
    call->flags = session->flags;
    call->root = NULL;
    if (__atomic_load_n(&session->n_nests, __ATOMIC_SEQ_CST) == 0)
        return true;
    clones_wait(call);
    uint64_t mark = members_mark(call->task->tid);
    if (mark != MARK_UNKNOWN && (mark | IDS) != session->mark)
        return true;
    lock_take(&session->lock);
    struct nest *nest = nests_take(find_marked(session, mark));
    lock_leave(&session->lock);
    if (nest) {
        call->nest = nest;
        call->view = nest->view;
        call->root = nest->root;
        call->flags |= nest->flags;
    }
    if (!nest)
        verdict_refuse(call, EPERM, "the view of the task is no more");
    return nest;
}

void nest_leave(struct call *call) {
    struct nest *nest = call->nest;
    call->nest = NULL;
    call->root = NULL;
    nests_put(nest);
}

void nest_hide(struct session *session, const char *path) {
    char message[MESSAGE];
    lock_take(&session->lock);
    for (struct nest *nest = session->nests; nest; nest = nest->next)
        if (nest->view && !nest->root)
            (void)view_add_place(nest->view, PTO_HIDDEN, path, message, sizeof message);
    lock_leave(&session->lock);
}

/* ---- members ---- */

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

struct member_search nests_members(struct nest *nest, int signal) {
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

/* The roots in a nest that is over, whose members have ended. */
void nests_put_roots(struct nest *nest) {
    struct session *session = nest->session;
    for (;;) {
        lock_take(&session->lock);
        struct nest *root = session->nests;
        while (root && !(root->root && root->view && root->parent == nest))
            root = root->next;
        lock_leave(&session->lock);
        if (!root)
            return;
        nests_put(root);
    }
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
        struct member_search search = nests_members(nest, SIGKILL);
        if (!search.count)
            break;
        wait_for_death(search.found);
    }
    view_within_end(nest->view);
    nests_put_roots(nest);
    nests_put(nest);
    return nest;
}

/* Ends the watcher: true if it has not given up the owner's part, which is then the caller's to give up. */
bool nests_stop_watching(struct nest *nest) {
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
    free(nest->root);
    free(nest);
}

/* A mount namespace, which nobody owns. */
static bool is_mounts(const struct nest *nest) {
    return !nest->owner && !nest->root;
}

static void end_if_empty(struct nest *nest) {
    if (__atomic_load_n(&nest->begins, __ATOMIC_SEQ_CST) || nests_members(nest, 0).count ||
        __atomic_exchange_n(&nest->empty, true, __ATOMIC_SEQ_CST))
        return;
    nests_put_roots(nest);
    nests_put(nest);
}

/* Mount namespaces that nobody is in any more. */
static void end_empty_nests(struct session *session) {
    lock_take(&session->lock);
    struct nest *nest = session->nests;
    while (nest) {
        bool asked = nest->view && is_mounts(nest) && !__atomic_load_n(&nest->empty, __ATOMIC_SEQ_CST);
        struct nest *held = asked ? nests_take(nest) : NULL;
        if (held) {
            lock_leave(&session->lock);
            end_if_empty(held);
            lock_take(&session->lock);
        }
        nest = nest->next;
        if (held) {
            lock_leave(&session->lock);
            nests_put(held);
            lock_take(&session->lock);
        }
    }
    lock_leave(&session->lock);
}

/* Takes those that are over out of the list. */
void nests_sweep(struct session *session) {
    struct nest *over = NULL;
    end_empty_nests(session);
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
        (void)nests_stop_watching(nest);
        destroy(nest);
    }
}

void nest_clear(struct session *session) {
    for (struct nest *nest = session->nests; nest; nest = nest->next)
        if (nests_stop_watching(nest) || (nest->root && nest->view) ||
            (is_mounts(nest) && !__atomic_exchange_n(&nest->empty, true, __ATOMIC_SEQ_CST)))
            nests_put(nest);
    nests_sweep(session);
}

int nests_start_watching(struct nest *nest) {
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

/* ---- new ones ---- */

/* Half of what fits, so that the lower ones do too, and no limit that somebody would set. */
int nests_choose_mark(struct session *session) {
    uint64_t mark = 0;
    if (session->mark)
        return session->last_nest < IDS ? 0 : -ENOSPC;
    if (getrandom(&mark, sizeof mark, 0) != sizeof mark)
        return -EIO;
    session->mark = (mark >> 1) | (UINT64_C(1) << 62) | IDS;
    return 0;
}

/* From here on it is the session's; the caller holds it. */
unsigned nests_enlist(struct nest *nest) {
    struct session *session = nest->session;
    lock_take(&session->lock);
    unsigned id = nest->id = ++session->last_nest;
    nest->mark = session->mark - id;
    nest->users = 1;
    nests_take(nest);
    nests_take(nest->parent);
    nest->next = session->nests;
    session->nests = nest;
    lock_leave(&session->lock);
    __atomic_add_fetch(&session->n_nests, 1, __ATOMIC_SEQ_CST);
    return id;
}

/* One that a process with this mark can be given. */
static struct nest *find_root(struct session *session, const struct nest *parent, const char *path, uint64_t below) {
    HELD(&session->lock);
    struct nest *nest = session->nests;
    while (nest &&
           !(nest->root && nest->view && nest->parent == parent && nest->mark < below && strcmp(nest->root, path) == 0))
        nest = nest->next;
    return nest;
}

struct nest *nests_new_root(struct call *call, struct nest *parent, const char *path) {
    struct nest *nest = calloc(1, sizeof *nest);
    if (!nest)
        return NULL;
    *nest = (struct nest){.session = call->session, .parent = parent, .view = call->view, .pidfd = -1, .wake = -1};
    nest->flags = parent ? parent->flags : 0;
    nest->root = calloc(1, VIEW_PATH_MAX);
    if (!nest->root) {
        free(nest);
        return NULL;
    }
    strcpy(nest->root, path);
    __atomic_add_fetch(&call->session->n_roots, 1, __ATOMIC_SEQ_CST);
    (void)nests_enlist(nest);
    return nest;
}

/* A child that its parent shares its root with changes it for both (CLONE_FS of clone(2)), and so on upwards: that is
 * how sandboxes give theirs up. */
static int mark_sharers(pid_t pid, uint64_t mark) {
    int error = members_set_mark(pid, mark);
    for (pid_t parent = family_parent(pid); error == 0 && parent > 1; parent = family_parent(parent)) {
        if (syscall(SYS_kcmp, pid, parent, KCMP_FS, 0, 0) != 0)
            break;
        error = members_set_mark(parent, mark);
    }
    return error;
}

int nest_set_root(struct call *call, const char *path) {
    struct session *session = call->session;
    struct nest *parent = call->nest && call->nest->root ? call->nest->parent : call->nest;
    int error = nests_choose_mark(session);
    if (error)
        return error;
    uint64_t mark = members_mark(call->task->tgid);
    if (mark == MARK_UNKNOWN)
        return -EPERM;
    lock_take(&session->lock);
    struct nest *nest = nests_take(find_root(session, parent, path, mark));
    lock_leave(&session->lock);
    if (!nest)
        nest = nests_new_root(call, parent, path);
    error = nest ? mark_sharers(call->task->tgid, nest->mark) : -ENOMEM;
    nests_put(nest);
    return error;
}

bool nest_root_of(struct session *session, pid_t pid, char *out) {
    if (__atomic_load_n(&session->n_roots, __ATOMIC_SEQ_CST) == 0)
        return false;
    uint64_t mark = members_mark(pid);
    lock_take(&session->lock);
    const struct nest *nest = find_marked(session, mark);
    bool found = nest && nest->root;
    if (found)
        strcpy(out, nest->root);
    lock_leave(&session->lock);
    return found;
}

/* ---- roots that move ---- */

/* A root that is `from`, or below it, is `to`, or there.  False: it is elsewhere. */
static bool follow(char *root, const char *from, const char *to) {
    size_t length = strlen(from), new_length = strlen(to);
    if (strncmp(root, from, length) != 0 || (root[length] && root[length] != '/'))
        return false;
    size_t rest = strlen(root + length);
    if (new_length + rest >= VIEW_PATH_MAX)
        return true;
    memmove(root + new_length, root + length, rest + 1);
    memcpy(root, to, new_length);
    return true;
}

/* A directory without a name is none where there is nothing, as d_path() of fs/d_path.c has it. */
static void follow_gone(char *root, const char *path) {
    static const char ending[] = " (deleted)";
    char gone[VIEW_PATH_MAX + sizeof ending];
    size_t length = strlen(path);
    memcpy(gone, path, length);
    memcpy(gone + length, ending, sizeof ending);
    (void)follow(root, path, gone);
}

void nest_renamed(const struct call *call, const char *from, const char *to, bool exchanged) {
    struct session *session = call->session;
    ENTERED(call);
    if (__atomic_load_n(&session->n_roots, __ATOMIC_SEQ_CST) == 0)
        return;
    lock_take(&session->lock);
    for (struct nest *nest = session->nests; nest; nest = nest->next) {
        if (!nest->root || nest->view != call->view || follow(nest->root, from, to))
            continue;
        if (exchanged)
            (void)follow(nest->root, to, from);
        else
            follow_gone(nest->root, to);
    }
    lock_leave(&session->lock);
}

void nest_removed(const struct call *call, const char *path) {
    struct session *session = call->session;
    ENTERED(call);
    if (__atomic_load_n(&session->n_roots, __ATOMIC_SEQ_CST) == 0)
        return;
    lock_take(&session->lock);
    for (struct nest *nest = session->nests; nest; nest = nest->next)
        if (nest->root && nest->view == call->view)
            follow_gone(nest->root, path);
    lock_leave(&session->lock);
}
