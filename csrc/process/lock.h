/* lock.h - a mutex, and what is asserted of who has it.
 *
 * Rules: where a function needs a lock that it does not take, it begins with HELD(lock); where it must not have one,
 * since locks are taken in one order, with NOT_HELD(lock).  In builds for tests (PTO_CHECK_LOCKS, build.py) they end
 * the process where that is not so, and cost nothing in others.  Functions of a header alone: csrc/view/ links
 * without this folder.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_LOCK_H
#define PTOVERLAY_LOCK_H

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

struct lock {
    pthread_mutex_t mutex;
#ifdef PTO_CHECK_LOCKS
    pthread_t owner;    /* atomic, and set by who has it alone */
    bool held;
#endif
};
#define LOCK_INITIALIZER {.mutex = PTHREAD_MUTEX_INITIALIZER}

#ifdef PTO_CHECK_LOCKS
static inline void lock_note(struct lock *lock, bool held) {
    __atomic_store_n(&lock->owner, pthread_self(), __ATOMIC_RELAXED);
    __atomic_store_n(&lock->held, held, __ATOMIC_RELAXED);
}

static inline bool lock_is_held(const struct lock *lock) {
    return __atomic_load_n(&lock->held, __ATOMIC_RELAXED) &&
           pthread_equal(__atomic_load_n(&lock->owner, __ATOMIC_RELAXED), pthread_self());
}
#define HELD(lock) (lock_is_held(lock) ? (void)0 : __builtin_trap())
#define NOT_HELD(lock) (lock_is_held(lock) ? __builtin_trap() : (void)0)
#else
static inline void lock_note(struct lock *lock, bool held) {
    (void)lock, (void)held;
}
#define HELD(lock) ((void)sizeof(lock))
#define NOT_HELD(lock) ((void)sizeof(lock))
#endif

/* 0, or an errno. */
static inline int lock_init(struct lock *lock) {
    lock_note(lock, false);
    return pthread_mutex_init(&lock->mutex, NULL);
}

static inline void lock_destroy(struct lock *lock) {
    pthread_mutex_destroy(&lock->mutex);
}

static inline void lock_take(struct lock *lock) {
    NOT_HELD(lock);
    pthread_mutex_lock(&lock->mutex);
    lock_note(lock, true);
}

static inline void lock_leave(struct lock *lock) {
    HELD(lock);
    lock_note(lock, false);
    pthread_mutex_unlock(&lock->mutex);
}

/* Waits for the condition without the lock, and has it again then. */
static inline void lock_wait(struct lock *lock, pthread_cond_t *condition) {
    HELD(lock);
    lock_note(lock, false);
    pthread_cond_wait(condition, &lock->mutex);
    lock_note(lock, true);
}

/* The same until a time of CLOCK_REALTIME: true when it is over. */
static inline bool lock_wait_until(struct lock *lock, pthread_cond_t *condition, const struct timespec *until) {
    HELD(lock);
    lock_note(lock, false);
    bool over = pthread_cond_timedwait(condition, &lock->mutex, until) == ETIMEDOUT;
    lock_note(lock, true);
    return over;
}

#endif
