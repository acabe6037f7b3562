/* map.c - brings the stub into a process.
 *
 * Rules: the task is stopped behind a call that has been interrupted and is to be made again; it is the only one in its
 * address space, and no handler of its runs meanwhile.  SIGTRAP must neither be blocked nor ignored, else the kernel
 * would set it back to its default for the sake of our own stops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "../process/memory.h"
#include "../process/proc.h"
#include "stub.h"
#include "untouched.h"

#define KERNEL_SIGSET_SIZE 8u
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct entering {
    pid_t tid;
    const struct registers *stopped;
    int stop;               /* a signal that came meanwhile and cannot be blocked, 0: none */
};

/* Until the stop that the request ends in.  -EINTR: it is another one; -ESRCH: the task is dead. */
static int until_trap(struct entering *entering, int request) {
    for (;;) {
        int status;
        if (ptrace(request, entering->tid, NULL, NULL) < 0)
            return -errno;
        while (waitpid(entering->tid, &status, __WALL | __WNOTHREAD) < 0)
            if (errno != EINTR)
                return -errno;
        if (!WIFSTOPPED(status))
            return -ESRCH;
        if (status >> 16 == 0 && WSTOPSIG(status) == SIGTRAP)
            return 0;
        if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP)
            return -EINTR;
        if (status >> 16 == 0)
            entering->stop = SIGSTOP;
    }
}

/* Makes the task call, at its own system call instruction. */
static long call_there(struct entering *entering, int nr, const uint64_t args[6]) {
    struct registers regs = *entering->stopped;
    for (unsigned i = 0; i < 6; i++)
        registers_set_arg(&regs, i, args[i]);
    registers_rewind(&regs, nr);
    int error = registers_write(entering->tid, &regs, -1);
    if (!error)
        error = until_trap(entering, PTRACE_SINGLESTEP);
    if (!error)
        error = registers_read(entering->tid, &regs);
    return error ? error : registers_result(&regs);
}

static void close_there(struct entering *entering, int fd) {
    const uint64_t args[6] = {(uint64_t)(unsigned)fd};
    if (fd >= 0)
        (void)call_there(entering, __NR_close, args);
}

static int map_code(struct entering *entering, int fd) {
    const uint64_t args[6] = {STUB_BASE, STUB_CODE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED_NOREPLACE,
                              (uint64_t)(unsigned)fd};
    long address = call_there(entering, __NR_mmap, args);
    return address == (long)STUB_BASE ? 0 : address < 0 ? (int)address : -EEXIST;
}

static int run_boot(struct entering *entering, int table_fd, int notes_fd) {
    struct registers regs = *entering->stopped;
    registers_set_arg(&regs, 0, (uint64_t)(unsigned)table_fd);
    registers_set_arg(&regs, 1, (uint64_t)(unsigned)notes_fd);
    registers_set_ip(&regs, stub_head()->boot);
    int error = registers_write(entering->tid, &regs, -1);
    if (!error)
        error = until_trap(entering, PTRACE_CONT);
    if (!error)
        error = registers_read(entering->tid, &regs);
    return error ? error : registers_result(&regs) ? -EEXIST : 0;
}

static void unmap_there(struct entering *entering, uint64_t address, uint64_t size) {
    const uint64_t args[6] = {address, size};
    (void)call_there(entering, __NR_munmap, args);
}

static int come_in(struct untouched *untouched, struct entering *entering, int table_fd, int notes_fd) {
    int error = notes_fd < 0 ? -EMFILE : map_code(entering, table_fd);
    if (error) {
        close_there(entering, table_fd);
        close_there(entering, notes_fd);
        return error;
    }
    error = run_boot(entering, table_fd, notes_fd);
    if (error) {
        unmap_there(entering, STUB_BASE, STUB_CODE_SIZE);
        return error;
    }
    error = sites_patch(&untouched->sites, &untouched->lock, entering->tid, stub_head()->entry);
    return error < 0 ? error : 0;   /* a stub that nobody asks is harmless */
}

static int exchange_mask(pid_t tid, uint64_t *mask, int request) {
    return ptrace(request, tid, (void *)(uintptr_t)KERNEL_SIGSET_SIZE, mask) < 0 ? -errno : 0;
}

bool untouched_can_enter(pid_t tid) {
    char text[4096];
    const uint64_t trap = UINT64_C(1) << (SIGTRAP - 1);
    return proc_read(tid, "status", text, sizeof text) && proc_field(text, "\nThreads:\t", 10) == 1 &&
           !(proc_field(text, "\nSigIgn:\t", 16) & trap);
}

#define JUMP_BEFORE 7       /* bytes from a jump to behind the syscall */

bool untouched_new_site(struct inside *inside, pid_t tid, uint64_t ip) {
    unsigned char before = 0;
    const unsigned n = sizeof inside->ips / sizeof *inside->ips;
    for (unsigned i = 0; i < n; i++)
        if (inside->ips[i] == ip)
            return false;
    inside->ips[inside->next_ip++ % n] = ip;
    return ip - STUB_BASE >= STUB_CODE_SIZE && memory_read(&MEMORY(tid), ip - JUMP_BEFORE, &before, 1) == 0 &&
           before != 0xe9;
}

void untouched_patch(struct untouched *untouched, pid_t tid) {
    if (untouched_can_enter(tid))
        (void)sites_patch(&untouched->sites, &untouched->lock, tid, stub_head()->entry);
}

int untouched_enter(struct untouched *untouched, pid_t tid, const struct registers *stopped, int table_fd,
                    int notes_fd) {
    struct entering entering = {.tid = tid, .stopped = stopped};
    uint64_t own, all = ~(UINT64_C(1) << (SIGTRAP - 1));
    int error = exchange_mask(tid, &own, PTRACE_GETSIGMASK);
    if (!error)
        error = exchange_mask(tid, &all, PTRACE_SETSIGMASK);
    if (error)
        return error;
    error = come_in(untouched, &entering, table_fd, notes_fd);
    if (error == -ESRCH)
        return error;
    (void)exchange_mask(tid, &own, PTRACE_SETSIGMASK);
    if (entering.stop)
        (void)syscall(SYS_tgkill, tid, tid, entering.stop);
    if (!error)
        __atomic_add_fetch(&untouched->programs, 1, __ATOMIC_RELAXED);
    return error;
}
