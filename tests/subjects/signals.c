/* signals.c - subject: calls under a storm of signals are carried out once, and are restarted where they should be.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <signal.h>
#include <spawn.h>
#include <sys/time.h>

static volatile sig_atomic_t caught;

static void on_alarm(int number) {
    (void)number;
    caught++;
}

static void storm(bool on) {
    struct itimerval timer = {{0, on ? 300 : 0}, {0, on ? 300 : 0}};
    if (setitimer(ITIMER_REAL, &timer, NULL) != 0)
        give_up("setitimer");
}

int main(int argc, char **argv) {
    (void)subject_start(argc, argv);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    action.sa_flags = SA_RESTART;
    if (sigaction(SIGALRM, &action, NULL) != 0)
        give_up("sigaction");
    unsigned wrong = 0;
    long first = 0;
    storm(true);
    for (int i = 0; i < 250; i++) {
        const char *name = text("s-%d", i);
        const long results[] = {
            SYS(mkdir, name, 0755),
            SYS(chdir, name),
            put("x", "once") - 4,
            SYS(link, "x", "y"),
            SYS(rename, "y", "../full/z"),
            SYS(unlink, "../full/z"),
            SYS(unlink, "x"),
            SYS(chdir, ".."),
            SYS(chmod, name, 0700),
            SYS(rmdir, name),
            SYS(access, "dir/sub/deep", R_OK),
        };
        for (size_t j = 0; j < sizeof results / sizeof *results; j++)
            if (results[j]) {
                wrong++;
                first = first ? first : results[j];
            }
    }
    for (int i = 0; i < 30; i++) {
        pid_t pid;
        char *arguments[] = {"true", NULL};
        int status = 1;
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) != 0)
            wrong++;
        else if (waitpid(pid, &status, 0) != pid || status != 0)
            wrong++;
    }
    storm(false);
    (void)say("wrong", wrong);
    (void)say("first wrong", first);
    (void)say("signals came", caught > 10);
    show_list("full", "full");
    show_list("emptydir", "emptydir");
    return 0;
}
