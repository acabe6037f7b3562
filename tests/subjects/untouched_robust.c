/* untouched_robust.c - programs that do unusual things while calls are answered inside of them: `untouched_robust CASE DIR`.
 *
 * DIR holds file (text), link (to file), sub/inner.  Prints "ok", or each line whose condition did not hold.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM 60 /* calls after which a program has what it gets */
#define MANY 20000
#define MEBIBYTE (1ul << 20)

static volatile sig_atomic_t bad, signals_seen;
static char file[512], missing[512];
static sigjmp_buf begin;

#define HOLDS(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("line %d: %s (%s)\n", __LINE__, #condition, strerrorname_np(errno));                                \
            bad = 1;                                                                                                   \
        }                                                                                                              \
    } while (0)
#define FAILS(call, error) HOLDS((call) < 0 && errno == (error))

static void ask(void) {
    struct stat st;
    char text[64];
    HOLDS(stat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0);
    FAILS(stat(missing, &st), ENOENT);
    FAILS(readlink(file, text, sizeof text), EINVAL);
    HOLDS(access(file, R_OK) == 0);
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    HOLDS(fd >= 0 && fstat(fd, &st) == 0 && close(fd) == 0);
}

static void warm(void) {
    for (int i = 0; i < WARM; i++)
        ask();
}

/* ---- cases ---- */

static void bad_pointers(void) {
    struct stat st;
    char text[8];
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
    char *end = page + 4096 - (strlen(file) + 1);
    strcpy(end, file);
    HOLDS(stat(end, &st) == 0);
    memset(page + 4096 - 10, 'x', 10);
    FAILS(stat(page + 4096 - 10, &st), EFAULT);
    FAILS(stat((char *)8, &st), EFAULT);
    FAILS(open((char *)8, O_RDONLY), EFAULT);
    FAILS(syscall(SYS_newfstatat, AT_FDCWD, file, 8, 0), EFAULT);
    FAILS(syscall(SYS_readlink, "link", 8, 4), EFAULT);
    HOLDS(readlink("link", text, 2) == 2 && memcmp(text, "fi", 2) == 0);
    FAILS(stat("", &st), ENOENT);
}

static void flags(void) {
    struct stat st;
    int fd = open(file, O_RDONLY);
    HOLDS(fd >= 0 && fcntl(fd, F_GETFD) == 0);
    FAILS(open("link", O_RDONLY | O_NOFOLLOW), ELOOP);
    fd = open("link", O_PATH | O_NOFOLLOW);
    HOLDS(fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode));
    FAILS(open(file, O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(fstatat(AT_FDCWD, file, &st, 0x40000000), EINVAL);
    FAILS(access(file, 99), EINVAL);
    FAILS(fstatat(999, "file", &st, 0), EBADF);
    HOLDS(fstatat(999, file, &st, 0) == 0);
    fd = open("sub", O_RDONLY | O_DIRECTORY);
    HOLDS(fd >= 0 && fstatat(fd, "inner", &st, 0) == 0 && fstatat(fd, "../file", &st, 0) == 0);
    FAILS(fstatat(fd, "file", &st, 0), ENOENT);
}

static void every(int microseconds, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    struct itimerval time = {{0, microseconds}, {0, microseconds}};
    if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &time, NULL) < 0)
        err(1, "setitimer");
}

static void on_signal(int signal) {
    struct stat st;
    int error = errno;
    (void)signal;
    signals_seen++;
    bad |= stat(file, &st) != 0;
    errno = error;
}

static void jump(int signal) {
    (void)signal;
    signals_seen++;
    siglongjmp(begin, 1);
}

static void ask_for_long(void) {
    struct stat st;
    for (int i = 0; i < MANY; i++)
        if (stat(file, &st) != 0 || access(missing, R_OK) == 0)
            bad = 1;
}

static void signals(void) {
    every(300, on_signal);
    while (signals_seen < 50)
        ask_for_long();
    every(0, on_signal);
}

static void jumps(void) {
    if (sigsetjmp(begin, 1) == 0) /* the first signal may come at once */
        every(300, jump);
    while (signals_seen < 50)
        ask_for_long();
    every(0, on_signal);
}

static void *asker(void *arg) {
    for (int i = 0; i < 500; i++)
        ask();
    return arg;
}

static void threads(void) {
    pthread_t all[4];
    for (int i = 0; i < 4; i++)
        HOLDS(pthread_create(&all[i], NULL, asker, NULL) == 0);
    for (int i = 0; i < 4; i++)
        HOLDS(pthread_join(all[i], NULL) == 0);
}

static int cleaned;

static void clean(void *arg) {
    (void)__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
}

static void *opener(void *arg) {
    pthread_cleanup_push(clean, &cleaned);
    for (;;) {
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        errno = 0;
        bad |= fd < 0 || open(missing, O_RDONLY) >= 0 || errno != ENOENT;
        errno = 0;
        bad |= openat(AT_FDCWD, missing, O_RDONLY) >= 0 || errno != ENOENT || close(fd) < 0;
    }
    pthread_cleanup_pop(0);
    return arg;
}

static void cancellation(void) {
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        void *result;
        HOLDS(pthread_create(&thread, NULL, opener, NULL) == 0);
        usleep((useconds_t)(200 + i));
        HOLDS(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    }
    HOLDS(cleaned == 50);
}

/* In sub: what is there, and not what is in the directory of its parent. */
static int is_in_sub(void) {
    struct stat st;
    for (int i = 0; i < 3; i++)
        if (stat("inner", &st) != 0 || stat("file", &st) == 0)
            return 1;
    return 0;
}

static int child(void *arg) {
    (void)arg;
    _exit(chdir("sub") != 0 || is_in_sub());
}

static void wait_for(pid_t pid) {
    int status = -1;
    struct stat st;
    HOLDS(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    HOLDS(stat("file", &st) == 0);
    FAILS(stat("inner", &st), ENOENT);
}

static void directories_of_children(void) {
    static char stack[65536];
    for (int i = 0; i < 10; i++) {
        pid_t pid = fork();
        if (pid == 0)
            child(NULL);
        wait_for(pid);
        wait_for(clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
        wait_for(clone(child, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
    }
}

/* A filter that knows the calls of the program, and none that the stub makes. */
static void own_filter(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_newfstatat, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    HOLDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    HOLDS(access(file, R_OK) == 0 && open(file, O_RDONLY) >= 0);
}

static void little_memory(void) {
    const struct rlimit limit = {128 * MEBIBYTE, 128 * MEBIBYTE};
    HOLDS(setrlimit(RLIMIT_AS, &limit) == 0);
    warm();
}

/* Handlers without SA_RESTART, while programs get what they get: calls on files are not interrupted. */
static void not_restarted(void) {
    struct sigaction action = {.sa_handler = on_signal};
    const struct itimerval often = {{0, 150}, {0, 150}};
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (sigaction(SIGALRM, &action, NULL) < 0 || setitimer(ITIMER_REAL, &often, NULL) < 0)
                _exit(1);
            for (int j = 0; j < 20 && !bad; j++)
                ask();
            const struct itimerval never = {{0, 0}, {0, 0}};
            _exit(setitimer(ITIMER_REAL, &never, NULL) < 0 || bad);
        }
        int status = -1;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            continue;
        HOLDS(status == 0);
    }
}

/* What signals do is set and told as ever, whatever of it needs the supervisor. */
static void actions(void) {
    static const int flags_of[] = {0, SA_RESTART, SA_RESTART | SA_NODEFER, 0};
    void (*const handlers[])(int) = {on_signal, on_signal, SIG_IGN, SIG_DFL};
    struct sigaction was, action = {.sa_handler = SIG_DFL};
    char kernel[32] = {0};
    HOLDS(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < 40; i++) {
        action.sa_handler = handlers[i % 4];
        action.sa_flags = flags_of[i % 4];
        HOLDS(sigaction(SIGUSR1, &action, &was) == 0);
        HOLDS(was.sa_handler == (i ? handlers[(i + 3) % 4] : SIG_DFL));
        HOLDS(i == 0 || (was.sa_flags & (SA_RESTART | SA_NODEFER)) == flags_of[(i + 3) % 4]);
        HOLDS(sigaction(SIGUSR1, NULL, &was) == 0 && was.sa_handler == action.sa_handler);
        if (i % 4 < 3)
            HOLDS(raise(SIGUSR1) == 0);
    }
    HOLDS(signals_seen == 20);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR1, 8, NULL, sizeof(uint64_t)), EFAULT);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR1, kernel, 8, sizeof(uint64_t)), EFAULT);
    FAILS(syscall(SYS_rt_sigaction, SIGUSR1, kernel, NULL, 4), EINVAL);
    FAILS(syscall(SYS_rt_sigaction, SIGKILL, kernel, NULL, sizeof(uint64_t)), EINVAL);
}

/* posix_spawn(3) sets all signals in the child, which has our memory. */
static void spawns(void) {
    char *const argv[] = {"true", NULL};
    for (int i = 0; i < 12; i++) {
        int status = -1;
        pid_t pid;
        HOLDS(posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ) == 0 && waitpid(pid, &status, 0) == pid);
        HOLDS(status == 0);
    }
    ask();
}

static void profiled(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    HOLDS(sigaction(SIGPROF, &action, NULL) == 0 && setitimer(ITIMER_PROF, &often, NULL) == 0);
    while (signals_seen < 10)
        ask_for_long();
    HOLDS(setitimer(ITIMER_PROF, &never, NULL) == 0);
}

static void *nothing(void *arg) {
    return arg;
}

/* The first calls are made when other threads have just ended. */
static void after_threads(void) {
    pthread_t all[4];
    for (int i = 0; i < 4; i++)
        HOLDS(pthread_create(&all[i], NULL, nothing, NULL) == 0);
    for (int i = 0; i < 4; i++)
        HOLDS(pthread_join(all[i], NULL) == 0);
    ask();
}

/* The filter is there before the program: whose stub would make calls that it forbids. */
static void under_filter(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_WIPEONFORK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    char *argv[] = {"/proc/self/exe", "after_threads", "sub/..", NULL};
    HOLDS(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    (void)execv(argv[0], argv);
    HOLDS(0);
}

#define STUB_PLACE ((void *)0x7e9000000000ul)

/* Who wants that place is told that it is taken, or has it; nothing of it breaks. */
static void wanted_place(void) {
    void *there = mmap(STUB_PLACE, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | 0x100000, -1, 0);
    HOLDS(there == STUB_PLACE || (there == MAP_FAILED && errno == EEXIST));
    warm();
    there = mmap(STUB_PLACE, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    HOLDS(there != MAP_FAILED);
    warm();
}

static const struct {
    const char *name;
    void (*run)(void);
    int cold; /* nothing has been asked before */
} cases[] = {
    {"bad_pointers", bad_pointers, 0},
    {"flags", flags, 0},
    {"signals", signals, 0},
    {"jumps", jumps, 0},
    {"threads", threads, 0},
    {"cancellation", cancellation, 0},
    {"directories", directories_of_children, 0},
    {"own_filter", own_filter, 0},
    {"little_memory", little_memory, 0},
    {"not_restarted", not_restarted, 1},
    {"actions", actions, 0},
    {"spawns", spawns, 1},
    {"profiled", profiled, 0},
    {"after_threads", after_threads, 1},
    {"under_filter", under_filter, 1},
    {"wanted_place", wanted_place, 0},
};

int main(int argc, char **argv) {
    static char room[BUFSIZ];
    (void)setvbuf(stdout, room, _IOFBF, sizeof room); /* else it is looked at first, which own_filter forbids */
    if (argc != 3 || chdir(argv[2]) < 0)
        errx(2, "usage: untouched_robust CASE DIR");
    snprintf(file, sizeof file, "%s/file", argv[2]);
    snprintf(missing, sizeof missing, "%s/missing", argv[2]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, argv[1]) != 0)
            continue;
        if (!cases[i].cold)
            warm();
        cases[i].run();
    }
    puts(bad ? "wrong" : "ok");
    return bad;
}
