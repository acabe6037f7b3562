/* text.c - the few instructions that are known.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "text.h"

/* Length of an instruction that only changes registers, 0: of another one. */
static unsigned move_length(const unsigned char *at) {
    unsigned prefix = text_is_prefix(at[0]);
    const unsigned char *code = at + prefix;
    bool registers = (code[1] & 0xc0) == 0xc0;
    switch (code[0]) {
    case 0x89: /* mov */
    case 0x31: /* xor */
    case 0x63: /* movsxd */
        return registers ? prefix + 2 : 0;
    case 0x8b:
        if (registers)
            return prefix + 2;
        return (code[1] & 0xc7) == 0x44 && code[2] == 0x24 ? prefix + 4 : 0; /* mov N(%rsp),%reg */
    case 0xc7:
        return (code[1] & 0xf8) == 0xc0 ? prefix + 6 : 0;
    default:
        return code[0] >= 0xb8 && code[0] <= 0xbf && !(prefix && at[0] & 8) ? prefix + 5 : 0;
    }
}

uint64_t text_syscall_after(const struct text *file, uint64_t at) {
    uint64_t end = at + TEXT_MOVES;
    while (at <= end && at + 16 < file->end) {
        if (text_is_syscall(file->bytes + at))
            return at;
        unsigned length = move_length(file->bytes + at);
        if (!length)
            return 0;
        at += length;
    }
    return 0;
}
