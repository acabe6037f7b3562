/* boot.c - maps the rest of what the stub needs, once its code is there.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

#define MADV_WIPEONFORK 18
#define MAP_SHARED_HERE 0x100001    /* with MAP_FIXED_NOREPLACE */
#define MAP_PRIVATE_HERE 0x100022   /* and MAP_ANONYMOUS */

struct area {
    word address, size, protection, flags;
};

long stub_map_all(long table, long notes, long report) {
    const struct area areas[] = {
        {STUB_TABLE, STUB_TABLE_SIZE, 1, MAP_SHARED_HERE},
        {STUB_NOTES, STUB_NOTES_SIZE, 3, MAP_SHARED_HERE},
        {STUB_STATE, STUB_STATE_SIZE, 3, MAP_PRIVATE_HERE},
        {STUB_CWD, STUB_CWD_SIZE, 3, MAP_PRIVATE_HERE},
    };
    unsigned n = 0;
    for (; n < sizeof areas / sizeof *areas; n++) {
        const struct area *area = &areas[n];
        long fd = n == 0 ? table : n == 1 ? notes : -1;
        word address =
            (word)stub_map(area->address, area->size, area->protection, area->flags, fd, n == 0 ? STUB_CODE_SIZE : 0);
        if (address == area->address)
            continue;
        if (address < -PATH_ROOM)   /* an old kernel takes it for a hint */
            (void)stub_ask(__NR_munmap, address, area->size, 0, 0, 0);
        break;
    }
    long failed =
        n < sizeof areas / sizeof *areas || stub_ask(__NR_madvise, STUB_CWD, STUB_CWD_SIZE, MADV_WIPEONFORK, 0, 0) != 0;
    while (failed && n-- > 0)
        (void)stub_ask(__NR_munmap, areas[n].address, areas[n].size, 0, 0, 0);
    if (!failed) { /* written first: one fault each in place of two */
        __atomic_store_n(&STATE->report, (uint32_t)report, __ATOMIC_RELAXED);
        __atomic_store_n(&STATE->plain[0], 0, __ATOMIC_RELAXED);
    }
    (void)close_again(table);
    (void)close_again(notes);
    return failed;
}
