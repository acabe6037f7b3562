/* data.c - data is moved inside the kernel where it can be (FICLONE, copy_file_range(2), sendfile(2)), and holes stay
 * holes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "upper.h"

#define CHUNK (1u << 30) /* of one copy_file_range(2) */
#define BUFFER 65536u

static int copy_by_hand(int in, int out, off_t *offset, off_t end) {
    char buffer[BUFFER];
    while (*offset < end) {
        size_t wanted = (size_t)(end - *offset) < sizeof buffer ? (size_t)(end - *offset) : sizeof buffer;
        ssize_t got = pread(in, buffer, wanted, *offset);
        if (got <= 0)
            return got < 0 ? -errno : 0; /* the lower got shorter meanwhile */
        for (ssize_t done = 0; done < got;) {
            ssize_t put = pwrite(out, buffer + done, (size_t)(got - done), *offset + done);
            if (put < 0)
                return -errno;
            done += put;
        }
        *offset += got;
    }
    return 0;
}

static ssize_t move_chunk(int in, int out, off_t *offset, size_t size, bool *ranges) {
    if (*ranges) {
        off_t to = *offset;
        ssize_t moved = copy_file_range(in, offset, out, &to, size, 0);
        if (moved >= 0 ||
            (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS && errno != EPERM))
            return moved;
        *ranges = false;
    }
    if (lseek(out, *offset, SEEK_SET) < 0)
        return -1;
    return sendfile(out, in, offset, size);
}

/* Copies [start, end), which holds data. */
static int copy_extent(int in, int out, off_t start, off_t end, bool *ranges) {
    off_t offset = start;
    while (offset < end) {
        size_t size = end - offset > (off_t)CHUNK ? CHUNK : (size_t)(end - offset);
        ssize_t moved = move_chunk(in, out, &offset, size, ranges);
        if (moved < 0 && (errno == EINVAL || errno == ENOSYS))
            return copy_by_hand(in, out, &offset, end);
        if (moved < 0)
            return -errno;
        if (moved == 0)
            return copy_by_hand(in, out, &offset, end); /* proc-like files move nothing */
    }
    return 0;
}

int data_copy(struct overlay *ovl, int in, int out, off_t size, bool whole) {
    if (size == 0)
        return 0;
    __atomic_add_fetch(&ovl->view->stats.copied_bytes, (uint64_t)size,
                       __ATOMIC_RELAXED); /* copy_ahead.c: without the lock */
    if (whole && ioctl(out, FICLONE, in) == 0)
        return 0;
    bool ranges = true;
    off_t at = 0;
    while (at < size) {
        off_t data = lseek(in, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            break; /* only a hole is left */
        off_t hole = data < 0 ? size : lseek(in, data, SEEK_HOLE);
        if (data < 0)
            data = at;
        if (hole < 0 || hole > size)
            hole = size;
        if (data >= size)
            break;
        int error = copy_extent(in, out, data, hole, &ranges);
        if (error)
            return error;
        at = hole;
    }
    return ftruncate(out, size) < 0 ? -errno : 0;
}
