/* shown.c - may what the kernel has said be shown?
 *
 * Rule: asked after the call, so that no change is missed that came before it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "inside.h"

/* ---- texts ---- */

#define BYTES(byte) (0x0101010101010101ul * (byte))
#define PAST(n) (~0ul << 8 * (n)) /* of a word in memory, the bytes behind the first n, which are fewer than 8 */

/* In each byte that is a slash, and no other, the highest bit: carries do not go from byte to byte. */
static inline word has_slash(word bytes) {
    word other = bytes ^ BYTES('/');
    return ~(((other & BYTES(0x7f)) + BYTES(0x7f)) | other) & BYTES(0x80);
}

/* The length of a string that is known to be readable, and where its last name begins; no word is read of a page that
 * it does not reach. */
static uint32_t length_of(const char *text, uint32_t *name) {
    uint32_t before = (uint32_t)((word)text & 7), at = 0;
    const char *aligned = text - before;
    word unread = before ? BYTES(0xff) & ~PAST(before) : 0, slashes, zero;
    *name = 0;
    for (; at < PATH_ROOM + 8; at += 8, unread = 0) {
        word bytes = stub_word(aligned + at) | unread;
        zero = stub_has_zero(bytes);
        slashes = has_slash(bytes);
        if (zero)
            slashes &= (zero & -zero) - 1;
        if (slashes)
            *name = at + 8 - ((uint32_t)__builtin_clzl(slashes) >> 3) - before;
        if (zero)
            return at + ((uint32_t)__builtin_ctzl(zero) >> 3) - before;
    }
    return PATH_ROOM;
}

static inline int same_text(const char *a, const char *b, uint32_t length) {
    if (length < 8)
        return stub_short(a, length) == stub_short(b, length);
    for (uint32_t i = 0; i + 8 < length; i += 8)
        if (stub_word(a + i) != stub_word(b + i))
            return 0;
    return stub_word(a + length - 8) == stub_word(b + length - 8);
}

/* A path, and its last name. */
struct path {
    const char *text, *name;
    uint32_t length, name_length;
    int special;            /* the last name is none: "", ".", ".." */
};

static int take_path(struct path *path, const char *text) {
    uint32_t begin, length = length_of(text, &begin);
    *path = (struct path){.text = text, .name = text + begin, .length = length, .name_length = length - begin};
    const char *name = path->name;
    path->special = path->name_length == 0 ||
                    (name[0] == '.' && (path->name_length == 1 || (name[1] == '.' && path->name_length == 2)));
    return length > 0 && length < PATH_ROOM;
}

/* ---- the table ---- */

static const struct stub_entry *find(word base, const char *text, uint32_t length, word generation) {
    word hash = stub_hash(base, text, length);
    uint32_t at = (uint32_t)hash % STUB_ENTRIES;
    for (uint32_t i = 0; i < STUB_ENTRIES; i++, at = (at + 1) % STUB_ENTRIES) {
        const struct stub_entry *entry = &TABLE->entries[at];
        word found = load_word(&entry->hash);
        if (!found)
            return 0;
        if (found == hash && entry->generation == generation && entry->length == length && entry->base == base &&
            entry->text < STUB_POOL - STUB_PATH && same_text(TABLE->pool + entry->text, text, length))
            return entry;
    }
    return 0;
}

static inline int is_touched(word hash) {
    int touched = 1;
    for (unsigned i = 0; i < 2; i++) {
        uint32_t bit = stub_touched_bit(hash, i);
        touched &= (int)(load_word(&TABLE->touched[bit / 64]) >> bit % 64 & 1);
    }
    return touched;
}

static void copy_cwd(struct stub_cwd *out) {
    out->changes = CWD->changes;
    out->generation = CWD->generation;
    out->directory = CWD->directory;
}

void asked_begin(struct asked *asked, const struct request *request) {
    asked->request = request;
    asked->fd = request->fd;
    asked->name = 0;
    asked->text = request->text;
    asked->inodes = load_word(&TABLE->inodes);
    copy_cwd(&asked->cwd);
}

/* The directory that a relative path starts in; 0: not known. */
static word base_of_cwd(const struct asked *asked, word generation) {
    struct stub_cwd now;
    copy_cwd(&now);
    if (now.generation != generation || now.changes != asked->cwd.changes || now.generation != asked->cwd.generation ||
        load_word(&TABLE->options) & STUB_NO_RELATIVE)
        return 0;
    return now.directory;
}

const struct stub_entry *find_inode(const struct stat *st, word generation) {
    const struct stub_inode inode = {st->st_dev, st->st_ino};
    return find(STUB_BY_INODE, (const char *)&inode, sizeof inode, generation);
}

/* A name in a directory of that number, which the kernel has come to. */
static int in_directory(struct asked *asked, uint32_t directory, const struct path *path) {
    word name = stub_hash(directory, path->name, path->name_length);
    if (is_touched(name))
        return NOT_SHOWN;
    if (directory & STUB_OWN)
        return SHOWN_OWN;
    asked->name = name;
    return SHOWN_LOWER;
}

/* The kernel has been elsewhere, and is to be asked again where the entry says.  touched: the name must not be. */
static int move(const struct asked *asked, const struct stub_entry *entry, const struct path *path, word touched,
                int shown) {
    struct moved *moved = asked->request->moved;
    uint32_t real = __atomic_load_n(&entry->real, __ATOMIC_ACQUIRE);
    if (real < STUB_POOL - STUB_PATH && entry->real_length < STUB_PATH && !(touched && is_touched(touched)))
        *moved = (struct moved){.real = TABLE->pool + real,
                                .name = path->name,
                                .real_length = entry->real_length,
                                .name_length = touched ? path->name_length : 0,
                                .generation = entry->generation,
                                .touched = touched,
                                .shown = shown,
                                .merged = shown == SHOWN_OWN && !(entry->directory & STUB_OWN)};
    return NOT_SHOWN;
}

static word own_name(const struct stub_entry *entry, const struct path *path) {
    return stub_hash(entry->directory | STUB_OWN, path->name, path->name_length);
}

/* A name in a directory of which all is as the lower has it, or that only the upper has, or in the upper's part of one
 * that both have. */
static int below_descriptor(struct asked *asked, const struct path *path, word generation) {
    struct stat st;
    if (asked->fd < 0 || path->special || path->name != path->text || !stat_descriptor(asked->fd, &st) ||
        (st.st_mode & S_IFMT) != S_IFDIR)
        return NOT_SHOWN;
    if (was_seen(&st, SHOWN_LOWER))
        return SHOWN_LOWER;
    const struct stub_entry *entry = find_inode(&st, generation);
    if (!entry)
        return NOT_SHOWN;
    if (!entry->real)
        return in_directory(asked, entry->directory, path);
    return move(asked, entry, path, stub_hash(entry->directory, path->name, path->name_length), SHOWN_LOWER);
}

static int by_whole(const struct asked *asked, word base, const struct path *path, int whole, word generation) {
    const struct stub_entry *entry = find(base, path->text, path->length, generation);
    if (!entry)
        return NOT_SHOWN;
    if (!(entry->directory & STUB_OWN))
        return entry->need && !is_touched(entry->need) ? SHOWN_LOWER : NOT_SHOWN;
    if (whole)
        return NOT_SHOWN;
    return entry->real ? move(asked, entry, path, 0, SHOWN_OWN) : SHOWN_OWN;
}

/* A name that is touched in a directory that both have: the upper may have it as it shows. */
static int in_upper(const struct asked *asked, const struct stub_entry *entry, const struct path *path) {
    if (entry && !(entry->directory & STUB_OWN) && __atomic_load_n(&entry->real, __ATOMIC_ACQUIRE))
        return move(asked, entry, path, own_name(entry, path), SHOWN_OWN);
    return NOT_SHOWN;
}

static int in_table(struct asked *asked, word base, const struct path *path, int whole, word generation) {
    uint32_t above = (uint32_t)(path->name - path->text);
    if (whole || path->special)
        return by_whole(asked, base, path, whole, generation);
    if (above == 0) {
        int shown = in_directory(asked, (uint32_t)base, path);
        return shown || base & STUB_OWN ? shown : in_upper(asked, find(base, path->text, 0, generation), path);
    }
    const struct stub_entry *entry = find(base, path->text, above - 1, generation);
    if (!entry)
        return NOT_SHOWN;
    if (entry->directory & STUB_OWN && entry->real)
        return move(asked, entry, path, own_name(entry, path), SHOWN_OWN);
    if (entry->directory) {
        int shown = in_directory(asked, entry->directory, path);
        return shown ? shown : in_upper(asked, entry, path);
    }
    return entry->need && !is_touched(entry->need) ? SHOWN_LOWER : NOT_SHOWN;
}

static int by_path(struct asked *asked, const struct path *path, int whole, word generation) {
    word base = 0;
    if (path->text[0] != '/') {
        if (asked->fd != AT_FDCWD)
            return whole ? NOT_SHOWN : below_descriptor(asked, path, generation);
        base = base_of_cwd(asked, generation);
        if (!base)
            return NOT_SHOWN;
    }
    return in_table(asked, base, path, whole, generation);
}

static unsigned asks_of(const struct request *request) {
    switch (request->nr) {
    case __NR_openat:
        return (request->flags & O_NOFOLLOW ? STUB_ASKS_LINK : 0) | (request->flags & O_PATH ? 0 : STUB_ASKS_CONTENT);
    case __NR_newfstatat:
    case __NR_statx:
        return request->flags & AT_SYMLINK_NOFOLLOW ? STUB_ASKS_LINK : 0;
    case __NR_execve:
    case __NR_faccessat:
    case __NR_faccessat2:
    case __NR_getxattr:
    case __NR_listxattr:
        return 0;
    default:
        return STUB_ASKS_LINK;
    }
}

/* Has the supervisor recorded that somebody asked this? */
static int is_noted(const struct asked *asked, const struct path *path, word generation) {
    struct stat st;
    word base = 0;
    if (path->text[0] != '/' && asked->fd == AT_FDCWD)
        base = asked->cwd.directory;
    else if (path->text[0] != '/')
        base = stat_descriptor(asked->fd, &st) ? stub_base_of(st.st_dev, st.st_ino) : 0;
    if (!base && path->text[0] != '/')
        return 0;
    word question = stub_question(base, path->text, path->length, generation, asks_of(asked->request));
    uint32_t at = (uint32_t)question % STUB_NOTED;
    for (uint32_t i = 0; i < STUB_NOTED; i++, at = (at + 1) % STUB_NOTED) {
        word found = load_word(&TABLE->noted[at]);
        if (found == question || !found)
            return found == question;
    }
    return 0;
}

static int moved_shows(const struct moved *moved, int whole, word generation) {
    return !whole && moved->generation == generation && !(moved->touched && is_touched(moved->touched)) ? moved->shown
                                                                                                        : NOT_SHOWN;
}

static int by_text(struct asked *asked, int whole, word generation) {
    struct path path;
    struct moved *moved = asked->request->moved;
    int shown = take_path(&path, asked->text) ? by_path(asked, &path, whole, generation) : NOT_SHOWN;
    int lower = shown == SHOWN_LOWER || (moved->real && moved->shown == SHOWN_LOWER);
    if (!lower || !(load_word(&TABLE->options) & STUB_RECORDS) || is_noted(asked, &path, generation))
        return shown;
    moved->real = 0;
    return NOT_SHOWN;
}

int may_show(struct asked *asked, int whole) {
    word generation = load_word(&TABLE->generation);
    asked->name = 0;
    asked->generation = generation;
    int shown = asked->request->is_moved ? moved_shows(asked->request->moved, whole, generation)
                                         : by_text(asked, whole, generation);
    if (asked->name)
        asked->name = stub_mix(stub_mix(asked->name, generation), asked->inodes);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    word options = load_word(&TABLE->options);
    if (load_word(&TABLE->generation) != generation || options & STUB_OFF ||
        (shown == SHOWN_OWN && options & STUB_KEPT))
        return NOT_SHOWN;
    return shown;
}

/* One word, so that no two threads put halves of two together. */
static uint64_t *plain_of(const struct asked *asked) {
    return &STATE->plain[place_in(&STATE->plain_growth, asked->name)];
}

static word find_plain(const struct asked *asked) {
    word found = asked->name ? __atomic_load_n(plain_of(asked), __ATOMIC_RELAXED) : 0;
    return found && !((found ^ asked->name) & ~STUB_PLAIN_FILE) ? found : 0;
}

int is_plain(const struct asked *asked) {
    return find_plain(asked) != 0;
}

word plain_file(const struct asked *asked) {
    return find_plain(asked) & STUB_PLAIN_FILE;
}

void note_plain(const struct asked *asked, const struct stat *st) {
    word file =
        (st->st_mode & S_IFMT) == S_IFREG && st->st_nlink == 1 ? stub_opened_bit(st->st_dev, st->st_ino) + 1ul : 0;
    if (!asked->name)
        return;
    __atomic_store_n(plain_of(asked), (asked->name & ~STUB_PLAIN_FILE) | file, __ATOMIC_RELAXED);
    grow(&STATE->plain_growth, STUB_PLAIN);
}

static int is_single_name(const char *text) {
    if (text[0] == '.' && (!text[1] || (text[1] == '.' && !text[2])))
        return 0;
    while (*text && *text != '/')
        text++;
    return !*text;
}

int may_show_directory(struct asked *asked, const struct stat *st) {
    int by_descriptor = !asked->request->is_moved && asked->fd >= 0 && is_single_name(asked->text);
    asked->name = 0;
    asked->generation = load_word(&TABLE->generation);
    if (by_descriptor && !(load_word(&TABLE->options) & (STUB_RECORDS | STUB_OFF)) && was_way(st, asked->generation)) {
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (load_word(&TABLE->generation) == asked->generation)
            return SHOWN_LOWER;
    }
    int shown = may_show(asked, 0);
    if (by_descriptor && shown == SHOWN_LOWER)
        note_way(st, asked->inodes, asked->generation);
    return shown;
}

int may_show_current(const struct asked *asked) {
    word generation = load_word(&TABLE->generation), base = base_of_cwd(asked, generation);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return base && !(base & STUB_OWN) && !(load_word(&TABLE->options) & (STUB_RECORDS | STUB_OFF)) &&
           load_word(&TABLE->generation) == generation;
}
