/* interrupted.c - subject: signals with handlers that do not restart calls make none fail that does not wait.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#define CALLS 1500
#define PERIOD_NS 100000

static volatile sig_atomic_t caught;
static bool over;       /* atomic */
static timer_t timer;
static pid_t child;

static void handler(int signal) {
    (void)signal;
    caught++;
}

static void handle(int signal) {
    struct sigaction action = {.sa_handler = handler};
    if (sigaction(signal, &action, NULL) != 0)
        give_up("sigaction");
}

static void pause_shortly(void) {
    const struct timespec period = {.tv_nsec = PERIOD_NS};
    (void)nanosleep(&period, NULL);
}

/* ---- where the signals come from ---- */

static void start_interval(void) {
    struct itimerval value = {{0, PERIOD_NS / 1000}, {0, PERIOD_NS / 1000}};
    if (setitimer(ITIMER_REAL, &value, NULL) != 0)
        give_up("setitimer");
}

static void stop_interval(void) {
    const struct itimerval none = {{0, 0}, {0, 0}};
    (void)setitimer(ITIMER_REAL, &none, NULL);
}

static void start_timer(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    const struct itimerspec value = {{0, PERIOD_NS}, {0, PERIOD_NS}};
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &value, NULL) != 0)
        give_up("timer");
}

static void stop_timer(void) {
    (void)timer_delete(timer);
}

static void *send_to_thread(void *main_thread) {
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        (void)pthread_kill(*(pthread_t *)main_thread, SIGRTMIN + 2);
        pause_shortly();
    }
    return NULL;
}

static pthread_t self, sender;

static void start_thread(void) {
    self = pthread_self();
    __atomic_store_n(&over, false, __ATOMIC_RELAXED);
    if (pthread_create(&sender, NULL, send_to_thread, &self) != 0)
        give_up("thread");
}

static void stop_thread(void) {
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    (void)pthread_join(sender, NULL);
}

static void start_child(void) {
    pid_t parent = getpid();
    child = fork();
    if (child < 0)
        give_up("fork");
    while (child == 0) {
        if (sigqueue(parent, SIGRTMIN + 3, (union sigval){.sival_int = 1}) != 0 && errno == ESRCH)
            _exit(0);
        pause_shortly();
    }
}

static void start_killer(void) {
    pid_t parent = getpid();
    child = fork();
    if (child < 0)
        give_up("fork");
    while (child == 0) {
        if (kill(parent, SIGPIPE) != 0 && errno == ESRCH)
            _exit(0);
        pause_shortly();
    }
}

static void stop_child(void) {
    (void)kill(child, SIGKILL);
    (void)waitpid(child, NULL, 0);
}

/* ---- the calls ---- */

struct source {
    const char *name;
    int signal;
    void (*start)(void);
    void (*stop)(void);
};

static void run(const struct source *source) {
    struct stat st;
    long wrong = 0;
    caught = 0;
    handle(source->signal);
    (void)stat(".", &st);       /* who sends has been seen to call */
    source->start();
    for (int i = 0; i < CALLS || caught < 100; i++) {
        wrong += stat(i % 2 ? "dir" : "missing", &st) != 0 && errno != ENOENT;
        wrong += access("dir/sub/deep", R_OK) != 0 && errno != ENOENT;
        wrong += mkdir("made", 0755) != 0;
        wrong += rmdir("made") != 0;
    }
    source->stop();
    (void)say(text("wrong with %s", source->name), wrong);
}

/* ---- a child of vfork, which has the handlers until it executes ---- */

#define VFORKS 150
#define EXECS 10

/* target: who gets signals, 0: nobody. */
static pid_t start_sender(volatile pid_t *target) {
    pid_t sender_pid = fork();
    if (sender_pid < 0)
        give_up("fork");
    while (sender_pid == 0) {
        pid_t pid = *target;
        if (pid)
            (void)kill(pid, SIGUSR1);
    }
    return sender_pid;
}

static long execs_interrupted(volatile pid_t *target) {
    char *const none[] = {NULL};
    volatile long wrong = 0;
    for (int i = 0; i < VFORKS; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            *target = getpid();
            for (int j = 0; j < EXECS; j++)
                wrong += execve("missing", none, none) == 0 || errno != ENOENT;
            *target = 0;
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) != pid)
            give_up("vfork");
    }
    return wrong;
}

/* SIGCHLD's handler is the first one, as in a shell with traps. */
static void run_vfork(void) {
    volatile pid_t *target = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (target == MAP_FAILED)
        give_up("mmap");
    handle(SIGCHLD);
    handle(SIGUSR1);
    child = start_sender(target);
    long wrong = execs_interrupted(target);
    stop_child();
    (void)say("wrong in children of vfork", wrong);
}

int main(int argc, char **argv) {
    const struct source sources[] = {
        {"setitimer", SIGALRM, start_interval, stop_interval},
        {"timer_create", SIGRTMIN + 1, start_timer, stop_timer},
        {"pthread_kill", SIGRTMIN + 2, start_thread, stop_thread},
        {"sigqueue", SIGRTMIN + 3, start_child, stop_child},
        {"kill", SIGPIPE, start_killer, stop_child},
    };
    (void)subject_start(argc, argv);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        run(&sources[i]);
    run_vfork();
    return 0;
}
