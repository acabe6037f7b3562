/* compare.c - the same answers from the supervisor, for tests.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

/* What a call has written, without the access time, which changes by itself. */
struct written {
    const char *at;
    uint32_t size, skip, skip_end;
    char bytes[256];
};

static void find_written(const struct request *request, long value, struct written *written) {
    written->at = (const char *)request->out;
    written->size = written->skip = written->skip_end = 0;
    if (value < 0)
        return;
    switch (request->nr) {
    case __NR_fstat:
    case __NR_newfstatat:
        written->size = sizeof(struct stat);
        written->skip = __builtin_offsetof(struct stat, st_atime);
        written->skip_end = __builtin_offsetof(struct stat, st_mtime);
        break;
    case __NR_statx:
        written->size = __builtin_offsetof(struct statx, stx_dev_minor) + sizeof(uint32_t);
        written->skip = __builtin_offsetof(struct statx, stx_atime);
        written->skip_end = __builtin_offsetof(struct statx, stx_btime);
        break;
    case __NR_getxattr:
    case __NR_lgetxattr:
    case __NR_listxattr:
    case __NR_llistxattr:
        if (!request->size)
            break;
        __attribute__((fallthrough));
    case __NR_readlinkat:
    case __NR_getcwd:
        written->size = value > (long)sizeof written->bytes ? (uint32_t)sizeof written->bytes : (uint32_t)value;
        break;
    default:
        break;
    }
}

static void take_written(struct written *written) {
    for (uint32_t i = 0; i < written->size; i++)
        written->bytes[i] = ((const volatile char *)written->at)[i];
}

static int same_written(const struct written *written) {
    for (uint32_t i = 0; i < written->size; i++)
        if ((i < written->skip || i >= written->skip_end) && written->bytes[i] != written->at[i])
            return 0;
    return 1;
}

static int same_files(long one, long other) {
    struct stat a, b;
    return stat_descriptor((int)one, &a) && stat_descriptor((int)other, &b) && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

static int is_same(const struct frame *frame, const struct request *request, long value) {
    int opens = request->nr == __NR_openat;
    struct written written;
    find_written(request, value, &written);
    take_written(&written);
    const word *arg = frame->arg;
    long other = stub_ask((long)frame->nr, arg[0], arg[1], arg[2], arg[3], arg[4]);
    int same = opens && value >= 0 && other >= 0 ? same_files(value, other) : value == other && same_written(&written);
    if (opens && other >= 0)
        (void)close_again(other);
    return same;
}

static void note_difference(const struct request *request) {
    if (__atomic_fetch_add(&NOTES->differences, 1, __ATOMIC_SEQ_CST))
        return;
    NOTES->different_call = request->nr;
    for (uint32_t i = 0; request->text && i < sizeof NOTES->different_path - 1 && request->text[i]; i++)
        NOTES->different_path[i] = request->text[i];
}

/* What has changed between the two questions is asked again. */
int compare(const struct frame *frame, struct request *request, long *value) {
    if (request->nr == __NR_getdents64 || request->nr == __NR_rt_sigaction)
        return 1;   /* the position has moved, the old action is gone */
    (void)__atomic_fetch_add(&NOTES->compared, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < 4; i++) {
        if (is_same(frame, request, *value))
            return 1;
        if (request->nr == __NR_openat && *value >= 0)
            (void)close_again(*value);
        if (!answer(request, value))
            return 0;
    }
    note_difference(request);
    return 1;
}
