/* run.c - pto_run.
 *
 * Rules: a run lives on a thread of its own, because ptrace belongs to a thread and because only children of that
 * thread may be waited for: the process around us has children of its own.  That thread takes no signals but
 * SIGCHLD.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "../calls/fixed/fixed.h"
#include "../calls/inputs.h"
#include "../command/inherited.h"
#include "../command/join.h"
#include "../command/landlock.h"
#include "../command/record.h"
#include "../command/slot.h"
#include "../command/start.h"
#include "../process/thread.h"
#include "../trap/notify/notify.h"
#include "../trap/ptrace/ptrace.h"
#include "nested.h"
#include "sharers.h"

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
    run->session.guarded = run->landlock >= 0;
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
    if (run->host)
        return (void *)(intptr_t)join_guest(run);
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
    if (run->host)
        return;   /* what is inherited is what was */
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
    error = thread_begin(&thread, run_thread, run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    void *result = NULL;
    int joined = error ? 0 : pthread_join(thread, &result);
    if (run->channel < 0)   /* others may be under way */
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
    stats->no_room += after->no_room - before->no_room;
    stats->closed += after->closed - before->closed;
    stats->left_lower += after->left_lower - before->left_lower;
}

static int claim_slot(struct run *run, const void *owner) {
    memset(run->result, 0, sizeof *run->result);
    if (run->channel < 0 && !run->command->argv[0])
        return record_failure(run, PTO_STAGE_SETUP, EINVAL, "command", "no program named");
    run->slot = slot_claim(owner);
    return run->slot ? 0 : record_failure(run, PTO_STAGE_SETUP, EAGAIN, "run", "too many at a time");
}

int pto_nested_run(pto_nested *nested, const struct pto_command *command, struct pto_result *result) {
    struct run run = {.nested = nested_id(nested),
                      .command = command,
                      .result = result,
                      .landlock = -1,
                      .channel = -1,
                      .trace_fd = -1};
    int error = claim_slot(&run, nested);
    if (error)
        return error;
    result->trap = PTO_TRAP_OUTER;
    error = run_on_thread(&run);
    slot_release(run.slot);
    return error;
}

/* With PTOVERLAY_INJECT=check a difference ends the run as a failure, so that no test can overlook it. */
static int fail_different(struct run *run) {
    const struct stub_notes *notes = run->untouched.table.notes;
    char what[sizeof notes->different_path + 80];
    snprintf(what, sizeof what, "%llu answers inside differ, the first of call %llu for %.*s",
             (unsigned long long)notes->differences, (unsigned long long)notes->different_call,
             (int)sizeof notes->different_path, notes->different_path);
    return record_failure(run, PTO_STAGE_LOST, EPROTO, what, NULL);
}

static int write_inputs(struct run *run) {
    int error = inputs_write(run->session.inputs, run->command->record_fd);
    return error ? record_failure(run, PTO_STAGE_LOST, -error, "record", NULL) : 0;
}

static int run_in_view(struct run *run, const void *owner) {
    pto_view *view = run->view;
    struct pto_result *result = run->result;
    int error = claim_slot(run, owner);
    if (error)
        return error;
    struct pto_stats before = *view_stats(view);
    bool faked = run->command->features & PTO_FEATURE_FAKE_ROOT;
    if (faked)
        view_fake_root(view, true);
    session_init(&run->session, view);
    run->session.flags = run->command->flags;
    run->session.features = run->command->features;
    run->session.fixed = fixed_new(run->command, &error);
    run->session.message_fd = run->command->message_fd;
    run->session.stats = &result->stats;
    if (run->command->features & PTO_FEATURE_RECORD && !(run->session.inputs = inputs_new())) {
        session_clear(&run->session);
        slot_release(run->slot);
        return record_failure(run, PTO_STAGE_SETUP, ENOMEM, "record", NULL);
    }
    bool alone = sharers_enter(run);
    untouched_init(&run->untouched, view, (run->command->flags & PTO_INSIDE) && !faked,
                   run->command->features & PTO_FEATURE_RECORD, alone);
    if (run->channel < 0)
        inherited_note(view, getpid());
    error = error ? record_failure(run, PTO_STAGE_SETUP, -error, "build", NULL) : run_on_thread(run);
    sharers_leave(run);
    untouched_count(&run->untouched, result);
    if (result->stats.inside_different)
        error = fail_different(run);
    untouched_clear(&run->untouched);
    if (!error && run->session.inputs)
        error = write_inputs(run);
    inputs_free(run->session.inputs);
    session_clear(&run->session);
    add_view_stats(&result->stats, &before, view_stats(view));
    slot_release(run->slot);
    return error;
}

static struct run run_of(pto_view *view, const struct pto_command *command, struct pto_result *result) {
    return (struct run){
        .view = view,
        .command = command,
        .result = result,
        .landlock = -1,
        .channel = -1,
        .trace_fd = command->trace_fd,
        .trace_lock = LOCK_INITIALIZER,
        .visit = LOCK_INITIALIZER,
    };
}

int pto_run(pto_view *view, const struct pto_command *command, struct pto_result *result) {
    struct run run = run_of(view, command, result);
    return run_in_view(&run, view);
}

int pto_host(pto_view *view, int channel, const struct pto_command *command, struct pto_result *result) {
    struct run run = run_of(view, command, result);
    run.channel = channel;
    int error = run_in_view(&run, result);
    join_wait(&run);
    join_result(&run, error);
    return error;
}

int pto_join(int channel, int ask, const struct pto_command *command, struct pto_result *result) {
    struct run run = run_of(NULL, command, result);
    run.channel = channel;
    run.host = -1; /* whom an offer names */
    int error = claim_slot(&run, result);
    if (error)
        return error;
    atomic_store(&run.slot->ask, ask);
    error = run_on_thread(&run);
    slot_release(run.slot);
    return error;
}
