/* untouched.c - which programs get a stub, and when none is answered inside any more.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../arch/arch.h"
#include "../process/memory.h"
#include "stub.h"
#include "untouched.h"

#if defined(__x86_64__)
_Static_assert(ARCH_STUB_BEGIN == STUB_BASE && ARCH_STUB_BEGIN + ARCH_STUB_SIZE == STUB_END,
               "the stub is where arch.h says");
#endif

#define THRESHOLD STUB_MANY /* with fewer, programs that do little get slower */
#define VARIABLE "PTOVERLAY_INJECT"

static void read_variable(struct untouched *untouched) {
    const char *value = getenv(VARIABLE);
    if (!value || !*value)
        return;
    char *end;
    unsigned long number = strtoul(value, &end, 10);
    bool checks = strcmp(value, "check") == 0;
    if (checks || strcmp(value, "always") == 0)
        untouched->threshold = 0;
    else if (!*end && number <= UINT16_MAX)
        untouched->threshold = (unsigned)number;
    untouched->wanted = checks || strcmp(value, "0") != 0;
    untouched->options |= checks ? STUB_CHECKS | STUB_COUNTS : 0;
}

void untouched_init(struct untouched *untouched, pto_view *view, bool wanted, bool records, bool alone) {
    *untouched = (struct untouched){.view = view,
                                    .wanted = wanted,
                                    .threshold = THRESHOLD,
                                    .filters = wanted ? untouched_filters() : 0,
                                    .options = STUB_COUNTS | (records ? STUB_RECORDS : 0),
                                    .table = {.image = -1, .notes_image = -1}};
    lock_init(&untouched->lock);
    read_variable(untouched);
    if (untouched->wanted && !stub_image_size)
        untouched->error = -ENOSYS;
    untouched->wanted = untouched->wanted && alone && stub_image_size && view_is_plain(view);
}

void untouched_failed(struct untouched *untouched, int error) {
    if (error && error != -ESRCH && error != -EINTR)
        __atomic_store_n(&untouched->error, error, __ATOMIC_RELAXED);
}

void untouched_count(const struct untouched *untouched, struct pto_result *result) {
    struct pto_stats *stats = &result->stats;
    result->inside = untouched->programs ? 0 : untouched->error;
    const struct stub_notes *notes = untouched->table.notes;
    stats->inside_programs = untouched->programs;
    for (int nr = 0; notes && nr < (int)STUB_CALLS; nr++)
        stats->inside_calls += table_answered(&untouched->table, nr);
    stats->inside_compared = notes ? notes->compared : 0;
    stats->inside_different = notes ? notes->differences : 0;
}

void untouched_clear(struct untouched *untouched) {
    if (untouched->open)
        view_set_answers(untouched->view, NULL);
    table_close(&untouched->table);
    sites_clear(&untouched->sites);
    lock_destroy(&untouched->lock);
}

bool untouched_wanted(const struct untouched *untouched) {
    return untouched->wanted && !__atomic_load_n(&untouched->stopped, __ATOMIC_RELAXED);
}

uint64_t untouched_passing_ip(const struct untouched *untouched) {
    return untouched->wanted ? stub_head()->passing_ip : 0;
}

uint64_t untouched_generation(const struct untouched *untouched) {
    if (!__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE))
        return 0;
    return __atomic_load_n(&untouched->table.shared->generation, __ATOMIC_SEQ_CST);
}

bool untouched_here(struct inside *inside, pid_t tid) {
    if (!inside->asked)
        inside->here = untouched_has(tid);
    inside->asked = true;
    return inside->here;
}

void untouched_executed(struct untouched *untouched, struct inside *inside, uint32_t program) {
    const struct stub_notes *notes =
        __atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) ? untouched->table.notes : NULL;
    bool early = untouched_wanted(untouched) && early_begin(&untouched->early, notes, program);
    *inside = (struct inside){.fresh = true, .early = early, .program = program};
}

void untouched_entered(struct untouched *untouched, struct inside *inside, int error) {
    inside->here = inside->asked = error == 0;
    if (!error && !inside->early)
        early_asked(&untouched->early, inside->program);
    untouched_failed(untouched, error);
}

#define FRUITLESS 8u    /* from so many on, one of two calls is looked at, of four, … */
#define FRUITLESS_MOST 4u

bool untouched_leaves_out(struct inside *inside) {
    if (!inside->here || inside->fruitless < FRUITLESS)
        return false;
    bool out = ++inside->left_out < 1u << (inside->fruitless - FRUITLESS + 1);
    inside->left_out = out ? inside->left_out : 0;
    return out;
}

void untouched_learnt(const struct untouched *untouched, struct inside *inside, uint64_t before) {
    if (untouched->table.learnt != before)
        inside->fruitless = 0;
    else if (inside->fruitless < FRUITLESS + FRUITLESS_MOST - 1)
        inside->fruitless++;
}

bool untouched_due(const struct untouched *untouched, struct inside *inside) {
    if (!untouched->wanted || inside->here || inside->never)
        return false;
    if (inside->calls < UINT16_MAX)
        inside->calls++;
    return inside->early || inside->calls > untouched->threshold;
}

void untouched_stop(const struct untouched *untouched, pid_t tid) {
    uint64_t off = 1;
    if (__atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE) && untouched_has(tid))
        (void)memory_write(&MEMORY(tid), STUB_STATE + offsetof(struct stub_state, off), &off, sizeof off);
}

void untouched_stop_all(struct untouched *untouched) {
    if (!__atomic_exchange_n(&untouched->stopped, true, __ATOMIC_SEQ_CST) &&
        __atomic_load_n(&untouched->open, __ATOMIC_ACQUIRE))
        table_set_option(&untouched->table, STUB_OFF);
}

bool untouched_stops_own(const struct untouched *untouched) {
    return __atomic_load_n(&untouched->table.shared->options, __ATOMIC_SEQ_CST) & (STUB_KEPT | STUB_OFF);
}
