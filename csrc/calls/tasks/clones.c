/* clones.c - a child that gets a mount namespace of its own by clone(2), where nobody is told of forks.
 *
 * It begins before its parent's call has returned and tells whom to mark (members.h).  So what it asks waits until
 * then.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <pthread.h>

#include "../../process/family.h"
#include "../call.h"
#include "../session.h"
#include "clones.h"
#include "task.h"

static pthread_mutex_t clone_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t clone_ended = PTHREAD_COND_INITIALIZER;

void clones_begin(struct call *call) {
    struct session *session = call->session;
    pthread_mutex_lock(&clone_lock);
    while (session->cloning)
        pthread_cond_wait(&clone_ended, &clone_lock);
    __atomic_store_n(&session->cloning, call->task->tgid, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&clone_lock);
}

void clones_end(const struct call *call) {
    if (__atomic_load_n(&call->session->cloning, __ATOMIC_SEQ_CST) != call->task->tgid)
        return;
    pthread_mutex_lock(&clone_lock);
    __atomic_store_n(&call->session->cloning, 0, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&clone_ended);
    pthread_mutex_unlock(&clone_lock);
}

void clones_wait(const struct call *call) {
    struct session *session = call->session;
    pid_t parent = __atomic_load_n(&session->cloning, __ATOMIC_SEQ_CST);
    if (!parent || family_parent(call->task->tid) != parent)
        return;
    pthread_mutex_lock(&clone_lock);
    while (session->cloning == parent)
        pthread_cond_wait(&clone_ended, &clone_lock);
    pthread_mutex_unlock(&clone_lock);
}
