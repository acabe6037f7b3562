/* table.c - what stubs in tracees may answer: the memory that they read, and that the supervisor writes.
 *
 * Rules: an entry is whole before its hash is there.  Entries that do not count any more stay until half of the room is
 * used; then all is cleared under a new generation, so that a stub that was reading sees that what it has found does
 * not count.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stub.h"
#include "table.h"

#define POOL_BEGIN 8u
#define TEXT_ROUND 8u
#define TEXT_MOST 1024u         /* longer ones are rare */

#ifndef MFD_EXEC
#define MFD_EXEC 0x10u          /* Linux 6.3 */
#endif

/* A descriptor of memory of this size, or -errno. */
static int make_memory(const char *name, size_t size, unsigned flags) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) == 0)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

static void *map(int fd, size_t size, off_t offset) {
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    return memory == MAP_FAILED ? NULL : memory;
}

/* The same memory, to be read only. */
static int open_again(int fd) {
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDONLY | O_CLOEXEC);
    return again < 0 ? -errno : again;
}

static int open_image(struct table *table) {
    int fd = make_memory("ptoverlay", STUB_CODE_SIZE + STUB_TABLE_SIZE, MFD_EXEC);
    if (fd < 0)
        return fd;
    int error = 0;
    if (pwrite(fd, stub_image, stub_image_size, 0) != (ssize_t)stub_image_size)
        error = -EIO;
    table->shared = error ? NULL : map(fd, STUB_TABLE_SIZE, (off_t)STUB_CODE_SIZE);
    if (!table->shared || fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        error = error ? error : -errno;
    if (!error)
        table->image = error = open_again(fd);
    close(fd);
    return error < 0 ? error : 0;
}

static int open_notes(struct table *table) {
    table->notes_image = make_memory("ptoverlay-notes", STUB_NOTES_SIZE, 0);
    if (table->notes_image < 0)
        return table->notes_image;
    if (fcntl(table->notes_image, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return -errno;
    table->notes = map(table->notes_image, STUB_NOTES_SIZE, 0);
    return table->notes ? 0 : -errno;
}

int table_open(struct table *table, uint64_t options) {
    *table = (struct table){.image = -1, .notes_image = -1};
    int error = stub_image_size && stub_image_size <= STUB_CODE_SIZE ? open_image(table) : -ENOSYS;
    if (!error)
        error = open_notes(table);
    if (error) {
        table_close(table);
        return error;
    }
    table->shared->generation = table->shared->inodes = 1;
    table->shared->pool_used = POOL_BEGIN;
    table->shared->options = options;
    return 0;
}

void table_set_twice(struct table *table, const dev_t *devs, size_t count) {
    struct stub_table *shared = table->shared;
    for (size_t i = 0; i < count && i < STUB_TWICE; i++)
        shared->twice[i] = devs[i];
    shared->n_twice = count;
}

void table_close(struct table *table) {
    if (table->shared)
        munmap(table->shared, STUB_TABLE_SIZE);
    if (table->notes)
        munmap(table->notes, STUB_NOTES_SIZE);
    if (table->image >= 0)
        close(table->image);
    if (table->notes_image >= 0)
        close(table->notes_image);
    *table = (struct table){.image = -1, .notes_image = -1};
}

/* ---- writing ---- */

void table_touch(struct table *table, uint32_t directory, const char *name, size_t length) {
    uint64_t hash = table_need(directory, name, length);
    for (unsigned i = 0; i < 2; i++) {
        uint32_t bit = stub_touched_bit(hash, i);
        (void)__atomic_fetch_or(&table->shared->touched[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_SEQ_CST);
    }
}

void table_forget(struct table *table) {
    (void)__atomic_add_fetch(&table->shared->generation, 1, __ATOMIC_SEQ_CST);
}

void table_forget_inodes(struct table *table) {
    (void)__atomic_add_fetch(&table->shared->inodes, 1, __ATOMIC_SEQ_CST);
}

void table_set_option(struct table *table, uint64_t option) {
    (void)__atomic_fetch_or(&table->shared->options, option, __ATOMIC_SEQ_CST);
}

uint64_t table_need(uint32_t directory, const char *name, size_t length) {
    return stub_hash(directory, name, (uint32_t)length);
}

/* ---- entries ---- */

static bool is_entry(const struct stub_table *shared, const struct stub_entry *entry, uint64_t hash, uint32_t base,
                     const char *text, size_t length) {
    return entry->hash == hash && entry->base == base && entry->length == length &&
           entry->generation == __atomic_load_n(&shared->generation, __ATOMIC_SEQ_CST) &&
           memcmp(shared->pool + entry->text, text, length) == 0;
}

static struct stub_entry *find(const struct table *table, uint32_t base, const char *text, size_t length) {
    struct stub_table *shared = table->shared;
    uint64_t hash = stub_hash(base, text, (uint32_t)length);
    uint32_t at = (uint32_t)hash % STUB_ENTRIES;
    for (uint32_t i = 0; i < STUB_ENTRIES && __atomic_load_n(&shared->entries[at].hash, __ATOMIC_ACQUIRE); i++) {
        if (is_entry(shared, &shared->entries[at], hash, base, text, length))
            return &shared->entries[at];
        at = (at + 1) % STUB_ENTRIES;
    }
    return NULL;
}

/* What was in its place is asked again. */
void table_teach(struct table *table, uint64_t dev, uint64_t ino) {
    struct stub_table *shared = table->shared;
    if (stub_is_twice(shared, dev))
        return;
    uint64_t mark = stub_mark(dev, ino, __atomic_load_n(&shared->inodes, __ATOMIC_SEQ_CST));
    uint64_t *at = &shared->taught[mark % STUB_TAUGHT];
    table->learnt += *at != mark;
    __atomic_store_n(at, mark, __ATOMIC_RELAXED);
}

static void make_room(struct stub_table *shared, size_t length) {
    if (shared->n_entries < STUB_ENTRIES / 2 && shared->pool_used + length + STUB_PATH < STUB_POOL)
        return;
    (void)__atomic_add_fetch(&shared->generation, 1, __ATOMIC_SEQ_CST);
    memset(shared->entries, 0, sizeof shared->entries);
    shared->n_entries = 0;
    shared->pool_used = POOL_BEGIN;
}

static uint32_t put_text(struct stub_table *shared, const char *text, size_t length) {
    uint32_t at = (uint32_t)shared->pool_used;
    memcpy(shared->pool + at, text, length);
    shared->pool_used += (length + TEXT_ROUND - 1) & ~(size_t)(TEXT_ROUND - 1);
    return at;
}

static void insert(struct table *table, const struct stub_entry *of, const char *text, const char *real) {
    struct stub_table *shared = table->shared;
    size_t length = of->length, real_length = real ? strlen(real) : 0;
    if (length > TEXT_MOST || real_length > TEXT_MOST || table_find(table, of->base, text, length))
        return;
    make_room(shared, length + TEXT_ROUND + real_length);
    uint64_t hash = stub_hash(of->base, text, of->length);
    uint32_t at = (uint32_t)hash % STUB_ENTRIES;
    while (shared->entries[at].hash)
        at = (at + 1) % STUB_ENTRIES;
    struct stub_entry *entry = &shared->entries[at];
    entry->need = of->need;
    entry->generation = shared->generation;
    entry->base = of->base;
    entry->directory = of->directory;
    entry->text = put_text(shared, text, length);
    entry->length = of->length;
    entry->real = real ? put_text(shared, real, real_length) : 0;
    entry->real_length = (uint32_t)real_length;
    __atomic_store_n(&entry->hash, hash, __ATOMIC_RELEASE);
    shared->n_entries++;
    table->learnt++;
}

void table_insert(struct table *table, uint32_t base, const char *text, size_t length, uint32_t directory,
                  uint64_t need) {
    insert(table, &(struct stub_entry){.base = base, .length = (uint32_t)length, .directory = directory, .need = need},
           text, NULL);
}

void table_insert_own(struct table *table, uint32_t base, const char *text, size_t length, uint32_t directory,
                      const char *real) {
    insert(table, &(struct stub_entry){.base = base, .length = (uint32_t)length, .directory = directory}, text, real);
}

void table_insert_merged(struct table *table, uint32_t base, const char *text, size_t length, uint32_t directory,
                         const char *real) {
    struct stub_table *shared = table->shared;
    size_t real_length = strlen(real);
    if (length > TEXT_MOST || real_length > TEXT_MOST)
        return;
    make_room(shared, length + TEXT_ROUND + real_length);
    struct stub_entry *entry = find(table, base, text, length);
    if (!entry)
        return table_insert_own(table, base, text, length, directory, real);
    if (entry->real || entry->directory != directory)
        return;
    entry->real_length = (uint32_t)real_length;
    __atomic_store_n(&entry->real, put_text(shared, real, real_length), __ATOMIC_RELEASE);
    table->learnt++;
}

void table_insert_inode(struct table *table, uint64_t dev, uint64_t ino, uint32_t directory, bool lists) {
    const struct stub_inode inode = {dev, ino};
    insert(table,
           &(struct stub_entry){
               .base = STUB_BY_INODE, .length = sizeof inode, .directory = directory, .need = lists ? 1 : 0},
           (const char *)&inode, NULL);
}

void table_insert_part(struct table *table, uint64_t dev, uint64_t ino, uint32_t directory, const char *real) {
    const struct stub_inode inode = {dev, ino};
    if (stub_is_twice(table->shared, dev))
        return;
    table_insert_own(table, STUB_BY_INODE, (const char *)&inode, sizeof inode, directory, real);
}

/* When half of the room is used all are asked anew. */
void table_note(struct table *table, uint64_t question) {
    struct stub_table *shared = table->shared;
    uint32_t at = (uint32_t)question % STUB_NOTED;
    while (shared->noted[at] && shared->noted[at] != question)
        at = (at + 1) % STUB_NOTED;
    if (shared->noted[at])
        return;
    if (++table->questions > STUB_NOTED / 2) {
        memset(shared->noted, 0, sizeof shared->noted);
        table->questions = 0;
        return;
    }
    __atomic_store_n(&shared->noted[at], question, __ATOMIC_RELEASE);
    table->learnt++;
}

/* ---- reading ---- */

const struct stub_entry *table_find(const struct table *table, uint32_t base, const char *text, size_t length) {
    return find(table, base, text, length);
}

const struct stub_entry *table_find_inode(const struct table *table, uint64_t dev, uint64_t ino) {
    const struct stub_inode inode = {dev, ino};
    return find(table, STUB_BY_INODE, (const char *)&inode, sizeof inode);
}

bool table_opened(const struct table *table, uint64_t dev, uint64_t ino) {
    uint32_t bit = stub_opened_bit(dev, ino);
    return __atomic_load_n(&table->notes->opened[bit / 64], __ATOMIC_SEQ_CST) >> bit % 64 & 1;
}

uint64_t table_answered(const struct table *table, int nr) {
    return nr >= 0 && nr < (int)STUB_CALLS ? __atomic_load_n(&table->notes->answered[nr], __ATOMIC_RELAXED) : 0;
}
