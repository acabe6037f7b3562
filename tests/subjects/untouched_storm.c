/* untouched_storm.c - processes that get a stub while other things happen to them.
 *
 * `untouched_storm MODE FILE`: CHILDREN processes ask for FILE, of three bytes, each in memory that has no stub yet,
 * ends: when threads of theirs have just been joined;
 * vfork: with the memory of a parent whose other threads ask too;
 * execs: while another thread of theirs executes `untouched_storm leaf FILE`, which asks too;
 * stops: while they are stopped and continued, the last signal being SIGCONT.
 * Prints how many ended otherwise than by exit(0).  Linked statically, so that it has asked nothing before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <err.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILDREN 60
#define QUESTIONS 40
#define THREADS 3

static const char *file;
static atomic_bool over;

static int ask(int n) {
    struct stat st;
    for (int i = 0; i < n; i++)
        if (stat(file, &st) < 0 || st.st_size != 3)
            return 1;
    return 0;
}

static void spin(long microseconds) {
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000000 + (now.tv_nsec - begin.tv_nsec) / 1000 < microseconds);
}

static void *end_soon(void *arg) {
    spin(random() % 60);
    return arg;
}

static void *ask_on(void *arg) {
    while (!over && ask(1) == 0)
        continue;
    return arg;
}

static void start(pthread_t threads[THREADS], void *(*function)(void *)) {
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, function, NULL))
            errx(1, "pthread_create");
}

static void join(pthread_t threads[THREADS]) {
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static int wait_for(pid_t pid) {
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        err(1, "child");
    return status;
}

static int ends(void) {
    pthread_t threads[THREADS];
    pid_t pid = fork();
    if (pid)
        return wait_for(pid);
    srandom((unsigned)getpid());
    start(threads, end_soon);
    join(threads);
    _exit(ask(3));
}

static int by_vfork(void) {
    pid_t pid = vfork();
    if (pid == 0)
        _exit(ask(3));
    return wait_for(pid);
}

static void *execute(void *arg) {
    spin(random() % 150);
    execl("/proc/self/exe", "untouched_storm", "leaf", file, NULL);
    _exit(arg ? 2 : 3);
}

/* One thread: none can be made while another one executes. */
static int execs(void) {
    pthread_t thread;
    pid_t pid = fork();
    if (pid)
        return wait_for(pid);
    srandom((unsigned)getpid());
    if (pthread_create(&thread, NULL, execute, NULL))
        errx(1, "pthread_create");
    spin(random() % 170);
    if (ask(3))
        _exit(1);
    for (;;)
        pause();
}

static void on_signal(int signal) {
    (void)signal;
}

/* Every other child has a handler that does not restart calls: by the notify trap it is traced for that. */
static int ask_with_handler(void) {
    static const struct sigaction action = {.sa_handler = on_signal};
    return getpid() % 2 && sigaction(SIGUSR1, &action, NULL) < 0 ? 1 : ask(QUESTIONS);
}

/* A stop that is not over when all signals have been sent stays: then waitpid() finds it. */
static int stops(void) {
    int status;
    pid_t pid = fork(), found;
    if (pid == 0)
        _exit(ask_with_handler());
    while ((found = waitpid(pid, &status, WUNTRACED | WNOHANG)) == 0) {
        kill(pid, SIGSTOP);
        spin(random() % 50);
        kill(pid, SIGCONT);
        spin(random() % 70);
    }
    if (found == pid && WIFSTOPPED(status))
        kill(pid, SIGKILL);
    return found == pid ? status : -1;
}

static const struct {
    const char *name;
    int (*one)(void);
} modes[] = {{"ends", ends}, {"vfork", by_vfork}, {"execs", execs}, {"stops", stops}};

int main(int argc, char **argv) {
    pthread_t threads[THREADS];
    int bad = 0;
    size_t mode = 0;
    if (argc != 3)
        errx(2, "usage: untouched_storm ends|vfork|execs|stops FILE");
    file = argv[2];
    if (strcmp(argv[1], "leaf") == 0)
        return ask(2);
    while (strcmp(argv[1], modes[mode].name) != 0)
        if (++mode == sizeof modes / sizeof *modes)
            errx(2, "no such mode");
    bool vforks = modes[mode].one == by_vfork;
    if (vforks)
        start(threads, ask_on);
    for (int i = 0; i < CHILDREN; i++)
        bad += modes[mode].one() != 0;
    over = true;
    if (vforks)
        join(threads);
    printf("%d of %d\n", bad, CHILDREN);
    return 0;
}
