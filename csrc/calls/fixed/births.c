/* births.c - the tasks of a build by how they came to be: which child of which child of CMD.
 *
 * A task is the n-th that its parent has made. So its path of numbers, and what is made of it, do not depend on who of
 * two that run at one time is faster. The parent's call is seen before the child is there, and the child at its first
 * call, which the C library makes at once (set_robust_list(2)), and other children when they execute. Of several
 * children that have not called yet the kernel's last process id, as it was before each was made, tells which is which,
 * since ids are given in turn (kernel/pid.c). A call that a signal has made the kernel restart has made no child, and
 * is the same when it comes again.
 *
 * Rule: an id that comes again is another task's: of the same one the time of its start is the same.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/family.h"
#include "../../process/proc.h"
#include "../call.h"
#include "../session.h"
#include "../tasks/task.h"
#include "births.h"
#include "fixed.h"
#include "splitmix.h"

#define BUCKETS 1024u
#define START 22u               /* starttime in /proc/TID/stat */
#define ID_MASK ((4u << 20) - 1)    /* PID_MAX_LIMIT, include/linux/threads.h */
#define UNCLAIMED_MAX 64u       /* births of a run of which nobody has heard: the oldest one is forgotten */

struct birth {
    struct birth *next;         /* in its bucket */
    pid_t tid;
    pid_t process;
    uint64_t start;             /* in ticks since the machine's */
    uint64_t path;              /* a hash of its numbers and its parents' */
    uint64_t children;          /* that it has begun to make */
    uint64_t stream;            /* of random bytes: the state */
};

/* A child of whom nothing is known yet. */
struct unclaimed {
    pid_t maker;                /* the task that makes it */
    pid_t parent;               /* whose process it is a child of, or for a thread a part */
    bool thread;
    uint64_t path;
    unsigned last;              /* id that was given before */
};

struct births {
    struct birth *buckets[BUCKETS];
    struct unclaimed unclaimed[UNCLAIMED_MAX];
    unsigned n_unclaimed;
    uint64_t orphans;           /* tasks whose birth was not seen; CMD is the first */
};

void births_clear(struct fixed *fixed) {
    for (unsigned i = 0; fixed->births && i < BUCKETS; i++) {
        for (struct birth *birth; (birth = fixed->births->buckets[i]);) {
            fixed->births->buckets[i] = birth->next;
            free(birth);
        }
    }
    free(fixed->births);
    fixed->births = NULL;
}

static uint64_t start_of(pid_t tid) {
    char text[2048];
    const char *at = proc_stat_field(tid, START, text, sizeof text);
    return at ? strtoull(at, NULL, 10) : 0;
}

/* proc_loadavg(5): its last field, of the namespace of process ids that we are in. */
static unsigned last_id(void) {
    char text[128];
    int fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *last = strrchr(text, ' ');
    return last ? (unsigned)strtoul(last + 1, NULL, 10) : 0;
}

static struct birth *find(const struct births *births, pid_t tid) {
    uint64_t start = start_of(tid);
    struct birth *birth = births->buckets[(unsigned)tid % BUCKETS];
    while (birth && (birth->tid != tid || birth->start != start))
        birth = birth->next;
    return birth;
}

static void forget_unclaimed(struct births *births, unsigned i) {
    births->n_unclaimed--;
    memmove(&births->unclaimed[i], &births->unclaimed[i + 1], (births->n_unclaimed - i) * sizeof *births->unclaimed);
}

/* Which of those that nobody has claimed: of this parent, or where it is gone of any, the one whose last id comes
 * before it most closely. */
static bool claim(struct births *births, pid_t tid, pid_t parent, uint64_t *path) {
    unsigned found = births->n_unclaimed, best = 0;
    for (int any = 0; any < 2 && found == births->n_unclaimed; any++) {
        for (unsigned i = 0; i < births->n_unclaimed; i++) {
            const struct unclaimed *one = &births->unclaimed[i];
            unsigned distance = ((unsigned)tid - one->last) & ID_MASK;
            if ((!any && one->parent != parent) || (found < births->n_unclaimed && distance >= best))
                continue;
            found = i;
            best = distance;
        }
    }
    if (found == births->n_unclaimed)
        return false;
    *path = births->unclaimed[found].path;
    forget_unclaimed(births, found);
    return true;
}

/* NULL: there is no memory. */
static struct birth *enter(struct fixed *fixed, pid_t tid, pid_t process, uint64_t path) {
    struct birth **bucket = &fixed->births->buckets[(unsigned)tid % BUCKETS];
    struct birth *birth = calloc(1, sizeof *birth);
    if (!birth)
        return NULL;
    *birth = (struct birth){.next = *bucket,
                            .tid = tid,
                            .process = process,
                            .start = start_of(tid),
                            .path = path,
                            .stream = splitmix_of(fixed->random + path)};
    *bucket = birth;
    return birth;
}

static struct birth *enter_caller(struct fixed *fixed, pid_t tid) {
    pid_t parent;
    uint64_t path;
    pid_t process = family_of(tid, &parent);
    if (!claim(fixed->births, tid, process == tid ? parent : process, &path))
        path = splitmix_of(fixed->births->orphans++);
    return enter(fixed, tid, process, path);
}

static struct birth *birth_of(struct fixed *fixed, struct call *call) {
    HELD(&fixed->lock);
    struct task *task = call->task;
    if (task->birth)
        return task->birth;
    if (!fixed->births)
        fixed->births = calloc(1, sizeof *fixed->births);
    if (!fixed->births)
        return NULL;
    task->birth = find(fixed->births, task->tid);
    if (!task->birth)
        task->birth = enter_caller(fixed, task->tid);
    return task->birth;
}

void births_meet(struct call *call) {
    struct fixed *fixed = call->session->fixed;
    if (call->task->birth)
        return;
    lock_take(&fixed->lock);
    (void)birth_of(fixed, call);
    lock_leave(&fixed->lock);
}

bool births_thread(const struct call *call) {
    const struct birth *birth = call->task->birth;
    return birth && birth->process != birth->tid;
}

uint64_t *births_stream(struct fixed *fixed, struct call *call) {
    struct birth *birth = birth_of(fixed, call);
    return birth ? &birth->stream : NULL;
}

/* The parent that its child will have; fork and vfork have no flags. */
static pid_t parent_to_be(const struct call *call, const struct birth *birth) {
    bool sibling = call->nr == __NR_clone && (call->arg[0] & CLONE_PARENT) && !(call->arg[0] & CLONE_THREAD);
    return sibling ? family_parent(birth->process) : birth->process;
}

/* Who was born since the last id of an unclaimed birth, and has not called. */
struct newborn {
    const struct births *births;
    unsigned last;
    pid_t tid;                  /* the first of them; 0: nobody */
};

static void look_at_newborn(void *arg, pid_t tid) {
    struct newborn *newborn = arg;
    unsigned age = ((unsigned)tid - newborn->last) & ID_MASK;
    if (age && (!newborn->tid || age < (((unsigned)newborn->tid - newborn->last) & ID_MASK)) && age <= ID_MASK / 2 &&
        !find(newborn->births, tid))
        newborn->tid = tid;
}

/* The child that the call before this one has made is known from now on; or there is none, and its number is free. */
static void settle(struct fixed *fixed, struct birth *birth) {
    HELD(&fixed->lock);
    struct births *births = fixed->births;
    unsigned i = 0;
    while (i < births->n_unclaimed && births->unclaimed[i].maker != birth->tid)
        i++;
    if (i == births->n_unclaimed)
        return;
    const struct unclaimed one = births->unclaimed[i];
    struct newborn newborn = {.births = births, .last = one.last};
    if (one.thread)
        family_threads(birth->process, look_at_newborn, &newborn);
    else
        family_thread_children(birth->tid, look_at_newborn, &newborn);
    forget_unclaimed(births, i);
    if (newborn.tid)
        (void)enter(fixed, newborn.tid, one.thread ? birth->process : newborn.tid, one.path);
    else
        birth->children--;
}

void births_begin(struct call *call) {
    struct fixed *fixed = call->session->fixed;
    unsigned last = last_id();
    lock_take(&fixed->lock);
    struct birth *birth = birth_of(fixed, call);
    struct births *births = fixed->births;
    if (birth) {
        settle(fixed, birth);
        if (births->n_unclaimed == UNCLAIMED_MAX)
            forget_unclaimed(births, 0);
        births->unclaimed[births->n_unclaimed++] =
            (struct unclaimed){.maker = birth->tid,
                               .parent = parent_to_be(call, birth),
                               .thread = call->nr == __NR_clone && (call->arg[0] & CLONE_THREAD),
                               .path = splitmix_of(birth->path + ++birth->children),
                               .last = last};
    }
    lock_leave(&fixed->lock);
}
