/* cancel.c - call sites that are cancellation points, as the C library has them once a program has threads.
 *
 *     call __pthread_enable_asynccancel   ◀─ replaced: asks the stub if the thread is not to be cancelled
 *     moves; syscall                          … not answered, or it is: calls that function, as if from here
 *     cmp $-4096,%rax; ja error               … answered: goes on behind the syscall of the plain way
 *     call __pthread_disable_asynccancel
 *     jmp ──▶ where the plain way goes on after its own syscall; cmp $-4096,%rax; ja error
 *
 * A thread can be cancelled at any instruction between the two calls, and unwound from there, which the stub cannot be;
 * before the first it cannot.  Who is to be cancelled when the call begins is cancelled there as ever.
 *
 * Rules: all of that is looked for; the error way of the plain call takes nothing from a register that a call does not
 * keep; what looks otherwise is left alone.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "text.h"

#define BEHIND 32u      /* bytes from the comparison to the second call */
#define ROOM 64u        /* bytes behind the syscall that are looked at */
#define COMPARE 6u      /* bytes of cmp $-4096,%rax */
#define LOAD 4u         /* bytes of mov N(%rsp),%eax */

/* Bytes of the comparison of what a syscall has returned, and of the jump if it is an error.  *error: to where; 0: it
 * is something else. */
static unsigned compare_length(const struct text *text, uint64_t at, uint64_t *error) {
    const unsigned char *code = text->bytes + at;
    if (memcmp(code, "\x48\x3d\x00\xf0\xff\xff", COMPARE) != 0)
        return 0;
    if (code[COMPARE] == 0x77) {
        *error = at + COMPARE + 2 + (uint64_t)(int64_t)(signed char)code[COMPARE + 1];
        return COMPARE + 2;
    }
    if (code[COMPARE] != 0x0f || code[COMPARE + 1] != 0x87)
        return 0;
    *error = text_target(text, at + COMPARE + 2);
    return COMPARE + 2 + (unsigned)sizeof(int32_t);
}

/* Where the way goes on after the thread is not cancellable any more; 0: it does not look so. */
static uint64_t find_end(const struct text *text, uint64_t at) {
    for (uint64_t end = at + BEHIND; at < end; at++) {
        const unsigned char *code = text->bytes + at, *load = code + TEXT_JUMP;
        if (code[0] != 0xe8 || memcmp(load, "\x8b\x44\x24", LOAD - 1) != 0)
            continue;
        uint64_t jump = at + TEXT_JUMP + LOAD;
        if (load[LOAD] == 0xe9)
            return text_target(text, jump + 1);
        return load[LOAD] == 0xeb ? jump + 2 + (uint64_t)(int64_t)(signed char)load[LOAD + 1] : 0;
    }
    return 0;
}

/* Loads where errno is, from the text's data or as a number, and writes it. */
static bool is_error_way(const struct text *text, uint64_t at) {
    const unsigned char *code = text->bytes + at;
    return at >= text->offset && at + ROOM < text->end && code[0] == 0x48 &&
           ((code[1] == 0x8b && (code[2] & 0xc7) == 0x05) || (code[1] == 0xc7 && (code[2] & 0xf8) == 0xc0)) &&
           memcmp(code + 7, "\xf7\xd8\x64\x89", 4) == 0;
}

/* The syscall of the plain way, that goes on there; 0: there is none. */
static uint64_t find_plain(const struct text *text, uint64_t end) {
    static const unsigned lengths[] = {COMPARE + 2, COMPARE + 2 + sizeof(int32_t)};
    uint64_t error;
    if (end < text->offset + ROOM || end + ROOM > text->end)
        return 0;
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        uint64_t at = end - lengths[i];
        if (compare_length(text, at, &error) == lengths[i] && text_is_syscall(text->bytes + at - 2) &&
            is_error_way(text, error))
            return at - 2;
    }
    return 0;
}

/* mov %fs:16,%reg; mov N(%reg),%other: N, 0: the function begins otherwise. */
static int32_t handling_of(const struct text *text, uint64_t function) {
    if (function < text->offset || function + ROOM > text->end)
        return 0;
    const unsigned char *code = text->bytes + function;
    if (memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0)
        code += 4;
    unsigned reg = code[3] >> 3 & 7u;
    if (memcmp(code, "\x64\x48\x8b", 3) != 0 || (code[3] & 0xc7) != 0x04 ||
        memcmp(code + 4, "\x25\x10\0\0\0", 5) != 0 || code[9] != 0x8b || (code[10] & 0xc0) != 0x80 ||
        (code[10] & 7u) != reg || reg == 4)
        return 0;
    int32_t handling = text_number(code + 11);
    return handling > 0 && handling < 4096 ? handling : 0;
}

bool text_find_cancellable(const struct text *text, uint64_t syscall, struct text_site *site) {
    uint64_t error, behind = syscall + 2;
    if (behind + ROOM + BEHIND > text->end || syscall < text->offset + TEXT_REACH)
        return false;
    unsigned length = compare_length(text, behind, &error);
    uint64_t end = length ? find_end(text, behind + length) : 0;
    *site = (struct text_site){.syscall = syscall, .plain = end ? find_plain(text, end) : 0};
    for (site->at = syscall - TEXT_REACH; site->plain && site->at + TEXT_JUMP < syscall; site->at++) {
        if (text->bytes[site->at] != 0xe8 || text_syscall_after(text, site->at + TEXT_JUMP) != syscall)
            continue;
        site->makes = text_target(text, site->at + 1);
        site->handling = handling_of(text, site->makes);
        return site->handling != 0;
    }
    return false;
}
