/* inject.c - giving a stopped tracee other arguments than its own.
 *
 * Rules: data goes to scratch memory of the tracee's that belongs to this call alone; what is changed in the
 * registers is put back by the caller at the exit stop.  No signal handler of the tracee may run between call_begin
 * and the call itself, so signals are blocked where the tracee goes back to user space in between.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "../process/memory.h"
#include "inject.h"

#define ALIGNMENT 16u
#define AREA_SIZE 16384u            /* two paths, and what an execve usually needs */
#define AREA_ROUND 4096u
#define KERNEL_SIGSET_SIZE 8u       /* bytes of sigset_t in the kernel's interface */
#define MAX_ERRNO 4095
#define COMPAT_MMAP 192             /* mmap2 of i386: with an offset in pages, which is 0 */

static size_t aligned(size_t size) {
    return (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

size_t inject_size(const struct call *call) {
    size_t size = 0;
    for (size_t i = 0; i < call->n_replacements; i++)
        if (call->replacements[i].bytes)
            size += aligned(call->replacements[i].size);
    return size;
}

/* Into memory that nobody may write: by the words of ptrace(2), which obey no page protection. */
static int poke(pid_t tid, uint64_t address, const void *data, size_t size) {
    for (size_t done = 0; done < size; done += sizeof(long)) {
        long word = 0;
        size_t part = size - done < sizeof word ? size - done : sizeof word;
        memcpy(&word, (const char *)data + done, part);
        if (ptrace(PTRACE_POKEDATA, tid, (void *)(uintptr_t)(address + done), word) < 0)
            return -errno;
    }
    return 0;
}

static int place(pid_t tid, const struct replacement *replacement, uint64_t address, bool read_only, bool compat) {
    if (read_only)   /* a path, or what openat2(2) takes: it holds no pointers */
        return poke(tid, address, replacement->data, replacement->size);
    int error = memory_write(&MEMORY(tid), address, replacement->data, replacement->size);
    size_t width = compat ? sizeof(uint32_t) : sizeof(uint64_t); /* the lower half comes first */
    for (size_t i = 0; !error && i < replacement->n_relocations; i++) {
        uint32_t offset = replacement->relocations[i];
        uint64_t pointer = 0;
        memcpy(&pointer, (const char *)replacement->data + offset, width);
        pointer += address;
        error = memory_write(&MEMORY(tid), address + offset, &pointer, width);
    }
    return error;
}

int inject_arguments(const struct call *call, pid_t tid, uint64_t address, bool read_only, struct registers *regs) {
    for (unsigned i = 0; call->compat == COMPAT_SOCKETS && i < 6; i++)
        registers_set_arg(regs, i, call->arg[i]);   /* they were in memory */
    for (size_t i = 0; i < call->n_replacements; i++) {
        const struct replacement *replacement = &call->replacements[i];
        if (!replacement->bytes) {
            registers_set_arg(regs, replacement->arg, replacement->value);
            continue;
        }
        int error = place(tid, replacement, address, read_only, call->compat);
        if (error)
            return error;
        registers_set_arg(regs, replacement->arg, address);
        address += aligned(replacement->size);
    }
    return 0;
}

int inject_number(const struct call *call) {
    if (!call->compat)
        return call->new_nr >= 0 ? call->new_nr : call->nr;
    if (call->new_nr >= 0)
        return compat_number(call->new_nr);
    return call->compat == COMPAT_SOCKETS ? compat_number(call->nr) : call->compat_nr;
}

size_t inject_area_size(size_t need) {
    size_t size = need > AREA_SIZE ? need : AREA_SIZE;
    return (size + AREA_ROUND - 1) & ~(size_t)(AREA_ROUND - 1);
}

int inject_mmap(struct registers *regs, size_t need, bool read_only) {
    const uint64_t args[6] = {
        0,
        inject_area_size(need),
        read_only ? PROT_READ : PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS,
        (uint64_t)-1,
        0,
    };
    for (unsigned i = 0; i < 6; i++)
        registers_set_arg(regs, i, args[i]);
    return regs->compat ? COMPAT_MMAP : __NR_mmap;
}

bool inject_reaches(bool compat, uint64_t address, size_t size) {
    return !compat || address + size <= UINT32_MAX;
}

bool inject_mmap_failed(long result) {
    return result < 0 && result >= -MAX_ERRNO;
}

int inject_block(pid_t tid, uint64_t *own) {
    uint64_t all = UINT64_MAX;
    void *size = (void *)(uintptr_t)KERNEL_SIGSET_SIZE;
    if (ptrace(PTRACE_GETSIGMASK, tid, size, own) < 0)
        return -errno;
    return ptrace(PTRACE_SETSIGMASK, tid, size, &all) < 0 ? -errno : 0;
}

void inject_unblock(pid_t tid, uint64_t own) {
    (void)ptrace(PTRACE_SETSIGMASK, tid, (void *)(uintptr_t)KERNEL_SIGSET_SIZE, &own);
}
