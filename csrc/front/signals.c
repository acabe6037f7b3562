/* signals.c - signals while CMD runs: what reaches us goes on to CMD, and nothing ends us before the layers are put
 * away.
 *
 * Every signal that would end or stop us is blocked, and one thread takes them with sigwaitinfo(2).  What another
 * process sent to us goes on to CMD.  What the kernel sent because of the terminal (Ctrl-C, Ctrl-Z, a hang-up) is
 * dropped: CMD is in the same process group and has got it too.  When CMD has stopped because of it, the core stops us
 * as well (command/stop.c), so that the shell that waits for us sees it.
 *
 * Rules: no handler runs while CMD does; the mask is put back only when nothing is pending.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../ptoverlay.h"
#include "left.h"

#define JUST_NOW 200               /* milliseconds */
#define RETRY 10000000L            /* nanoseconds */
#define LOOK 200000000L

struct pto_signals {
    sigset_t blocked, mask;        /* mask: as it was */
    struct sigaction child;        /* of SIGCHLD, as it was */
    pthread_t thread;
    bool forwarding;
    atomic_bool done;
    const void *run;
    char *command;                 /* what is told of CMD calls it so; NULL: nothing is told */
};

/* Signals that tell of a fault of our own, or that are harmless: they keep their meaning. */
static const int left_alone[] = {
    SIGKILL, SIGSTOP, SIGCHLD, SIGURG,  SIGWINCH, SIGSEGV, SIGBUS,
    SIGFPE,  SIGILL,  SIGTRAP, SIGABRT, SIGSYS,   SIGPIPE, SIGXFSZ,
};
static const int of_terminal[] = {SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
static const int of_ending[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
#define IS_IN(number, list) is_in(number, list, sizeof(list) / sizeof *(list))

static bool is_in(int number, const int *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (list[i] == number)
            return true;
    return false;
}

/* A signal that was ignored when we started is ignored by CMD too, and stays so. */
static bool is_held(int number) {
    struct sigaction now;
    if (number == SIGRTMIN)   /* we send it to the thread to end its waiting */
        return true;
    return !IS_IN(number, left_alone) && sigaction(number, NULL, &now) == 0 && now.sa_handler != SIG_IGN;
}

pto_signals *pto_signals_hold(void) {
    struct pto_signals *signals = calloc(1, sizeof *signals);
    if (!signals)
        return NULL;
    (void)sigemptyset(&signals->blocked);
    for (int number = 1; number <= SIGRTMAX; number++)
        if (is_held(number))   /* those of the C library itself have no action that could be asked for */
            (void)sigaddset(&signals->blocked, number);
    if (pthread_sigmask(SIG_BLOCK, &signals->blocked, &signals->mask) != 0) {
        free(signals);
        return NULL;
    }
    /* With SIGCHLD ignored the kernel would throw CMD's exit status away. */
    const struct sigaction plain = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGCHLD, &plain, &signals->child);
    return signals;
}

uint64_t pto_signals_blocked(const pto_signals *signals) {
    uint64_t blocked = 0;
    for (int number = 1; number <= SIGRTMAX; number++)
        if (sigismember(&signals->mask, number) == 1)
            blocked |= UINT64_C(1) << (number - 1);
    return blocked;
}

/* Whether CMD has ended, and not just now: what came with the signal that ended it was for CMD. */
static bool is_over(const struct pto_signals *signals) {
    return pto_ended(signals->run) > JUST_NOW;
}

/* True when nobody is there who could take it, and what is left is to end. */
static bool hand_on(struct pto_signals *signals, int number) {
    const struct timespec pause = {.tv_nsec = RETRY};
    while (pto_signal(signals->run, number) != 0 && !atomic_load(&signals->done)) {
        if (is_over(signals))
            return IS_IN(number, of_ending);
        (void)nanosleep(&pause, NULL);   /* CMD is about to come */
    }
    return false;
}

static bool is_terminals_own(const siginfo_t *info) {
    return IS_IN(info->si_signo, of_terminal) && info->si_code == SI_KERNEL;
}

/* Takes one signal, waiting `pause` nanoseconds for it, or for ever (0); 0: none came. */
static int take(const struct pto_signals *signals, long pause, siginfo_t *info) {
    const struct timespec time = {.tv_nsec = pause};
    int number = pause ? sigtimedwait(&signals->blocked, info, &time) : sigwaitinfo(&signals->blocked, info);
    return number < 0 ? 0 : number;
}

static void *forward(void *arg) {
    struct pto_signals *signals = arg;
    bool ending = false, look = signals->command != NULL;
    while (!atomic_load(&signals->done)) {
        siginfo_t info;
        int number = take(signals, ending ? RETRY : look ? LOOK : 0, &info);
        if (!number)
            look = look && !ending && (!is_over(signals) || !left_tell(signals->run, signals->command));
        else if (IS_IN(number, of_ending) && is_over(signals))
            ending = true;
        else if (number != SIGRTMIN && !is_terminals_own(&info))
            ending |= hand_on(signals, number);
        if (ending)
            (void)pto_end(signals->run);
    }
    return NULL;
}

int pto_signals_forward(pto_signals *signals, const void *run, const char *command) {
    signals->run = run;
    atomic_store(&signals->done, false);
    if (command && !(signals->command = strdup(command)))
        return -ENOMEM;
    int error = pthread_create(&signals->thread, NULL, forward, signals);
    signals->forwarding = !error;
    return -error;
}

void pto_signals_stop(pto_signals *signals) {
    if (!signals->forwarding)
        return;
    atomic_store(&signals->done, true);
    (void)pthread_kill(signals->thread, SIGRTMIN);
    (void)pthread_join(signals->thread, NULL);
    signals->forwarding = false;
}

void pto_signals_release(pto_signals *signals) {
    const struct timespec now = {0};
    siginfo_t info;
    pto_signals_stop(signals);
    while (sigtimedwait(&signals->blocked, &info, &now) > 0 || errno == EINTR) {
        /* came after CMD had ended */
    }
    (void)sigaction(SIGCHLD, &signals->child, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &signals->mask, NULL);
    free(signals->command);
    free(signals);
}
