/* programs.c - what the kernel tells a program at its start (getauxval(3)).
 *
 * The vDSO, by which the C library and Go's runtime have the time and random bytes without a call, is taken out of the
 * vector, so that they ask the kernel; this reaches static programs, too, which find it nowhere else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <elf.h>

#include "../../process/memory.h"
#include "../call.h"
#include "../programs/vector.h"
#include "../session.h"
#include "../tasks/task.h"
#include "clock.h"
#include "fixed.h"
#include "random.h"

#define BY_VDSO ((unsigned)(PTO_BUILD_CLOCK | PTO_BUILD_WATCHED | PTO_BUILD_RANDOM))
#define RANDOM_BYTES 16u    /* of AT_RANDOM */

void fixed_clock_program(struct call *call) {
    struct fixed *fixed = call->session->fixed;
    struct vector vector;
    unsigned char bytes[RANDOM_BYTES];
    vector_begin(&vector, call->task->tid, false);
    while (vector_next(&vector)) {
        if (vector.entry.a_type == AT_SYSINFO_EHDR && (fixed->switches & BY_VDSO)) {
            vector.entry.a_type = AT_IGNORE;
            vector_put(&vector);
        } else if (vector.entry.a_type == AT_RANDOM && (fixed->switches & PTO_BUILD_RANDOM)) {
            random_take(call, bytes, sizeof bytes);
            (void)memory_write(&vector.memory, vector.entry.a_un.a_val, bytes, sizeof bytes);
        }
    }
}
