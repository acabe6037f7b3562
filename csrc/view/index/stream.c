/* stream.c - the entries of a real directory, one after another.
 *
 * Rule: an entry that cannot be read is an error, never the end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "index.h"

void stream_close(DIR **stream) {
    if (*stream)
        closedir(*stream);
}

int stream_open(int dir, DIR **stream) {
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *stream = fd < 0 ? NULL : fdopendir(fd);
    if (*stream)
        return 0;
    int error = -errno;
    if (fd >= 0)
        close(fd);
    return error;
}

int stream_read(DIR *stream, const struct dirent **entry) {
    errno = 0;
    *entry = readdir(stream);
    return *entry || !errno ? 0 : -errno;
}
