/* compat.c - from a call of the 32-bit architecture to one of the machine's own.
 *
 * Rules: registers are 32 bits wide, whatever stands above (int 0x80 from 64-bit code).  socketcall(2) has its
 * arguments in memory: they are read once, and where the tracee gets other ones it makes the call that it meant, with
 * all arguments in registers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "compat.h"

#include <errno.h>
#include <string.h>
#include <sys/types.h>

#include "../arch/arch.h"
#include "../arch/numbers.h"
#include "../ptoverlay.h"
#include "../process/memory.h"
#include "call.h"
#include "session.h"
#include "table.h"
#include "verdict.h"

#define SAME_EVERYWHERE 424 /* the first number that all machines have for the same call */

#define F_GETLK64_ 12u      /* asm/fcntl.h of i386 */
#define F_SETLKW64_ 14u

struct compat_call compat_call(int nr) {
    if (nr >= 0 && nr < compat_calls_size)
        return compat_calls[nr];
    if (compat_calls_size && nr >= SAME_EVERYWHERE && nr <= table_last)
        return (struct compat_call){.native = (int16_t)nr, .form = COMPAT_SAME};
    return (struct compat_call){.native = -1, .form = COMPAT_NOT};
}

int compat_number(int native) {
    for (int nr = 0; nr < compat_calls_size; nr++)
        if (compat_calls[nr].native == native && compat_calls[nr].form == COMPAT_SAME)
            return nr;
    return native >= SAME_EVERYWHERE ? native : -1;
}

int compat_made(const struct call *call) {
    return call->compat ? call->compat_nr : call->nr;
}

/* low2highuid() */
static uint64_t wide_id(uint64_t id) {
    return (uint16_t)id == UINT16_MAX ? UINT32_MAX : (uint16_t)id;
}

static void convert(struct call *call) {
    switch (call->compat) {
    case COMPAT_SIGNED:
        call->arg[1] = (uint64_t)(int64_t)(int32_t)call->arg[1];
        break;
    case COMPAT_PAIR:
        call->arg[1] |= call->arg[2] << 32;
        break;
    case COMPAT_UMOUNT:
        call->arg[1] = 0;
        break;
    case COMPAT_OWNER16:
        call->arg[1] = wide_id(call->arg[1]);
        call->arg[2] = wide_id(call->arg[2]);
        break;
    case COMPAT_IDS16:
        for (unsigned i = 0; i < 3; i++)
            call->arg[i] = wide_id(call->arg[i]);
        break;
    default:
        break;
    }
}

void compat_arrive(struct call *call, uint32_t arch, int nr, const uint64_t arg[6]) {
    bool compat = arch != ARCH_AUDIT;
    struct compat_call as = compat ? compat_call(nr) : (struct compat_call){.native = (int16_t)nr};
    call->compat = compat && !as.form ? COMPAT_REFUSED : (enum compat_form)as.form;
    call->compat_nr = nr;
    __atomic_store_n(&call->nr, compat ? as.native : nr, __ATOMIC_RELAXED);   /* others look at it (replacing.c) */
    for (unsigned i = 0; i < 6; i++)
        call->arg[i] = compat ? (uint32_t)arg[i] : arg[i];
    if (compat)
        convert(call);
}

/* ---- socketcall(2) ---- */

/* linux/net.h: SYS_SOCKET to SYS_SENDMMSG; n: how many arguments there are.  harmless: whatever those are. */
static const struct socket_call {
    int native;
    unsigned n;
    bool harmless;
} socket_calls[] = {
    [1] = {__NR_socket, 3, true},
    [2] = {__NR_bind, 3, false},
    [3] = {__NR_connect, 3, false},
    [4] = {-1, 2, true},
    [5] = {__NR_accept, 3, false},
    [6] = {__NR_getsockname, 3, false},
    [7] = {__NR_getpeername, 3, false},
    [8] = {-1, 4, true},
    [9] = {-1, 4, true},
    [10] = {-1, 4, true},
    [11] = {__NR_sendto, 6, false},
    [12] = {__NR_recvfrom, 6, false},
    [13] = {-1, 2, true},
    [14] = {-1, 5, true},
    [15] = {__NR_getsockopt, 5, true},
    [16] = {__NR_sendmsg, 3, false},
    [17] = {__NR_recvmsg, 3, false},
    [18] = {__NR_accept4, 4, false},
    [19] = {__NR_recvmmsg, 5, false},
    [20] = {__NR_sendmmsg, 4, false},
};

/* False: the verdict is there. */
static bool sockets_begin(struct call *call) {
    uint32_t given[6] = {0};
    uint64_t kind = call->arg[0];
    if (call->nr >= 0)
        return true;    /* decided anew */
    if (kind == 0 || kind >= sizeof socket_calls / sizeof *socket_calls)
        return verdict_answer(call, -EINVAL), false;
    const struct socket_call *as = &socket_calls[kind];
    if (as->native < 0 || (as->harmless && !(call->session->features & (PTO_FEATURE_RECORD | PTO_FEATURE_FAKE_ROOT))))
        return false;
    int error = memory_read(&call->memory, call->arg[1], given, as->n * sizeof *given);
    if (error < 0)
        return verdict_answer(call, error), false;
    for (unsigned i = 0; i < 6; i++)
        call->arg[i] = given[i];
    __atomic_store_n(&call->nr, as->native, __ATOMIC_RELAXED);
    call->row = table_row(call->nr);
    return true;
}

/* What another thread could make another call of is not let pass. */
void compat_sockets_decided(struct call *call) {
    if (call->verdict == VERDICT_PASS && call->nr == __NR_bind)
        verdict_refuse(call, EACCES, "the arguments of socketcall(2) may change");
}

/* ---- what its row's filter says, which has seen other arguments ---- */

static bool is_trapped(const struct call *call) {
    const struct call_row *row = call->row;
    uint64_t value = call->arg[row->filter_arg];
    if (row->needs & ~call->session->features)
        return false;
    if (row->filter == FILTER_TRAP_IF_SET)
        return value & row->filter_mask;
    if (row->filter != FILTER_TRAP_IF_IN)
        return true;
    for (const uint32_t *one = row->filter_values; *one; one++)
        if (*one == (uint32_t)value)
            return true;
    return false;
}

static void refuse(struct call *call) {
    verdict_refuse(call, ENOSYS,
                   "a 32-bit call that is not known here is refused with ENOSYS: run a 64-bit build of it");
    call->foreign = true;
}

bool compat_begin(struct call *call) {
    bool fake_root = call->session->features & PTO_FEATURE_FAKE_ROOT;
    if (call->compat == COMPAT_REFUSED || (call->compat == COMPAT_LIST16 && fake_root))
        return refuse(call), false;
    if (call->compat == COMPAT_SOCKETS && !sockets_begin(call))
        return false;
    if (call->compat == COMPAT_FCNTL && call->arg[1] >= F_GETLK64_ && call->arg[1] <= F_SETLKW64_)
        return false;
    if (call->row)
        return is_trapped(call);
    if (call->compat == COMPAT_FREE || (call->nr >= 0 && call->nr <= table_last))
        return false;   /* the machine's own is let pass, too */
    return refuse(call), false;
}
