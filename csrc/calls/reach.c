/* reach.c - real paths that the tracee is given, however long they are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "reach.h"

#include <limits.h>
#include <string.h>

#include "call.h"
#include "programs/programs.h"
#include "scratch.h"
#include "verdict.h"

bool reach_is_far(const char *path) {
    return strnlen(path, PATH_MAX) == PATH_MAX;
}

void reach_substitute(struct call *call, unsigned arg, const char *path) {
    ENTERED(call);
    struct call_scratch *scratch = call->scratch;
    if (!reach_is_far(path))
        return verdict_substitute_string(call, arg, path);
    int error = programs_reach(call->session, path, &scratch->reach, scratch->reached);
    if (error < 0)
        return verdict_answer(call, error);
    verdict_substitute_string(call, arg, scratch->reached);
}
