/* seen.c - the credentials that tasks of a fake root see, who has which, and how they are inherited.
 *
 * The kernel goes on with the user's own, which no call of a task changes.  By the notify trap nobody hears of a fork,
 * so which credentials a process has is told, as its nest is (members.c), by what is inherited: the hard resource limit
 * RLIMIT_RSS, which has had no meaning since Linux 2.4.30 (getrlimit(2)).  A hard limit can only be lowered, so each
 * change gets a number of its own and a lower limit than all before; who is back to what he was gets another number of
 * the same credentials.
 *
 * Rules: no tracee sets or sees that limit (rlimits.c).  A thread has what it has set itself; a task that is not known
 * yet has what its process's limit says, and root's where it says nothing.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "../../process/rlimit.h"
#include "../../ptoverlay.h"
#include "../session.h"
#include "limits.h"
#include "seen.h"
#include "task.h"

#define FIRST_MARK (RLIM_INFINITY - 1)
#define ALL_CAPABILITIES ((UINT64_C(2) << CAP_LAST_CAP) - 1)
#define LOOK_BACK 64u           /* numbers that are looked through for one that a child may have, too */

/* What was seen at some time, and under which numbers; the lock is the session's. */
struct seen_book {
    const struct seen **by_number;
    size_t count, room;
};

bool seen_wanted(const struct session *session) {
    return session->features & PTO_FEATURE_FAKE_ROOT;
}

bool seen_equal(const struct seen *a, const struct seen *b) {
    return memcmp(a->uid, b->uid, sizeof a->uid) == 0 && memcmp(a->gid, b->gid, sizeof a->gid) == 0 &&
           a->inheritable == b->inheritable && a->permitted == b->permitted && a->effective == b->effective &&
           a->bounding == b->bounding && a->ambient == b->ambient && a->securebits == b->securebits &&
           a->ngroups == b->ngroups && memcmp(a->groups, b->groups, a->ngroups * sizeof *a->groups) == 0;
}

struct seen *seen_copy(const struct seen *seen, size_t ngroups) {
    struct seen *copy = calloc(1, sizeof *copy + ngroups * sizeof *copy->groups);
    if (!copy)
        return NULL;
    size_t same = ngroups < seen->ngroups ? ngroups : seen->ngroups;
    memcpy(copy, seen, sizeof *copy + same * sizeof *copy->groups);
    copy->ngroups = ngroups;
    return copy;
}

/* ---- the book, under the session's lock ---- */

static int book_add(struct seen_book *book, const struct seen *seen) {
    if (book->count == book->room) {
        size_t room = book->room ? book->room * 2 : 16;
        const struct seen **larger = realloc(book->by_number, room * sizeof *larger);
        if (!larger)
            return -ENOMEM;
        book->by_number = larger;
        book->room = room;
    }
    book->by_number[book->count++] = seen;
    return 0;
}

static struct seen_book *book_of(struct session *session) {
    static const struct seen root = {
        .permitted = ALL_CAPABILITIES, .effective = ALL_CAPABILITIES, .bounding = ALL_CAPABILITIES};
    struct seen_book *book = session->seen;
    if (book)
        return book;
    book = calloc(1, sizeof *book);
    struct seen *first = book ? seen_copy(&root, 0) : NULL;
    if (!first || book_add(book, first) < 0) {
        free(first);
        free(book);
        return NULL;
    }
    session->seen = book;
    return book;
}

/* The one that is kept already, or a copy. */
static const struct seen *book_keep(const struct seen_book *book, const struct seen *seen) {
    for (size_t i = book->count; i-- > 0;)
        if (seen_equal(book->by_number[i], seen))
            return book->by_number[i];
    return seen_copy(seen, seen->ngroups);
}

/* A number of these credentials that is higher than `above`: *number; -ENOMEM. */
static int book_number(struct seen_book *book, const struct seen *seen, size_t above, size_t *number) {
    size_t end = above + LOOK_BACK < book->count ? above + LOOK_BACK : book->count;
    for (size_t i = above; i < end; i++) {
        *number = i;
        if (seen_equal(book->by_number[i], seen))
            return 0;
    }
    const struct seen *kept = book_keep(book, seen);
    if (!kept)
        return -ENOMEM;
    *number = book->count;
    return book_add(book, kept);
}

/* The number that a process's limit tells. */
static size_t number_of(const struct seen_book *book, uint64_t limit) {
    uint64_t number = FIRST_MARK - limit;
    return number < book->count ? (size_t)number : 0;
}

/* ---- whose they are ---- */

const struct seen *seen_of_process(struct session *session, pid_t pid) {
    struct rlimit limit;
    uint64_t mark = rlimit_get(pid, RLIMIT_RSS, &limit) < 0 ? RLIM_INFINITY : limit.rlim_max;
    lock_take(&session->lock);
    const struct seen_book *book = book_of(session);
    const struct seen *seen = book ? book->by_number[number_of(book, mark)] : NULL;
    lock_leave(&session->lock);
    return seen;
}

const struct seen *seen_of(struct task *task) {
    if (!task->seen && seen_wanted(task->session))
        task->seen = seen_of_process(task->session, task->tid);
    return task->seen;
}

int seen_set(struct task *task, const struct seen *seen) {
    struct session *session = task->session;
    struct rlimit limit;
    pid_t pid = task->tgid ? task->tgid : task->tid;   /* after an execve the thread may be gone */
    int error = rlimit_get(pid, RLIMIT_RSS, &limit);
    if (error < 0)
        return error;
    lock_take(&session->lock);
    size_t number = 0;
    struct seen_book *book = book_of(session);
    error = book ? book_number(book, seen, number_of(book, limit.rlim_max), &number) : -ENOMEM;
    const struct seen *kept = error ? NULL : book->by_number[number];
    lock_leave(&session->lock);
    if (error)
        return error;
    limit.rlim_max = FIRST_MARK - number;
    limit.rlim_cur = limits_least(limit.rlim_cur, limit.rlim_max);
    if (prlimit(pid, RLIMIT_RSS, &limit, NULL) < 0)
        return -errno;
    task->seen = kept;
    task->cred_known = false;
    return 0;
}

void seen_clear(struct session *session) {
    struct seen_book *book = session->seen;
    for (size_t i = 0; book && i < book->count; i++) {
        bool again = false;
        for (size_t j = 0; j < i && !again; j++)
            again = book->by_number[j] == book->by_number[i];
        if (!again)
            free((void *)book->by_number[i]);
    }
    if (book)
        free(book->by_number);
    free(book);
    session->seen = NULL;
}

/* ---- execve ---- */

/* cap_bprm_creds_from_file(), security/commoncap.c, for files without capabilities of their own. */
static void give_capabilities(struct seen *seen, bool set_id) {
    bool root = !(seen->securebits & SECBIT_NOROOT) && (seen->uid[SEEN_REAL] == 0 || seen->uid[SEEN_EFFECTIVE] == 0);
    if (set_id)
        seen->ambient = 0;
    seen->permitted = root ? seen->bounding | seen->inheritable : 0;
    bool effective = root && seen->uid[SEEN_EFFECTIVE] == 0;
    seen->permitted |= seen->ambient;
    seen->effective = effective ? seen->permitted : seen->ambient;
}

int seen_after_exec(const struct seen *seen, mode_t mode, uid_t uid, gid_t gid, struct seen **after) {
    struct seen *next = seen_copy(seen, seen->ngroups);
    if (!next)
        return -ENOMEM;
    if (mode & S_ISUID)
        next->uid[SEEN_EFFECTIVE] = uid;
    if ((mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP))
        next->gid[SEEN_EFFECTIVE] = gid;
    bool set_id = next->uid[SEEN_EFFECTIVE] != seen->uid[SEEN_EFFECTIVE] ||
                  next->gid[SEEN_EFFECTIVE] != seen->gid[SEEN_EFFECTIVE];
    give_capabilities(next, set_id);
    next->uid[SEEN_SAVED] = next->uid[SEEN_FS] = next->uid[SEEN_EFFECTIVE];
    next->gid[SEEN_SAVED] = next->gid[SEEN_FS] = next->gid[SEEN_EFFECTIVE];
    next->securebits &= ~(unsigned)SECBIT_KEEP_CAPS;
    *after = next;
    return 0;
}
