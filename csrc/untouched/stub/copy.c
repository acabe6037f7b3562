/* copy.c - what the kernel has said, from the stub's own memory into the program's.
 *
 * Rules: as long as the view has no error where the kernel has an answer the kernel writes where the program wants it;
 * from then on nothing is written that is not shown.  A bad address is the kernel's to tell: it is asked to write there
 * first, where the stub's own stack does not say that the page can be written to.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

#define SIG_BLOCK 0
#define SIG_NO_SUCH 99
#define SIGSET_SIZE 8u

static inline word page_of(word address) {
    return address / STUB_PAGE;
}

int is_on_page(word at, word size) {
    word page = page_of((word)__builtin_frame_address(0));
    return page_of(at) == page && page_of(at + size - 1) == page;
}

/* The signal mask is what it can write with one argument and without an effect; at 0 it writes nothing. */
static int can_write(word address) {
    return address && stub_ask(__NR_rt_sigprocmask, SIG_BLOCK, 0, address, SIGSET_SIZE, 0) == 0;
}

void *write_to(word to, void *room) {
    return load_word(&TABLE->options) & STUB_GONE ? room : (void *)to;
}

/* size: no more than a page, no less than SIGSET_SIZE unless it is known to be writable. */
int copy_out(word to, const void *from, uint32_t size) {
    char *out = (char *)to;
    const char *bytes = from;
    word last = to + size - 1;
    if (!size || to == (word)from)
        return 1;
    if (last < to)
        return 0;
    if (page_of(to) != page_of((word)__builtin_frame_address(0)) || page_of(last) != page_of(to)) {
        if (size < SIGSET_SIZE || !can_write(to) ||
            (page_of(to + SIGSET_SIZE - 1) != page_of(last) && !can_write(last + 1 - SIGSET_SIZE)))
            return 0;
    }
    uint32_t i = 0;
    for (; i + sizeof(word) <= size; i += (uint32_t)sizeof(word))
        __builtin_memcpy(out + i, bytes + i, sizeof(word));
    for (; i < size; i++)
        ((volatile char *)out)[i] = bytes[i];
    return 1;
}

/* An operation that there is not is refused behind a look at the new mask. */
int can_read(const char *text) {
    word page = (word)text & ~(STUB_PAGE - 1), at = (word)text & ~7ul, behind = page + STUB_PAGE;
    if (!page || (page_of(page) != page_of((word)__builtin_frame_address(0)) &&
                  stub_ask(__NR_rt_sigprocmask, SIG_NO_SUCH, at, 0, SIGSET_SIZE, 0) != -EINVAL))
        return 0;
    for (at = (word)text; at & 7; at++)
        if (!*(const char *)at)
            return 1;
    for (; at < behind; at += 8)
        if (stub_has_zero(stub_word((const char *)at)))
            return 1;
    return 0;
}
