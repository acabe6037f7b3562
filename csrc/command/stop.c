/* stop.c - we stop when CMD does, as a job of a shell.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "stop.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static bool has_news(pid_t cmd, int news) {
    siginfo_t info = {.si_pid = 0};
    return waitid(P_PID, (id_t)cmd, &info, news | WNOHANG | WNOWAIT | __WALL) < 0 || info.si_pid != 0;
}

/* The signal is directed at this thread alone: the same one, sent by the terminal to the whole process, may still be
 * pending there, and then another would be lost (signal(7)).  It is made pending before CMD is looked at and let
 * through after: a SIGCONT that comes in between takes both away, as it does when it comes later, so that we stop
 * once and for no stop that is over. */
static void stop_ourselves(pid_t cmd, int signal, int news) {
    const struct timespec now = {0};
    sigset_t one, before;
    if (sigemptyset(&one) < 0 || sigaddset(&one, signal) < 0 || pthread_sigmask(SIG_BLOCK, &one, &before) != 0)
        return;
    (void)raise(signal);
    if (has_news(cmd, news))
        (void)sigtimedwait(&one, NULL, &now);
    else
        pthread_sigmask(SIG_UNBLOCK, &one, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void stop_with_cmd(pid_t cmd, int signal, int news) {
    if (getpgid(cmd) != getpgrp())
        return;
    int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (tty < 0)
        return;   /* no terminal, no shell's job */
    close(tty);
    stop_ourselves(cmd, signal, news);
}
