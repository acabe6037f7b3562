/* run.c - pto_run, and what other threads ask of it: pto_signal, pto_began, pto_ended, pto_left, pto_end.
 *
 * Rules: a run lives on a thread of its own, because ptrace belongs to a thread and because only children of
 * that thread may be waited for: the process around us has children of its own.  That thread takes no signals but SIGCHLD.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "../process/family.h"
#include "../command/landlock.h"
#include "nested.h"
#include "run.h"
#include "../command/start.h"

/* A run as pto_signal and the others find it.  pto_signal may be called from a signal handler, so it takes no lock: it
 * counts itself among the users and the run's end waits until there are none. */
struct run_slot {
    _Atomic(const void *) owner;  /* the view or the nested run; NULL: free */
    atomic_int pidfd;             /* of CMD; -1: not started, and then report means nothing */
    atomic_uint users;
    atomic_uint_fast64_t pending; /* signals to be sent, 1 << (signal - 1) */
    atomic_bool over;             /* the report may have been read */
    atomic_uint_fast64_t
        ended;   /* when CMD was waited for (run_clock), while what it left may be asked for; 0: not so */
    const pid_t *ids;             /* of what it left, NULL: it is traced */
    size_t n_ids;
    uint32_t nested;              /* … or is in this nest */
    int report;                   /* where CMD tells that it cannot become the command */
    int report_in_cmd;            /* the other end, among CMD's descriptors: its execve closes it */
};
#define RUNS 256
#define FILES 65536u    /* descriptors: as many as a run can use */
static struct run_slot slots[RUNS] = {[0 ... RUNS - 1] = {.pidfd = -1}};

static struct run_slot *slot_claim(const void *owner) {
    for (size_t i = 0; i < RUNS; i++) {
        const void *free_slot = NULL;
        if (!atomic_compare_exchange_strong(&slots[i].owner, &free_slot, owner))
            continue;
        return &slots[i];
    }
    return NULL;
}

/* The run of a view; slot_leave() when done with it. NULL: there is none. */
static struct run_slot *slot_enter(const void *owner) {
    for (size_t i = 0; i < RUNS; i++) {
        atomic_fetch_add(&slots[i].users, 1);
        if (atomic_load(&slots[i].owner) == owner)
            return &slots[i];
        atomic_fetch_sub(&slots[i].users, 1);
    }
    return NULL;
}

static void slot_leave(struct run_slot *slot) {
    atomic_fetch_sub(&slot->users, 1);
}

static void slot_forget_cmd(struct run_slot *slot) {
    int pidfd = atomic_exchange(&slot->pidfd, -1);
    while (atomic_load(&slot->users))
        sched_yield();
    if (pidfd < 0)
        return;
    close(pidfd);
    close(slot->report);
}

static void slot_release(struct run_slot *slot) {
    atomic_store(&slot->ended, 0);
    slot_forget_cmd(slot);
    atomic_store(&slot->over, false);
    atomic_store(&slot->pending, 0);
    atomic_store(&slot->owner, NULL);
}

static int slot_deliver(struct run_slot *slot, int pidfd) {
    uint64_t pending = atomic_exchange(&slot->pending, 0);
    int err = 0;
    for (; pending; pending &= pending - 1) {
        int signal = __builtin_ctzll(pending) + 1;
        if (syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0)
            err = -errno;
    }
    return err;
}

int pto_signal(const void *owner, int signal) {
    if (signal < 1 || signal > 64)
        return -EINVAL;
    int saved = errno;
    struct run_slot *slot = slot_enter(owner);
    if (!slot)
        return -ESRCH;
    atomic_fetch_or(&slot->pending, UINT64_C(1) << (signal - 1));
    int pidfd = atomic_load(&slot->pidfd);
    int err = pidfd >= 0 ? slot_deliver(slot, pidfd) : 0;
    slot_leave(slot);
    errno = saved;
    return err;
}

int64_t pto_ended(const void *owner) {
    struct run_slot *slot = slot_enter(owner);
    if (!slot)
        return -1;
    uint64_t ended = atomic_load(&slot->ended);
    slot_leave(slot);
    return ended ? (int64_t)((run_clock() - ended) / 1000000u) : -1;
}

static size_t find_left(const struct run_slot *slot, pid_t *found, size_t room) {
    if (!slot->nested)
        return family_left(slot->ids, slot->n_ids, found, room);
    long member = nested_member(slot->nested);
    if (member > 0 && room)
        found[0] = (pid_t)member;
    return member > 0;
}

int pto_left(const void *owner, int *found, int room) {
    struct run_slot *slot = slot_enter(owner);
    if (!slot)
        return 0;
    size_t left = atomic_load(&slot->ended) ? find_left(slot, found, (size_t)room) : 0;
    slot_leave(slot);
    return (int)left;
}

#define AT_ONCE 256 /* processes that are killed before it is looked again */

int pto_end(const void *owner) {
    pid_t found[AT_ONCE];
    struct run_slot *slot = slot_enter(owner);
    if (!slot)
        return 0;
    size_t left = atomic_load(&slot->ended) ? find_left(slot, found, AT_ONCE) : 0;
    if (left && slot->nested)
        nested_kill(slot->nested);
    for (size_t i = 0; !slot->nested && i < left && i < AT_ONCE; i++)
        (void)kill(found[i], SIGKILL);
    slot_leave(slot);
    return (int)left;
}

static bool same_pipe(int one, int other) {
    struct stat a, b;
    return fstat(one, &a) == 0 && fstat(other, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Where it cannot be told what descriptors CMD has, it counts as the command as long as it has reported nothing. */
static bool slot_began(struct run_slot *slot, int pidfd) {
    struct pollfd told = {.fd = slot->report, .events = POLLIN};
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, slot->report_in_cmd, 0);   /* close-on-exec by itself */
    if (copy >= 0) {
        bool same = same_pipe(copy, slot->report);
        close(copy);
        return !same;
    }
    return poll(&told, 1, 0) >= 0 && !(told.revents & POLLIN) && !atomic_load(&slot->over);
}

int pto_began(const void *owner) {
    struct run_slot *slot = slot_enter(owner);
    if (!slot)
        return 0;
    int pidfd = atomic_load(&slot->pidfd);
    bool began = pidfd >= 0 && slot_began(slot, pidfd);
    slot_leave(slot);
    return began;
}

int run_announce(struct run *run, const struct start *start) {
    struct run_slot *slot = run->slot;
    slot_forget_cmd(slot);   /* of a trap that was tried before */
    int report = fcntl(start->report, F_DUPFD_CLOEXEC, 0);
    int pidfd = report < 0 ? -1 : (int)syscall(SYS_pidfd_open, start->pid, 0);   /* close-on-exec by itself */
    if (pidfd < 0) {
        int error = errno;
        if (report >= 0)
            close(report);
        return -error;
    }
    slot->report = report;
    slot->report_in_cmd = start->report_in_cmd;
    atomic_store(&slot->pidfd, pidfd);
    (void)slot_deliver(slot, pidfd);   /* a CMD that is gone already has no use for them */
    return 0;
}

void run_cmd_ended(struct run *run, const pid_t *ids, size_t n) {
    struct run_slot *slot = run->slot;
    slot->ids = ids;
    slot->n_ids = n;
    slot->nested = run->nested;
    atomic_store(&slot->ended, run_clock());
}

void run_forget_left(struct run *run) {
    atomic_store(&run->slot->ended, 0);
    while (atomic_load(&run->slot->users))
        sched_yield();
}

void run_over(struct run *run) {
    atomic_store(&run->slot->over, true);
}

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

void run_stop_with_cmd(pid_t cmd, int signal, int news) {
    if (getpgid(cmd) != getpgrp())
        return;
    int tty = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);
    if (tty < 0)
        return;   /* no terminal, no shell's job */
    close(tty);
    stop_ourselves(cmd, signal, news);
}

/* Where Yama restricts, and without the capability, the notify trap could not look into daemons, which are not our descendants
 * any more; ptrace keeps whom it has. Documentation/admin-guide/LSM/Yama.rst */
static bool yama_restricts(void) {
    char scope = '0';
    int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool known = read(fd, &scope, 1) == 1;
    close(fd);
    return known && scope != '0' && !start_has_capability(CAP_SYS_PTRACE);
}

/* The notify trap is the faster one and leaves ptrace to debuggers.  But a signal that comes before a worker has received a call
 * interrupts it (tend.c), and where that cannot be mended ptrace, which has no such gap, is taken. */
static int choose_trap(int wanted) {
    if (wanted != PTO_TRAP_AUTO)
        return wanted;
    return ARCH_CAN_RESTART && !yama_restricts() ? PTO_TRAP_NOTIFY : PTO_TRAP_PTRACE;
}

static int run_by(struct run *run, int trap) {
    memset(run->result, 0, sizeof *run->result);
    bool opens = trap == PTO_TRAP_NOTIFY;
    run->landlock = landlock_open(run->view, opens);
    run->session.opens = opens;
    run->result->landlock = run->landlock < 0 ? 0 : opens ? 2 : 1;
    run->result->trap = trap;
    int err = trap == PTO_TRAP_NOTIFY ? notify_run(run) : ptrace_run(run);
    if (run->landlock >= 0)
        close(run->landlock);
    return err;
}

static void *run_thread(void *arg) {
    struct run *run = arg;
    if (run->nested)
        return (void *)(intptr_t)nested_run(run);
    int trap = choose_trap(run->command->trap);
    int err = run_by(run, trap);
    if (err && run->result->stage == PTO_STAGE_SETUP && trap == PTO_TRAP_NOTIFY && run->command->trap == PTO_TRAP_AUTO)
        err = run_by(run, PTO_TRAP_PTRACE);
    return (void *)(intptr_t)err;
}

/* Each thread of a tracee may cost us descriptors, and EMFILE of ours would be an error of its calls. */
static void raise_files(struct run *run) {
    if (getrlimit(RLIMIT_NOFILE, &run->files) < 0)
        run->files = (struct rlimit){.rlim_cur = FILES, .rlim_max = FILES};
    rlim_t most = run->files.rlim_max < FILES ? FILES : run->files.rlim_max;
    const struct rlimit all = {.rlim_cur = most, .rlim_max = most},
                        allowed = {.rlim_cur = run->files.rlim_max, .rlim_max = run->files.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &all) < 0)   /* a hard limit is raised with CAP_SYS_RESOURCE only */
        (void)setrlimit(RLIMIT_NOFILE, &allowed);
}

/* Joins the run's thread; signals are for the other threads of the process.  Not so SIGCHLD: every stop of a
 * tracee sends it, and the kernel drops an ignored signal at once only where it is not blocked; else it would wake
 * another thread for each (sig_ignored, kernel/signal.c). */
static int run_on_thread(struct run *run) {
    sigset_t most, before;
    if (sigfillset(&most) < 0 || sigdelset(&most, SIGCHLD) < 0)
        return -errno;
    int err = pthread_sigmask(SIG_SETMASK, &most, &before);
    if (err)
        return -err;
    raise_files(run);
    pthread_t thread;
    err = pthread_create(&thread, NULL, run_thread, run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    void *result = NULL;
    int joined = err ? 0 : pthread_join(thread, &result);
    (void)setrlimit(RLIMIT_NOFILE, &run->files);
    if (err)
        return run_fail(run, PTO_STAGE_SETUP, err, "thread", NULL);
    err = joined;
    return err ? -err : (int)(intptr_t)result;
}

/* What the view counted during this run. */
static void add_view_stats(struct pto_stats *stats, const struct pto_stats *before, const struct pto_stats *after) {
    stats->refused += after->refused - before->refused;
    stats->copy_ups += after->copy_ups - before->copy_ups;
    stats->copied_bytes += after->copied_bytes - before->copied_bytes;
    stats->whiteouts += after->whiteouts - before->whiteouts;
    stats->left_lower += after->left_lower - before->left_lower;
}

/* CMD inherits them: descriptors of lower files that were opened before there was a view. */
static void note_inherited(pto_view *view) {
    char real[PATH_MAX];
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        int fd = (int)strtol(entry->d_name, NULL, 10), flags = fcntl(fd, F_GETFD);
        ssize_t length = flags < 0 || (flags & FD_CLOEXEC) || (fcntl(fd, F_GETFL) & (O_ACCMODE | O_PATH)) != O_RDONLY
                             ? -1
                             : readlinkat(dirfd(dir), entry->d_name, real, sizeof real - 1);
        real[length > 0 ? length : 0] = '\0';
        if (real[0] == '/')
            view_opened_before(view, real);
    }
    closedir(dir);
}

static int begin(struct run *run, const void *owner) {
    memset(run->result, 0, sizeof *run->result);
    if (!run->command->argv[0])
        return run_fail(run, PTO_STAGE_SETUP, EINVAL, "command", "no program named");
    run->slot = slot_claim(owner);
    return run->slot ? 0 : run_fail(run, PTO_STAGE_SETUP, EAGAIN, "run", "too many at a time");
}

int pto_nested_run(pto_nested *nested, const struct pto_command *command, struct pto_result *result) {
    struct run run = {
        .nested = nested_id(nested), .command = command, .result = result, .landlock = -1, .trace_fd = -1};
    int err = begin(&run, nested);
    if (err)
        return err;
    result->trap = PTO_TRAP_OUTER;
    err = run_on_thread(&run);
    slot_release(run.slot);
    return err;
}

int pto_run(pto_view *view, const struct pto_command *command, struct pto_result *result) {
    struct run run = {
        .view = view,
        .command = command,
        .result = result,
        .landlock = -1,
        .trace_fd = command->trace_fd,
        .trace_lock = PTHREAD_MUTEX_INITIALIZER,
    };
    int err = begin(&run, view);
    if (err)
        return err;
    struct pto_stats before = *view_stats(view);
    session_init(&run.session, view);
    run.session.flags = command->flags;
    run.session.message_fd = command->message_fd;
    run.session.stats = &result->stats;
    view_report_copies(view, true);
    note_inherited(view);
    err = run_on_thread(&run);
    view_report_copies(view, false);
    session_clear(&run.session);
    add_view_stats(&result->stats, &before, view_stats(view));
    slot_release(run.slot);
    return err;
}
