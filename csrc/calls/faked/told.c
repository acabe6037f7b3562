/* told.c - who a fake root's programs are where the kernel tells it unasked: the auxiliary vector of getauxval(3), and
 * the credentials of a socket's peer (unix(7)).
 *
 * Rules: a peer's are those that its process has when it is asked about; of a process that has ended, root's.  What
 * does not belong to the run is shown as files of its owner are.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../call.h"
#include "../handlers/handlers.h"
#include "../programs/vector.h"
#include "../session.h"
#include "../tasks/seen.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "faked.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* ---- the auxiliary vector ---- */

/* cap_bprm_creds_from_file(): the C library then minds no LD_PRELOAD. */
static bool is_secure(const struct seen *seen) {
    return seen->uid[SEEN_EFFECTIVE] != seen->uid[SEEN_REAL] || seen->gid[SEEN_EFFECTIVE] != seen->gid[SEEN_REAL];
}

static bool tell_entry(Elf64_auxv_t *entry, const struct seen *seen) {
    switch (entry->a_type) {
    case AT_UID:
        entry->a_un.a_val = seen->uid[SEEN_REAL];
        return true;
    case AT_EUID:
        entry->a_un.a_val = seen->uid[SEEN_EFFECTIVE];
        return true;
    case AT_GID:
        entry->a_un.a_val = seen->gid[SEEN_REAL];
        return true;
    case AT_EGID:
        entry->a_un.a_val = seen->gid[SEEN_EFFECTIVE];
        return true;
    case AT_SECURE:
        entry->a_un.a_val = is_secure(seen);
        return true;
    default:
        return false;
    }
}

void faked_started(struct call *call, bool narrow) {
    struct vector vector;
    const struct seen *seen = seen_of(call->task);
    if (!seen)
        return;
    vector_begin(&vector, call->task->tid, narrow);
    while (vector_next(&vector))
        if (tell_entry(&vector.entry, seen))
            vector_put(&vector);
}

/* ---- a socket's peer ---- */

static void peer_ids(struct call *call, struct ucred *peer) {
    struct statx stx = {.stx_uid = peer->uid, .stx_gid = peer->gid};
    if (task_in_run(call->session, peer->pid)) {
        const struct seen *seen = seen_of_process(call->session, peer->pid);
        stx.stx_uid = seen ? seen->uid[SEEN_EFFECTIVE] : 0;
        stx.stx_gid = seen ? seen->gid[SEEN_EFFECTIVE] : 0;
    } else {
        view_fake_ids(call->session->view, &stx);
    }
    peer->uid = stx.stx_uid;
    peer->gid = stx.stx_gid;
}

/* The kernel has written whom it knows, with the id that the process has for the caller. */
static long peer_told(struct call *call, long result) {
    struct ucred peer;
    socklen_t told, size = sizeof peer;
    CLOSE_DESCRIPTOR fd = result < 0 ? -1 : task_descriptor(call, (int)call->arg[0]);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof peer || peer.pid == 0 ||
        memory_read(&call->memory, call->arg[4], &told, sizeof told) < 0 || told <= offsetof(struct ucred, uid))
        return result;
    peer_ids(call, &peer);
    size_t length = (told < sizeof peer ? told : sizeof peer) - offsetof(struct ucred, uid);
    int error = memory_write(&call->memory, call->arg[3] + offsetof(struct ucred, uid), &peer.uid, length);
    return error < 0 ? error : result;
}

/* sk_getsockopt() in net/core/sock.c. */
static void tell_groups(struct call *call) {
    struct ucred peer;
    socklen_t room, size = sizeof peer;
    CLOSE_DESCRIPTOR fd = task_descriptor(call, (int)call->arg[0]);
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || size != sizeof peer ||
        !task_in_run(call->session, peer.pid))
        return;
    const struct seen *seen = seen_of_process(call->session, peer.pid);
    if (!seen || memory_read(&call->memory, call->arg[4], &room, sizeof room) < 0)
        return verdict_answer(call, seen ? -EFAULT : -ENOMEM);
    size = (socklen_t)(seen->ngroups * sizeof *seen->groups);
    bool fits = room >= size;
    if (fits && memory_write(&call->memory, call->arg[3], seen->groups, size) < 0)
        return verdict_answer(call, -EFAULT);
    verdict_answer_bytes(call, call->arg[4], &size, sizeof size, fits ? 0 : -ERANGE);
}

const uint32_t faked_socket_options[] = {SO_PEERCRED, SO_PEERGROUPS, 0};

void do_faked_peer(struct call *call) {
    if ((int)call->arg[1] != SOL_SOCKET)
        return;
    if ((int)call->arg[2] == SO_PEERGROUPS)
        return tell_groups(call);
    call->watch_exit = true;
    call->finish = peer_told;
}
