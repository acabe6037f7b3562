/* grow.c - each call that makes a file longer by a descriptor, in the directory given: first by HALF bytes, of which two
 * fit into the limit of the run, then by what does not fit.  Prints CALL = RESULT or -ERRNO, and what the file is then.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define HALF 400000
#define MUCH 900000

static char bytes[MUCH];

static void told(const char *call, int fd, long result) {
    struct stat st;
    long shown = result < 0 ? -(long)errno : result;
    if (fstat(fd, &st) < 0)
        exit(3);
    printf("%s = %ld, %lld\n", call, shown, (long long)st.st_size);
}

static int empty(int flags) {
    int fd = open("grown", O_RDWR | O_CREAT | O_TRUNC | flags, 0644);
    if (fd < 0)
        exit(2);
    return fd;
}

static long by_vector(int fd, size_t size) {
    struct iovec parts[2] = {{bytes, size / 2}, {bytes, size - size / 2}};
    return writev(fd, parts, 2);
}

static long by_vector_at(int fd, size_t size, long at) {
    struct iovec parts[2] = {{bytes, size / 2}, {bytes, size - size / 2}};
    return pwritev(fd, parts, 2, at);
}

static long appended(int fd, size_t size) {
    struct iovec part = {bytes, size};
    return pwritev2(fd, &part, 1, 0, RWF_APPEND);
}

static long from_file(int fd, int source, size_t size) {
    return lseek(source, 0, SEEK_SET) < 0 ? -1 : sendfile(fd, source, NULL, size);
}

static long by_range(int fd, int source, size_t size) {
    off_t at = 0;
    return copy_file_range(source, &at, fd, NULL, size, 0);
}

/* Piece by piece, until all is there or there is an error. */
static long by_pipe(int fd, size_t size) {
    int ends[2];
    long sum = 0;
    if (pipe(ends) < 0)
        return -1;
    while ((size_t)sum < size) {
        ssize_t put = write(ends[1], bytes, 4096), moved = put < 0 ? -1 : splice(ends[0], NULL, fd, NULL, size, 0);
        if (moved < 0) {
            sum = -1;
            break;
        }
        sum += moved;
    }
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return sum < 0 ? -1 : sum / HALF;
}

int main(int argc, char **argv) {
    if (argc < 2 || chdir(argv[1]) < 0)
        return 1;
    int source = open("source", O_RDONLY), fd = empty(0);
    told("write", fd, write(fd, bytes, HALF));
    told("write over", fd, pwrite(fd, bytes, HALF, 0));
    told("write too much", fd, write(fd, bytes, MUCH));
    fd = empty(O_APPEND);
    told("append", fd, write(fd, bytes, HALF));
    told("append too much", fd, pwrite(fd, bytes, MUCH, 0));
    fd = empty(0);
    told("pwrite", fd, pwrite(fd, bytes, HALF, HALF));
    told("pwrite too much", fd, pwrite(fd, bytes, 1, MUCH * 2L));
    fd = empty(0);
    told("writev", fd, by_vector(fd, HALF));
    told("writev too much", fd, by_vector(fd, MUCH));
    fd = empty(0);
    told("pwritev", fd, by_vector_at(fd, HALF, HALF));
    told("pwritev too much", fd, by_vector_at(fd, HALF, MUCH));
    told("pwritev2 that appends too much", fd, appended(fd, MUCH));
    fd = empty(0);
    told("sendfile", fd, from_file(fd, source, HALF));
    told("sendfile all", fd, from_file(fd, source, MUCH));
    told("sendfile too much", fd, from_file(fd, source, MUCH));
    fd = empty(0);
    told("copy_file_range", fd, by_range(fd, source, MUCH));
    told("copy_file_range at its end", fd, copy_file_range(source, NULL, fd, NULL, MUCH, 0));
    told("copy_file_range once more", fd, by_range(fd, source, MUCH));
    told("copy_file_range too much", fd, by_range(fd, source, MUCH));
    fd = empty(0);
    told("splice", fd, by_pipe(fd, HALF));
    told("splice too much", fd, by_pipe(fd, MUCH));
    fd = empty(0);
    told("ftruncate", fd, ftruncate(fd, HALF));
    told("ftruncate too much", fd, ftruncate(fd, MUCH * 2L));
    told("ftruncate back", fd, ftruncate(fd, 1));
    told("fallocate", fd, fallocate(fd, 0, 0, HALF));
    told("fallocate too much", fd, fallocate(fd, 0, HALF, MUCH));
    told("fallocate behind", fd, fallocate(fd, FALLOC_FL_KEEP_SIZE, HALF, HALF));
    told("truncate too much", fd, truncate("grown", MUCH * 2L));
    char *mapped = mmap(NULL, HALF, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memset(mapped, 'm', HALF);
    told("mapped", fd, msync(mapped, HALF, MS_SYNC));
    told("unlinked", fd, unlink("grown"));
    told("write without a name", fd, pwrite(fd, bytes, MUCH, MUCH));
    fd = empty(0);
    told("after all", fd, pwrite(fd, bytes, HALF, HALF));
    return 0;
}
