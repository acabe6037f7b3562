/* verdict.c - one call of a tracee under ptrace: begun at its seccomp stop, carried out, ended.
 *
 *     seccomp stop ── call_begin ── PASS, RETURN ────────────────────────────────▶ call_end
 *                                └─ OPEN, SUBSTITUTE ── arguments ──▶ exit stop ── call_finish, call_end
 *                                        │  ▲
 *                         no scratch area▼  │seccomp stop again
 *                                       mmap ──▶ exit stop, rewind
 *
 * Rules: PASS and RETURN cost one stop.  Whatever is changed in the registers for a call is put back at its exit
 * stop, call number included, so that a restart after a signal (ERESTART*) repeats the call that the tracee made.
 * No signal handler of the tracee runs between call_begin and the call itself: signals are blocked over a rewind.
 * A ptrace request that fails means that the tracee was killed; its death is reported by wait.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "../../calls/fixed/fixed.h"
#include "../../calls/handlers/exec.h"
#include "../../calls/handlers/open.h"
#include "../../command/record.h"
#include "../../process/clock.h"
#include "../descriptors/passing.h"
#include "../inject.h"
#include "../inside.h"
#include "../restart.h"
#include "alone.h"
#include "seccomp_stop.h"
#include "trap.h"
#include "verdict.h"

#define AGAIN_MAX 100   /* names that change all the time */

static bool is_execve(int nr) {
    return nr == __NR_execve || nr == __NR_execveat;
}

/* In no table, but same_cpu.c must hear about them. */
static bool is_affinity_call(int nr) {
    return nr == __NR_sched_getaffinity || nr == __NR_sched_setaffinity;
}

/* A build is told of one CPU. */
static bool affinity_is_fixed(const struct ptrace_trap *trap, int nr) {
    return nr == __NR_sched_getaffinity && fixed_has(&trap->run->session, PTO_BUILD_MACHINE);
}

static void end_call(struct ptrace_trap *trap, struct tracee *tracee) {
    record_call(trap->run, &tracee->call, tracee->call_start);
    call_end(&tracee->call);
    space_release(tracee->area);
    tracee->area = NULL;
    passing_free(tracee->passing);
    tracee->passing = NULL;
    tracee->state = TRACEE_FREE;
}

/* The tracee gets value and the call is over. */
static void return_value(struct ptrace_trap *trap, struct tracee *tracee, long value) {
    (void)arch_skip_call(tracee->task.tid, value);
    tracee->call.value = value;
    end_call(trap, tracee);
}

/* A call that was begun and that will not run after all: its finish hears about it. */
static void give_up(struct ptrace_trap *trap, struct tracee *tracee, long error) {
    if (tracee->call.finish)
        error = call_finish(&tracee->call, error);
    return_value(trap, tracee, error);
}

static void kill_tracee(struct ptrace_trap *trap, struct tracee *tracee) {
    record_killed(trap->run, &tracee->call);
    (void)kill(tracee->task.tid, SIGKILL);   /* cannot fail: it is ours and not reaped */
    end_call(trap, tracee);
}

/* ---- other arguments ---- */

static void run_substituted(struct ptrace_trap *trap, struct tracee *tracee) {
    struct registers regs = tracee->regs;
    const struct area *area = tracee->area;
    int error =
        inject_arguments(&tracee->call, tracee->task.tid, area ? area->address : 0, area && area->read_only, &regs);
    if (error) {
        give_up(trap, tracee, error);
        return;
    }
    tracee->substituted = true;
    tracee->state = TRACEE_CALL;
    (void)registers_write(tracee->task.tid, &regs, inject_number(&tracee->call));
}

/* No other task has a say in it from here on: what was decided by a descriptor of the tracee's must still hold. */
static void run_alone(struct ptrace_trap *trap, struct tracee *tracee) {
    tracee->alone = alone_begin(trap, tracee) || alone_walks(&tracee->call);
    if (open_leads_there(&tracee->call))
        run_substituted(trap, tracee);
    else
        give_up(trap, tracee, -EBADF);
}

/* Instead of its call the tracee runs mmap; verdict_at_exit_stop goes on from there. */
static void run_mmap(struct tracee *tracee, size_t need) {
    struct registers regs = tracee->regs;
    int nr = inject_mmap(&regs, need, tracee->call.alone);
    tracee->state = TRACEE_MAPPING;
    (void)registers_write(tracee->task.tid, &regs, nr);
}

/* At an exit stop: sends the tracee back to its system call. */
static void rewind_to_call(struct tracee *tracee) {
    struct registers regs = tracee->regs;
    registers_rewind(&regs, compat_made(&tracee->call));
    tracee->state = TRACEE_REWOUND;
    if (!inject_block(tracee->task.tid, &tracee->signal_mask))
        (void)registers_write(tracee->task.tid, &regs, -1);
}

/* What a call needs of the tracee's memory. */
static size_t memory_need(const struct call *call) {
    return call->verdict == VERDICT_OPEN && call->handed ? passing_size() : inject_size(call);
}

/* At the exit stop of the mmap: keeps the area. */
static void mapped(struct tracee *tracee) {
    struct registers regs;
    if (registers_read(tracee->task.tid, &regs))
        return;
    long address = registers_result(&regs);
    tracee->map_error = 0;
    if (inject_mmap_failed(address)) {
        tracee->map_error = (int)address;
    } else {
        size_t size = inject_area_size(memory_need(&tracee->call));
        tracee->area = space_add(tracee->space, (uint64_t)address, size, tracee->call.alone);
        if (!tracee->area)
            tracee->map_error = -ENOMEM;   /* the mapping is lost to the tracee, not to us */
    }
    rewind_to_call(tracee);
}

/* Names have changed since the call was decided: the tracee makes it once more.  False: often enough. */
static bool begin_again(struct ptrace_trap *trap, struct tracee *tracee) {
    struct registers regs = tracee->regs;
    if (tracee->again++ == AGAIN_MAX)
        return false;
    registers_rewind(&regs, compat_made(&tracee->call));
    (void)registers_write(tracee->task.tid, &regs, -1);
    end_call(trap, tracee);
    return true;
}

/* ---- a descriptor of ours ---- */

static int open_given(struct tracee *tracee) {
    const struct call *call = &tracee->call;
    if (tracee->passing)
        return 0;
    int fd = open_call(call);
    if (fd < 0)
        return fd;
    tracee->again = 0;
    tracee->passing = passing_give(fd, call->open_flags & O_CLOEXEC);
    return tracee->passing ? 0 : -ENOMEM;
}

/* At its seccomp stop: the next call that the tracee makes to get it, or the last of them was made. */
static void run_giving(struct ptrace_trap *trap, struct tracee *tracee) {
    struct registers regs = tracee->regs;
    int nr = passing_next(tracee->passing, tracee->task.tid, tracee->area->address, &regs);
    if (nr < 0) {
        give_up(trap, tracee, passing_result(tracee->passing));
        return;
    }
    tracee->state = TRACEE_GIVEN;
    (void)registers_write(tracee->task.tid, &regs, nr);
}

static void given(struct tracee *tracee) {
    struct registers regs;
    if (registers_read(tracee->task.tid, &regs))
        return;
    passing_returned(tracee->passing, tracee->task.tid, tracee->area->address, registers_result(&regs));
    rewind_to_call(tracee);
}

/* ---- the stops ---- */

static void run_decided(struct ptrace_trap *trap, struct tracee *tracee) {
    if (tracee->passing)
        run_giving(trap, tracee);
    else if (tracee->call.alone)
        run_alone(trap, tracee);
    else
        run_substituted(trap, tracee);
}

static void substitute(struct ptrace_trap *trap, struct tracee *tracee) {
    const struct call *call = &tracee->call;
    if (registers_read(tracee->task.tid, &tracee->regs))
        return;
    tracee->regs.compat = call->compat;
    bool handed = call->verdict == VERDICT_OPEN && call->handed;
    int error = handed ? open_given(tracee) : 0;
    if (error == -ELOOP && begin_again(trap, tracee))
        return;
    size_t need = memory_need(call);
    if (need && !tracee->area)
        tracee->area = space_take(tracee->space, need, call->alone, call->compat);
    if (error)
        give_up(trap, tracee, error);
    else if (need && !tracee->area)
        run_mmap(tracee, need);
    else
        run_decided(trap, tracee);
}

/* A child must not get away from us: takes CLONE_UNTRACED out of the flags, until the exit stop. */
static void keep_child_traced(struct tracee *tracee) {
    struct call *call = &tracee->call;
    call->verdict = VERDICT_SUBSTITUTE;
    call->replacements[0] = (struct replacement){.arg = 0, .value = call->arg[0] & ~(uint64_t)CLONE_UNTRACED};
    call->n_replacements = 1;
    call->new_nr = -1;
    tracee->untraced = true;
}

static void pass(struct ptrace_trap *trap, struct tracee *tracee) {
    tracee->opens = call_is_open(tracee->call.nr);
    if (tracee->call.watch_exit)
        tracee->state = TRACEE_CALL;
    else if (!tracee->call.compat && (tracee->visited = way_in_passed(trap, tracee)))
        call_end(&tracee->call);    /* it is made again */
    else if (is_execve(tracee->call.nr))
        tracee->state = TRACEE_CALL;
    else
        end_call(trap, tracee);
}

static void carry_out(struct ptrace_trap *trap, struct tracee *tracee) {
    struct call *call = &tracee->call;
    if (call->kill) {
        kill_tracee(trap, tracee);
        return;
    }
    if (call->verdict == VERDICT_PASS && call->nr == __NR_clone && (call->arg[0] & CLONE_UNTRACED))
        keep_child_traced(tracee);
    inside_before(trap->run, call, &tracee->inside);
    switch (call->verdict) {
    case VERDICT_PASS:
        pass(trap, tracee);
        break;
    case VERDICT_RETURN:
        return_value(trap, tracee, call->value);
        break;
    case VERDICT_OPEN:
    case VERDICT_SUBSTITUTE:
        tracee->opens = call->verdict == VERDICT_OPEN;
        substitute(trap, tracee);
        break;
    }
}

/* view, task and session of a tracee's call never change: tracee_new set them. */
static void begin_call(struct ptrace_trap *trap, struct tracee *tracee, const struct __ptrace_syscall_info *info) {
    struct call *call = &tracee->call;
    uint64_t arg[6];
    for (unsigned i = 0; i < 6; i++)
        arg[i] = info->seccomp.args[i];
    compat_arrive(call, info->arch, (int)info->seccomp.nr, arg);
    tracee->ip = info->instruction_pointer;
    tracee->substituted = false;
    tracee->untraced = false;
    tracee->visited = false;
    tracee->stop = 0;
    call_begin(call);
    if (!replacing_call(trap, tracee))
        carry_out(trap, tracee);
}

/* It changes nothing, so that it can be begun once more. */
static bool only_reads(const struct call *call) {
    return call->verdict == VERDICT_OPEN && !call->finish &&
           (call->open_flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY;
}

/* Back at the call after an area was mapped for it, or descriptors were replaced.  What it is to open may have been
 * copied up meanwhile. */
static void go_on(struct ptrace_trap *trap, struct tracee *tracee, const struct __ptrace_syscall_info *info) {
    inject_unblock(tracee->task.tid, tracee->signal_mask);
    if (tracee->map_error) {
        give_up(trap, tracee, tracee->map_error);
    } else if (only_reads(&tracee->call)) {
        call_end(&tracee->call);
        begin_call(trap, tracee, info);
    } else {
        carry_out(trap, tracee);
    }
}

/* An execve by another thread may have put a new program in the place of a leader that we hold stopped. */
static bool still_stopped_there(const struct tracee *tracee) {
    if (tracee->space->users == 1 || tracee->visited)   /* it was alone, and stands where the visit has left it */
        return true;
    struct __ptrace_syscall_info info;
    return seccomp_stop_info(tracee->task.tid, &info) == 0;
}

/* One that is not carried out. */
static bool is_foreign(const struct ptrace_trap *trap, uint32_t arch) {
    return arch != ARCH_AUDIT && !(arch == ARCH_COMPAT && session_compat(&trap->run->session));
}

/* The number of the machine's own call that it is. */
static int own_number(const struct __ptrace_syscall_info *info) {
    int nr = (int)info->seccomp.nr;
    return info->arch == ARCH_AUDIT ? nr : compat_call(nr).native;
}

/* A listener of the tracee's own would get calls instead of us: as if there were one already. */
static void own_filter(struct ptrace_trap *trap, struct tracee *tracee, const struct __ptrace_syscall_info *info) {
    if (info->seccomp.args[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER)
        (void)arch_skip_call(tracee->task.tid, -EBUSY);
    else
        __atomic_store_n(&trap->run->session.filtered, true, __ATOMIC_SEQ_CST);
    untouched_stop(&trap->run->untouched, tracee->task.tid);
    tracee_resume(tracee, 0);
}

static void resume_call(struct tracee *tracee) {
    tracee_resume(tracee, tracee->visited ? tracee->stop : 0);
    if (tracee->alone)
        alone_end(tracee);
    tracee->alone = false;
}

void verdict_at_seccomp_stop(struct ptrace_trap *trap, struct tracee *tracee) {
    struct __ptrace_syscall_info info;
    tracee->call_start = clock_now();
    if (seccomp_stop_info(tracee->task.tid, &info))
        return;
    if (is_foreign(trap, info.arch)) {
        record_foreign(trap->run, tracee->task.tid);
        (void)arch_skip_call(tracee->task.tid, -ENOSYS);
        tracee_resume(tracee, 0);
        return;
    }
    int nr = own_number(&info);
    if (nr == __NR_seccomp) {
        own_filter(trap, tracee, &info);
        return;
    }
    if (is_affinity_call(nr) && !affinity_is_fixed(trap, nr)) {
        same_cpu_loosen(&trap->same_cpu);
        tracee_resume(tracee, 0);
        return;
    }
    if (tracee->state == TRACEE_REWOUND)
        go_on(trap, tracee, &info);
    else
        begin_call(trap, tracee, &info);
    same_cpu_stop(&trap->same_cpu, tracee->task.tid);
    record_spent(trap->run, tracee->call.nr, clock_now() - tracee->call_start);
    if (tracee->state != TRACEE_WAITING && still_stopped_there(tracee))
        resume_call(tracee);
}

void verdict_go_on(struct ptrace_trap *trap, struct tracee *tracee) {
    carry_out(trap, tracee);
    if (still_stopped_there(tracee))
        resume_call(tracee);
}

static void finish_call(struct ptrace_trap *trap, struct tracee *tracee) {
    struct call *call = &tracee->call;
    struct registers regs;
    if (registers_read(tracee->task.tid, &regs))
        return;
    regs.compat = call->compat;
    long result = registers_result(&regs), handed = result;
    if (call->verdict == VERDICT_OPEN && result == -ELOOP && begin_again(trap, tracee))
        return;
    tracee->again = 0;
    if (call->finish)
        handed = call_finish(call, restart_comes(result) ? -EINTR : result);
    if (restart_comes(result))
        handed = result;
    if (tracee->substituted || handed != result) {
        for (unsigned i = 0; tracee->substituted && i < 6; i++)
            registers_restore_arg(&regs, i, registers_arg(&tracee->regs, i));
        registers_set_result(&regs, handed);
        (void)registers_write(tracee->task.tid, &regs, compat_made(call));
    }
    call->value = handed;
    end_call(trap, tracee);
}

void verdict_at_exit_stop(struct ptrace_trap *trap, struct tracee *tracee) {
    uint64_t start = clock_now();
    if (tracee->state == TRACEE_MAPPING)
        mapped(tracee);
    else if (tracee->state == TRACEE_GIVEN)
        given(tracee);
    else if (tracee->state == TRACEE_CALL)
        finish_call(trap, tracee);
    record_spent(trap->run, tracee->call.nr, clock_now() - start);
    tracee_resume(tracee, 0);
}

void verdict_at_exec(struct ptrace_trap *trap, struct tracee *tracee) {
    untouched_executed(&trap->run->untouched, &tracee->inside, tracee->task.executes);
    task_exec(&tracee->task);
    if (tracee->state != TRACEE_CALL)
        return;
    exec_done(&tracee->call);
    tracee->call.value = 0;
    end_call(trap, tracee);
}

void verdict_at_death(struct ptrace_trap *trap, struct tracee *tracee) {
    if (tracee->state < TRACEE_MAPPING)
        return;
    if (tracee->call.finish)
        (void)call_finish(&tracee->call, -ESRCH);
    tracee->call.value = -ESRCH;
    end_call(trap, tracee);
}
