/* ids.c - owners that our user namespace does not map.
 *
 * They all look alike (overflowuid, proc(5)), and no capability reaches what belongs to them:
 * capable_wrt_inode_uidgid() in kernel/capability.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <stdio.h>
#include <sys/stat.h>

#include "layers.h"

#define ALL_MAPPED UINT32_MAX

static uint32_t unmapped_uid = ALL_MAPPED, unmapped_gid = ALL_MAPPED; /* atomic: of all views of the process */

/* True when a range of the map (user_namespaces(7)) holds the id. */
static bool maps(const char *map, uint32_t id) {
    FILE *file = fopen(map, "re");
    char line[128];
    unsigned first, outside, count;
    bool found = !file;   /* without namespaces there is no map */
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "%u %u %u", &first, &outside, &count) == 3 && id >= first && id - first < count;
    if (file)
        fclose(file);
    return found;
}

static void learn(uint32_t *unmapped, const char *overflow, const char *map) {
    FILE *file = fopen(overflow, "re");
    char line[32];
    uint32_t id = 65534;   /* DEFAULT_OVERFLOWUID */
    if (file && fgets(line, sizeof line, file))
        (void)sscanf(line, "%u", &id);
    if (file)
        fclose(file);
    __atomic_store_n(unmapped, maps(map, id) ? ALL_MAPPED : id, __ATOMIC_RELAXED);
}

void ids_learn(void) {
    learn(&unmapped_uid, "/proc/sys/kernel/overflowuid", "/proc/self/uid_map");
    learn(&unmapped_gid, "/proc/sys/kernel/overflowgid", "/proc/self/gid_map");
}

bool ids_all_mapped(void) {
    return unmapped_uid == ALL_MAPPED && unmapped_gid == ALL_MAPPED;
}

/* From the one side of the map to the other. */
static bool translate(const struct id_map *map, bool inwards, uint32_t id, uint32_t *out) {
    for (unsigned i = 0; i < map->n; i++) {
        const struct id_range *range = &map->ranges[i];
        uint32_t from = inwards ? range->outside : range->inside, to = inwards ? range->inside : range->outside;
        if (id < from || id - from >= range->count)
            continue;
        *out = to + (id - from);
        return true;
    }
    return false;
}

bool view_id_inside(const struct id_map *map, uint32_t outside, uint32_t *inside) {
    return translate(map, true, outside, inside);
}

bool view_id_outside(const struct id_map *map, uint32_t inside, uint32_t *outside) {
    return translate(map, false, inside, outside);
}

/* Has it the capability in its own user namespace, and does that one have the owner? */
static bool capable_over_uid(const struct statx *stx, const struct cred *cred, int cap) {
    uint32_t id;
    return cred->caps & (1ull << cap) && stx->stx_uid != unmapped_uid &&
           (!cred->ids || view_id_inside(&cred->ids->uids, stx->stx_uid, &id));
}

bool ids_capable_over(const struct statx *stx, const struct cred *cred, int cap) {
    uint32_t id;
    return capable_over_uid(stx, cred, cap) && stx->stx_gid != unmapped_gid &&
           (!cred->ids || view_id_inside(&cred->ids->gids, stx->stx_gid, &id));
}

bool ids_owner_or_capable(const struct statx *stx, const struct cred *cred) {
    return stx->stx_uid == cred->fsuid || capable_over_uid(stx, cred, CAP_FOWNER);
}
