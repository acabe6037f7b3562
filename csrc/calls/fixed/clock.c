/* clock.c - the time that a build is told: it begins at the epoch, and goes on by use.
 *
 * Rules: who asks for the time makes it a microsecond later, and who sleeps that much later, so that programs which
 * wait for a time to come see it come.  A time-out, and a sleep of a thread beside the first one of its process, makes
 * it later for that task alone: how often those who wait for others wake up depends on how long all takes.  Waits last
 * as long as they ever do: a point in time at which one is to end is made the kernel's.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/times.h>
#include <time.h>

#include "../../process/memory.h"
#include "../call.h"
#include "../handlers/handlers.h"
#include "../inputs.h"
#include "../scratch.h"
#include "../session.h"
#include "../table.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "births.h"
#include "clock.h"
#include "fixed.h"

#define SECOND 1000000000u
#define TICK 1000u              /* nanoseconds that a question takes */
#define UPTIME SECOND           /* of the clocks that begin with the machine */
#define CLOCKS 12               /* CLOCK_TAI is the last one */
#define TICKS_A_SECOND 100u     /* of times(2) */

/* Nanoseconds since the start; who asks makes it a little later. */
static uint64_t use(struct call *call) {
    return __atomic_add_fetch(&call->session->fixed->elapsed, TICK, __ATOMIC_RELAXED) + call->task->waited;
}

static void pass_time(struct call *call, uint64_t nanoseconds) {
    bool sleeps = call->nr == __NR_nanosleep || call->nr == __NR_clock_nanosleep;
    if (!sleeps || births_thread(call))
        call->task->waited += nanoseconds;
    else
        (void)__atomic_add_fetch(&call->session->fixed->elapsed, nanoseconds, __ATOMIC_RELAXED);
}

static bool is_of_day(int clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_REALTIME_ALARM ||
           clock == CLOCK_TAI;
}

/* What a clock says at that time since the start. */
static uint64_t shown(const struct fixed *fixed, int clock, uint64_t elapsed) {
    return elapsed + (is_of_day(clock) ? (uint64_t)fixed->epoch * SECOND : UPTIME);
}

static struct timespec to_timespec(uint64_t nanoseconds) {
    return (struct timespec){.tv_sec = (time_t)(nanoseconds / SECOND), .tv_nsec = (long)(nanoseconds % SECOND)};
}

/* Is the time ours to tell?  Where it is the kernel's, who wants to know hears that somebody has asked. */
static bool is_told(struct call *call) {
    if (fixed_has(call->session, PTO_BUILD_CLOCK))
        return true;
    if (fixed_has(call->session, PTO_BUILD_WATCHED) && call->session->inputs && task_cred(call)) {
        verdict_enter_view(call);
        inputs_clock(call);
        verdict_leave_view(call);
    }
    return false;
}

void do_clock_gettime(struct call *call) {
    struct fixed *fixed = call->session->fixed;
    int clock = (int)call->arg[0];
    if (!is_told(call) || clock >= CLOCKS)
        return;
    const struct timespec now = to_timespec(shown(fixed, clock, use(call)));
    verdict_answer_bytes(call, call->arg[1], &now, sizeof now, 0);
}

void do_gettimeofday(struct call *call) {
    static const struct timezone utc = {0};
    struct fixed *fixed = call->session->fixed;
    if (!is_told(call))
        return;
    const struct timespec now = to_timespec(shown(fixed, CLOCK_REALTIME, use(call)));
    const struct timeval value = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    if (call->arg[1])
        verdict_answer_bytes(call, call->arg[1], &utc, sizeof utc, 0);
    if (call->verdict == VERDICT_PASS || (call->value == 0 && call->arg[0]))
        verdict_answer_bytes(call, call->arg[0], &value, call->arg[0] ? sizeof value : 0, 0);
}

void do_time(struct call *call) {
    struct fixed *fixed = call->session->fixed;
    if (!is_told(call))
        return;
    const int64_t now = (int64_t)(shown(fixed, CLOCK_REALTIME, use(call)) / SECOND);
    verdict_answer_bytes(call, call->arg[0], &now, call->arg[0] ? sizeof now : 0, now);
}

void do_times(struct call *call) {
    if (!is_told(call))
        return;
    const struct tms none = {0};
    const long now = (long)((use(call) + UPTIME) / (SECOND / TICKS_A_SECOND));
    verdict_answer_bytes(call, call->arg[0], &none, call->arg[0] ? sizeof none : 0, now);
}

/* ---- waits ---- */

/* Nanoseconds of what lies in memory; 0: nothing, or it is the kernel's to say what is wrong with it. */
static uint64_t read_time(struct call *call, uint64_t address) {
    struct timespec value;
    if (!address || memory_read(&call->memory, address, &value, sizeof value) < 0 || value.tv_sec < 0 ||
        value.tv_nsec < 0 || value.tv_nsec >= (long)SECOND || value.tv_sec > INT32_MAX)
        return 0;
    return (uint64_t)value.tv_sec * SECOND + (uint64_t)value.tv_nsec;
}

static bool timed_out(const struct call *call, long result) {
    return call->nr == __NR_futex             ? result == -ETIMEDOUT
           : call->nr == __NR_rt_sigtimedwait ? result == -EAGAIN
                                              : result == 0;
}

/* The wait is over. */
static long waited(struct call *call, long result) {
    if (timed_out(call, result))
        pass_time(call, call->scratch->waits);
    return result;
}

static void watch(struct call *call, uint64_t nanoseconds) {
    if (!nanoseconds)
        return;
    call->scratch->waits = nanoseconds;
    call->watch_exit = true;
    call->finish = waited;
}

/* Until a point in time that the tracee was told of: the kernel's point is as far away. */
static void wait_until(struct call *call, unsigned arg, int clock) {
    struct fixed *fixed = call->session->fixed;
    struct timespec now, *until = (struct timespec *)(void *)&call->scratch->how;
    uint64_t wanted = read_time(call, call->arg[arg]);
    uint64_t told = shown(fixed, clock, __atomic_load_n(&fixed->elapsed, __ATOMIC_RELAXED) + call->task->waited);
    if (!wanted || clock_gettime(clock, &now) < 0)
        return;
    uint64_t left = wanted > told ? wanted - told : 0;
    *until = to_timespec((uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec + left);
    verdict_substitute_bytes(call, arg, until, sizeof *until);
    call->scratch->waits = left + TICK;
    call->finish = waited;
}

void do_futex(struct call *call) {
    int op = (int)call->arg[1] & FUTEX_CMD_MASK, clock = CLOCK_MONOTONIC;
    if (!fixed_has(call->session, PTO_BUILD_CLOCK))
        return;
    if (op == FUTEX_WAIT)
        return watch(call, read_time(call, call->arg[3]));
    if (op == FUTEX_LOCK_PI || ((int)call->arg[1] & FUTEX_CLOCK_REALTIME))
        clock = CLOCK_REALTIME;
    if (op == FUTEX_WAIT_BITSET || op == FUTEX_LOCK_PI || op == FUTEX_WAIT_REQUEUE_PI || op == FUTEX_LOCK_PI2)
        wait_until(call, 3, clock);
}

/* detail of the row: the argument with the time, or its address. */
void do_wait(struct call *call) {
    if (fixed_has(call->session, PTO_BUILD_CLOCK))
        watch(call, read_time(call, call->arg[call->row->detail]));
}

void do_select(struct call *call) {
    struct timeval value;
    if (!fixed_has(call->session, PTO_BUILD_CLOCK) ||
        memory_read(&call->memory, call->arg[4], &value, sizeof value) < 0 || value.tv_sec < 0 || value.tv_usec < 0 ||
        value.tv_sec > INT32_MAX || value.tv_usec > INT32_MAX)
        return;
    watch(call, (uint64_t)value.tv_sec * SECOND + (uint64_t)value.tv_usec * 1000u);
}

void do_poll(struct call *call) {
    int milliseconds = (int)call->arg[call->row->detail];
    if (fixed_has(call->session, PTO_BUILD_CLOCK) && milliseconds > 0)
        watch(call, (uint64_t)milliseconds * 1000000u);
}

/* detail of the row: the argument that asks for how long. */
void do_sleep(struct call *call) {
    if (!fixed_has(call->session, PTO_BUILD_CLOCK))
        return;
    if (call->nr == __NR_clock_nanosleep && (call->arg[1] & TIMER_ABSTIME))
        return wait_until(call, 2, (int)call->arg[0]);
    pass_time(call, read_time(call, call->arg[call->row->detail]));
}
