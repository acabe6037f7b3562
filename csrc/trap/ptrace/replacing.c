/* replacing.c - calls that wait until descriptors of what they have copied up are replaced: the ptrace trap.
 *
 * A call has copied up a file that somebody may have open.  Before its verdict is carried out all tables of descriptors
 * are looked at, one tracee of each that has stale ones is interrupted and replaces them (renew.c), and so once more until
 * there are none (a fork in between copies them).
 *
 * Rules:
 * - Nobody waits for who cannot stop: a task in an uninterruptible sleep (a vfork(2) that waits for the very caller)
 *   runs no instruction of its own before it stops for us, so it is late and does no harm.
 * - A task that is asked begins no call: it would wait in turn for who waits for it.
 * - A task that was let open a file and has not stopped since may yet get the lower's; it counts as having it open.
 * - A waiting tracee that is to replace descriptors itself is sent back to its system call instruction; its call, which has
 *   been begun, is carried out when it comes to it again (TRACEE_REWOUND).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "../../process/family.h"
#include "../inject.h"
#include "../stops.h"
#include "replacing.h"
#include "trap.h"

#define ROUNDS 8u       /* then what is left is left */

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
    return family_state(tracee->task.tid) == 'D' ? 1 : 2;
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
        files->late = false;
    }
    if (files->stale && (!files->candidate || fitness(tracee) > fitness(files->candidate)))
        files->candidate = tracee;
}

static void look(struct ptrace_trap *trap) {
    trap->replacing.look++;
    tracees_each(&trap->tracees, look_at, &trap->replacing);
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

struct leftovers {
    struct ptrace_trap *trap;
    unsigned n;
};

static void count_left(void *arg, struct tracee *tracee) {
    struct leftovers *leftovers = arg;
    struct files *files = tracee->files;
    if (!files || files->look != leftovers->trap->replacing.look || is_late(files))
        return;
    leftovers->n += files->stale;
    files->stale = 0;
}

static void refuse_strictly(void *arg, struct tracee *tracee) {
    (void)arg;
    if (tracee->state != TRACEE_WAITING)
        return;
    tracee->call.kill = true;
    tracee->call.reason = "a descriptor of the lower file could not be replaced";
}

/* What could not be replaced, now that nobody can be asked any more. */
static void count_all_left(struct ptrace_trap *trap) {
    struct leftovers leftovers = {.trap = trap};
    tracees_each(&trap->tracees, count_left, &leftovers);
    trap->run->result->stats.left_lower += leftovers.n;
    if (leftovers.n && (trap->run->command->flags & PTO_STRICT))
        tracees_each(&trap->tracees, refuse_strictly, NULL);
}

/* True: somebody is to be waited for.  Who opens is asked before the look: who is not in its open any more has its
 * descriptor then. */
static bool ask_all(struct ptrace_trap *trap) {
    struct replacing *replacing = &trap->replacing;
    bool goes_on = replacing->rounds++ < ROUNDS;
    if (goes_on)
        tracees_each(&trap->tracees, ask_opening, replacing);
    look(trap);
    if (goes_on)
        tracees_each(&trap->tracees, ask_one, replacing);
    return replacing->asked > 0;
}

bool replacing_is_over(struct ptrace_trap *trap) {
    struct replacing *replacing = &trap->replacing;
    if (!replacing->waiting || replacing->asked || ask_all(trap)) {
        clear_unused(replacing);
        return false;
    }
    count_all_left(trap);
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
    stale_add(&replacing->stale, tracee->call.copied);
    tracee->call.copied = NULL;
    tracee->state = TRACEE_WAITING;
    tracee->rewound = false;
    replacing->waiting++;
    replacing->rounds = 0;
    if (ask_all(trap))
        return true;
    count_all_left(trap);
    replacing->waiting--;
    tracee->state = TRACEE_FREE;
    return false;
}

/* ---- stops ---- */

bool replacing_stop(struct ptrace_trap *trap, struct tracee *tracee, int status) {
    struct renewer *renewer = tracee->renewer;
    pid_t tid = tracee->task.tid;
    if (tracee->state == TRACEE_ANNOUNCED || tracee->state == TRACEE_HELD) {
        (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);   /* at its first stop; it is asked again */
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
    if (!tracee->renewer || tracee->late || family_state(tracee->task.tid) != 'D')
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
