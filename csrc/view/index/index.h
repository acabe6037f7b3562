/* index.h - what the view knows of each name: the upper's entries and what was looked up below.
 *
 * An entry ("dentry") is a name in a merged directory.  Entries of the upper layer stay as long as the
 * view; the others are a cache and may be dropped at any time by index_shrink().
 * Offsets are units of the arena; entry 0 does not exist.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_INDEX_H
#define PTOVERLAY_INDEX_H

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arena.h"

/* What a layer has under a name: DT_* of readdir(3), or one of these. */
#define KIND_NONE 0u          /* nothing (DT_UNKNOWN's value is free for it) */
#define KIND_WHITEOUT 14u     /* DT_WHT */
#define KIND_UNKNOWN 255u     /* not looked up yet */

#define D_LOADED 1u           /* the upper directory's names are all in the index */
#define D_CHECKED 2u          /* the upper object's private attributes have been read */
#define D_OPAQUE 4u           /* nothing of the lower shows through */
#define D_ALONE 8u            /* somebody who answers for the view was told of the directory */
#define D_PASSED 16u          /* a walk ended here, and nothing was there */
#define D_REDIRECT 32u        /* the upper directory has a redirect */
#define D_LINKED 64u          /* lower file with more than one link */
#define D_METACOPY 128u       /* the upper file has no data of its own */
#define D_TARGET 256u         /* symlink: `stack` is its target */
#define D_SAME_SEARCH 512u    /* merged: upper and lower directory may be searched by the same callers */
#define D_SEARCH_KNOWN 1024u  /* D_SAME_SEARCH and D_SEARCH_ALL have been found out */
#define D_SEARCH_ALL 2048u    /* every caller may search it */
#define D_NO_DEFAULT_ACL 4096u /* the upper directory has no default ACL */
#define D_COPY 8192u /* the upper has no such name: the object is in the work directory, a copy for all links */
#define D_EXECUTED 16384u /* a program that was executed in this run */
#define D_OPENED 32768u /* the file has been opened for reading where the lower has it (opened.c) */

struct dentry {
    uint32_t hash_next;
    uint32_t parent;
    uint32_t child; /* first of the known names below */
    uint32_t sibling;
    uint32_t previous; /* sibling before it, 0: the first */
    uint32_t stack; /* directory: struct lower_stack; symlink with D_TARGET: struct text; 0: none */
    uint16_t layer; /* topmost lower layer that has it, 0: none */
    uint16_t flags;
    uint8_t upper; /* kind in the upper layer */
    uint8_t lower; /* kind in the lower layers */
    uint8_t name_length;
    char name[]; /* not ended by a NUL */
};

/* The lower directories that a directory merges, topmost first.  Without one (stack 0) a directory
 * merges the single directory of `layer`, at the place that follows from its parent's. */
struct lower_dir {
    uint16_t layer;
    uint16_t unused;
    uint32_t path; /* struct text: path in the layer, 0: parent's path there and the name */
};
/* names.c: bits that say which names the directories have, all but the last one. */
#define INDEX_BLOCK 512u /* bytes: what the arena takes back */
struct known_names {
    uint32_t asked; /* look-ups, until there are bits */
    uint32_t blocks; /* uint32_t[count], each the offset of a block of bits; 0: not read */
    uint32_t count;
};
struct lower_stack {
    uint32_t count;
    struct known_names names;
    struct lower_dir dirs[];
};
struct text {
    uint32_t length;
    char bytes[]; /* ended by a NUL */
};

struct index {
    struct arena arena;
    uint32_t buckets; /* offset of the table */
    uint32_t n_buckets; /* a power of two */
    uint32_t count;
    uint32_t cached; /* entries that could be dropped */
    uint64_t generation; /* odd while the one writer changes something */
    bool forgot_opened; /* an entry with D_OPENED was dropped by index_shrink() */
};

/* 0 or -errno. */
int index_open(struct index *index);
void index_close(struct index *index);
static inline struct dentry *index_at(const struct index *index, uint32_t d) {
    return arena_at(&index->arena, d);
}
/* A root entry, in no directory. 0: out of memory. */
uint32_t index_root(struct index *index);
/* 0: not known. */
uint32_t index_find(const struct index *index, uint32_t parent, const char *name, size_t length);
/* A copy of the entry's name, ended by a NUL. */
void index_name(const struct index *index, uint32_t d, char out[NAME_MAX + 1]);
/* Makes an entry (upper KIND_NONE, lower KIND_UNKNOWN). 0: out of memory. */
uint32_t index_add(struct index *index, uint32_t parent, const char *name, size_t length);
/* Frees the entry and all below it. */
void index_drop(struct index *index, uint32_t d);
/* The same for a root. */
void index_drop_root(struct index *index, uint32_t root);
/* Drops all that is below it. */
void index_drop_children(struct index *index, uint32_t d);
/* Gives the entry another place; whatever was there must have been dropped. 0 or -ENOMEM. Returns the
 * entry's new offset in *moved (a longer name needs a larger block). */
int index_move(struct index *index, uint32_t d, uint32_t parent, const char *name, size_t length, uint32_t *moved);
/* Drops entries that only cache what the lower has, once there are more than `limit` of them. */
void index_shrink(struct index *index, uint32_t root, uint32_t limit);

uint32_t index_text(struct index *index, const char *bytes, size_t length);
void index_free_text(struct index *index, uint32_t text);
static inline const struct text *index_text_at(const struct index *index, uint32_t text) {
    return arena_at(&index->arena, text);
}
/* Replaces the stack of a directory: count lower_dirs (whose paths it then owns). 0 or -ENOMEM. */
int index_set_stack(struct index *index, uint32_t d, const struct lower_dir *dirs, uint32_t count);
void index_free_stack(struct index *index, struct dentry *dentry);
/* Room for bits, all unset, in the place of those that are there. 0 or -ENOMEM: there is none. */
int index_set_names(struct index *index, struct known_names *names, uint32_t count);
void index_free_names(struct index *index, struct known_names *names);

/* shown.c - what an object of the upper shows and does not have. */
/* Attributes that the upper's file shows but does not have (identity, owner), by its inode number. */
struct shown {
    uint64_t upper_ino;     /* 0: free slot */
    uint64_t ino;           /* identity from before the copy-up, when `identity` */
    dev_t dev;
    uid_t uid;              /* owner and mode that could not be set, when `owner` */
    gid_t gid;
    mode_t mode;
    dev_t rdev;
    bool identity, owner;
    bool foreign;           /* said by somebody else: counts for a directory that the lower has so */
};
struct shown_table {
    struct shown *slots;
    size_t size, count;     /* size: a power of two */
};
/* NULL: all that it shows is its own. */
const struct shown *shown_find(const struct shown_table *table, uint64_t upper_ino);
/* 0 or -ENOMEM. */
int shown_set(struct shown_table *table, const struct shown *shown);
void shown_drop(struct shown_table *table, uint64_t upper_ino);

/* stream.c - the entries of a real directory. */
/* A stream of its own over the directory: 0 or -errno. */
int stream_open(int dir, DIR **stream);
/* *entry is NULL at the end.  0 or -errno. */
int stream_read(DIR *stream, const struct dirent **entry);
void stream_close(DIR **stream);
#define STREAM __attribute__((cleanup(stream_close))) DIR

#endif
