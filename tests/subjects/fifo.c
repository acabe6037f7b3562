/* fifo.c - subject: opens of fifos that wait, and what ends the wait: a peer, a signal, death.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "subject.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

static volatile sig_atomic_t handled;

static void handler(int signal) {
    (void)signal;
    handled++;
}

static void handle(int signal, int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    if (sigaction(signal, &action, NULL) != 0)
        give_up("sigaction");
}

static void *nothing(void *arg) {
    (void)pause();
    return arg;
}

/* With another thread that takes no signals, or takes them too, a signal of the process's has a choice. */
static void add_thread(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) != 0)
        give_up("thread");
}

/* Until the task is in an open, asleep in one way or other. */
static void wait_until_it_waits(pid_t pid) {
    char state = 'R';
    long nr = -1;
    while ((state != 'S' && state != 'D') || (nr != __NR_openat && nr != __NR_openat2)) {
        FILE *stat = fopen(text("/proc/%d/stat", pid), "re"), *call = fopen(text("/proc/%d/syscall", pid), "re");
        if (!stat || !call || fscanf(stat, "%*d %*s %c", &state) != 1)
            give_up("stat");
        if (fscanf(call, "%ld", &nr) != 1)
            nr = -1;
        (void)fclose(stat);
        (void)fclose(call);
    }
}

struct opener {
    const char *name;
    int flags, sa_flags;    /* of the open; of its handler */
    bool threads;
};

/* A child that opens and tells the result by its status: 0, or the errno; 100 more when its handler ran. */
static pid_t start(const char *path, const struct opener *opener) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    handle(SIGUSR1, opener->sa_flags);
    if (opener->threads)
        add_thread();
    long fd = SYS(openat, AT_FDCWD, path, opener->flags);
    _exit((fd < 0 ? (int)-fd : 0) + (handled ? 100 : 0));
}

/* One that comes before the open has begun does not end it. */
static void signal_until_it_ends(pid_t pid) {
    siginfo_t info = {.si_pid = 0};
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0) {
        (void)kill(pid, SIGUSR1);
        (void)sched_yield();
    }
}

static void end(const char *what, pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) != pid)
        give_up("waitpid");
    say_status(what, status);
}

/* The other end, which is there for a moment. */
static void meet(const char *path, int flags) {
    long fd = SYS(openat, AT_FDCWD, path, (flags & O_ACCMODE) == O_RDONLY ? O_WRONLY : O_RDONLY);
    if (fd < 0)
        give_up("peer");
    (void)SYS(close, fd);
}

static void with(const char *path, const struct opener *opener) {
    const char *who = keep(text("%s of %s", opener->name, path));
    pid_t pid = start(path, opener);
    wait_until_it_waits(pid);
    meet(path, opener->flags);
    end(text("%s, peer", who), pid);

    pid = start(path, opener);
    wait_until_it_waits(pid);
    if (opener->sa_flags & SA_RESTART) {
        (void)kill(pid, SIGUSR1);
        meet(path, opener->flags);
    } else {
        signal_until_it_ends(pid);
    }
    end(text("%s, signal", who), pid);

    pid = start(path, opener);
    wait_until_it_waits(pid);
    (void)kill(pid, SIGSTOP);
    int status;
    (void)say(text("%s, stopped", who), waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    (void)kill(pid, SIGCONT);
    meet(path, opener->flags);
    end(text("%s, continued", who), pid);

    pid = start(path, opener);
    wait_until_it_waits(pid);
    (void)kill(pid, SIGKILL);
    end(text("%s, killed", who), pid);
}

/* One who was killed, and whose death is known, is no peer any more: until a signal comes nobody is met. */
static void meet_nobody(const char *path, const struct opener *opener) {
    const struct itimerval often = {{.tv_usec = 20000}, {.tv_usec = 20000}}, never = {{0}, {0}};
    int status;
    pid_t pid = start(path, opener);
    wait_until_it_waits(pid);
    (void)kill(pid, SIGKILL);
    if (waitpid(pid, &status, 0) != pid)
        give_up("waitpid");
    handle(SIGALRM, 0);
    (void)setitimer(ITIMER_REAL, &often, NULL);
    long fd = ok(text("peer of a killed %s of %s", opener->name, path),
                 SYS(openat, AT_FDCWD, path, opener->flags == O_RDONLY ? O_WRONLY : O_RDONLY));
    (void)setitimer(ITIMER_REAL, &never, NULL);
    (void)SYS(close, fd);
}

static void *read_fifo(void *path) {
    char data[8] = "";
    long fd = SYS(openat, AT_FDCWD, (const char *)path, O_RDONLY);
    long n = SYS(read, fd, data, sizeof data - 1);
    (void)SYS(close, fd);
    return (void *)n;
}

static void without_waiting(const char *path) {
    pthread_t thread;
    void *n;
    (void)ok(text("%s for writing, no peer", path), SYS(openat, AT_FDCWD, path, O_WRONLY | O_NONBLOCK));
    long fd = ok(text("%s for reading, no peer", path), SYS(openat, AT_FDCWD, path, O_RDONLY | O_NONBLOCK));
    (void)SYS(close, fd);
    fd = ok(text("%s for both", path), SYS(openat, AT_FDCWD, path, O_RDWR));
    (void)say(text("%s flags", path), SYS(fcntl, fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
    (void)SYS(close, fd);
    if (pthread_create(&thread, NULL, read_fifo, (void *)path) != 0)
        give_up("thread");
    fd = SYS(openat, AT_FDCWD, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    (void)say(text("%s cloexec", path), SYS(fcntl, fd, F_GETFD));
    (void)say(text("%s write", path), SYS(write, fd, "hello", 5));
    (void)SYS(close, fd);
    (void)pthread_join(thread, &n);
    (void)say(text("%s read", path), (long)n);
}

int main(int argc, char **argv) {
    static const struct opener openers[] = {
        {.name = "reader", .flags = O_RDONLY},
        {.name = "writer", .flags = O_WRONLY},
        {.name = "restarting writer", .flags = O_WRONLY, .sa_flags = SA_RESTART},
        {.name = "writer with threads", .flags = O_WRONLY, .threads = true},
    };
    (void)subject_start(argc, argv);
    (void)ok("mkfifo", SYS(mknodat, AT_FDCWD, "made", S_IFIFO | 0644, 0));
    const char *const paths[] = {"fifo", "made"};
    for (size_t i = 0; i < 2; i++) {
        without_waiting(paths[i]);
        for (size_t k = 0; k < sizeof openers / sizeof *openers; k++)
            with(paths[i], &openers[k]);
        for (size_t k = 0; k < 2; k++)
            meet_nobody(paths[i], &openers[k]);
    }
    show("fifo", "fifo");
    return 0;
}
