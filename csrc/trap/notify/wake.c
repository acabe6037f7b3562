/* wake.c - ending the wait of a thread of ours, by a signal.
 *
 * (Not by pthread_cancel(3), which loads a library when it is first called.)
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "wake.h"

#include <pthread.h>
#include <signal.h>

#define WAKE_SIGNAL (SIGRTMAX - 1)

static void do_nothing(int signal) {
    (void)signal;
}

static int handled;

static void handle_wake_signal(void) {
    struct sigaction wake = {.sa_handler = do_nothing};
    if (sigaction(WAKE_SIGNAL, &wake, NULL) == 0)
        handled = WAKE_SIGNAL;
}

/* It stays: several runs may use it at a time. */
int wake_signal(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, handle_wake_signal);
    return handled;
}

void wake_let_through(void) {
    sigset_t wake;
    if (sigemptyset(&wake) == 0 && sigaddset(&wake, WAKE_SIGNAL) == 0)
        pthread_sigmask(SIG_UNBLOCK, &wake, NULL);
}
