/* machine.c - the machine that a build is told it runs on: uname, sysinfo, sched_getaffinity, getcpu.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include "../call.h"
#include "../handlers/handlers.h"
#include "../session.h"
#include "../verdict.h"
#include "fixed.h"
#include "machine.h"

void do_uname(struct call *call) {
    struct utsname name;
    bool other = fixed_has(call->session, PTO_BUILD_OTHER_HOST);
    if (!fixed_has(call->session, PTO_BUILD_MACHINE | PTO_BUILD_OTHER_HOST) || uname(&name) < 0)
        return;
    if (!fixed_has(call->session, PTO_BUILD_MACHINE)) {
        strcpy(name.nodename, MACHINE_OTHER_NAME);
        return verdict_answer_bytes(call, call->arg[0], &name, sizeof name, 0);
    }
    struct utsname told = {.sysname = "Linux",
                           .nodename = MACHINE_NAME,
                           .release = MACHINE_KERNEL,
                           .version = MACHINE_VERSION,
                           .domainname = "(none)"};
    if (other)
        strcpy(told.nodename, MACHINE_OTHER_NAME);
    memcpy(told.machine, name.machine, sizeof told.machine);   /* what the inputs are for */
    verdict_answer_bytes(call, call->arg[0], &told, sizeof told, 0);
}

void do_sysinfo(struct call *call) {
    const struct sysinfo told = {
        .uptime = 1, .totalram = MACHINE_MEMORY, .freeram = MACHINE_MEMORY / 2, .procs = 1, .mem_unit = 1};
    if (fixed_has(call->session, PTO_BUILD_MACHINE))
        verdict_answer_bytes(call, call->arg[0], &told, sizeof told, 0);
}

/* One processor. */
void do_sched_getaffinity(struct call *call) {
    const uint64_t mask = 1;
    if (!fixed_has(call->session, PTO_BUILD_MACHINE))
        return;
    if (call->arg[1] < sizeof mask || call->arg[1] % sizeof mask)
        return verdict_answer(call, -EINVAL);
    verdict_answer_bytes(call, call->arg[2], &mask, sizeof mask, sizeof mask);
}

void do_getcpu(struct call *call) {
    const uint32_t number = 0;
    if (!fixed_has(call->session, PTO_BUILD_MACHINE))
        return;
    verdict_answer(call, 0);
    for (unsigned i = 0; i < 2; i++)
        if (call->arg[i] && call->value == 0)
            verdict_answer_bytes(call, call->arg[i], &number, sizeof number, 0);
}
