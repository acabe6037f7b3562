/* passing.c - a descriptor is passed between us and a task that we trace, by calls that it makes for us.
 *
 *     it gets one:   socket, connect, recvmsg (SCM_RIGHTS, unix(7)), dup3 over the socket, close
 *     we get one:    socket, connect, sendmsg, close
 *
 * It gets one by the ptrace trap of what it is to open for writing and cannot be trusted to open by itself: where a
 * path is longer than a call takes, and where a symlink in it cannot be forbidden (there is no openat2(2)).  We get one
 * of a socket that is to be bound, where the kernel gives none of another process (pidfd_getfd(2)).
 *
 * Rules: the number that it gets is the lowest that is free, as open(2) promises, so the new descriptor takes the
 * socket's place.  Whatever fails, what was opened for it is closed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "passing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../process/family.h"
#include "../../process/memory.h"
#include "exchange.h"

enum passing_step {
    PASSING_SOCKET,
    PASSING_CONNECT,
    PASSING_SEND,
    PASSING_RECEIVE,
    PASSING_REPLACE,
    PASSING_CLOSE,
    PASSING_OVER,
};

struct passing {
    enum passing_step step;
    int wanted;         /* the task's, that we are to get; -1: it gets one */
    int fd;             /* ours, of what is passed; -1: not yet */
    bool close_on_exec;
    bool compat;        /* it is to make calls of the 32-bit architecture */
    int listener, peer; /* ours; -1 before */
    int socket;         /* the task's, -1: none */
    int received;       /* the task's, -1: none */
    long result;
    socklen_t name_length;
    struct sockaddr_un name;
};

/* What the memory of the task's holds. */
struct passed {
    struct sockaddr_un name;
    union {
        struct parcel parcel;
        struct compat_parcel compat;
    };
};
#define IN_AREA(area, field) ((area) + offsetof(struct passed, field))

size_t passing_size(void) {
    return sizeof(struct passed);
}

static void close_ours(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void passing_free(struct passing *passing) {
    if (!passing)
        return;
    close_ours(&passing->fd);
    close_ours(&passing->listener);
    close_ours(&passing->peer);
    free(passing);
}

static struct passing *begin(int fd, int wanted, bool close_on_exec) {
    struct passing *passing = malloc(sizeof *passing);
    if (!passing)
        return NULL;
    *passing = (struct passing){.wanted = wanted,
                                .fd = fd,
                                .close_on_exec = close_on_exec,
                                .listener = -1,
                                .peer = -1,
                                .socket = -1,
                                .received = -1};
    passing->listener = exchange_listen(&passing->name, &passing->name_length);
    if (passing->listener < 0) {
        passing->result = passing->listener;
        passing->step = PASSING_OVER;
    }
    return passing;
}

struct passing *passing_give(int fd, bool close_on_exec) {
    struct passing *passing = begin(fd, -1, close_on_exec);
    if (!passing)
        close(fd);
    return passing;
}

struct passing *passing_take(int number) {
    return begin(-1, number, false);
}

/* ---- the calls ---- */

struct injected {
    int nr;
    uint64_t arg[3];
};

static int prepare_connect(const struct passing *passing, pid_t tid, uint64_t area, struct injected *call) {
    *call = (struct injected){__NR_connect, {(uint64_t)passing->socket, IN_AREA(area, name), passing->name_length}};
    return memory_write(&MEMORY(tid), IN_AREA(area, name), &passing->name, sizeof passing->name);
}

/* The message with or for a descriptor, in the area. */
static int put_parcel(const struct passing *passing, pid_t tid, uint64_t area, const int *fds, size_t n) {
    struct parcel parcel;
    struct compat_parcel compat;
    if (passing->compat) {
        exchange_fill_compat(&compat, IN_AREA(area, parcel), fds, n);
        return memory_write(&MEMORY(tid), IN_AREA(area, parcel), &compat, sizeof compat);
    }
    exchange_fill(&parcel, IN_AREA(area, parcel), fds, n);
    return memory_write(&MEMORY(tid), IN_AREA(area, parcel), &parcel, sizeof parcel);
}

static size_t get_parcel(const struct passing *passing, pid_t tid, uint64_t area, int fds[STALE_MOST]) {
    struct parcel parcel;
    struct compat_parcel compat;
    if (passing->compat)
        return memory_read(&MEMORY(tid), IN_AREA(area, parcel), &compat, sizeof compat) < 0
                   ? 0
                   : exchange_open_compat(&compat, fds);
    return memory_read(&MEMORY(tid), IN_AREA(area, parcel), &parcel, sizeof parcel) < 0 ? 0
                                                                                        : exchange_open(&parcel, fds);
}

static int prepare_send(const struct passing *passing, pid_t tid, uint64_t area, struct injected *call) {
    *call = (struct injected){__NR_sendmsg,
                              {(uint64_t)passing->socket, IN_AREA(area, parcel), MSG_DONTWAIT | MSG_NOSIGNAL}};
    return put_parcel(passing, tid, area, &passing->wanted, 1);
}

static int prepare_receive(const struct passing *passing, pid_t tid, uint64_t area, struct injected *call) {
    uint64_t flags = MSG_DONTWAIT | (passing->close_on_exec ? MSG_CMSG_CLOEXEC : 0);
    *call = (struct injected){__NR_recvmsg, {(uint64_t)passing->socket, IN_AREA(area, parcel), flags}};
    return put_parcel(passing, tid, area, NULL, 0);
}

static int prepare(struct passing *passing, pid_t tid, uint64_t area, struct injected *call) {
    switch (passing->step) {
    case PASSING_SOCKET:
        *call = (struct injected){__NR_socket, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}};
        return 0;
    case PASSING_CONNECT:
        return prepare_connect(passing, tid, area, call);
    case PASSING_SEND:
        return prepare_send(passing, tid, area, call);
    case PASSING_RECEIVE:
        return prepare_receive(passing, tid, area, call);
    case PASSING_REPLACE:
        *call = (struct injected){
            __NR_dup3,
            {(uint64_t)passing->received, (uint64_t)passing->socket, passing->close_on_exec ? O_CLOEXEC : 0}};
        return 0;
    case PASSING_CLOSE:
        *call =
            (struct injected){__NR_close, {(uint64_t)(passing->received >= 0 ? passing->received : passing->socket)}};
        return 0;
    case PASSING_OVER:
        break;
    }
    return 0;
}

/* It cannot be had: what is open is closed. */
static void fail(struct passing *passing, long error) {
    if (passing->result >= 0)
        passing->result = error;
    passing->step = passing->socket >= 0 ? PASSING_CLOSE : PASSING_OVER;
}

int passing_next(struct passing *passing, pid_t tid, uint64_t area, struct registers *regs) {
    struct injected call;
    passing->compat = regs->compat;
    int error = prepare(passing, tid, area, &call);
    if (error < 0) {
        fail(passing, error);
        (void)prepare(passing, tid, area, &call);
    }
    if (passing->step == PASSING_OVER)
        return -1;
    for (unsigned i = 0; i < 3; i++)
        registers_set_arg(regs, i, call.arg[i]);
    return passing->compat ? compat_number(call.nr) : call.nr;
}

/* ---- what they return ---- */

static void connected(struct passing *passing, pid_t tid) {
    passing->peer = exchange_accept(passing->listener, family_process(tid));
    if (passing->peer < 0 || (passing->wanted < 0 && !exchange_send(passing->peer, &passing->fd, 1)))
        return fail(passing, -EPERM);
    passing->step = passing->wanted < 0 ? PASSING_RECEIVE : PASSING_SEND;
}

static void sent(struct passing *passing) {
    int fds[STALE_MOST];
    size_t n = exchange_receive(passing->peer, fds);
    for (size_t i = 1; i < n; i++)
        close(fds[i]);
    if (n < 1)
        return fail(passing, -EBADF);
    passing->fd = fds[0];
    passing->step = PASSING_CLOSE;
}

/* Without a free number the message comes without the descriptor. */
static void received(struct passing *passing, pid_t tid, uint64_t area) {
    int fds[STALE_MOST];
    if (get_parcel(passing, tid, area, fds) != 1)
        return fail(passing, -EMFILE);
    passing->received = fds[0];
}

/* Of what did not come into the socket's place the socket is closed too. */
static void closed(struct passing *passing) {
    bool both = passing->received >= 0 && passing->result < 0;
    passing->received = -1;
    passing->step = both ? PASSING_CLOSE : PASSING_OVER;
}

void passing_returned(struct passing *passing, pid_t tid, uint64_t area, long result) {
    enum passing_step step = passing->step++;
    if (step == PASSING_CLOSE)
        return closed(passing);
    if (result < 0)
        return fail(passing, result);
    if (step == PASSING_SOCKET)
        passing->socket = (int)result;
    else if (step == PASSING_CONNECT)
        connected(passing, tid);
    else if (step == PASSING_SEND)
        sent(passing);
    else if (step == PASSING_RECEIVE)
        received(passing, tid, area);
    else
        passing->result = result;
}

long passing_result(struct passing *passing) {
    if (passing->result < 0 || passing->wanted < 0)
        return passing->result;
    int fd = passing->fd;
    passing->fd = -1;
    return fd;
}
