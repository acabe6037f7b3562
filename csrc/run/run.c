/* run.c - pto_run.
 *
 * Rules: a run lives on a thread of its own, because ptrace belongs to a thread and because only children of that
 * thread may be waited for: the process around us has children of its own.  That thread takes no signals but
 * SIGCHLD.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "../command/landlock.h"
#include "../command/record.h"
#include "../command/slot.h"
#include "../command/start.h"
#include "../trap/notify/notify.h"
#include "../trap/ptrace/ptrace.h"
#include "nested.h"

#define FILES 65536u    /* descriptors: as many as a run can use */

/* Where Yama restricts, and without the capability, the notify trap could not look into daemons, which are not our
 * descendants any more; ptrace keeps whom it has. Documentation/admin-guide/LSM/Yama.rst */
static bool yama_restricts(void) {
    char scope = '0';
    int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool known = read(fd, &scope, 1) == 1;
    close(fd);
    return known && scope != '0' && !start_has_capability(CAP_SYS_PTRACE);
}

/* The notify trap is the faster one and leaves ptrace to debuggers.  But a signal that comes before a worker has
 * received a call interrupts it (tender.c), and where that cannot be mended ptrace, which has no such gap, is taken. */
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
    int error = trap == PTO_TRAP_NOTIFY ? notify_run(run) : ptrace_run(run);
    if (run->landlock >= 0)
        close(run->landlock);
    return error;
}

static void *run_thread(void *arg) {
    struct run *run = arg;
    if (run->nested)
        return (void *)(intptr_t)nested_run(run);
    int trap = choose_trap(run->command->trap);
    int error = run_by(run, trap);
    if (error && run->result->stage == PTO_STAGE_SETUP && trap == PTO_TRAP_NOTIFY &&
        run->command->trap == PTO_TRAP_AUTO)
        error = run_by(run, PTO_TRAP_PTRACE);
    return (void *)(intptr_t)error;
}

/* Each thread of a tracee may cost us descriptors, and EMFILE of ours would be an error of its calls. */
static void raise_files(struct run *run) {
    if (getrlimit(RLIMIT_NOFILE, &run->files) < 0)
        run->files = (struct rlimit){.rlim_cur = FILES, .rlim_max = FILES};
    rlim_t most = run->files.rlim_max < FILES ? FILES : run->files.rlim_max;
    const struct rlimit all = {.rlim_cur = most, .rlim_max = most},
                        allowed = {.rlim_cur = run->files.rlim_max, .rlim_max = run->files.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &all) < 0) /* a hard limit is raised with CAP_SYS_RESOURCE only */
        (void)setrlimit(RLIMIT_NOFILE, &allowed);
}

/* Joins the run's thread; signals are for the other threads of the process.  Not so SIGCHLD: every stop of a
 * tracee sends it, and the kernel drops an ignored signal at once only where it is not blocked; else it would wake
 * another thread for each (sig_ignored, kernel/signal.c). */
static int run_on_thread(struct run *run) {
    sigset_t most, before;
    if (sigfillset(&most) < 0 || sigdelset(&most, SIGCHLD) < 0)
        return -errno;
    int error = pthread_sigmask(SIG_SETMASK, &most, &before);
    if (error)
        return -error;
    raise_files(run);
    pthread_t thread;
    error = pthread_create(&thread, NULL, run_thread, run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    void *result = NULL;
    int joined = error ? 0 : pthread_join(thread, &result);
    (void)setrlimit(RLIMIT_NOFILE, &run->files);
    if (error)
        return record_failure(run, PTO_STAGE_SETUP, error, "thread", NULL);
    error = joined;
    return error ? -error : (int)(intptr_t)result;
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

static int claim_slot(struct run *run, const void *owner) {
    memset(run->result, 0, sizeof *run->result);
    if (!run->command->argv[0])
        return record_failure(run, PTO_STAGE_SETUP, EINVAL, "command", "no program named");
    run->slot = slot_claim(owner);
    return run->slot ? 0 : record_failure(run, PTO_STAGE_SETUP, EAGAIN, "run", "too many at a time");
}

int pto_nested_run(pto_nested *nested, const struct pto_command *command, struct pto_result *result) {
    struct run run = {
        .nested = nested_id(nested), .command = command, .result = result, .landlock = -1, .trace_fd = -1};
    int error = claim_slot(&run, nested);
    if (error)
        return error;
    result->trap = PTO_TRAP_OUTER;
    error = run_on_thread(&run);
    slot_release(run.slot);
    return error;
}

int pto_run(pto_view *view, const struct pto_command *command, struct pto_result *result) {
    struct run run = {
        .view = view,
        .command = command,
        .result = result,
        .landlock = -1,
        .trace_fd = command->trace_fd,
        .trace_lock = LOCK_INITIALIZER,
    };
    int error = claim_slot(&run, view);
    if (error)
        return error;
    struct pto_stats before = *view_stats(view);
    session_init(&run.session, view);
    run.session.flags = command->flags;
    run.session.message_fd = command->message_fd;
    run.session.stats = &result->stats;
    untouched_init(&run.untouched, view, command->flags & PTO_INSIDE);
    view_report_copies(view, true);
    note_inherited(view);
    error = run_on_thread(&run);
    view_report_copies(view, false);
    untouched_count(&run.untouched, &result->stats);
    if (result->stats.inside_different)
        record_warning(&run, "%llu answers inside differ, the first of call %llu for %.*s",
                       (unsigned long long)result->stats.inside_different,
                       (unsigned long long)run.untouched.table.notes->different_call,
                       (int)sizeof run.untouched.table.notes->different_path,
                       run.untouched.table.notes->different_path);
    untouched_clear(&run.untouched);
    session_clear(&run.session);
    add_view_stats(&result->stats, &before, view_stats(view));
    slot_release(run.slot);
    return error;
}
