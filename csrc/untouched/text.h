/* text.h - a file's text, and the places in it where calls are made, as the parts that patch them have it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_TEXT_H
#define PTOVERLAY_UNTOUCHED_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TEXT_JUMP 5u /* bytes of a jump, of a call, and of what is replaced */

#define TEXT_REACH 48u /* bytes from the call that makes a thread cancellable to the syscall, at most */
#define TEXT_MOVES 48u /* bytes from the replaced instruction to the syscall, at most */

/* A file as it is mapped here. */
struct text {
    const unsigned char *bytes;
    size_t size;
    uint64_t offset, end;   /* of the text, in the file */
    uint64_t address;       /* of the text's first byte */
};

/* Offsets in the file. */
struct text_site {
    uint64_t at, syscall;   /* what is replaced, and the call that it comes to */
    uint64_t makes;         /* a cancellation point: the function that `at` calls, 0: it is none … */
    uint64_t plain;         /* … the system call of a thread that is alone, behind which both ways go on alike … */
    int32_t handling; /* … and where the thread says whether it is to be cancelled, from %fs:16 on; 0: it is not */
};

static inline int32_t text_number(const unsigned char *at) {
    int32_t number;
    memcpy(&number, at, sizeof number);
    return number;
}

static inline bool text_is_prefix(unsigned char byte) {
    return (byte & 0xf0) == 0x40;
}

static inline bool text_is_syscall(const unsigned char *at) {
    return at[0] == 0x0f && at[1] == 0x05;
}

/* Where the jump or call leads that has its distance at this offset. */
static inline uint64_t text_target(const struct text *text, uint64_t distance) {
    return distance + sizeof(int32_t) + (uint64_t)(int64_t)text_number(text->bytes + distance);
}

/* cancel.c.  A system call at this offset that moves alone lie before, behind the call of a function that makes the
 * thread cancellable; false: it is not, or not as it should be. */
bool text_find_cancellable(const struct text *text, uint64_t syscall, struct text_site *site);

/* text.c.  From an instruction to the syscall behind it, if there are only moves between; 0: there is none. */
uint64_t text_syscall_after(const struct text *text, uint64_t at);

#endif
