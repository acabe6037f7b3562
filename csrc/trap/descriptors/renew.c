/* renew.c - a task replaces its stale descriptors, stop by stop.
 *
 *     PTRACE_EVENT_STOP ─▶ mmap, socketpair, recvmsg, dup3 and close for each, fcntl for locks, munmap ─▶ …_STOP
 *                            └▶ socket, connect, sendmsg ┘
 *
 * The new descriptors come over a socket (SCM_RIGHTS, unix(7)), since a description that others share too cannot be
 * opened by the task itself.  Where we may not take its descriptors (pidfd_getfd(2)) it connects to us, and hands
 * the stale ones over first.
 *
 * Rules: the first and the last stop are those before the return to user mode, where the kernel decides on
 * restarting an interrupted call, so with its registers put back the task goes on as after any PTRACE_INTERRUPT,
 * without EINTR.  The system call instruction is that of the vDSO.  All signals are blocked in between; SIGSTOP,
 * which cannot be, is sent again. A task with seccomp filters of its own is left alone: they may kill it for a call
 * that it does not make.  Whatever fails, the rest is undone and the registers are put back.  Locks come last:
 * closing any descriptor of a file drops them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../process/family.h"
#include "../../process/memory.h"
#include "../../process/proc.h"
#include "../inject.h"
#include "../restart.h"
#include "../stops.h"
#include "renew.h"

/* What the memory of the task's holds. */
struct area {
    int sockets[2];
    struct sockaddr_un name;
    struct parcel parcel;
    struct flock lock;
};
#define IN_AREA(renewer, field) ((renewer)->area + offsetof(struct area, field))

/* ---- the system call instruction ---- */

static uint64_t syscall_offset;     /* in the vDSO, which is the same in all processes; 0: not found */
static pthread_once_t syscall_once = PTHREAD_ONCE_INIT;

static void find_syscall(void) {
    const unsigned char *vdso = (const unsigned char *)getauxval(AT_SYSINFO_EHDR);   /* an address */
    if (!vdso)
        return;
    const Elf64_Ehdr *elf = (const void *)vdso;
    const Elf64_Phdr *load = (const void *)(vdso + elf->e_phoff);
    while (load->p_type != PT_LOAD)
        load++;
    for (uint64_t at = 0; at + arch_syscall_size <= load->p_memsz; at += arch_syscall_align)
        if (memcmp(vdso + at, arch_syscall_code, arch_syscall_size) == 0) {
            syscall_offset = at;
            return;
        }
}

/* Its address in the task, 0: it has none. */
static uint64_t syscall_address(pid_t tid) {
    unsigned char found[8];
    pthread_once(&syscall_once, find_syscall);
    uint64_t vdso = syscall_offset ? proc_auxiliary(tid, AT_SYSINFO_EHDR, false) : 0;
    uint64_t address = vdso ? vdso + syscall_offset : 0;
    bool there = address && memory_read(&MEMORY(tid), address, found, arch_syscall_size) == 0 &&
                 memcmp(found, arch_syscall_code, arch_syscall_size) == 0;
    return there ? address : 0;
}

/* ---- the calls; each prepares the next one of its step, or gives false: there is none (left) ---- */

struct injected {
    int nr;
    uint64_t arg[6];
};

static bool prepare_map(struct renewer *renewer, pid_t tid, struct injected *call) {
    (void)tid;
    if (renewer->at > 0)
        return false;
    struct registers regs = renewer->own;
    call->nr = inject_mmap(&regs, sizeof(struct area), false);
    for (unsigned i = 0; i < 6; i++)
        call->arg[i] = registers_arg(&regs, i);
    return true;
}

static void have_area(struct renewer *renewer, pid_t tid, long result) {
    (void)tid;
    if (!inject_mmap_failed(result))
        renewer->area = (uint64_t)result;
}

static bool prepare_sockets(struct renewer *renewer, pid_t tid, struct injected *call) {
    (void)tid;
    if (renewer->listener < 0)
        *call = (struct injected){__NR_socketpair, {AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, IN_AREA(renewer, sockets)}};
    else
        *call = (struct injected){__NR_socket, {AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0}};
    return renewer->at == 0 && renewer->area;
}

static void have_sockets(struct renewer *renewer, pid_t tid, long result) {
    if (renewer->listener >= 0 && result >= 0)
        renewer->sockets[0] = (int)result;
    if (renewer->listener < 0 && result == 0 &&
        memory_read(&MEMORY(tid), IN_AREA(renewer, sockets), renewer->sockets, sizeof renewer->sockets) < 0)
        renewer->sockets[0] = renewer->sockets[1] = -1;
}

static bool prepare_connect(struct renewer *renewer, pid_t tid, struct injected *call) {
    if (renewer->at > 0 || renewer->listener < 0 || renewer->sockets[0] < 0)
        return false;
    *call =
        (struct injected){__NR_connect, {(uint64_t)renewer->sockets[0], IN_AREA(renewer, name), renewer->name_length}};
    return memory_write(&MEMORY(tid), IN_AREA(renewer, name), &renewer->name, sizeof renewer->name) == 0;
}

static void connected(struct renewer *renewer, pid_t tid, long result) {
    if (result == 0)
        renewer->peer = exchange_accept(renewer->listener, family_process(tid));
}

static bool prepare_hand(struct renewer *renewer, pid_t tid, struct injected *call) {
    int numbers[STALE_MOST];
    struct parcel parcel;
    if (renewer->at > 0 || renewer->peer < 0)
        return false;
    for (size_t i = 0; i < renewer->renewal.n_replaced; i++)
        numbers[i] = renewer->renewal.replaced[i].number;
    exchange_fill(&parcel, IN_AREA(renewer, parcel), numbers, renewer->renewal.n_replaced);
    *call = (struct injected){__NR_sendmsg,
                              {(uint64_t)renewer->sockets[0], IN_AREA(renewer, parcel), MSG_DONTWAIT | MSG_NOSIGNAL}};
    return memory_write(&MEMORY(tid), IN_AREA(renewer, parcel), &parcel, sizeof parcel) == 0;
}

static void handed(struct renewer *renewer, pid_t tid, long result) {
    int copies[STALE_MOST];
    (void)result;
    size_t n = exchange_receive(renewer->peer, copies);
    for (size_t i = renewer->renewal.n_replaced; i < n; i++)
        close(copies[i]);
    stale_open(renewer->stale, tid, &renewer->renewal, copies);
}

/* Puts the new descriptors into the socket. */
static bool send_descriptors(const struct renewer *renewer, pid_t tid) {
    const struct renewal *renewal = &renewer->renewal;
    int fresh[STALE_MOST];
    for (size_t i = 0; i < renewal->n_replaced; i++)
        fresh[i] = renewal->replaced[i].fresh;
    if (renewer->listener >= 0)
        return renewer->peer >= 0 && exchange_send(renewer->peer, fresh, renewal->n_replaced);
    int ours = family_take(tid, renewer->sockets[1]);
    bool sent = ours >= 0 && exchange_send(ours, fresh, renewal->n_replaced);
    if (ours >= 0)
        close(ours);
    return sent;
}

static bool prepare_receive(struct renewer *renewer, pid_t tid, struct injected *call) {
    struct parcel parcel;
    if (renewer->at > 0 || renewer->sockets[0] < 0 || renewer->renewal.n_replaced == 0 ||
        !send_descriptors(renewer, tid))
        return false;
    exchange_fill(&parcel, IN_AREA(renewer, parcel), NULL, 0);
    *call = (struct injected){
        __NR_recvmsg, {(uint64_t)renewer->sockets[0], IN_AREA(renewer, parcel), MSG_CMSG_CLOEXEC | MSG_DONTWAIT}};
    return memory_write(&MEMORY(tid), IN_AREA(renewer, parcel), &parcel, sizeof parcel) == 0;
}

/* Fewer come when the task may not have so many (RLIMIT_NOFILE). */
static void received(struct renewer *renewer, pid_t tid, long result) {
    struct parcel parcel;
    if (result != 1 || memory_read(&MEMORY(tid), IN_AREA(renewer, parcel), &parcel, sizeof parcel) < 0)
        return;
    size_t n = exchange_open(&parcel, renewer->received);
    renewer->n_received = n < renewer->renewal.n_replaced ? n : renewer->renewal.n_replaced;
}

/* Another thread may have closed it meanwhile, and the number may be another file's.  Looked at once more at the
 * entry of the call; a thread that does both after that loses the other file. */
static bool still_stale(const struct renewer *renewer, pid_t tid) {
    return stale_is(renewer->stale, tid, renewer->renewal.replaced[renewer->at].number);
}

static bool prepare_replace(struct renewer *renewer, pid_t tid, struct injected *call) {
    const struct replaced *replaced = renewer->renewal.replaced;
    while (renewer->at < renewer->n_received && !still_stale(renewer, tid))
        renewer->at++;
    if (renewer->at >= renewer->n_received)
        return false;
    replaced += renewer->at;
    *call = (struct injected){__NR_dup3,
                              {(uint64_t)renewer->received[renewer->at], (uint64_t)replaced->number,
                               replaced->close_on_exec ? O_CLOEXEC : 0}};
    return true;
}

static void replaced(struct renewer *renewer, pid_t tid, long result) {
    (void)tid;
    renewer->n_done += result >= 0;
}

static bool prepare_close(struct renewer *renewer, pid_t tid, struct injected *call) {
    (void)tid;
    size_t at = renewer->at, n = renewer->sockets[0] < 0 ? 0 : renewer->sockets[1] < 0 ? 1 : 2;
    if (at >= n + renewer->n_received)
        return false;
    *call = (struct injected){__NR_close, {(uint64_t)(at < n ? renewer->sockets[at] : renewer->received[at - n])}};
    return true;
}

static bool prepare_lock(struct renewer *renewer, pid_t tid, struct injected *call) {
    const struct process_lock *lock = &renewer->renewal.locks[renewer->at];
    if (renewer->at >= renewer->renewal.n_locks || renewer->n_received == 0)
        return false;
    *call = (struct injected){__NR_fcntl, {(uint64_t)lock->number, F_SETLK, IN_AREA(renewer, lock)}};
    return memory_write(&MEMORY(tid), IN_AREA(renewer, lock), &lock->lock, sizeof lock->lock) == 0;
}

static bool prepare_unmap(struct renewer *renewer, pid_t tid, struct injected *call) {
    (void)tid;
    *call = (struct injected){__NR_munmap, {renewer->area, (uint64_t)inject_area_size(sizeof(struct area))}};
    return renewer->at == 0 && renewer->area;
}

static const struct {
    bool (*prepare)(struct renewer *renewer, pid_t tid, struct injected *call);
    void (*finish)(struct renewer *renewer, pid_t tid, long result);
} steps[] = {
    [RENEW_MAP] = {prepare_map, have_area},         [RENEW_SOCKETS] = {prepare_sockets, have_sockets},
    [RENEW_CONNECT] = {prepare_connect, connected}, [RENEW_HAND] = {prepare_hand, handed},
    [RENEW_RECEIVE] = {prepare_receive, received},  [RENEW_REPLACE] = {prepare_replace, replaced},
    [RENEW_CLOSE] = {prepare_close, NULL},          [RENEW_LOCK] = {prepare_lock, NULL},
    [RENEW_UNMAP] = {prepare_unmap, NULL},
};

/* ---- what is to be replaced ---- */

static bool take_copies(const struct renewer *renewer, pid_t tid, int copies[STALE_MOST]) {
    bool may = true;
    for (size_t i = 0; i < renewer->renewal.n_replaced; i++) {
        copies[i] = may ? family_take(tid, renewer->renewal.replaced[i].number) : -1;
        may = may && (copies[i] >= 0 || copies[i] == -EBADF);
    }
    return may;
}

static void drop_copies(const int *copies, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (copies[i] >= 0)
            close(copies[i]);
}

/* False: there is nothing, or it cannot be had. */
static bool find_stale(struct renewer *renewer, pid_t tid) {
    struct renewal *renewal = &renewer->renewal;
    int copies[STALE_MOST];
    stale_find(renewer->stale, tid, renewal);
    if (renewer->listener < 0 && renewal->n_replaced) {
        if (take_copies(renewer, tid, copies)) {
            stale_open(renewer->stale, tid, renewal, copies);
        } else {
            drop_copies(copies, renewal->n_replaced);
            renewer->listener = exchange_listen(&renewer->name, &renewer->name_length);
            return renewer->listener >= 0;
        }
    }
    return renewal->n_replaced > 0;
}

/* ---- the stops ---- */

static void run(const struct renewer *renewer, pid_t tid, const struct injected *call) {
    struct registers regs = renewer->own;
    registers_set_ip(&regs, renewer->instruction + arch_syscall_size);
    for (unsigned i = 0; i < 6; i++)
        registers_set_arg(&regs, i, call->arg[i]);
    registers_rewind(&regs, call->nr);
    if (registers_write(tid, &regs, -1) == 0)
        (void)ptrace(PTRACE_SYSCALL, tid, NULL, 0L);
}

/* The last stop is asked for; what was cleared by the one before it. */
static void go_back(struct renewer *renewer, pid_t tid) {
    renewer->step = RENEW_BACK;
    (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    (void)ptrace(PTRACE_CONT, tid, NULL, 0L);
}

/* There may be more of them than are replaced at a time. False: that is all. */
static bool renew_more(struct renewer *renewer, pid_t tid) {
    if (renewer->n_received < STALE_MOST)
        return false;
    if (renewer->peer >= 0)
        close(renewer->peer);
    renewer->step = RENEW_MAP;
    renewer->at = renewer->n_received = 0;
    renewer->area = 0;
    renewer->sockets[0] = renewer->sockets[1] = renewer->peer = -1;
    return find_stale(renewer, tid);
}

static void run_next(struct renewer *renewer, pid_t tid) {
    struct injected call;
    do {
        for (; renewer->step < RENEW_BACK; renewer->step++, renewer->at = 0)
            if (steps[renewer->step].prepare(renewer, tid, &call)) {
                run(renewer, tid, &call);
                return;
            }
    } while (renew_more(renewer, tid));
    go_back(renewer, tid);
}

static bool may_inject(struct renewer *renewer, pid_t tid) {
    renewer->instruction = syscall_address(tid);
    return renewer->instruction && !family_filtered(tid);
}

void renew_clear(struct renewer *renewer) {
    if (renewer->peer >= 0)
        close(renewer->peer);
    if (renewer->listener >= 0)
        close(renewer->listener);
    renewer->peer = renewer->listener = -1;
}

static void end(struct renewer *renewer, pid_t tid) {
    (void)registers_write(tid, &renewer->own, renewer->own_nr);
    inject_unblock(tid, renewer->signal_mask);
    if (renewer->held_signal)
        (void)syscall(SYS_tkill, tid, renewer->held_signal);
    renewer->step = RENEW_OVER;
    renew_clear(renewer);
}

/* A restartable sequence does not survive that the task is elsewhere meanwhile: what the kernel does when it finds
 * the task in one (rseq_ip_fixup() in kernel/rseq.c) it cannot do when it finds it in a call of ours. */
static void leave_sequence(struct renewer *renewer, pid_t tid) {
    struct __ptrace_rseq_configuration configuration;
    struct rseq area;
    struct rseq_cs sequence;
    uint64_t ip = registers_ip(&renewer->own);
    if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, tid, sizeof configuration, &configuration) < 0 ||
        !configuration.rseq_abi_pointer ||
        memory_read(&MEMORY(tid), configuration.rseq_abi_pointer, &area, offsetof(struct rseq, flags)) < 0 ||
        !area.rseq_cs || memory_read(&MEMORY(tid), area.rseq_cs, &sequence, sizeof sequence) < 0)
        return;
    if (ip - sequence.start_ip < sequence.post_commit_offset)
        registers_set_ip(&renewer->own, sequence.abort_ip);
}

static void begin_renewing(struct renewer *renewer, pid_t tid) {
    if (registers_read(tid, &renewer->own) || inject_block(tid, &renewer->signal_mask)) {
        renewer->step = RENEW_OVER;
        return;
    }
    renewer->own_nr = arch_call_number(tid, &renewer->own);
    (void)restart_after_stop(tid, &renewer->own, &renewer->own_nr, renewer->signal_mask);
    if (!find_stale(renewer, tid) || !may_inject(renewer, tid)) {
        end(renewer, tid);
        return;
    }
    leave_sequence(renewer, tid);
    renewer->step = RENEW_MAP;
    run_next(renewer, tid);
}

/* Linux before 5.3 does not tell which of the two it is. */
static bool is_exit(const struct renewer *renewer, pid_t tid) {
    struct __ptrace_syscall_info info;
    bool told = ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, &info) > 0;
    return told ? info.op == PTRACE_SYSCALL_INFO_EXIT : renewer->entered;
}

static void at_syscall_stop(struct renewer *renewer, pid_t tid) {
    struct registers regs;
    bool exits = is_exit(renewer, tid);
    renewer->entered = !exits;
    if (!exits) {
        if (renewer->step == RENEW_REPLACE && !still_stale(renewer, tid))
            (void)arch_skip_call(tid, -EBADF);
        (void)ptrace(PTRACE_SYSCALL, tid, NULL, 0L);
        return;
    }
    if (registers_read(tid, &regs))
        return;
    if (steps[renewer->step].finish)
        steps[renewer->step].finish(renewer, tid, registers_result(&regs));
    renewer->at++;
    run_next(renewer, tid);
}

int renew_ask(struct renewer *renewer, struct stale *stale, pid_t tid) {
    memset(renewer, 0, offsetof(struct renewer, renewal));
    __atomic_store_n(&renewer->begun, false, __ATOMIC_RELAXED);
    renewer->stale = stale;
    renewer->sockets[0] = renewer->sockets[1] = renewer->listener = renewer->peer = -1;
    stale_hold(stale, tid);
    return ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 ? -errno : 0;
}

bool renew_begun(const struct renewer *renewer) {
    return __atomic_load_n(&renewer->begun, __ATOMIC_ACQUIRE);
}

/* Any other stop takes the pending PTRACE_INTERRUPT away (ptrace_stop() in kernel/signal.c). */
static bool still_asked(const struct renewer *renewer, pid_t tid) {
    (void)ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
    return renewer->step == RENEW_ASKED;
}

bool renew_stop(struct renewer *renewer, pid_t tid, int status) {
    int event = stops_event(status);
    bool calls = renewer->step > RENEW_ASKED && renewer->step < RENEW_BACK;
    if (event == PTRACE_EVENT_STOP && renewer->step == RENEW_ASKED) {
        __atomic_store_n(&renewer->begun, true, __ATOMIC_RELEASE);
        begin_renewing(renewer, tid);
        return true;
    }
    if (event == PTRACE_EVENT_STOP && renewer->step == RENEW_BACK) {
        end(renewer, tid);
        return true;
    }
    if (calls && stops_at_syscall(status)) {
        at_syscall_stop(renewer, tid);
        return true;
    }
    if (!calls && still_asked(renewer, tid))
        return false;
    if (event == 0)
        renewer->held_signal = WSTOPSIG(status);
    (void)ptrace(calls ? PTRACE_SYSCALL : PTRACE_CONT, tid, NULL, 0L);
    return true;
}
