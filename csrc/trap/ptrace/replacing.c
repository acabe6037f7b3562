/* replacing.c - calls that wait until descriptors of what they have copied up are replaced, as
 * ../descriptors/rounds.c says: the ptrace trap.
 *
 * Rules:
 * - A task that is asked begins no call: it would wait in turn for who waits for it.
 * - A waiting tracee that is to replace descriptors itself is sent back to its system call instruction; its call,
 *   which has been begun, is carried out when it comes to it again (TRACEE_REWOUND).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>

#include "../../process/family.h"
#include "../inject.h"
#include "../stops.h"
#include "replacing.h"
#include "trap.h"

/* ---- asking ---- */

/* At its seccomp stop: the call is not run now, and made again. */
static void send_back(struct tracee *tracee) {
    struct registers regs;
    if (registers_read(tracee->task.tid, &regs))
        return;
    registers_rewind(&regs, arch_call_number(tracee->task.tid, &regs));
    (void)registers_write(tracee->task.tid, &regs, -1);
}

/* A stopped one runs to its PTRACE_EVENT_STOP. */
static void run_waiting(struct tracee *tracee) {
    if (!tracee->rewound) {
        tracee->rewound = true;
        if (inject_block(tracee->task.tid, &tracee->signal_mask) == 0)
            send_back(tracee);
    }
    (void)ptrace(PTRACE_CONT, tracee->task.tid, NULL, 0L);
}

static void ask(struct replacing *replacing, struct tracee *tracee) {
    struct renewer *renewer = tracee->renewer ? NULL : malloc(sizeof *renewer);
    if (!renewer)
        return;
    if (renew_ask(renewer, &replacing->stale, tracee->task.tid)) {
        free(renewer);
        return;
    }
    tracee->renewer = renewer;
    tracee->late = false;
    replacing->renewing++;
    replacing->asked++;
    if (tracee->state == TRACEE_WAITING)
        run_waiting(tracee);
}

static void no_more_asked(struct replacing *replacing, struct tracee *tracee) {
    renew_clear(tracee->renewer);
    free(tracee->renewer);
    tracee->renewer = NULL;
    replacing->renewing--;
    replacing->asked -= tracee->late ? 0 : 1;
}

/* ---- looking ---- */

static bool is_late(const struct files *files) {
    return files->candidate && files->candidate->renewer;
}

/* The best to ask is who waits already, then who is in no call and could stop at once. */
static unsigned fitness(const struct tracee *tracee) {
    if (tracee->renewer)
        return 4;
    if (tracee->state == TRACEE_WAITING)
        return 3;
    if (tracee->state != TRACEE_FREE)
        return 0;
    return rounds_can_stop(tracee->task.tid) ? 2 : 1;
}

static void look_at(void *arg, struct tracee *tracee) {
    struct replacing *replacing = arg;
    struct files *files = tracee->files;
    if (!files || tracee->state == TRACEE_GONE)
        return;
    if (files->look != replacing->look) {
        files->look = replacing->look;
        files->stale = stale_count(&replacing->stale, tracee->task.tid);
        files->candidate = NULL;
        files->late = files->counted = false;
    }
    if (files->stale && (!files->candidate || fitness(tracee) > fitness(files->candidate)))
        files->candidate = tracee;
}

/* May it still be in the open that it was let make? */
static bool is_opening(const struct tracee *tracee) {
    int nr = tracee->opens ? family_call(tracee->task.tid) : 0;
    return tracee->opens && (nr < 0 || call_is_open(nr));
}

static void ask_opening(void *arg, struct tracee *tracee) {
    if (is_opening(tracee))
        ask(arg, tracee);
}

static void ask_one(void *arg, struct tracee *tracee) {
    struct replacing *replacing = arg;
    const struct files *files = tracee->files;
    if (files && files->stale && files->candidate == tracee)
        ask(replacing, tracee);
}

/* ---- the calls that wait ---- */

static void clear_unused(struct replacing *replacing) {
    if (!replacing->waiting && !replacing->renewing)
        replacing_clear(replacing);
}

/* ---- rounds ---- */

struct looking {
    struct ptrace_trap *trap;
    unsigned n;
};

static void count_left(void *arg, struct tracee *tracee) {
    struct looking *looking = arg;
    struct files *files = tracee->files;
    struct replacing *replacing = &looking->trap->replacing;
    bool found = files && files->look == replacing->look && !files->counted;
    if (found && is_late(files))   /* it was asked before more was copied up */
        stale_hold(&replacing->stale, files->candidate->task.tid);
    else if (found)
        looking->n += files->stale;
    if (files)
        files->counted = true;
}

static void ask_all_opening(void *arg) {
    struct ptrace_trap *trap = arg;
    tracees_each(&trap->tracees, ask_opening, &trap->replacing);
}

static unsigned look(void *arg) {
    struct looking looking = {.trap = arg};
    struct tracees *tracees = &looking.trap->tracees;
    looking.trap->replacing.look++;
    tracees_each(tracees, look_at, &looking.trap->replacing);
    tracees_each(tracees, count_left, &looking);
    return looking.n;
}

static void ask_candidates(void *arg) {
    struct ptrace_trap *trap = arg;
    tracees_each(&trap->tracees, ask_one, &trap->replacing);
}

static const struct rounds_way way = {ask_all_opening, look, ask_candidates};

/* True: somebody is to be waited for. */
static bool ask_all(struct ptrace_trap *trap) {
    (void)rounds_next(&trap->replacing.rounds, &way, trap);
    return trap->replacing.asked > 0;
}

static void refuse_waiting(void *arg, struct tracee *tracee) {
    (void)arg;
    if (tracee->state == TRACEE_WAITING)
        rounds_refuse(&tracee->call);
}

/* Nobody can be asked any more. */
static void report_left(struct ptrace_trap *trap) {
    struct replacing *replacing = &trap->replacing;
    unsigned elsewhere = replacing->left_elsewhere;
    replacing->left_elsewhere = 0;
    if (rounds_report(trap->run, replacing->rounds.left + elsewhere))
        tracees_each(&trap->tracees, refuse_waiting, NULL);
}

/* ---- for other runs of the view ---- */

#define WAKE_NS 2000000 /* a wake-up may come just before the thread waits */
#define WAKES 50u       /* then it does not come: it may wait for us in turn */

static void adopted_is_over(struct replacing *replacing) {
    replacing->adopted = false;
    replacing->waiting--;
    replacing->brought_left = replacing->rounds.left;
    __atomic_store_n(&replacing->over, true, __ATOMIC_SEQ_CST);
}

void replacing_adopt(struct ptrace_trap *trap) {
    struct replacing *replacing = &trap->replacing;
    if (!__atomic_load_n(&replacing->brought, __ATOMIC_RELAXED))
        return;
    struct copied_up *brought = __atomic_exchange_n(&replacing->brought, NULL, __ATOMIC_SEQ_CST);
    if (!brought)
        return;
    stale_add(&replacing->stale, brought);
    replacing->waiting++;
    replacing->adopted = true;
    replacing->rounds = (struct rounds){.n = 0};
    if (!ask_all(trap))
        adopted_is_over(replacing);
    clear_unused(replacing);
}

void replacing_finish(struct replacing *replacing) {
    if (replacing->adopted)
        adopted_is_over(replacing);
}

unsigned replacing_bring(void *arg, struct copied_up *copied) {
    struct ptrace_trap *trap = arg;
    struct replacing *replacing = &trap->replacing;
    const struct timespec pause = {.tv_nsec = WAKE_NS};
    __atomic_store_n(&replacing->over, false, __ATOMIC_SEQ_CST);
    __atomic_store_n(&replacing->brought, copied, __ATOMIC_SEQ_CST);
    for (unsigned n = 0; !__atomic_load_n(&replacing->over, __ATOMIC_SEQ_CST); n++) {
        struct copied_up *back = n < WAKES ? NULL : __atomic_exchange_n(&replacing->brought, NULL, __ATOMIC_SEQ_CST);
        if (back) {
            view_free_copies(back);
            return 1;
        }
        (void)pthread_kill(trap->thread, REPLACING_WAKE);
        nanosleep(&pause, NULL);
    }
    return replacing->brought_left;
}

/* ---- */

bool replacing_is_over(struct ptrace_trap *trap) {
    struct replacing *replacing = &trap->replacing;
    if (!replacing->waiting || replacing->asked || ask_all(trap)) {
        clear_unused(replacing);
        return false;
    }
    report_left(trap);
    if (replacing->adopted)
        adopted_is_over(replacing);
    return true;
}

void replacing_released(struct replacing *replacing, struct tracee *tracee) {
    replacing->waiting--;
    if (tracee->rewound) {
        tracee->state = TRACEE_REWOUND;
        tracee->map_error = 0;
    }
    clear_unused(replacing);
}

bool replacing_call(struct ptrace_trap *trap, struct tracee *tracee) {
    struct replacing *replacing = &trap->replacing;
    if (!tracee->call.copied)
        return false;
    replacing->left_elsewhere += trap->run->replace_elsewhere(trap->run, tracee->call.copied);
    stale_add(&replacing->stale, tracee->call.copied);
    tracee->call.copied = NULL;
    tracee->state = TRACEE_WAITING;
    tracee->rewound = false;
    replacing->waiting++;
    replacing->rounds = (struct rounds){.n = 0};
    if (ask_all(trap))
        return true;
    report_left(trap);
    replacing->waiting--;
    tracee->state = TRACEE_FREE;
    return false;
}

/* ---- stops ---- */

bool replacing_stop(struct ptrace_trap *trap, struct tracee *tracee, int status) {
    struct renewer *renewer = tracee->renewer;
    pid_t tid = tracee->task.tid;
    if (tracee->state == TRACEE_ANNOUNCED || tracee->state == TRACEE_HELD) {
        (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL); /* at its first stop; it is asked again */
        return false;
    }
    bool begins_call = stops_event(status) == PTRACE_EVENT_SECCOMP && tracee->state == TRACEE_FREE;
    if (!renew_stop(renewer, tid, status)) {
        if (!begins_call)
            return false;
        send_back(tracee);
        (void)ptrace(PTRACE_CONT, tid, NULL, 0L);
        return true;
    }
    if (renewer->step != RENEW_OVER)
        return true;
    trap->run->result->stats.repointed += renewer->n_done;
    no_more_asked(&trap->replacing, tracee);
    tracee->first_signal = WSTOPSIG(status);
    return tracee->state == TRACEE_WAITING;
}

void replacing_forget(struct ptrace_trap *trap, struct tracee *tracee) {
    if (tracee->renewer)
        no_more_asked(&trap->replacing, tracee);
    if (tracee->state == TRACEE_WAITING)
        trap->replacing.waiting--;
}

static void see_late(void *arg, struct tracee *tracee) {
    struct replacing *replacing = arg;
    if (!tracee->renewer || tracee->late || !rounds_is_stuck(tracee->renewer, tracee->task.tid))
        return;
    tracee->late = true;
    replacing->asked--;
    if (tracee->files)
        tracee->files->late = true;
}

/* Whichever of them runs first replaces the descriptors. */
static void ask_others(void *arg, struct tracee *tracee) {
    if (tracee->files && tracee->files->late && tracee->files->stale)
        ask(arg, tracee);
}

void replacing_tick(struct ptrace_trap *trap) {
    tracees_each(&trap->tracees, see_late, &trap->replacing);
    tracees_each(&trap->tracees, ask_others, &trap->replacing);
}

void replacing_clear(struct replacing *replacing) {
    stale_clear(&replacing->stale);
}
