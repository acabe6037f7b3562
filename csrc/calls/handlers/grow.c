/* grow.c - calls that make a file longer by a descriptor, in runs whose uppers may not take more than they were given.
 *
 * Rules: tracees make these calls themselves; there is room for all that the call may write, or it is ENOSPC.  What it
 * has written is known when it is over, so that what was asked for too much is there again.  Where a descriptor writes
 * is only asked for when there is not room enough wherever that is.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../../arch/numbers.h"
#include "../../process/descriptor.h"
#include "../../process/memory.h"
#include "../../view/view.h"
#include "../call.h"
#include "../compat_layout.h"
#include "../scratch.h"
#include "../table.h"
#include "../tasks/task.h"
#include "../verdict.h"
#include "handlers.h"

#define COUNT_MOST 0x7ffff000u /* MAX_RW_COUNT, linux/fs.h */
#define PIECE (1u << 16) /* of what has no length: what a call moves at most */
#define SEGMENTS_AT_ONCE 32u
#define AT_POSITION (-1)
#define COMPAT_SENDFILE64 239 /* asm/unistd_32.h */

static long grown(struct call *call, long result) {
    view_grown(call->view, call->scratch->growth, call->scratch->grows);
    call->scratch->growth = NULL;
    return result;
}

static int open_it(const struct call *call, int fd) {
    char link[PROC_LINK];
    descriptor_link(call->task->tid, fd, link);
    return open(link, O_PATH | O_CLOEXEC);
}

/* -1: what is written there does not count. */
static int open_counted(const struct call *call, uint64_t fd, struct stat *st) {
    int file = open_it(call, (int)fd);
    if (file < 0 || view_grows(call->view, file, st))
        return file;
    close(file);
    return -1;
}

/* What a call is about to do to a file. */
struct wish {
    int fd;
    int64_t at; /* where it writes, or AT_POSITION */
    uint64_t count;
    bool sets; /* the length: it does not append */
    bool appends; /* whatever the descriptor says */
};

static int ask(struct call *call, const struct wish *wish, int file, const struct stat *st) {
    struct descriptor_info info;
    uint64_t begin = wish->at == AT_POSITION ? 0 : (uint64_t)wish->at;
    struct growing to = {.end = begin + wish->count}, how = wish->sets ? to : (struct growing){begin, wish->count};
    struct view_growth **out = &call->scratch->growth;
    int error = view_grow(call->view, file, st, &how, out);
    if (error == -ENOSPC && !wish->sets && !wish->appends && descriptor_info(call->task->tid, wish->fd, &info) == 0 &&
        !(info.flags & O_APPEND)) {
        to.end += wish->at == AT_POSITION ? (uint64_t)info.position : 0;
        how = to;
        error = view_grow(call->view, file, st, &how, out);
    }
    call->scratch->grows = how.more;
    return error;
}

/* The call is made where there is room. */
static void let_in(struct call *call, const struct wish *wish, int file, const struct stat *st) {
    int error = ask(call, wish, file, st);
    if (error) {
        view_no_room(call->view);
        return verdict_answer(call, error);
    }
    call->finish = grown;
    call->watch_exit = call->any_time = call->lasts = call->verdict == VERDICT_PASS;
}

/* … or where it is not one that counts. */
static void let(struct call *call, const struct wish *wish) {
    struct stat st;
    CLOSE_DESCRIPTOR file = open_counted(call, (uint64_t)wish->fd, &st);
    if (file >= 0)
        let_in(call, wish, file, &st);
}

static void let_write(struct call *call, uint64_t fd, int64_t at, uint64_t count) {
    if (count)
        let(call, &(struct wish){.fd = (int)fd, .at = at, .count = count < COUNT_MOST ? count : COUNT_MOST});
}

static void let_set(struct call *call, uint64_t fd, uint64_t length) {
    let(call, &(struct wish){.fd = (int)fd, .count = length, .sets = true});
}

/* ---- write(2) and its kin ---- */

static int read_lengths(struct call *call, uint64_t at, size_t n, uint64_t *sum) {
    struct iovec wide[SEGMENTS_AT_ONCE];
    struct compat_iovec narrow[SEGMENTS_AT_ONCE];
    int error = call->compat ? memory_read(&call->memory, at, narrow, n * sizeof *narrow)
                             : memory_read(&call->memory, at, wide, n * sizeof *wide);
    for (size_t i = 0; i < n && !error; i++) {
        uint64_t length = call->compat ? narrow[i].length : wide[i].iov_len;
        *sum += length < COUNT_MOST ? length : COUNT_MOST;
    }
    return error;
}

/* 0: the kernel refuses it, or writes nothing. */
static uint64_t vector_length(struct call *call, uint64_t at, uint64_t n) {
    size_t size = call->compat ? sizeof(struct compat_iovec) : sizeof(struct iovec);
    uint64_t sum = 0;
    if (n > UIO_MAXIOV)
        return 0;
    while (n) {
        size_t part = n < SEGMENTS_AT_ONCE ? (size_t)n : SEGMENTS_AT_ONCE;
        if (read_lengths(call, at, part, &sum) < 0)
            return 0;
        at += part * size;
        n -= part;
    }
    return sum;
}

/* An offset in the registers: of a 32-bit call two of them. */
static int64_t offset_of(const struct call *call, unsigned arg) {
    uint64_t low = call->arg[arg];
    return (int64_t)(call->compat ? low | call->arg[arg + 1] << 32 : low);
}

void do_write(struct call *call) {
    let_write(call, call->arg[0], AT_POSITION, call->arg[2]);
}

void do_pwrite(struct call *call) {
    int64_t at = offset_of(call, 3);
    if (at >= 0)
        let_write(call, call->arg[0], at, call->arg[2]);
}

void do_writev(struct call *call) {
    let_write(call, call->arg[0], AT_POSITION, vector_length(call, call->arg[1], call->arg[2]));
}

/* pwritev2 takes -1 for the descriptor's position. */
void do_pwritev(struct call *call) {
    int64_t at = offset_of(call, 3);
    bool with_flags = call->row->detail == GROW_OR_POSITION;
    uint64_t count = at >= 0 || (with_flags && at == AT_POSITION) ? vector_length(call, call->arg[1], call->arg[2]) : 0;
    if (count && with_flags && (call->arg[5] & RWF_APPEND))
        let(call, &(struct wish){.fd = (int)call->arg[0], .at = at, .count = count, .appends = true});
    else
        let_write(call, call->arg[0], at, count);
}

/* ---- from another descriptor ---- */

/* From where the source is read: an offset in memory, or the descriptor's.  Of a 32-bit sendfile(2) it has 4 bytes. */
static uint64_t source_position(struct call *call, uint64_t fd, uint64_t pointer) {
    struct descriptor_info info;
    int64_t at = 0;
    size_t size = call->compat && call->nr == __NR_sendfile && call->compat_nr != COMPAT_SENDFILE64 ? 4 : sizeof at;
    if (pointer && memory_read(&call->memory, pointer, &at, size) == 0 && at >= 0)
        return (uint64_t)at;
    return !pointer && descriptor_info(call->task->tid, (int)fd, &info) == 0 ? (uint64_t)info.position : 0;
}

/* How much there may be to come.  What has no length gives a piece at a time. */
static uint64_t source_length(struct call *call, uint64_t fd, uint64_t pointer, unsigned count) {
    struct stat st;
    uint64_t wanted = call->arg[count];
    CLOSE_DESCRIPTOR file = open_it(call, (int)fd);
    if (file < 0 || fstat(file, &st) < 0)
        return 0;
    bool known = S_ISREG(st.st_mode) && st.st_size > 0;
    uint64_t most = known ? (uint64_t)st.st_size : PIECE, at = known ? source_position(call, fd, pointer) : 0;
    most = at < most ? most - at : 0;
    if (wanted > most && !known)
        verdict_substitute(call, count, most);
    most = most < COUNT_MOST ? most : COUNT_MOST;
    return wanted < most ? wanted : most;
}

void do_sendfile(struct call *call) {
    struct stat st;
    struct wish wish = {.fd = (int)call->arg[0], .at = AT_POSITION};
    CLOSE_DESCRIPTOR file = open_counted(call, call->arg[0], &st);
    if (file >= 0)
        wish.count = source_length(call, call->arg[1], call->arg[2], 3);
    if (wish.count)
        let_in(call, &wish, file, &st);
}

/* splice and copy_file_range. */
void do_move(struct call *call) {
    struct stat st;
    struct wish wish = {.fd = (int)call->arg[2], .at = AT_POSITION};
    CLOSE_DESCRIPTOR file = open_counted(call, call->arg[2], &st);
    if (file < 0 || (call->arg[3] && memory_read(&call->memory, call->arg[3], &wish.at, sizeof wish.at) < 0))
        return;   /* EFAULT, by the kernel */
    if (!call->arg[3] || wish.at >= 0)
        wish.count = source_length(call, call->arg[0], call->arg[1], 4);
    if (wish.count)
        let_in(call, &wish, file, &st);
}

/* ---- without data ---- */

void do_ftruncate(struct call *call) {
    if ((int64_t)call->arg[1] >= 0)
        let_set(call, call->arg[0], call->arg[1]);
}

#define KEEPS_BLOCKS "blocks behind the end of a file would not be counted"

void do_fallocate(struct call *call) {
    unsigned mode = (unsigned)call->arg[1];
    int64_t at = offset_of(call, 2), length = offset_of(call, call->compat ? 4 : 3);
    if (at < 0 || length <= 0 || at > INT64_MAX - length || (mode & FALLOC_FL_PUNCH_HOLE))
        return;
    struct stat st;
    CLOSE_DESCRIPTOR file = open_counted(call, call->arg[0], &st);
    if (file < 0)
        return;
    if ((mode & FALLOC_FL_KEEP_SIZE) && at + length > st.st_size)
        return verdict_refuse(call, EOPNOTSUPP, KEEPS_BLOCKS);
    if (mode & FALLOC_FL_KEEP_SIZE)
        return;
    bool moves = mode & (FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE);
    uint64_t more = mode & FALLOC_FL_INSERT_RANGE ? (uint64_t)length : 0;
    uint64_t end = moves ? (uint64_t)st.st_size + more : (uint64_t)(at + length);
    let_in(call, &(struct wish){.fd = (int)call->arg[0], .count = end, .sets = true}, file, &st);
}

static void let_clone(struct call *call, int64_t source, uint64_t from, uint64_t length, uint64_t at) {
    struct stat st;
    CLOSE_DESCRIPTOR file = open_it(call, (int)source);
    if (file < 0 || fstat(file, &st) < 0 || !S_ISREG(st.st_mode) || from > (uint64_t)st.st_size)
        return;
    uint64_t left = (uint64_t)st.st_size - from;
    length = length && length < left ? length : left;
    if (at <= (uint64_t)INT64_MAX - length)
        let_set(call, call->arg[0], at + length);
}

void do_grow_request(struct call *call) {
    struct file_clone_range range;
    struct stat st;
    uint32_t request = (uint32_t)call->arg[1];
    if (request == FICLONE)
        let_clone(call, (int)call->arg[2], 0, 0, 0);
    else if (request == FICLONERANGE && memory_read(&call->memory, call->arg[2], &range, sizeof range) == 0)
        let_clone(call, range.src_fd, range.src_offset, range.src_length, range.dest_offset);
    else if (request != FICLONERANGE) {
        CLOSE_DESCRIPTOR file = open_counted(call, call->arg[0], &st);
        if (file >= 0)
            verdict_refuse(call, EOPNOTSUPP, KEEPS_BLOCKS);
    }
}
