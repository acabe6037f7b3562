/* early.c - programs that are known to ask much get a stub at their first call.
 *
 * Most programs are started again and again (gcc, cc1, make, git), and ask as much each time.  Those of which three of
 * four starts came to as many calls as a program makes before it gets a stub do not make them by traps first.  A stub
 * that came early reports when it has answered as many, so that who does not ask any more gets none early.
 *
 * Rule: no lock; a start that is lost or taken for another program's costs time, nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "early.h"

#define STARTS_MOST 64u /* then both are halved: what it does now counts more */

struct history {
    uint32_t program;
    uint8_t starts, many;
    uint16_t told;      /* what the notes said when they were read last */
};

static struct history load(const struct early *early, uint32_t program) {
    uint64_t word = __atomic_load_n(&early->of[program % STUB_PROGRAMS], __ATOMIC_RELAXED);
    return (struct history){(uint32_t)word, (uint8_t)(word >> 32), (uint8_t)(word >> 40), (uint16_t)(word >> 48)};
}

static void store(struct early *early, const struct history *history) {
    uint64_t word = history->program | (uint64_t)history->starts << 32 | (uint64_t)history->many << 40 |
                    (uint64_t)history->told << 48;
    __atomic_store_n(&early->of[history->program % STUB_PROGRAMS], word, __ATOMIC_RELAXED);
}

/* A program that forks may report for its children, too. */
static void add_many(struct history *history, unsigned count) {
    unsigned many = history->many + count;
    history->many = (uint8_t)(many < history->starts ? many : history->starts);
}

bool early_begin(struct early *early, const struct stub_notes *notes, uint32_t program) {
    if (!program)
        return false;
    struct history history = load(early, program);
    uint16_t told = 0;
    if (notes)
        told = (uint16_t)__atomic_load_n(&notes->reached[program % STUB_PROGRAMS], __ATOMIC_RELAXED);
    if (history.program != program)
        history = (struct history){.program = program, .told = told};
    add_many(&history, (uint16_t)(told - history.told));
    history.told = told;
    bool early_now = history.starts && history.many * 4u >= history.starts * 3u;
    history.starts++;
    if (history.starts >= STARTS_MOST) {
        history.starts /= 2;
        history.many /= 2;
    }
    store(early, &history);
    return early_now;
}

void early_asked(struct early *early, uint32_t program) {
    struct history history = load(early, program);
    if (!program || history.program != program)
        return;
    add_many(&history, 1);
    store(early, &history);
}

uint32_t early_report(uint32_t program) {
    return program % STUB_PROGRAMS + 1;
}
