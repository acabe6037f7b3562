/* message.c - sendmsg, sendmmsg, recvmsg, recvmmsg: AF_UNIX paths in message headers.
 *
 * Rules: a message without a name, which is most of them, is passed after one look at its header.  Where a name is to
 * be replaced the tracee sends a copy of the headers, and what the kernel writes into those is put into its own.
 * sendmmsg(2) may send fewer messages than asked for, and callers go on from there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "../../process/memory.h"
#include "../call.h"
#include "../scratch.h"
#include "../shown/sockets.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"
#include "socket.h"

#define BATCH 64u               /* messages sent at once when one of them has a path */
#define SEGMENTS_AT_ONCE 64u

/* Headers as the tracee is to send them, with the addresses behind. */
struct batch {
    unsigned count;
    unsigned n_relocations;
    uint32_t relocations[BATCH];
    uint32_t lengths[BATCH];    /* bytes of each message: a datagram is sent whole or not at all */
    struct mmsghdr headers[BATCH];
    struct sockaddr_un addresses[BATCH];
};

static int message_length(struct call *call, const struct msghdr *header, uint32_t *length) {
    struct iovec segments[SEGMENTS_AT_ONCE];
    uint64_t at = (uint64_t)(uintptr_t)header->msg_iov;
    *length = 0;
    if (header->msg_iovlen > UIO_MAXIOV)
        return -EMSGSIZE;
    for (size_t left = header->msg_iovlen; left;) {
        size_t part = left < SEGMENTS_AT_ONCE ? left : SEGMENTS_AT_ONCE;
        int error = memory_read(&call->memory, at, segments, part * sizeof *segments);
        if (error < 0)
            return error;
        for (size_t i = 0; i < part; i++)
            *length += (uint32_t)segments[i].iov_len;
        at += part * sizeof *segments;
        left -= part;
    }
    return 0;
}

/* Takes the next message. 1: its address was replaced; 0; -errno. */
static int add_message(struct call *call, struct batch *batch, uint64_t at, size_t header_size) {
    unsigned i = batch->count;
    struct msghdr *header = &batch->headers[i].msg_hdr;
    const struct address *address = &call->scratch->address;
    int error = memory_read(&call->memory, at, &batch->headers[i], header_size);
    if (error == 0)
        error = message_length(call, header, &batch->lengths[i]);
    if (error == 0 && header->msg_name)
        error = socket_peer(call, (uint64_t)(uintptr_t)header->msg_name, header->msg_namelen);
    if (error < 0)
        return error;
    batch->count++;
    if (error == 0)
        return 0;
    batch->addresses[i] = address->un;
    header->msg_name =
        (void *)(offsetof(struct batch, addresses) - offsetof(struct batch, headers) + i * sizeof *batch->addresses);
    header->msg_namelen = address->length;
    batch->relocations[batch->n_relocations++] =
        (uint32_t)(i * sizeof *batch->headers + offsetof(struct msghdr, msg_name));
    return 1;
}

static void use_batch(struct call *call, const struct batch *batch) {
    struct replacement *replacement = &call->replacements[call->n_replacements];
    verdict_substitute_bytes(call, 1, batch->headers, sizeof *batch - offsetof(struct batch, headers));
    replacement->relocations = batch->relocations;
    replacement->n_relocations = batch->n_relocations;
}

static struct batch *new_batch(struct call *call) {
    struct batch *batch = calloc(1, sizeof *batch);
    call->scratch->owned[0] = batch;
    if (!batch)
        verdict_answer(call, -ENOMEM);
    return batch;
}

/* One of the messages has a name to look at. */
static bool any_named(struct call *call, size_t count) {
    struct msghdr header;
    uint64_t at = call->arg[1];
    for (size_t i = 0; i < count; i++, at += sizeof(struct mmsghdr)) {
        if (memory_read(&call->memory, at, &header, sizeof header) < 0)
            return false;
        if (header.msg_name)
            return true;
    }
    return false;
}

void do_sendmsg(struct call *call) {
    struct batch *batch = any_named(call, 1) ? new_batch(call) : NULL;
    if (!batch)
        return;
    int error = add_message(call, batch, call->arg[1], sizeof(struct msghdr));
    if (error < 0)
        verdict_answer(call, error);
    else if (error > 0)
        use_batch(call, batch);
}

static long messages_sent(struct call *call, long result) {
    const struct batch *batch = call->scratch->owned[0];
    for (long i = 0; i < result; i++) {
        uint64_t at = call->arg[1] + (uint64_t)i * sizeof(struct mmsghdr) + offsetof(struct mmsghdr, msg_len);
        int error = memory_write(&call->memory, at, &batch->lengths[i], sizeof batch->lengths[i]);
        if (error < 0)
            return i ? i : error;
    }
    return result;
}

void do_sendmmsg(struct call *call) {
    unsigned asked = (unsigned)call->arg[2] < UIO_MAXIOV ? (unsigned)call->arg[2] : UIO_MAXIOV;
    struct batch *batch = any_named(call, asked) ? new_batch(call) : NULL;
    int error = 0;
    if (!batch)
        return;
    while (error >= 0 && batch->count < asked && batch->count < BATCH && call->scratch->short_name < 0)
        error = add_message(call, batch, call->arg[1] + batch->count * sizeof(struct mmsghdr), sizeof(struct mmsghdr));
    if (batch->count == 0)
        return verdict_answer(call, error);
    if (batch->count == asked && !batch->n_relocations)
        return;
    if (batch->n_relocations) {
        use_batch(call, batch);
        call->finish = messages_sent;
    }
    verdict_substitute(call, 2, batch->count);
}

/* ---- receiving ---- */

/* The sender's name in one message, whose header is at `at`, with room for size bytes of it. */
static void tell_sender(struct call *call, uint64_t at, int size) {
    struct address name, asked;
    struct msghdr header;
    if (memory_read(&call->memory, at, &header, sizeof header) < 0 || !header.msg_name ||
        header.msg_namelen <= ADDRESS_PATH_AT || header.msg_namelen > (socklen_t)size ||
        header.msg_namelen > sizeof name.un)
        return;
    name.length = header.msg_namelen;
    uint64_t name_at = (uint64_t)(uintptr_t)header.msg_name;
    if (memory_read(&call->memory, name_at, &name.un, name.length) == 0 && name.un.sun_family == AF_UNIX &&
        sockets_find(call->session, &name, &asked))
        (void)socket_tell(call, name_at, at + offsetof(struct msghdr, msg_namelen), size, &asked);
}

static long received_message(struct call *call, long result) {
    if (result >= 0)
        tell_sender(call, call->arg[1], call->scratch->size);
    return result;
}

static long received_messages(struct call *call, long result) {
    for (long i = 0; i < result; i++)
        tell_sender(call, call->arg[1] + (uint64_t)i * sizeof(struct mmsghdr), call->scratch->size);
    return result;
}

static void watch_message(struct call *call, finish_fn *finish) {
    struct msghdr header;
    if (!sockets_any(call->session) || memory_read(&call->memory, call->arg[1], &header, sizeof header) < 0 ||
        !header.msg_name)
        return;
    call->scratch->size = (int)header.msg_namelen;
    call->watch_exit = true;
    call->finish = finish;
}

void do_recvmsg(struct call *call) {
    watch_message(call, received_message);
}

/* All have room for as long a name as the first: callers fill such a vector in a loop. */
void do_recvmmsg(struct call *call) {
    watch_message(call, received_messages);
}
