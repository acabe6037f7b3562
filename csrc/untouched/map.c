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
#include <linux/kcmp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "../process/family.h"
#include "../process/memory.h"
#include "../process/proc.h"
#include "stub.h"
#include "untouched.h"

#define KERNEL_SIGSET_SIZE 8u
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

/* The next stop of the task; -ESRCH: it is dead, which the trap that waits for it is still to hear. */
static int wait_stop(pid_t tid, int *status) {
    siginfo_t info;
    while (waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOWAIT | __WALL | __WNOTHREAD) < 0)
        if (errno != EINTR)
            return -errno;
    if (info.si_code == CLD_EXITED || info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED)
        return -ESRCH;
    while (waitpid(tid, status, __WALL | __WNOTHREAD) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static int resume(const struct entering *entering, int request) {
    return ptrace(request, entering->tid, NULL, NULL) < 0 ? -errno : 0;
}

int entering_wait(struct entering *entering, int request) {
    for (;;) {
        int status, error = wait_stop(entering->tid, &status);
        if (error)
            return error;
        int event = status >> 16, signal = WSTOPSIG(status);
        if (event == 0 && signal == SIGTRAP)
            return 0;
        if (event == 0 && signal != SIGSTOP)
            return -EINTR;
        if (signal != SIGTRAP) /* that, or its process is to stop, which the request below ends */
            entering->stop = signal;
        error = resume(entering, request);
        if (error)
            return error;
    }
}

static int step(struct entering *entering, int request) {
    int error = resume(entering, request);
    return error ? error : entering_wait(entering, request);
}

/* Makes the task call, at its own system call instruction. */
static long call_there(struct entering *entering, int nr, const uint64_t args[6]) {
    struct registers regs = *entering->stopped;
    for (unsigned i = 0; i < 6; i++)
        registers_set_arg(&regs, i, args[i]);
    registers_rewind(&regs, nr);
    int error = registers_write(entering->tid, &regs, -1);
    if (!error)
        error = step(entering, PTRACE_SINGLESTEP);
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

static int run_boot(struct entering *entering, int table_fd, int notes_fd, uint32_t report) {
    struct registers regs = *entering->stopped;
    registers_set_arg(&regs, 0, (uint64_t)(unsigned)table_fd);
    registers_set_arg(&regs, 1, (uint64_t)(unsigned)notes_fd);
    registers_set_arg(&regs, 2, report);
    registers_set_ip(&regs, stub_head()->boot);
    int error = registers_write(entering->tid, &regs, -1);
    if (!error)
        error = step(entering, PTRACE_CONT);
    if (!error)
        error = registers_read(entering->tid, &regs);
    return error ? error : registers_result(&regs) ? -EEXIST : 0;
}

static void unmap_there(struct entering *entering, uint64_t address, uint64_t size) {
    const uint64_t args[6] = {address, size};
    (void)call_there(entering, __NR_munmap, args);
}

static int come_in(struct untouched *untouched, struct entering *entering, int table_fd, int notes_fd,
                   uint32_t report) {
    int error = notes_fd < 0 ? -EMFILE : map_code(entering, table_fd);
    if (error) {
        close_there(entering, table_fd);
        close_there(entering, notes_fd);
        return error;
    }
    error = run_boot(entering, table_fd, notes_fd, report);
    if (error) {
        unmap_there(entering, STUB_BASE, STUB_CODE_SIZE);
        return error;
    }
    error = sites_patch(&untouched->sites, &untouched->lock, entering->tid, stub_head()->entry,
                        registers_ip(entering->stopped));
    return error < 0 ? error : 0;   /* a stub that nobody asks is harmless */
}

static int exchange_mask(pid_t tid, uint64_t *mask, int request) {
    return ptrace(request, tid, (void *)(uintptr_t)KERNEL_SIGSET_SIZE, mask) < 0 ? -errno : 0;
}

static bool is_alone(const char *status) {
    return proc_field(status, "\nThreads:\t", 10) == 1;
}

/* A vfork's child has its parent's memory: nobody else runs there if the parent is one thread, which stands still. */
static bool has_memory_alone(pid_t process, char text[4096]) {
    for (;;) {
        pid_t parent = (pid_t)proc_field(text, "\nPPid:\t", 10);
        if (!is_alone(text))
            return false;
        if (parent <= 0 || syscall(SYS_kcmp, process, parent, KCMP_VM, 0, 0) != 0)
            return true;
        if (!proc_read(parent, "status", text, 4096))
            return false;
        process = parent;
    }
}

bool untouched_can_enter(const struct untouched *untouched, pid_t tid) {
    char text[4096];
    const uint64_t trap = UINT64_C(1) << (SIGTRAP - 1);
    const unsigned long filters = untouched->filters + 1;
    return proc_read(tid, "status", text, sizeof text) && proc_field(text, "\nSeccomp_filters:\t", 10) == filters &&
           !(proc_field(text, "\nSigIgn:\t", 16) & trap) && has_memory_alone(tid, text);
}

unsigned long untouched_filters(void) {
    char text[4096];
    return proc_read(gettid(), "status", text, sizeof text) ? proc_field(text, "\nSeccomp_filters:\t", 10) : 0;
}

#define JUMP_BEFORE 7       /* bytes from a jump to behind the syscall */
#define IN_VAIN 8u          /* looks at a program's text that found nothing to patch, then there are no more */

bool untouched_has(pid_t tid) {
    uint64_t magic;
    return memory_read(&MEMORY(tid), STUB_BASE, &magic, sizeof magic) == 0 && magic == STUB_MAGIC;
}

bool untouched_new_site(struct inside *inside, pid_t tid, uint64_t ip) {
    unsigned char before = 0;
    const unsigned n = sizeof inside->ips / sizeof *inside->ips;
    if (inside->in_vain >= IN_VAIN)
        return false;
    for (unsigned i = 0; i < n; i++)
        if (inside->ips[i] == ip)
            return false;
    inside->ips[inside->next_ip++ % n] = ip;
    return ip - STUB_BASE >= STUB_CODE_SIZE && memory_read(&MEMORY(tid), ip - JUMP_BEFORE, &before, 1) == 0 &&
           before != 0xe9;
}

/* Who is alone and has the stub has not been replaced by an execve of another thread's. */
void untouched_patch(struct untouched *untouched, struct inside *inside, pid_t tid, uint64_t ip) {
    int patched = 0;
    if (untouched_can_enter(untouched, tid) && untouched_has(tid))
        patched = sites_patch(&untouched->sites, &untouched->lock, tid, stub_head()->entry, ip);
    inside->in_vain = patched > 0 ? 0 : inside->in_vain + 1;
}

int entering_begin(struct entering *entering, pid_t tid, const struct registers *stopped) {
    const uint64_t all = ~(UINT64_C(1) << (SIGTRAP - 1));
    uint64_t most = all;
    *entering = (struct entering){.tid = tid, .stopped = stopped};
    int error = exchange_mask(tid, &entering->mask, PTRACE_GETSIGMASK);
    return error ? error : exchange_mask(tid, &most, PTRACE_SETSIGMASK);
}

/* A SIGCONT that came before the last stop is pending; what comes behind it the kernel sees. */
int entering_end(struct entering *entering) {
    (void)exchange_mask(entering->tid, &entering->mask, PTRACE_SETSIGMASK);
    if (entering->stop && family_pending(entering->tid) & UINT64_C(1) << (SIGCONT - 1))
        entering->stop = 0;
    return entering->stop;
}

int untouched_enter(struct untouched *untouched, struct entering *entering, const struct inside *inside, int table_fd,
                    int notes_fd) {
    uint32_t report = inside->early ? early_report(inside->program) : 0;
    int error = come_in(untouched, entering, table_fd, notes_fd, report);
    if (!error)
        __atomic_add_fetch(&untouched->programs, 1, __ATOMIC_RELAXED);
    return error;
}
