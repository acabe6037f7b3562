/* affinity.c - subject: processes that are busy with calls at a time, see the CPUs that they were given, their children as well.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <sched.h>

#define BUSY 4
#define ROUNDS 200
#define CALLS 20 /* between two looks */

static bool is_given(const cpu_set_t *given) {
    cpu_set_t now;
    return SYS(sched_getaffinity, 0, sizeof now, &now) > 0 && memcmp(&now, given, 8) == 0;
}

static int child_differs(const cpu_set_t *given) {
    int status;
    pid_t child = fork();
    if (child == 0)
        _exit(is_given(given) ? 0 : 1);
    return child < 0 || waitpid(child, &status, 0) < 0 || status != 0;
}

/* How often another affinity was seen than the given one. */
static _Noreturn void be_busy(const cpu_set_t *given) {
    int differing = 0;
    struct stat st;
    const char *made = keep(text("made-%d", getpid()));
    for (int i = 0; i < ROUNDS; i++) {
        for (int call = 0; call < CALLS; call++)
            (void)SYS(newfstatat, AT_FDCWD, "file", &st, 0);
        differing += !is_given(given);
        differing += child_differs(given);
        (void)put(made, "x"); /* its descriptor is handed over */
        differing += !is_given(given);
        (void)SYS(unlinkat, AT_FDCWD, made, 0);
    }
    _exit(differing < 100 ? differing : 100);
}

/* Every second one has a single CPU. */
static pid_t start(int i) {
    cpu_set_t given;
    memset(&given, 0, sizeof given);
    if (SYS(sched_getaffinity, 0, sizeof given, &given) < 0)
        give_up("sched_getaffinity");
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    for (int cpu = 0; i % 2 && cpu < CPU_SETSIZE && CPU_COUNT(&given) > 1; cpu++)
        CPU_CLR(cpu, &given);
    if (i % 2 && SYS(sched_setaffinity, 0, sizeof given, &given) < 0)
        give_up("sched_setaffinity");
    be_busy(&given);
}

int main(int argc, char **argv) {
    int status;
    (void)subject_start(argc, argv);
    for (int i = 0; i < BUSY; i++)
        if (start(i) < 0)
            give_up("fork");
    for (int differing = 0, ended = 0; ended < BUSY; ended++) {
        if (wait(&status) < 0 || !WIFEXITED(status))
            give_up("wait");
        differing += WEXITSTATUS(status);
        if (ended == BUSY - 1)
            (void)say("differing", differing);
    }
    return 0;
}
