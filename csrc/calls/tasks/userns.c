/* userns.c - in which user namespace a task is, and what its ids are in ours.
 *
 * The kernel tells ids in the namespace of who opens /proc/PID/status, which is ours; capabilities it tells as they are
 * in the task's own (user_namespaces(7)).  A file of /proc/PID/uid_map tells ours in its second column.
 *
 * Rules: nobody is asked before a task has asked for a namespace; a map is written once, so one that has lines stays.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../session.h"
#include "task.h"
#include "userns.h"

#define OVERFLOW_ID 65534u /* DEFAULT_OVERFLOWUID */

void userns_begin(struct session *session) {
    __atomic_store_n(&session->user_namespaces, true, __ATOMIC_SEQ_CST);
}

/* The inode number of the namespace of a task, 0: ours; 0: it cannot be told. */
static ino_t namespace_of(pid_t tid) {
    char path[PROC_LINK];
    struct stat st;
    if (tid)
        snprintf(path, sizeof path, "/proc/%d/ns/user", tid);
    return stat(tid ? path : "/proc/self/ns/user", &st) < 0 ? 0 : st.st_ino;
}

static ino_t own_namespace(struct session *session) {
    ino_t own = __atomic_load_n(&session->user_ns, __ATOMIC_RELAXED);
    if (!own)
        __atomic_store_n(&session->user_ns, own = namespace_of(0), __ATOMIC_RELAXED);
    return own;
}

static int read_map(pid_t tid, const char *name, struct id_map *map) {
    char path[PROC_LINK];
    snprintf(path, sizeof path, "/proc/%d/%s", tid, name);
    FILE *file = fopen(path, "re");
    map->n = 0;
    if (!file)
        return -errno;
    struct id_range range;
    while (map->n < ID_RANGES && fscanf(file, "%u %u %u", &range.inside, &range.outside, &range.count) == 3)
        map->ranges[map->n++] = range;
    fclose(file);
    return 0;
}

int userns_maps(struct session *session, pid_t tid, struct id_maps **maps) {
    if (!__atomic_load_n(&session->user_namespaces, __ATOMIC_SEQ_CST))
        return 0;
    ino_t theirs = namespace_of(tid);
    if (!theirs)
        return -EPERM;
    if (theirs == own_namespace(session)) {
        free(*maps);
        *maps = NULL;
        return 0;
    }
    if (!*maps)
        *maps = malloc(sizeof **maps);
    if (!*maps)
        return -ENOMEM;
    int error = read_map(tid, "uid_map", &(*maps)->uids);
    return error < 0 ? error : read_map(tid, "gid_map", &(*maps)->gids);
}

bool userns_uid(const struct task *task, uid_t *uid) {
    return !task->ids || *uid == (uid_t)-1 || view_id_outside(&task->ids->uids, *uid, uid);
}

bool userns_gid(const struct task *task, gid_t *gid) {
    return !task->ids || *gid == (gid_t)-1 || view_id_outside(&task->ids->gids, *gid, gid);
}

void userns_show(const struct task *task, struct statx *stx) {
    uint32_t id;
    if (!task->ids)
        return;
    stx->stx_uid = view_id_inside(&task->ids->uids, stx->stx_uid, &id) ? id : OVERFLOW_ID;
    stx->stx_gid = view_id_inside(&task->ids->gids, stx->stx_gid, &id) ? id : OVERFLOW_ID;
}
