/* inodes.c - what is known of inodes: those that untouched names led to show as the kernel has them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

int is_ordinary(const struct stat *st, int shown) {
    word type = st->st_mode & S_IFMT;
    if (type == S_IFDIR)
        return 1;
    if ((type != S_IFREG && type != S_IFLNK) || (st->st_nlink > 1 && load_word(&TABLE->options) & STUB_LINKED))
        return 0;
    return type == S_IFLNK || st->st_size > 0 || shown == SHOWN_OWN || was_taught(st);
}

int was_taught(const struct stat *st) {
    word mark = stub_mark(st->st_dev, st->st_ino, load_word(&TABLE->inodes));
    return load_word(&TABLE->taught[mark % STUB_TAUGHT]) == mark;
}

/* Directories that only the upper has are no way to what is in them. */
static word mark_of(const struct stat *st, word inodes, int shown) {
    return stub_mark(st->st_dev, st->st_ino, shown == SHOWN_OWN ? ~inodes : inodes);
}

/* A number of its own, whatever the two are. */
static word way_mark(const struct stat *st, word inodes, word generation) {
    return stub_mark(st->st_dev, st->st_ino, stub_mix(stub_mix(1, generation), inodes));
}

/* Two places for a mark: who needs the first one moves what is there to the second. */
static void note_mark(word mark, word dev) {
    word at = place_in(&STATE->seen_growth, mark), there = __atomic_load_n(&STATE->seen[at], __ATOMIC_RELAXED);
    if (there == mark || stub_is_twice(TABLE, dev))
        return;
    if (there)
        __atomic_store_n(&STATE->seen[at ^ 1], there, __ATOMIC_RELAXED);
    __atomic_store_n(&STATE->seen[at], mark, __ATOMIC_RELAXED);
    grow(&STATE->seen_growth, STUB_SEEN);
}

static int has_mark(word mark) {
    word at = place_in(&STATE->seen_growth, mark);
    return __atomic_load_n(&STATE->seen[at], __ATOMIC_RELAXED) == mark ||
           __atomic_load_n(&STATE->seen[at ^ 1], __ATOMIC_RELAXED) == mark;
}

void note_seen(const struct stat *st, word inodes, int shown) {
    note_mark(mark_of(st, inodes, shown), st->st_dev);
}

int was_seen(const struct stat *st, int shown) {
    return has_mark(mark_of(st, load_word(&TABLE->inodes), shown));
}

void note_way(const struct stat *st, word inodes, word generation) {
    note_mark(way_mark(st, inodes, generation), st->st_dev);
}

int was_way(const struct stat *st, word generation) {
    return has_mark(way_mark(st, load_word(&TABLE->inodes), generation));
}

int stat_descriptor(int fd, struct stat *st) {
    static const char nothing[1];
    return stub_pass(__NR_newfstatat, (word)(long)fd, (word)nothing, (word)st, AT_EMPTY_PATH, 0) == 0;
}

/* Before the open, so that whoever copies the file up learns of it. */
void note_opened(const struct stat *st) {
    note_opened_bit(stub_opened_bit(st->st_dev, st->st_ino));
}

void note_opened_bit(uint32_t bit) {
    uint64_t *at = &NOTES->opened[bit / 64], set = 1ul << bit % 64;
    if (!(load_word(at) & set))
        (void)__atomic_fetch_or(at, set, __ATOMIC_SEQ_CST);
}
