/* memory.c - reading and writing a tracee's memory.
 *
 * Rules: a write obeys the page protections of the tracee, as the kernel's copy_to_user does, so that a call
 * with a bad buffer gets its EFAULT.  A read never goes beyond the page on which the wanted bytes end.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "memory.h"

#define PAGE 4096u          /* smallest page of any architecture: no chunk crosses a real page */
#define FIRST_CHUNK 256u    /* most paths are shorter */

static int check(const struct memory *memory) {
    return memory->check ? memory->check(memory->arg) : 0;
}

static ssize_t read_some(const struct memory *memory, uint64_t address, void *out, size_t size) {
    struct iovec local = {.iov_base = out, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)address, .iov_len = size};
    ssize_t n = process_vm_readv(memory->tid, &local, 1, &remote, 1, 0);
    if (n < 0)
        return -errno;
    int error = memory->checks_reads ? check(memory) : 0;
    return error ? error : n;
}

int memory_read(const struct memory *memory, uint64_t address, void *out, size_t size) {
    if (size == 0)
        return 0;
    ssize_t n = read_some(memory, address, out, size);
    if (n < 0)
        return (int)n;
    return (size_t)n == size ? 0 : -EFAULT;
}

int memory_read_struct(const struct memory *memory, uint64_t address, size_t given, void *out, size_t size) {
    char rest[64];
    if (given > (size_t)sysconf(_SC_PAGESIZE))
        return -E2BIG;
    int error = memory_read(memory, address, out, size);
    for (size_t at = size; !error && at < given; at += sizeof rest) {
        size_t part = given - at < sizeof rest ? given - at : sizeof rest;
        error = memory_read(memory, address + at, rest, part);
        for (size_t i = 0; !error && i < part; i++)
            error = rest[i] ? -E2BIG : 0;
    }
    return error;
}

int memory_write(const struct memory *memory, uint64_t address, const void *data, size_t size) {
    if (size == 0)
        return 0;
    struct iovec local = {.iov_base = (void *)data, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)address, .iov_len = size};
    int error = check(memory);
    if (error)
        return error;
    ssize_t n = process_vm_writev(memory->tid, &local, 1, &remote, 1, 0);
    if (n < 0)
        return -errno;
    return (size_t)n == size ? 0 : -EFAULT;
}

ssize_t memory_peek(int fd, uint64_t address, void *out, size_t size) {
    size_t room = PAGE - (size_t)(address % PAGE);
    return pread(fd, out, size < room ? size : room, (off_t)address);
}

int memory_probe(pid_t pid) {
    static const char known = 'm';
    char found;
    int error = memory_read(&MEMORY(pid), (uint64_t)(uintptr_t)&known, &found, sizeof found);
    return error == -EFAULT ? 0 : error;   /* no child of ours has something else there */
}

static size_t chunk_size(uint64_t address, size_t done, size_t size) {
    size_t chunk = PAGE - (size_t)(address % PAGE);
    if (done == 0 && chunk > FIRST_CHUNK)
        chunk = FIRST_CHUNK;
    return chunk < size - done ? chunk : size - done;
}

ssize_t memory_read_string(const struct memory *memory, uint64_t address, char *out, size_t size) {
    for (size_t done = 0; done < size;) {
        size_t chunk = chunk_size(address + done, done, size);
        ssize_t n = read_some(memory, address + done, out + done, chunk);
        if (n < 0)
            return n;
        if (n == 0)
            return -EFAULT;
        const char *end = memchr(out + done, '\0', (size_t)n);
        if (end)
            return end - out;
        done += (size_t)n;
    }
    return -ENAMETOOLONG;
}
