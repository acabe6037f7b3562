/* ids.c - getuid … getgroups, setuid … setgroups: kernel/sys.c and kernel/groups.c, of the credentials that are seen.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <string.h>

#include "../../process/memory.h"
#include "../call.h"
#include "../session.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "capabilities.h"
#include "faked.h"

#define GROUPS_MAX 65536u
#define NO_ID UINT32_MAX
#define BIT(cap) (UINT64_C(1) << (cap))
/* CAP_FS_MASK of the kernel: what the id of the file system gives and takes. */
#define FILE_CAPABILITIES                                                                                              \
    (BIT(CAP_CHOWN) | BIT(CAP_MKNOD) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) |            \
     BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_MAC_OVERRIDE))

/* ---- get ---- */

static void get_groups(struct call *call, const struct seen *seen) {
    int size = (int)call->arg[0];
    if (size < 0 || (size && (size_t)size < seen->ngroups))
        return verdict_answer(call, -EINVAL);
    verdict_answer_bytes(call, call->arg[1], seen->groups, size ? seen->ngroups * sizeof *seen->groups : 0,
                         (long)seen->ngroups);
}

static void get_all(struct call *call, const uint32_t ids[SEEN_IDS]) {
    for (unsigned i = 0; i < 3; i++)
        if (memory_write(&call->memory, call->arg[i], &ids[i], sizeof ids[i]) < 0)
            return verdict_answer(call, -EFAULT);
    verdict_answer(call, 0);
}

void do_faked_get(struct call *call) {
    const struct seen *seen = seen_of(call->task);
    if (!seen)
        return verdict_answer(call, -ENOMEM);
    const uint32_t *ids = call->row->detail & FAKED_GROUP ? seen->gid : seen->uid;
    switch (call->row->detail & ~FAKED_GROUP) {
    case FAKED_GET_REAL:
        return verdict_answer(call, ids[SEEN_REAL]);
    case FAKED_GET_EFFECTIVE:
        return verdict_answer(call, ids[SEEN_EFFECTIVE]);
    case FAKED_GET_ALL:
        return get_all(call, ids);
    default:
        return get_groups(call, seen);
    }
}

/* ---- set ---- */

static bool is_one_of(const uint32_t ids[SEEN_IDS], uint32_t id, bool saved, bool fs) {
    return id == NO_ID || id == ids[SEEN_REAL] || id == ids[SEEN_EFFECTIVE] || (saved && id == ids[SEEN_SAVED]) ||
           (fs && id == ids[SEEN_FS]);
}

static int set_one(uint32_t ids[SEEN_IDS], uint32_t id, bool capable) {
    if (id == NO_ID)
        return -EINVAL;
    if (capable)
        ids[SEEN_REAL] = ids[SEEN_SAVED] = id;
    else if (id != ids[SEEN_REAL] && id != ids[SEEN_SAVED])
        return -EPERM;
    ids[SEEN_EFFECTIVE] = ids[SEEN_FS] = id;
    return 0;
}

static int set_re(uint32_t ids[SEEN_IDS], const uint64_t arg[6], bool capable) {
    uint32_t real = (uint32_t)arg[0], effective = (uint32_t)arg[1], old = ids[SEEN_REAL];
    if (!capable && (!is_one_of(ids, real, false, false) || !is_one_of(ids, effective, true, false)))
        return -EPERM;
    if (real != NO_ID)
        ids[SEEN_REAL] = real;
    if (effective != NO_ID)
        ids[SEEN_EFFECTIVE] = effective;
    if (real != NO_ID || (effective != NO_ID && effective != old))
        ids[SEEN_SAVED] = ids[SEEN_EFFECTIVE];
    ids[SEEN_FS] = ids[SEEN_EFFECTIVE];
    return 0;
}

static int set_res(uint32_t ids[SEEN_IDS], const uint64_t arg[6], bool capable) {
    for (unsigned i = 0; i < 3 && !capable; i++)
        if (!is_one_of(ids, (uint32_t)arg[i], true, false))
            return -EPERM;
    for (unsigned i = 0; i < 3; i++)
        if ((uint32_t)arg[i] != NO_ID)
            ids[i] = (uint32_t)arg[i];
    ids[SEEN_FS] = ids[SEEN_EFFECTIVE];
    return 0;
}

static bool none_is_root(const uid_t uid[SEEN_IDS]) {
    return uid[SEEN_REAL] && uid[SEEN_EFFECTIVE] && uid[SEEN_SAVED];
}

/* cap_task_fix_setuid() of security/commoncap.c. */
static void fix_capabilities(const struct seen *old, struct seen *new, bool fs) {
    if (new->securebits & SECBIT_NO_SETUID_FIXUP)
        return;
    if (fs) {
        if (old->uid[SEEN_FS] == 0 && new->uid[SEEN_FS] != 0)
            new->effective &= ~FILE_CAPABILITIES;
        else if (old->uid[SEEN_FS] != 0 && new->uid[SEEN_FS] == 0)
            new->effective |= FILE_CAPABILITIES & new->permitted;
        return;
    }
    if (!none_is_root(old->uid) && none_is_root(new->uid)) {
        if (!(new->securebits & SECBIT_KEEP_CAPS))
            new->permitted = new->effective = 0;
        new->ambient = 0;
    }
    if (old->uid[SEEN_EFFECTIVE] == 0 && new->uid[SEEN_EFFECTIVE] != 0)
        new->effective = 0;
    if (old->uid[SEEN_EFFECTIVE] != 0 && new->uid[SEEN_EFFECTIVE] == 0)
        new->effective = new->permitted;
}

static int set_ids(struct call *call, const struct seen *old, struct seen *new) {
    bool group = call->row->detail & FAKED_GROUP, capable = seen_capable(old, group ? CAP_SETGID : CAP_SETUID);
    uint32_t *ids = group ? new->gid : new->uid, id = (uint32_t)call->arg[0];
    long result = 0;
    switch (call->row->detail & ~FAKED_GROUP) {
    case FAKED_SET:
        result = set_one(ids, id, capable);
        break;
    case FAKED_SET_RE:
        result = set_re(ids, call->arg, capable);
        break;
    case FAKED_SET_RES:
        result = set_res(ids, call->arg, capable);
        break;
    default: /* FAKED_SET_FS, which tells what was */
        result = ids[SEEN_FS];
        if (id != NO_ID && (capable || is_one_of(ids, id, true, true)))
            ids[SEEN_FS] = id;
    }
    bool fs = (call->row->detail & ~FAKED_GROUP) == FAKED_SET_FS;
    if (!group && (fs || result == 0))
        fix_capabilities(old, new, fs);
    verdict_answer(call, result);
    return fs || result == 0 ? 0 : -EPERM;
}

static int by_id(const void *a, const void *b) {
    gid_t one = *(const gid_t *)a, other = *(const gid_t *)b;
    return one < other ? -1 : one > other;
}

static struct seen *with_groups(struct call *call, const struct seen *old) {
    size_t count = call->arg[0];
    if (!seen_capable(old, CAP_SETGID) || count > GROUPS_MAX) {
        verdict_answer(call, seen_capable(old, CAP_SETGID) ? -EINVAL : -EPERM);
        return NULL;
    }
    struct seen *new = seen_copy(old, count);
    int error = new ? 0 : -ENOMEM;
    if (new && count)
        error = memory_read(&call->memory, call->arg[1], new->groups, count * sizeof *new->groups);
    if (!error) {
        qsort(new->groups, count, sizeof *new->groups, by_id);
        verdict_answer(call, 0);
        return new;
    }
    free(new);
    verdict_answer(call, error);
    return NULL;
}

/* The verdict is there: what is seen from now on, NULL: as before. */
static struct seen *changed(struct call *call, const struct seen *old) {
    if (call->row->detail == FAKED_SET_GROUPS)
        return with_groups(call, old);
    struct seen *new = seen_copy(old, old->ngroups);
    int error = new ? 0 : -ENOMEM;
    if (!new)
        verdict_answer(call, error);
    else if (call->row->detail == FAKED_SET_CAPS)
        verdict_answer(call, error = capabilities_set(call, old, new));
    else
        error = set_ids(call, old, new);
    if (!error)
        return new;
    free(new);
    return NULL;
}

bool faked_set(struct call *call) {
    if (!seen_wanted(call->session))
        return false;
    const struct seen *old = seen_of(call->task);
    if (!old) {
        verdict_answer(call, -ENOMEM);
        return true;
    }
    struct seen *new = changed(call, old);
    int error = new && !seen_equal(old, new) ? seen_set(call->task, new) : 0;
    if (error < 0)
        verdict_answer(call, error == -ESRCH ? error : -EAGAIN);
    free(new);
    return true;
}
