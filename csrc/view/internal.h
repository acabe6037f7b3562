/* internal.h - what the files of the view share among themselves.
 *
 * Rules: a layer is reached only through its descriptor and a path relative to it; the upper is
 * changed only through upper_parent()'s descriptor of the directory, opened without following a symlink, so that
 * nothing can be written outside it; new objects are made in the work directory and put in place by rename.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_INTERNAL_H
#define PTOVERLAY_VIEW_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "index.h"
#include "view.h"

struct layer {
    int fd;                 /* the root directory, O_PATH; -1: none */
    char *root;             /* canonical host path without a slash at the end: "" for "/" */
    size_t length;
    dev_t dev;
};

/* Attributes that the upper's file shows but does not have (identity, owner), by its inode number. */
struct kept {
    uint64_t upper_ino;     /* 0: free slot */
    uint64_t ino;           /* identity from before the copy-up, when `identity` */
    dev_t dev;
    uid_t uid;              /* owner and mode that could not be set, when `owner` */
    gid_t gid;
    mode_t mode;
    dev_t rdev;
    bool identity, owner;
};
struct kept_table {
    struct kept *slots;
    size_t size, count;     /* size: a power of two */
};

struct overlay {
    pto_view *view;
    char *mount;            /* canonical view path without a slash at the end: "" for "/" */
    size_t mount_length;
    unsigned flags;         /* PTO_* */
    struct layer *layers;   /* [0]: the upper (fd -1 without one), [1…n_lowers]: lowers, topmost first */
    unsigned n_lowers;
    unsigned own;           /* the lower whose root is the mount point itself, 0: none */
    int work;               /* descriptor of <work>/work, where objects are made */
    int locks[2];           /* upper and work directory, flock(2)ed */
    char *work_root;        /* canonical path of the work directory given */
    char *work_path;        /* of <work>/work */
    const char *prefix;     /* "trusted.overlay." or "user.overlay." */
    uint64_t sequence;      /* names in the work directory */
    uint32_t root;          /* index entry of the mount point */
    struct kept_table kept;
    bool dirs_changed;      /* some directory of the upper shows other attributes than its own */
};

struct place {
    int kind;               /* PTO_DIRECT… or 0: an overlay's mount point */
    char *path;             /* canonical view path, "" for "/" */
    size_t length;
    struct overlay *overlay;
};

struct dir_list;

struct pto_view {
    pthread_mutex_t lock;
    struct index index;
    struct overlay **overlays;
    size_t n_overlays;
    struct place *places;
    size_t n_places;
    struct pto_stats stats;
    uint64_t generation;
    struct dir_list *lists; /* readdir.c */
    uint32_t next_list;
    bool privileged;        /* CAP_SYS_ADMIN: trusted.* and chown work */
    bool search_all;        /* CAP_DAC_READ_SEARCH: no directory is closed to us */
    pid_t child;            /* CMD, for pto_signal */
};

#define WORK_NAME 32        /* bytes of a name in the work directory */

static inline struct dentry *at(const struct overlay *ovl, uint32_t d) {
    return index_at(&ovl->view->index, d);
}
static inline bool has_upper(const struct overlay *ovl) {
    return ovl->layers[0].fd >= 0;
}
static inline bool upper_exists(const struct dentry *dentry) {
    return dentry->upper != KIND_NONE && dentry->upper != KIND_WHITEOUT;
}
/* Something in a lower would show if the upper had nothing here. Call lookup_lower() first. */
static inline bool lower_exists(const struct dentry *dentry) {
    return dentry->lower != KIND_NONE && dentry->lower != KIND_UNKNOWN;
}
#define is_dir_kind(k) ((k) == 4u)   /* DT_DIR */

/* super.c */
struct place *place_of(pto_view *view, const char *path, size_t length);
bool path_below(const char *path, size_t path_length, const char *top, size_t top_length);

/* paths.c - the path of an entry.  All return the length, or -ENAMETOOLONG. */
int path_in_view(const struct overlay *ovl, uint32_t d, char *out);               /* absolute, "/" for the root */
int path_in_upper(const struct overlay *ovl, uint32_t d, char *out);              /* relative to the layer, "." for the root */
int path_in_lower(const struct overlay *ovl, uint32_t d, unsigned layer, char *out);
int path_real(const struct overlay *ovl, uint32_t d, char *out);                  /* absolute host path of the topmost object */
int path_absolute(const struct layer *layer, const char *relative, char *out);

/* namei.c */
/* The entry of name in directory d, with what each layer has looked up. 0 in *out never. */
int lookup(struct overlay *ovl, uint32_t d, const char *name, size_t length, uint32_t *out);
int lookup_lower(struct overlay *ovl, uint32_t d);
/* Reads the private attributes of an upper object once. */
int check_upper(struct overlay *ovl, uint32_t d);
int load_upper(struct overlay *ovl, uint32_t d);
mode_t kind_type(uint8_t kind);
/* What the view shows: KIND_NONE, or a DT_* kind. */
uint8_t shown_kind(const struct dentry *dentry);
void fill_location(struct overlay *ovl, uint32_t parent, uint32_t d, struct location *loc);
/* The directories merged by d: count and copies into dirs (at most max). */
uint32_t lower_dirs(const struct overlay *ovl, uint32_t d, struct lower_dir *dirs, uint32_t max);
#define LOWERS_MAX 512u

/* inode.c */
struct statx;
/* lstat of the topmost object as its layer has it. */
int real_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
int lower_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
int permission(struct overlay *ovl, uint32_t d, const struct cred *cred, int mask);
int dentry_getattr(struct overlay *ovl, uint32_t d, struct statx *stx);
/* -EPERM or -EACCES when cred may not remove d from its directory (sticky(7)). */
int may_delete(struct overlay *ovl, uint32_t parent, uint32_t d, const struct cred *cred);
int may_create(struct overlay *ovl, const struct location *loc, const struct cred *cred);
bool capable(const struct cred *cred, int cap);

/* kept.c */
const struct kept *kept_find(const struct overlay *ovl, uint64_t upper_ino);
int kept_set(struct overlay *ovl, const struct kept *kept);
void kept_drop(struct overlay *ovl, uint64_t upper_ino);

/* xattrs.c: private attributes. name is without the prefix: "opaque". */
ssize_t private_get(const struct overlay *ovl, int fd, const char *name, void *value, size_t size);
ssize_t private_get_at(const struct overlay *ovl, const struct layer *layer, const char *path, const char *name, void *value,
                       size_t size);
int private_set(const struct overlay *ovl, int fd, const char *name, const void *value, size_t size);
int private_remove(const struct overlay *ovl, int fd, const char *name);
bool is_private(const struct overlay *ovl, const char *name);
int copy_xattrs(const struct overlay *ovl, int from, int to);
int kept_owner_set(struct overlay *ovl, int fd, uint64_t upper_ino, uid_t uid, gid_t gid, mode_t mode, dev_t rdev);
int kept_load(struct overlay *ovl, int fd, uint64_t upper_ino);

/* upper.c: changing the upper */
/* Descriptor of d's directory in the upper, usable for *at calls; close it. -errno. */
int upper_dir(struct overlay *ovl, uint32_t d);
/* Opens what the path names without following any symlink, below the layer. */
int open_beneath(int dirfd, const char *path, int flags);
/* O_PATH turned into what the f*xattr, fchmod, futimens calls accept: "/proc/self/fd/N". */
void fd_path(int fd, char out[32]);
void work_name(struct overlay *ovl, char out[WORK_NAME]);
int work_remove(struct overlay *ovl, const char *name);
int remove_tree(int dirfd, const char *name);
/* Puts work/name at name in dirfd; replacing a whiteout when `over`. */
int work_place(struct overlay *ovl, const char *work, int dirfd, const char *name, bool over);
int make_whiteout(struct overlay *ovl, int dirfd, const char *name);
/* A copy of the entry's name, ended by a NUL. */
void entry_name(const struct overlay *ovl, uint32_t d, char out[NAME_MAX + 1]);
/* Write permission that an ordinary user's directory lacks, lent for the time of a change. */
struct lent {
    int fd;
    mode_t mode;            /* to give back */
    bool taken;
};
void lend_write(struct overlay *ovl, int dirfd, struct lent *lent);
void give_back(struct lent *lent);
void keep_times(int dirfd, struct timespec times[2]);
void restore_times(int dirfd, const struct timespec times[2]);
static inline void close_fd(const int *fd) {
    extern int close(int);
    if (*fd >= 0)
        close(*fd);
}
#define CLOSE_FD __attribute__((cleanup(close_fd))) int

/* copy_up.c */
/* Makes the object exist in the upper, with its data, or only its first `keep` bytes (-1: all). */
int copy_up(struct overlay *ovl, uint32_t d, off_t keep);

/* readdir.c */
void lists_free(pto_view *view);
/* 0 when the directory shows nothing but "." and "..", else -ENOTEMPTY. */
int dir_is_empty(struct overlay *ovl, uint32_t d);
void dir_changed(struct overlay *ovl, uint32_t d);

/* dir.c */
int put_in_place(struct overlay *ovl, const struct location *loc, const char *work, uint8_t kind, uint32_t *made);
int locate_entry(struct overlay *ovl, const struct location *loc, uint32_t *d);

#endif
