/* capabilities.c - capget, capset and the options of prctl(2) about capabilities: kernel/capability.c and
 * security/commoncap.c, of the credentials that are seen.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/securebits.h>
#include <stdlib.h>

#include "../../process/memory.h"
#include "../call.h"
#include "../session.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "capabilities.h"
#include "faked.h"

const uint32_t faked_options[] = {PR_CAPBSET_READ, PR_SET_KEEPCAPS, PR_GET_KEEPCAPS, PR_GET_SECUREBITS, 0};

/* Of the header: *words of each set, whose they are.  The version that is to be used is written where it is another. */
static int read_header(struct call *call, pid_t *pid, unsigned *words) {
    struct __user_cap_header_struct header;
    if (memory_read(&call->memory, call->arg[0], &header, sizeof header) < 0)
        return -EFAULT;
    *pid = header.pid;
    *words = header.version == _LINUX_CAPABILITY_VERSION_1 ? 1 : 2;
    if (header.version == _LINUX_CAPABILITY_VERSION_1 || header.version == _LINUX_CAPABILITY_VERSION_2 ||
        header.version == _LINUX_CAPABILITY_VERSION_3)
        return 0;
    header.version = _LINUX_CAPABILITY_VERSION_3;
    if (memory_write(&call->memory, call->arg[0], &header, sizeof header.version) < 0)
        return -EFAULT;
    return -EINVAL;
}

void do_faked_caps(struct call *call) {
    struct __user_cap_data_struct data[2];
    pid_t pid;
    unsigned words;
    int error = read_header(call, &pid, &words);
    if (error == -EINVAL && !call->arg[1])
        error = 1;   /* only the version was asked for */
    if (error || pid < 0)
        return verdict_answer(call, error > 0 ? 0 : error ? error : -EINVAL);
    bool other = pid && pid != call->task->tid;
    if (other && !task_in_run(call->session, pid))
        return;
    const struct seen *seen = other ? seen_of_process(call->session, pid) : seen_of(call->task);
    if (!seen)
        return verdict_answer(call, -ENOMEM);
    for (unsigned i = 0; i < words; i++)
        data[i] = (struct __user_cap_data_struct){
            .effective = (uint32_t)(seen->effective >> (32 * i)),
            .permitted = (uint32_t)(seen->permitted >> (32 * i)),
            .inheritable = (uint32_t)(seen->inheritable >> (32 * i)),
        };
    verdict_answer_bytes(call, call->arg[1], data, words * sizeof *data, 0);
}

int capabilities_set(struct call *call, const struct seen *old, struct seen *new) {
    struct __user_cap_data_struct data[2] = {{0}};
    pid_t pid;
    unsigned words;
    int error = read_header(call, &pid, &words);
    if (error)
        return error;
    if (pid && pid != call->task->tid)
        return -EPERM;
    if (memory_read(&call->memory, call->arg[1], data, words * sizeof *data) < 0)
        return -EFAULT;
    new->effective = data[0].effective | (uint64_t)data[1].effective << 32;
    new->permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    new->inheritable = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    bool capped = !seen_capable(old, CAP_SETPCAP);
    if ((capped && new->inheritable & ~(old->inheritable | old->permitted)) ||
        new->inheritable & ~(old->inheritable | old->bounding) || new->permitted & ~old->permitted ||
        new->effective & ~new->permitted)
        return -EPERM;
    new->ambient &= new->permitted & new->inheritable;
    return 0;
}

static long set_bit(const struct seen *old, struct seen *new, uint64_t cap) {
    if (!seen_capable(old, CAP_SETPCAP))
        return -EPERM;
    if (cap > CAP_LAST_CAP)
        return -EINVAL;
    new->bounding &= ~(UINT64_C(1) << cap);
    return 0;
}

static long set_keep(const struct seen *old, struct seen *new, uint64_t keep) {
    if (keep > 1)
        return -EINVAL;
    if (old->securebits & SECBIT_KEEP_CAPS_LOCKED)
        return -EPERM;
    new->securebits = (old->securebits & ~(unsigned)SECBIT_KEEP_CAPS) | (keep ? SECBIT_KEEP_CAPS : 0);
    return 0;
}

static long set_securebits(const struct seen *old, struct seen *new, uint64_t bits) {
    unsigned locked = old->securebits & SECURE_ALL_LOCKS;
    if (bits & ~(uint64_t)(SECURE_ALL_BITS | SECURE_ALL_LOCKS) || ((locked >> 1) & (old->securebits ^ bits)) ||
        (locked & ~bits) || !seen_capable(old, CAP_SETPCAP))
        return -EPERM;
    new->securebits = (unsigned)bits;
    return 0;
}

static long ambient(const struct call *call, const struct seen *old, struct seen *new) {
    uint64_t how = call->arg[1], cap = call->arg[2], bit = UINT64_C(1) << (cap & 63);
    if (how == PR_CAP_AMBIENT_CLEAR_ALL) {
        new->ambient = 0;
        return call->arg[2] | call->arg[3] | call->arg[4] ? -EINVAL : 0;
    }
    if (cap > CAP_LAST_CAP || call->arg[3] | call->arg[4])
        return -EINVAL;
    switch (how) {
    case PR_CAP_AMBIENT_IS_SET:
        return (old->ambient & bit) != 0;
    case PR_CAP_AMBIENT_RAISE:
        if (!(old->permitted & old->inheritable & bit) || (old->securebits & SECBIT_NO_CAP_AMBIENT_RAISE))
            return -EPERM;
        new->ambient |= bit;
        return 0;
    case PR_CAP_AMBIENT_LOWER:
        new->ambient &= ~bit;
        return 0;
    default:
        return -EINVAL;
    }
}

/* The answer, and what is seen then. */
static long answer(const struct call *call, const struct seen *old, struct seen *new) {
    switch ((uint32_t)call->arg[0]) {
    case PR_CAPBSET_READ:
        return call->arg[1] > CAP_LAST_CAP ? -EINVAL : (long)(old->bounding >> call->arg[1] & 1);
    case PR_CAPBSET_DROP:
        return set_bit(old, new, call->arg[1]);
    case PR_GET_KEEPCAPS:
        return (old->securebits & SECBIT_KEEP_CAPS) != 0;
    case PR_SET_KEEPCAPS:
        return set_keep(old, new, call->arg[1]);
    case PR_GET_SECUREBITS:
        return old->securebits;
    case PR_SET_SECUREBITS:
        return set_securebits(old, new, call->arg[1]);
    default:
        return ambient(call, old, new);
    }
}

static bool is_ours(uint32_t option) {
    for (const uint32_t *one = faked_options; *one; one++)
        if (*one == option)
            return true;
    return option == PR_CAPBSET_DROP || option == PR_SET_SECUREBITS || option == PR_CAP_AMBIENT;
}

bool faked_prctl(struct call *call) {
    if (!seen_wanted(call->session) || !is_ours((uint32_t)call->arg[0]))
        return false;
    const struct seen *old = seen_of(call->task);
    struct seen *new = old ? seen_copy(old, old->ngroups) : NULL;
    long result = new ? answer(call, old, new) : -ENOMEM;
    int error = result >= 0 && !seen_equal(old, new) ? seen_set(call->task, new) : 0;
    verdict_answer(call, error < 0 ? error : result);
    free(new);
    return true;
}
