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
#include "../compat_layout.h"
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
    struct compat_mmsghdr narrow[BATCH];    /* of a 32-bit call, instead of the next */
    struct mmsghdr headers[BATCH];
    struct sockaddr_un addresses[BATCH];
};

/* ---- the tracee's own ---- */

static size_t stride(const struct call *call) {
    return call->compat ? sizeof(struct compat_mmsghdr) : sizeof(struct mmsghdr);
}

/* The header of message i, of sendmmsg and recvmmsg or the one. */
static uint64_t header_at(const struct call *call, size_t i) {
    return call->arg[1] + i * stride(call);
}

#define POINTER(value) ((void *)(uintptr_t)(value))

static int read_header(struct call *call, uint64_t at, struct msghdr *header) {
    struct compat_msghdr narrow;
    if (!call->compat)
        return memory_read(&call->memory, at, header, sizeof *header);
    int error = memory_read(&call->memory, at, &narrow, sizeof narrow);
    if (error == 0)
        *header = (struct msghdr){.msg_name = POINTER(narrow.name),
                                  .msg_namelen = narrow.name_length,
                                  .msg_iov = POINTER(narrow.iov),
                                  .msg_iovlen = narrow.iov_length,
                                  .msg_control = POINTER(narrow.control),
                                  .msg_controllen = narrow.control_length,
                                  .msg_flags = (int)narrow.flags};
    return error;
}

static int read_segments(struct call *call, uint64_t at, struct iovec *segments, size_t n) {
    struct compat_iovec narrow[SEGMENTS_AT_ONCE];
    if (!call->compat)
        return memory_read(&call->memory, at, segments, n * sizeof *segments);
    int error = memory_read(&call->memory, at, narrow, n * sizeof *narrow);
    for (size_t i = 0; error == 0 && i < n; i++)
        segments[i] = (struct iovec){.iov_base = POINTER(narrow[i].base), .iov_len = narrow[i].length};
    return error;
}

static int message_length(struct call *call, const struct msghdr *header, uint32_t *length) {
    struct iovec segments[SEGMENTS_AT_ONCE];
    size_t size = call->compat ? sizeof(struct compat_iovec) : sizeof *segments;
    uint64_t at = (uint64_t)(uintptr_t)header->msg_iov;
    *length = 0;
    if (header->msg_iovlen > UIO_MAXIOV)
        return -EMSGSIZE;
    for (size_t left = header->msg_iovlen; left;) {
        size_t part = left < SEGMENTS_AT_ONCE ? left : SEGMENTS_AT_ONCE;
        int error = read_segments(call, at, segments, part);
        if (error < 0)
            return error;
        for (size_t i = 0; i < part; i++)
            *length += (uint32_t)segments[i].iov_len;
        at += part * size;
        left -= part;
    }
    return 0;
}

/* ---- sending ---- */

/* Header i is to have its address behind the headers. */
static void lead_to_address(const struct call *call, struct batch *batch, unsigned i) {
    size_t begin = call->compat ? offsetof(struct batch, narrow) : offsetof(struct batch, headers);
    size_t address = offsetof(struct batch, addresses) - begin + i * sizeof *batch->addresses;
    size_t place = call->compat ? i * sizeof *batch->narrow : i * sizeof *batch->headers;
    batch->headers[i].msg_hdr.msg_name = POINTER(address);
    place += call->compat ? offsetof(struct compat_msghdr, name) : offsetof(struct msghdr, msg_name);
    batch->relocations[batch->n_relocations++] = (uint32_t)place;
}

static uint32_t narrow_pointer(const void *pointer) {
    return (uint32_t)(uintptr_t)pointer;
}

static void narrow_header(struct batch *batch, unsigned i) {
    const struct msghdr *header = &batch->headers[i].msg_hdr;
    batch->narrow[i].header = (struct compat_msghdr){.name = narrow_pointer(header->msg_name),
                                                     .name_length = header->msg_namelen,
                                                     .iov = narrow_pointer(header->msg_iov),
                                                     .iov_length = (uint32_t)header->msg_iovlen,
                                                     .control = narrow_pointer(header->msg_control),
                                                     .control_length = (uint32_t)header->msg_controllen,
                                                     .flags = (uint32_t)header->msg_flags};
}

/* Takes the next message. 1: its address was replaced; 0; -errno. */
static int add_message(struct call *call, struct batch *batch, uint64_t at) {
    unsigned i = batch->count;
    struct msghdr *header = &batch->headers[i].msg_hdr;
    const struct address *address = &call->scratch->address;
    int error = read_header(call, at, header);
    if (error == 0)
        error = message_length(call, header, &batch->lengths[i]);
    if (error == 0 && header->msg_name)
        error = socket_peer(call, (uint64_t)(uintptr_t)header->msg_name, header->msg_namelen);
    if (error < 0)
        return error;
    batch->count++;
    if (error > 0) {
        batch->addresses[i] = address->un;
        header->msg_namelen = address->length;
        lead_to_address(call, batch, i);
    }
    narrow_header(batch, i);
    return error;
}

static void use_batch(struct call *call, const struct batch *batch) {
    struct replacement *replacement = &call->replacements[call->n_replacements];
    if (call->compat)
        verdict_substitute_bytes(call, 1, batch->narrow, sizeof *batch - offsetof(struct batch, narrow));
    else
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
    for (size_t i = 0; i < count; i++) {
        if (read_header(call, header_at(call, i), &header) < 0)
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
    int error = add_message(call, batch, call->arg[1]);
    if (error < 0)
        verdict_answer(call, error);
    else if (error > 0)
        use_batch(call, batch);
}

static long messages_sent(struct call *call, long result) {
    const struct batch *batch = call->scratch->owned[0];
    for (long i = 0; i < result; i++) {
        size_t in_header = call->compat ? offsetof(struct compat_mmsghdr, length) : offsetof(struct mmsghdr, msg_len);
        uint64_t at = header_at(call, (size_t)i) + in_header;
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
        error = add_message(call, batch, header_at(call, batch->count));
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
    size_t length_at =
        at + (call->compat ? offsetof(struct compat_msghdr, name_length) : offsetof(struct msghdr, msg_namelen));
    if (read_header(call, at, &header) < 0 || !header.msg_name || header.msg_namelen <= ADDRESS_PATH_AT ||
        header.msg_namelen > (socklen_t)size || header.msg_namelen > sizeof name.un)
        return;
    name.length = header.msg_namelen;
    uint64_t name_at = (uint64_t)(uintptr_t)header.msg_name;
    if (memory_read(&call->memory, name_at, &name.un, name.length) == 0 && name.un.sun_family == AF_UNIX &&
        sockets_find(&name, &asked))
        (void)socket_tell(call, name_at, length_at, size, &asked);
}

static long received_message(struct call *call, long result) {
    if (result >= 0)
        tell_sender(call, call->arg[1], call->scratch->size);
    return result;
}

static long received_messages(struct call *call, long result) {
    for (long i = 0; i < result; i++)
        tell_sender(call, header_at(call, (size_t)i), call->scratch->size);
    return result;
}

static void watch_message(struct call *call, finish_fn *finish) {
    struct msghdr header;
    if (!sockets_any() || read_header(call, call->arg[1], &header) < 0 || !header.msg_name)
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
