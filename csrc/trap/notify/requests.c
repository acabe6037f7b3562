/* requests.c - what others ask of the tender: a queue that it is woken for.
 *
 * Rule: whoever asks waits for the answer, and the tender waits for stops as a rule: the signal that wakes it is
 * sent until the request has been taken.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "requests.h"

#include <signal.h>
#include <time.h>

#include "../../process/clock.h"
#include "../../process/thread.h"
#include "wake.h"

#define RETRY_NS 1000000            /* of waking the tender, which may be about to wait */

void requests_init(struct requests *requests, void *(*work)(void *tender), void *tender) {
    lock_init(&requests->lock);
    pthread_cond_init(&requests->asked, NULL);
    pthread_cond_init(&requests->served, NULL);
    requests->work = work;
    requests->tender = tender;
    requests->made = true;
}

void requests_clear(struct requests *requests) {
    if (!requests->made)
        return;
    lock_take(&requests->lock);
    requests->ending = true;
    pthread_cond_signal(&requests->asked);
    lock_leave(&requests->lock);
    if (requests->has_thread)
        pthread_join(requests->thread, NULL);
    pthread_cond_destroy(&requests->asked);
    pthread_cond_destroy(&requests->served);
    lock_destroy(&requests->lock);
}

void requests_served(struct requests *requests, struct request *request, bool done) {
    lock_take(&requests->lock);
    request->done = done;
    request->served = true;
    pthread_cond_broadcast(&requests->served);
    lock_leave(&requests->lock);
}

struct request *requests_take(struct requests *requests) {
    lock_take(&requests->lock);
    struct request *request = requests->first;
    if (request) {
        requests->first = request->next;
        request->taken = true;
    }
    lock_leave(&requests->lock);
    return request;
}

static bool start_tender(struct requests *requests) {
    HELD(&requests->lock);
    if (!requests->has_thread && wake_signal())
        requests->has_thread = thread_begin(&requests->thread, requests->work, requests->tender) == 0;
    return requests->has_thread;
}

bool requests_ask(struct requests *requests, struct request *request, bool may_start) {
    lock_take(&requests->lock);
    bool can = may_start ? start_tender(requests) : requests->has_thread;
    if (can) {
        request->next = requests->first;
        requests->first = request;
        pthread_cond_signal(&requests->asked);
    }
    while (can && !request->served) {
        if (request->taken) {
            lock_wait(&requests->lock, &requests->served);
            continue;
        }
        struct timespec until = clock_in(RETRY_NS);
        pthread_kill(requests->thread, wake_signal());
        (void)lock_wait_until(&requests->lock, &requests->served, &until);
    }
    lock_leave(&requests->lock);
    return can && request->done;
}

bool requests_wait(struct requests *requests) {
    lock_take(&requests->lock);
    while (!requests->first && !requests->ending)
        lock_wait(&requests->lock, &requests->asked);
    bool go_on = !requests->ending;
    lock_leave(&requests->lock);
    return go_on;
}
