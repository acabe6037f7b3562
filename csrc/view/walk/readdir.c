/* readdir.c - merged directories: their names, in an order and with positions that outlast changes.
 *
 * Rules: entries are sorted by a hash of their name and an entry's position is that hash, so a position says where to
 * go on whatever was made or removed meanwhile, and whoever holds it (telldir(3), a dup, a child); a list is only a
 * cache.  Positions lie between 2^43 and 2^44, where no file system gives out one itself, or, where one does not let a
 * directory be positioned there, between 2^30 and 2^31, so that they hold fewer bits of the hash.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../layers/layers.h"
#include "../upper/upper.h"
#include "walk.h"

#define HASH_BITS 42
#define NEAR_BITS 29
#define FIRST_HASH 2ull            /* 0 and 1 are "." and ".." */
#define LISTS_MAX 16u

struct name {
    uint64_t hash;
    uint64_t ino;
    uint32_t at;                   /* in the text of the list */
    uint8_t length;
    uint8_t type;                  /* DT_* */
};

struct dir_list {
    struct dir_list *next;
    const pto_view *view;          /* whose places lie in it */
    struct overlay *ovl;
    uint32_t d;
    uint64_t generation;           /* of the view: entries may have moved since */
    uint64_t base;                 /* of its positions: VIEW_POSITIONS… */
    uint32_t count, room;
    struct name *names;
    char *text;
    size_t text_size, text_room;
    uint32_t *seen;                /* while several lowers are merged: open addressing, entry + 1 */
    uint32_t seen_size;
    bool hides;                    /* a place lies directly in it */
};

/* ---- the cache ---- */

static void list_free(struct dir_list *list) {
    free(list->names);
    free(list->text);
    free(list->seen);
    free(list);
}

void readdir_free(pto_view *view) {
    while (view->lists) {
        struct dir_list *list = view->lists;
        view->lists = list->next;
        list_free(list);
    }
}

/* d 0: any. */
static void drop_lists(const struct overlay *ovl, uint32_t d) {
    for (struct dir_list **at = &ovl->view->lists; *at;) {
        struct dir_list *list = *at;
        if (list->ovl != ovl || (d && list->d != d)) {
            at = &list->next;
            continue;
        }
        *at = list->next;
        list_free(list);
    }
}

void readdir_forget(const struct overlay *ovl) {
    drop_lists(ovl, 0);
}

void readdir_names_changed(const struct overlay *ovl, uint32_t d) {
    drop_lists(ovl, d);
}

void readdir_changed(struct overlay *ovl, uint32_t d) {
    drop_lists(ovl, d);
    view_changed(ovl);
}

/* The list, moved to the front; NULL when there is none that is still true. */
static struct dir_list *list_find(const pto_view *view, const struct overlay *ovl, uint32_t d, uint64_t positions) {
    pto_view *base = view->base;
    for (struct dir_list **at = &base->lists; *at; at = &(*at)->next) {
        struct dir_list *list = *at;
        if (list->view != view || list->ovl != ovl || list->d != d || list->base != positions ||
            list->generation != base->generation)
            continue;
        *at = list->next;
        list->next = base->lists;
        base->lists = list;
        return list;
    }
    return NULL;
}

static void list_keep(pto_view *view, struct dir_list *list) {
    unsigned n = 0;
    list->next = view->lists;
    view->lists = list;
    for (struct dir_list **at = &view->lists; *at; n++) {
        struct dir_list *old = *at;
        if (n < LISTS_MAX && old->generation == view->generation) {
            at = &old->next;
            continue;
        }
        *at = old->next;
        list_free(old);
    }
}

/* ---- names ---- */

/* FNV-1a, folded to HASH_BITS. */
static uint64_t name_hash(const char *name, size_t length) {
    uint64_t h = 14695981039346656037ull;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211ull;
    h ^= h >> HASH_BITS;
    h &= (1ull << HASH_BITS) - 1;
    return h < FIRST_HASH ? FIRST_HASH : h;
}

static int reserve(void *block, size_t size, size_t wanted, uint32_t *room, size_t first) {
    if (wanted <= *room)
        return 0;
    size_t larger = *room ? (size_t)*room * 2 : first;
    while (larger < wanted)
        larger *= 2;
    if (larger > UINT32_MAX)
        return -ENOMEM;
    void *moved = realloc(*(void **)block, larger * size);
    if (!moved)
        return -ENOMEM;
    *(void **)block = moved;
    *room = (uint32_t)larger;
    return 0;
}

static int list_add(struct dir_list *list, const char *name, size_t length, uint64_t ino, uint8_t type, uint64_t hash) {
    uint32_t text_room = (uint32_t)list->text_room;
    int error = reserve(&list->names, sizeof *list->names, list->count + 1u, &list->room, 64);
    if (!error)
        error = reserve(&list->text, 1, list->text_size + length, &text_room, 1024);
    if (error)
        return error;
    list->text_room = text_room;
    memcpy(list->text + list->text_size, name, length);
    list->names[list->count++] = (struct name){hash, ino, (uint32_t)list->text_size, (uint8_t)length, type};
    list->text_size += length;
    return 0;
}

/* Whether an earlier layer had the name; otherwise notes it. -ENOMEM. */
static uint32_t *seen_slot(const struct dir_list *list, const char *name, size_t length) {
    uint32_t mask = list->seen_size - 1;
    for (uint32_t at = (uint32_t)name_hash(name, length) & mask;; at = (at + 1) & mask) {
        uint32_t entry = list->seen[at];
        if (!entry)
            return &list->seen[at];
        const struct name *known = &list->names[entry - 1];
        if (known->length == length && memcmp(list->text + known->at, name, length) == 0)
            return &list->seen[at];
    }
}

static int seen_grow(struct dir_list *list) {
    if (list->seen && (list->count + 1) * 2 <= list->seen_size)
        return 0;
    uint32_t size = list->seen_size ? list->seen_size * 2 : 256;
    while (size < (list->count + 1) * 2)
        size *= 2;
    uint32_t *seen = calloc(size, sizeof *seen);
    if (!seen)
        return -ENOMEM;
    free(list->seen);
    list->seen = seen;
    list->seen_size = size;
    for (uint32_t i = 0; i < list->count; i++)
        *seen_slot(list, list->text + list->names[i].at, list->names[i].length) = i + 1;
    return 0;
}

/* ---- reading the layers ---- */

static bool is_dot_entry(const char *name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

typedef int entry_fn(void *arg, int fd, const struct dirent64 *entry);

/* Calls fn for every entry of an open directory until it returns something else than 0. */
static int for_each_entry(int fd, entry_fn *fn, void *arg) {
    _Alignas(8) char buffer[32768];
    for (;;) {
        long got = syscall(SYS_getdents64, fd, buffer, sizeof buffer);
        if (got <= 0)
            return got < 0 ? -errno : 0;
        for (long at = 0; at < got;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);
            at += entry->d_reclen;
            int error = is_dot_entry(entry->d_name) ? 0 : fn(arg, fd, entry);
            if (error)
                return error;
        }
    }
}

static bool is_hidden(const struct dir_list *list, const char *name) {
    char path[VIEW_PATH_MAX];
    int length = path_in_view(list->ovl, list->d, path);
    if (length == 1)
        length = 0;
    size_t name_length = strlen(name);
    if (length < 0 || (size_t)length + 1 + name_length >= sizeof path)
        return false;
    path[length] = '/';
    memcpy(path + length + 1, name, name_length + 1);
    const struct place *place = place_at(list->view, path, (size_t)length + 1 + name_length);
    return place && place->kind == PTO_HIDDEN;
}

struct reading {
    struct dir_list *list;
    unsigned layer;
    bool several;                  /* lowers: an earlier one may have had the name */
    uint32_t group;                /* names from here on are of the same group of lowers: layer.group_end */
    bool dots;                     /* this time for the whiteouts that stand beside their names */
    bool marked;                   /* marks_has_marked() */
    bool foreign;                  /* inode numbers of this layer show otherwise than they are */
};

/* The number that stat shows: asked where it is not the directory entry's own. */
static int shown_ino(struct overlay *ovl, uint32_t child, uint64_t *ino) {
    struct statx stx;
    int error = inode_getattr(ovl, child, &stx);
    if (!error)
        *ino = stx.stx_ino;
    return error == -ENOENT ? 0 : error;
}

static int add_from_upper(void *arg, int fd, const struct dirent64 *entry) {
    struct reading *reading = arg;
    struct dir_list *list = reading->list;
    struct overlay *ovl = list->ovl;
    (void)fd;
    size_t length = strlen(entry->d_name);
    uint32_t child = index_find(&ovl->view->index, list->d, entry->d_name, length);
    if (!child || !upper_exists(at(ovl, child)) || (list->hides && is_hidden(list, entry->d_name)))
        return 0;
    uint64_t ino = entry->d_ino;
    int error = lookup_check_upper(ovl, child);
    bool asked = reading->foreign || is_merged(at(ovl, child)) || shown_find(&ovl->shown, ino);
    if (!error && asked)
        error = shown_ino(ovl, child, &ino);
    if (error)
        return error;
    return list_add(list, entry->d_name, length, ino, at(ovl, child)->upper, name_hash(entry->d_name, length));
}

/* A kind, or -errno. */
static int lower_type(const struct reading *reading, int fd, const struct dirent64 *entry) {
    struct stat st;
    const struct layer *layer = &reading->list->ovl->layers[reading->layer];
    int whiteout = reading->marked ? marks_is_marked(layer, fd, entry->d_name) : 0;
    if (whiteout)
        return whiteout < 0 ? whiteout : (int)KIND_WHITEOUT;
    if (entry->d_type != DT_CHR && entry->d_type != DT_UNKNOWN)
        return entry->d_type;
    if (fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == EACCES ? entry->d_type : -errno;
    return marks_is_whiteout(&st) ? (int)KIND_WHITEOUT : (int)IFTODT(st.st_mode);
}

/* Whiteouts that stand beside their names are notes for the layers below. */
static int add_dotted(const struct reading *reading, const char *name) {
    struct dir_list *list = reading->list;
    if (!reading->several || marks_is_dot(name))
        return 0;
    int error = seen_grow(list);
    uint32_t *slot = error ? NULL : seen_slot(list, name, strlen(name));
    if (error || *slot)
        return error;
    error = list_add(list, name, strlen(name), 0, KIND_WHITEOUT, name_hash(name, strlen(name)));
    if (!error)
        *slot = list->count;
    return error;
}

static int add_from_lower(void *arg, int fd, const struct dirent64 *entry) {
    struct reading *reading = arg;
    struct dir_list *list = reading->list;
    struct overlay *ovl = list->ovl;
    size_t length = strlen(entry->d_name);
    bool dotted = ovl->layers[reading->layer].dot_form && marks_is_dot(entry->d_name);
    if (dotted != reading->dots)
        return 0;
    if (dotted)
        return add_dotted(reading, entry->d_name + DOT_LENGTH);
    uint32_t child = index_find(&ovl->view->index, list->d, entry->d_name, length);
    if (child && at(ovl, child)->upper != KIND_NONE)
        return 0;
    if (list->hides && is_hidden(list, entry->d_name))
        return 0;
    uint32_t *slot = NULL;
    if (reading->several) {
        int error = seen_grow(list);
        if (error)
            return error;
        slot = seen_slot(list, entry->d_name, length);
        if (*slot && (list->names[*slot - 1].type != KIND_WHITEOUT || *slot - 1 >= reading->group))
            return 0;
    }
    uint64_t ino = entry->d_ino;
    if (reading->foreign) {
        uint32_t found;
        int error = entry_lookup(ovl, list->d, entry->d_name, length, &found);
        if (!error && shown_kind(at(ovl, found)) != KIND_NONE)
            error = shown_ino(ovl, found, &ino);
        if (error && error != -EACCES)
            return error;
    }
    int type = lower_type(reading, fd, entry);
    if (type < 0)
        return type;
    int error = list_add(list, entry->d_name, length, ino, (uint8_t)type, name_hash(entry->d_name, length));
    if (!error && slot)
        *slot = list->count;
    return error;
}

static int read_layer(struct reading *reading, const char *path, entry_fn *fn) {
    const struct layer *layer = &reading->list->ovl->layers[reading->layer];
    QUIET quiet;
    CLOSE_FD fd = quiet_open(reading->list->ovl, layer->fd, path, &quiet);
    if (fd < 0)
        return reading->layer && faked_closed(reading->list->ovl, fd) ? 0 : fd;
    int marked = reading->layer ? marks_has_marked(layer, fd) : 0;
    if (marked < 0)
        return marked;
    reading->marked = marked;
    return for_each_entry(fd, fn, reading);
}

static int read_upper(struct dir_list *list) {
    struct overlay *ovl = list->ovl;
    struct reading reading = {.list = list, .foreign = ovl->layers[0].dev != ovl->dev || ovl->n_submounts};
    char path[VIEW_PATH_MAX];
    int error = lookup_load_upper(ovl, list->d);
    if (!error)
        error = path_in_upper(ovl, list->d, path);
    return error < 0 ? error : read_layer(&reading, path, add_from_upper);
}

static int read_lowers(struct dir_list *list) {
    struct overlay *ovl = list->ovl;
    struct lower_dir dirs[LOWERS_MAX];
    char path[VIEW_PATH_MAX];
    if (at(ovl, list->d)->flags & D_OPAQUE)
        return 0;
    uint32_t count = lower_dirs(ovl, list->d, dirs), group = 0;
    for (uint32_t i = 0; i < count; i++) {
        unsigned layer = dirs[i].layer;
        if (i && ovl->layers[dirs[i - 1].layer].group_end != ovl->layers[layer].group_end &&
            ovl->layers[dirs[i - 1].layer].group_end)
            group = list->count;
        struct reading reading = {.list = list, .layer = layer, .several = count > 1, .group = group};
        reading.foreign = layer != ovl->own && ovl->layers[layer].dev != ovl->dev;
        int error = lower_path(ovl, list->d, &dirs[i], path);
        if (error >= 0)
            error = read_layer(&reading, path, add_from_lower);
        reading.dots = true;   /* after the objects, which count more */
        if (error >= 0 && ovl->layers[layer].dot_form)
            error = read_layer(&reading, path, add_from_lower);
        if (error < 0 && error != -ENOENT)
            return error;
    }
    return 0;
}

/* ---- one list ---- */

static int by_hash(const void *a, const void *b) {
    const struct name *one = a, *other = b;
    if (one->hash != other->hash)
        return one->hash < other->hash ? -1 : 1;
    return one->at < other->at ? -1 : one->at > other->at;
}

static int add_dots(struct dir_list *list) {
    struct overlay *ovl = list->ovl;
    uint32_t parent = list->d == ovl->root ? list->d : at(ovl, list->d)->parent;
    uint64_t ino = 0, up = 0;
    int error = shown_ino(ovl, list->d, &ino);
    if (!error)
        error = shown_ino(ovl, parent, &up);
    if (!error)
        error = list_add(list, ".", 1, ino, DT_DIR, 0);
    return error ? error : list_add(list, "..", 2, up, DT_DIR, 1);
}

static void drop_whiteouts(struct dir_list *list) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->names[i].type != KIND_WHITEOUT)
            list->names[left++] = list->names[i];
    list->count = left;
}

/* Fewer bits, to which all of it contributes. */
static uint64_t near_hash(uint64_t hash) {
    uint64_t mixed = (hash * 0x9e3779b97f4a7c15ull) >> (64 - NEAR_BITS);
    return hash < FIRST_HASH ? hash : mixed < FIRST_HASH ? FIRST_HASH : mixed;
}

/* Sorts, and gives names of one hash positions of their own. */
static void order(struct dir_list *list) {
    for (uint32_t i = 0; i < list->count && list->base == VIEW_POSITIONS_NEAR; i++)
        list->names[i].hash = near_hash(list->names[i].hash);
    qsort(list->names, list->count, sizeof *list->names, by_hash);
    for (uint32_t i = 1; i < list->count; i++)
        if (list->names[i].hash <= list->names[i - 1].hash)
            list->names[i].hash = list->names[i - 1].hash + 1;
}

static int list_read(struct dir_list *list) {
    char path[VIEW_PATH_MAX];
    int length = path_in_view(list->ovl, list->d, path);
    if (length < 0)
        return length;
    list->hides = place_in_dir(list->view, path, length == 1 ? 0 : (size_t)length);
    int error = add_dots(list);
    if (!error && is_dir_kind(at(list->ovl, list->d)->upper))
        error = read_upper(list);
    if (!error)
        error = read_lowers(list);
    if (error)
        return error;
    drop_whiteouts(list);
    order(list);
    free(list->seen);
    list->seen = NULL;
    return 0;
}

static int list_get(const pto_view *view, struct overlay *ovl, uint32_t d, uint64_t base, struct dir_list **out) {
    *out = list_find(view, ovl, d, base);
    if (*out)
        return 0;
    struct dir_list *list = calloc(1, sizeof *list);
    if (!list)
        return -ENOMEM;
    list->view = view;
    list->ovl = ovl;
    list->d = d;
    list->base = base;
    list->generation = ovl->view->generation;
    int error = list_read(list);
    if (error) {
        list_free(list);
        return error;
    }
    list_keep(ovl->view, list);
    *out = list;
    return 0;
}

/* ---- what others ask ---- */

static size_t record_size(const struct name *name, bool wide) {
    size_t fixed = wide ? offsetof(struct dirent64, d_name) + 1 : offsetof(struct dirent64, d_type) + 2;
    return (fixed + name->length + 7) & ~(size_t)7;
}

/* struct linux_dirent has the type in its last byte. */
static void put_record(char *at, const struct dir_list *list, const struct name *name, size_t size, bool wide) {
    struct dirent64 *record = (struct dirent64 *)at;
    char *text = wide ? record->d_name : (char *)&record->d_type;
    memset(at, 0, size);
    record->d_ino = name->ino;
    record->d_off = (int64_t)(list->base + name->hash + 1);
    record->d_reclen = (unsigned short)size;
    memcpy(text, list->text + name->at, name->length);
    if (wide)
        record->d_type = name->type;
    else
        at[size - 1] = (char)name->type;
}

/* The first name at or after a hash. */
static uint32_t seek(const struct dir_list *list, uint64_t hash) {
    uint32_t low = 0, high = list->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (list->names[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

ssize_t view_iterate(pto_view *view, const struct location *loc, uint64_t *pos, void *buf, size_t size, bool wide) {
    struct dir_list *list;
    uint64_t at = *pos ? *pos : VIEW_POSITIONS, base = at >= VIEW_POSITIONS ? VIEW_POSITIONS : VIEW_POSITIONS_NEAR;
    if (at < base || at >= 2 * base)
        return -ESTALE;
    int error = list_get(view, loc->overlay, loc->dentry, base, &list);
    if (error)
        return error;
    uint64_t hash = at - base;
    size_t done = 0;
    for (uint32_t i = seek(list, hash); i < list->count; i++) {
        size_t record = record_size(&list->names[i], wide);
        if (done + record > size)
            return done ? (ssize_t)done : -EINVAL;
        put_record((char *)buf + done, list, &list->names[i], record, wide);
        done += record;
        *pos = base + list->names[i].hash + 1;
    }
    return (ssize_t)done;
}

/* ---- is it empty? ---- */

static int find_shown(void *arg, int fd, const struct dirent64 *entry) {
    struct reading *reading = arg;
    struct overlay *ovl = reading->list->ovl;
    uint32_t child = index_find(&ovl->view->index, reading->list->d, entry->d_name, strlen(entry->d_name));
    if (child && at(ovl, child)->upper == KIND_WHITEOUT)
        return 0;
    if (ovl->layers[reading->layer].dot_form && marks_is_dot(entry->d_name))
        return 0;
    int type = lower_type(reading, fd, entry);
    return type < 0 ? type : type == (int)KIND_WHITEOUT ? 0 : -ENOTEMPTY;
}

int readdir_is_empty(struct overlay *ovl, uint32_t d) {
    int error = lookup_load_upper(ovl, d);
    if (error)
        return error;
    if (is_dir_kind(at(ovl, d)->upper))
        for (uint32_t child = at(ovl, d)->child; child; child = at(ovl, child)->sibling)
            if (upper_exists(at(ovl, child)))
                return -ENOTEMPTY;
    struct lower_dir dirs[LOWERS_MAX];
    uint32_t count = at(ovl, d)->flags & D_OPAQUE ? 0 : lower_dirs(ovl, d, dirs);
    if (count > 1) {   /* a whiteout of one lower hides what another has: only the list knows */
        struct dir_list *list;
        error = list_get(ovl->view, ovl, d, VIEW_POSITIONS, &list);
        return error ? error : list->count > 2 ? -ENOTEMPTY : 0;
    }
    if (count == 0)
        return 0;
    char path[VIEW_PATH_MAX];
    struct dir_list list = {.ovl = ovl, .d = d};
    struct reading reading = {.list = &list, .layer = dirs[0].layer};
    error = lower_path(ovl, d, &dirs[0], path);
    return error < 0 ? error : read_layer(&reading, path, find_shown);
}
