/* filter.c - from the call table to a seccomp program.
 *
 * The program stands for:
 *
 *     if (arch is not ours)       the same of its numbers (calls/compat.h), or trap: it is refused, and that is said
 *     if (nr > table_last)        ENOSYS       x32 numbers included
 *     binary search of nr among ranges of equal treatment:
 *         allow | trap | errno | trap if the arguments say so, else allow | allow if an argument is known, else trap |
 *         allow if the stub makes it (untouched/) and, of an open, it can change nothing, else trap
 *
 * A call that the running kernel has not is ENOSYS here too.
 *
 * Rules: nothing that the table does not know gets through, and a call that needs no trap meets only
 * constant comparisons of arch and nr, so that the kernel (5.11) caches the answer in a bitmap.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "../arch/numbers.h"
#include "../calls/call.h"
#include "../calls/compat.h"
#include "../ptoverlay.h"
#include "../calls/table.h"
#include "filter.h"

#define ARG_LOW(arg) ((uint32_t)(offsetof(struct seccomp_data, args) + (arg) * sizeof(uint64_t)))
#define ARG_HIGH(arg) (ARG_LOW(arg) + (uint32_t)sizeof(uint32_t))

enum leaf_kind { LEAF_ALLOW, LEAF_TRAP, LEAF_ERRNO, LEAF_TRAP_IF_SET, LEAF_TRAP_IF_IN, LEAF_ALLOW_IF_KNOWN };

/* How one call number is treated. */
struct leaf {
    enum leaf_kind kind;
    int error;
    unsigned arg;
    uint64_t mask;
    const uint32_t *values; /* IF_KNOWN: those that are trapped all the same, or NULL */
    const struct known_values *known;
    bool zero;              /* is one of values */
    unsigned given;         /* n + 1: only if argument n is not 0 */
    uint64_t cookie;        /* in argument 2: a listener's; 0: none */
    unsigned inside; /* TRAP, IF_IN: the stub may make it: INSIDE, or the number of its argument of O_* flags + 1 */
};
#define INSIDE 7u
#define SHARES 8u /* clone: trapped if a process then shares memory or current directory with another one */

/* Calls from start up to the next range's start are treated alike. */
struct range {
    uint32_t start;
    struct leaf leaf;
};

struct builder {
    struct filter *filter;
    uint32_t trap;
    uint64_t passing_ip; /* 0: there is no stub */
    bool full;
};

static void emit(struct builder *b, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf) {
    if (b->filter->length == FILTER_MAX) {
        b->full = true;
        return;
    }
    b->filter->code[b->filter->length++] = (struct sock_filter){.code = code, .jt = jt, .jf = jf, .k = k};
}

static void emit_load(struct builder *b, uint32_t offset) {
    emit(b, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void emit_return(struct builder *b, uint32_t action) {
    emit(b, BPF_RET | BPF_K, action, 0, 0);
}

/* A test of one 32-bit word of an argument: traps when it holds. */
static void emit_trap_if(struct builder *b, uint16_t jump, uint32_t k) {
    emit(b, BPF_JMP | jump | BPF_K, k, 0, 1);
    emit_return(b, b->trap);
}

static void emit_trap_if_set(struct builder *b, const struct leaf *leaf) {
    uint32_t low = (uint32_t)leaf->mask, high = (uint32_t)(leaf->mask >> 32);
    if (low) {
        emit_load(b, ARG_LOW(leaf->arg));
        emit_trap_if(b, BPF_JSET, low);
    }
    if (high) {
        emit_load(b, ARG_HIGH(leaf->arg));
        emit_trap_if(b, BPF_JSET, high);
    }
}

static void emit_trap_if_in(struct builder *b, const struct leaf *leaf) {
    emit_load(b, ARG_LOW(leaf->arg));
    for (const uint32_t *value = leaf->values; *value; value++)
        emit_trap_if(b, BPF_JEQ, *value);
    if (leaf->zero)
        emit_trap_if(b, BPF_JEQ, 0);
}

static void emit_allow_if(struct builder *b, uint32_t k) {
    emit(b, BPF_JMP | BPF_JEQ | BPF_K, k, 0, 1);
    emit_return(b, SECCOMP_RET_ALLOW);
}

static void emit_allow_if_known(struct builder *b, const struct leaf *leaf) {
    const struct known_values *known = leaf->known;
    emit_load(b, ARG_LOW(leaf->arg));
    for (const uint32_t *value = leaf->values; value && *value; value++)
        emit_trap_if(b, BPF_JEQ, *value);
    for (size_t i = 0; i < known->n; i++)
        emit_allow_if(b, known->values[i]);
    if (known->n_types)
        emit(b, BPF_ALU | BPF_AND | BPF_K, 0xff00, 0, 0);
    for (size_t i = 0; i < known->n_types; i++)
        emit_allow_if(b, (uint32_t)known->types[i] << 8);
    emit_return(b, b->trap);
}

/* if (both words of the argument are 0) allow */
static void emit_allow_if_0(struct builder *b, unsigned arg) {
    emit_load(b, ARG_LOW(arg));
    emit(b, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3);
    emit_load(b, ARG_HIGH(arg));
    emit(b, BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1);
    emit_return(b, SECCOMP_RET_ALLOW);
}

#define IP_LOW ((uint32_t)offsetof(struct seccomp_data, instruction_pointer))
#define IP_HIGH (IP_LOW + (uint32_t)sizeof(uint32_t))
#define O_CHANGES ((uint32_t)(O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY)))

/* if (it comes from the stub's one instruction, and no flag says that it may change something) allow */
static void emit_allow_inside(struct builder *b, unsigned inside) {
    bool flags = inside != INSIDE;
    uint8_t rest = flags ? 5 : 3;
    emit_load(b, IP_LOW);
    emit(b, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)b->passing_ip, 0, rest);
    emit_load(b, IP_HIGH);
    emit(b, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(b->passing_ip >> 32), 0, (uint8_t)(rest - 2));
    if (flags) {
        emit_load(b, ARG_LOW(inside - 1));
        emit(b, BPF_JMP | BPF_JSET | BPF_K, O_CHANGES, 1, 0);
    }
    emit_return(b, SECCOMP_RET_ALLOW);
}

/* vfork and threads aside: who stands still meanwhile, or shares all. */
static void emit_trap_if_shares(struct builder *b) {
    emit_load(b, ARG_LOW(0));
    emit(b, BPF_ALU | BPF_AND | BPF_K, CLONE_VM | CLONE_VFORK | CLONE_THREAD, 0, 0);
    emit_trap_if(b, BPF_JEQ, CLONE_VM);
    emit_load(b, ARG_LOW(0));
    emit(b, BPF_ALU | BPF_AND | BPF_K, CLONE_VM | CLONE_FS, 0, 0);
    emit_trap_if(b, BPF_JEQ, CLONE_FS);
}

static void emit_listen_if(struct builder *b, uint64_t cookie) {
    emit_load(b, ARG_LOW(2));
    emit(b, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)cookie, 0, 3);
    emit_load(b, ARG_HIGH(2));
    emit(b, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(cookie >> 32), 0, 1);
    emit_return(b, SECCOMP_RET_USER_NOTIF);
}

static void emit_leaf(struct builder *b, const struct leaf *leaf) {
    if (leaf->cookie)
        emit_listen_if(b, leaf->cookie);
    if (leaf->given)
        emit_allow_if_0(b, leaf->given - 1);
    if (leaf->inside == SHARES && b->passing_ip)
        emit_trap_if_shares(b);
    else if (leaf->inside && b->passing_ip)
        emit_allow_inside(b, leaf->inside);
    switch (leaf->kind) {
    case LEAF_TRAP:
        emit_return(b, b->trap);
        return;
    case LEAF_ERRNO:
        emit_return(b, SECCOMP_RET_ERRNO | ((uint32_t)leaf->error & SECCOMP_RET_DATA));
        return;
    case LEAF_TRAP_IF_SET:
        emit_trap_if_set(b, leaf);
        break;
    case LEAF_TRAP_IF_IN:
        emit_trap_if_in(b, leaf);
        break;
    case LEAF_ALLOW_IF_KNOWN:
        emit_allow_if_known(b, leaf);
        return;
    case LEAF_ALLOW:
        break;
    }
    emit_return(b, SECCOMP_RET_ALLOW);
}

/* Room for one more instruction at `at`; jumps over it are not mended. */
static bool insert(struct builder *b, size_t at, struct sock_filter instruction) {
    struct filter *filter = b->filter;
    if (filter->length == FILTER_MAX) {
        b->full = true;
        return false;
    }
    memmove(&filter->code[at + 1], &filter->code[at], (filter->length - at) * sizeof filter->code[0]);
    filter->code[at] = instruction;
    filter->length++;
    return true;
}

/* if (nr >= ranges[middle].start) right half; else left half.  The left half comes first in the program; a
 * conditional jump reaches over 255 instructions, a longer left half is jumped over by BPF_JA. */
static void emit_search(struct builder *b, const struct range *ranges, size_t n) {
    if (n == 1) {
        emit_leaf(b, &ranges[0].leaf);
        return;
    }
    size_t middle = n / 2, test = b->filter->length;
    emit(b, BPF_JMP | BPF_JGE | BPF_K, ranges[middle].start, 0, 0);
    emit_search(b, ranges, middle);
    size_t left = b->filter->length - test - 1;
    if (left <= UINT8_MAX) {
        if (!b->full)
            b->filter->code[test].jt = (uint8_t)left;
    } else if (insert(b, test + 1, (struct sock_filter){.code = BPF_JMP | BPF_JA, .k = (uint32_t)left})) {
        b->filter->code[test].jf = 1;
    }
    emit_search(b, ranges + middle, n - middle);
}

static struct leaf leaf_of_row(const struct call_row *row) {
    switch (row->filter) {
    case FILTER_ERRNO:
        return (struct leaf){.kind = LEAF_ERRNO, .error = row->filter_errno};
    case FILTER_TRAP_IF_SET:
        return (struct leaf){.kind = LEAF_TRAP_IF_SET, .arg = row->filter_arg, .mask = row->filter_mask};
    case FILTER_TRAP_IF_IN:
        return (struct leaf){.kind = LEAF_TRAP_IF_IN, .arg = row->filter_arg, .values = row->filter_values};
    case FILTER_PASS_IF_KNOWN:
        return (struct leaf){.kind = LEAF_ALLOW_IF_KNOWN, .arg = row->filter_arg, .known = row->filter_known};
    case FILTER_TRAP:
        break;
    }
    return (struct leaf){.kind = LEAF_TRAP};
}

/* What the trap itself wants to see too, of a call that the table has. */
static void add_extra(struct leaf *leaf, const struct filter_extra *extra) {
    bool plain = extra->values && !extra->zero && !extra->given;
    if (leaf->kind == LEAF_ALLOW && extra->values)
        *leaf = (struct leaf){.kind = LEAF_TRAP_IF_IN,
                              .arg = extra->arg,
                              .values = extra->values,
                              .zero = extra->zero,
                              .given = extra->given};
    else if (leaf->kind == LEAF_ALLOW)
        *leaf = (struct leaf){.kind = LEAF_TRAP_IF_SET, .arg = extra->arg, .mask = extra->mask};
    else if (leaf->kind == LEAF_TRAP_IF_SET && leaf->arg == extra->arg)
        leaf->mask |= extra->mask;
    else if (leaf->kind == LEAF_ALLOW_IF_KNOWN && leaf->arg == extra->arg && plain && !leaf->values)
        leaf->values = extra->values;
    else if (leaf->kind != LEAF_ERRNO)
        *leaf = (struct leaf){.kind = LEAF_TRAP};
    leaf->cookie = extra->cookie;
}

/* Those since Linux 5.1 have the same numbers on all machines.  With these arguments none of them does anything. */
#define FIRST_PROBED 424

static bool is_missing(int nr) {
    return nr >= FIRST_PROBED && syscall(nr, -1L, 0L, 0L, 0L, 0L, 0L) < 0 && errno == ENOSYS;
}

/* The calls that the stub makes.  openat2 never: its flags lie in memory. */
static const struct {
    int nr;
    unsigned inside;
} made_inside[] = {
    {__NR_open, 1 + 1},        {__NR_openat, 2 + 1},      {__NR_stat, INSIDE},         {__NR_lstat, INSIDE},
    {__NR_fstat, INSIDE},      {__NR_newfstatat, INSIDE}, {__NR_statx, INSIDE},        {__NR_access, INSIDE},
    {__NR_faccessat, INSIDE},  {__NR_faccessat2, INSIDE}, {__NR_readlink, INSIDE},     {__NR_readlinkat, INSIDE},
    {__NR_getdents64, INSIDE}, {__NR_getxattr, INSIDE},   {__NR_lgetxattr, INSIDE},    {__NR_listxattr, INSIDE},
    {__NR_llistxattr, INSIDE}, {__NR_clone, SHARES},      {__NR_rt_sigaction, INSIDE}, {__NR_getcwd, INSIDE},
};

static unsigned inside_of(int nr) {
    for (size_t i = 0; i < sizeof made_inside / sizeof *made_inside; i++)
        if (made_inside[i].nr == nr)
            return made_inside[i].inside;
    return 0;
}

static struct leaf leaf_of(int nr, unsigned features, const struct filter_extra *extras, size_t n_extras) {
    const struct call_row *row = table_row(nr);
    struct leaf leaf = row && (row->needs & ~features) == 0 ? leaf_of_row(row) : (struct leaf){.kind = LEAF_ALLOW};
    if (leaf.kind != LEAF_ALLOW && leaf.kind != LEAF_ERRNO && is_missing(nr))
        return (struct leaf){.kind = LEAF_ERRNO, .error = ENOSYS};
    if (row && row->always & features)
        leaf = (struct leaf){.kind = LEAF_TRAP};
    if (leaf.kind == LEAF_ALLOW_IF_KNOWN && row->more && (row->more_needs & ~features) == 0)
        leaf.values = row->more;
    for (size_t i = 0; i < n_extras; i++)
        if (extras[i].nr == nr)
            add_extra(&leaf, &extras[i]);
    if (leaf.kind == LEAF_TRAP || leaf.kind == LEAF_TRAP_IF_IN || nr == __NR_clone)
        leaf.inside = inside_of(nr);
#ifdef __NR_clone3
    /* Its flags lie in memory, where no filter sees them; programs fall back to clone. */
    if (nr == __NR_clone3 && leaf.kind == LEAF_ALLOW)
        leaf = (struct leaf){.kind = LEAF_ERRNO, .error = ENOSYS};
#endif
    return leaf;
}

static bool leaves_equal(const struct leaf *a, const struct leaf *b) {
    return a->kind == b->kind && a->error == b->error && a->arg == b->arg && a->mask == b->mask &&
           a->values == b->values && a->known == b->known && a->zero == b->zero && a->given == b->given &&
           a->inside == b->inside && a->cookie == b->cookie;
}

/* Fills ranges (table_last + 2 at most) from all call numbers; returns how many there are. */
static size_t find_ranges(struct range *ranges, unsigned features, const struct filter_extra *extras, size_t n_extras) {
    size_t n = 0;
    for (int nr = 0; nr <= table_last; nr++) {
        struct leaf leaf = leaf_of(nr, features, extras, n_extras);
        if (n == 0 || !leaves_equal(&ranges[n - 1].leaf, &leaf))
            ranges[n++] = (struct range){.start = (uint32_t)nr, .leaf = leaf};
    }
    ranges[n++] = (struct range){
        .start = (uint32_t)table_last + 1,
        .leaf = {.kind = LEAF_ERRNO, .error = ENOSYS},
    };
    return n;
}

/* What a call of the 32-bit architecture is answered: as the machine's own, but that one which is not known is trapped
 * and what only the machine's own programs do is nothing here. */
static struct leaf compat_leaf(int nr, unsigned features, const struct filter_extra *extras, size_t n_extras) {
    const struct leaf trap = {.kind = LEAF_TRAP};
    struct compat_call as = compat_call(nr);
    if (as.form == COMPAT_FREE)
        return (struct leaf){.kind = LEAF_ALLOW};
    if (as.native < 0 || as.form < COMPAT_SAME)
        return trap;
    struct leaf leaf = leaf_of(as.native, features, extras, n_extras);
    bool plain = leaf.kind == LEAF_ALLOW && !leaf.inside;
    bool asks = as.form == COMPAT_SAME && leaf.kind != LEAF_ERRNO && (leaf.kind != LEAF_TRAP || !leaf.inside);
    leaf.cookie = 0;
    return plain || asks ? leaf : trap;
}

static size_t find_compat_ranges(struct range *ranges, unsigned features, const struct filter_extra *extras,
                                 size_t n_extras) {
    size_t n = 0;
    for (int nr = 0; nr <= table_last; nr++) {
        struct leaf leaf = compat_leaf(nr, features, extras, n_extras);
        if (n == 0 || !leaves_equal(&ranges[n - 1].leaf, &leaf))
            ranges[n++] = (struct range){.start = (uint32_t)nr, .leaf = leaf};
    }
    ranges[n++] = (struct range){.start = (uint32_t)table_last + 1, .leaf = {.kind = LEAF_TRAP}};
    return n;
}

int filter_make(struct filter *filter, uint32_t trap, uint64_t passing_ip, unsigned features,
                const struct filter_extra *extras, size_t n_extras) {
    struct builder b = {.filter = filter, .trap = trap, .passing_ip = passing_ip};
    struct range ranges[PTO_CALLS + 1];
    if (table_last >= PTO_CALLS)
        return -E2BIG;
    filter->length = 0;
    emit_load(&b, offsetof(struct seccomp_data, arch));
    emit(&b, BPF_JMP | BPF_JEQ | BPF_K, ARCH_AUDIT, 1, 0);
    size_t away = filter->length;
    emit(&b, BPF_JMP | BPF_JA, 0, 0, 0);
    emit_load(&b, offsetof(struct seccomp_data, nr));
    emit_search(&b, ranges, find_ranges(ranges, features, extras, n_extras));
    if (!b.full)
        filter->code[away].k = (uint32_t)(filter->length - away - 1);
    b.trap |= FILTER_FOREIGN;
    if (ARCH_COMPAT && !(features & PTO_FEATURE_BUILD)) {
        emit(&b, BPF_JMP | BPF_JEQ | BPF_K, ARCH_COMPAT, 1, 0);
        emit_return(&b, b.trap);
        emit_load(&b, offsetof(struct seccomp_data, nr));
        emit_search(&b, ranges, find_compat_ranges(ranges, features, extras, n_extras));
    } else {
        emit_return(&b, b.trap);
    }
    return b.full ? -E2BIG : 0;
}
