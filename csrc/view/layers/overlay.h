/* overlay.h - a view, its overlays and their layers, as all rooms of the view know them.
 *
 * Rules: a layer is reached only through its descriptor and a path relative to it; the upper is
 * changed only through upper_dir_open()'s descriptor of the directory, opened without following a symlink, so that
 * nothing can be written outside it; new objects are made in the work directory and put in place by rename.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_LAYERS_OVERLAY_H
#define PTOVERLAY_VIEW_LAYERS_OVERLAY_H

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "../../process/lock.h"
#include "../index/index.h"
#include "../view.h"

struct layer {
    int fd;                 /* the root directory, O_PATH; -1: none */
    char *root;             /* canonical host path without a slash at the end: "" for "/" */
    size_t length;
    dev_t dev;
    bool dot_form;          /* marks.c: whiteouts are ".wh." files */
    bool marked_form;       /* marks.c: whiteouts are marked files (an upper only) */
    const char *prefix;     /* of the private attributes that are marks here */
    size_t base;            /* bytes of root before the path that redirects said here begin with: stacked.c */
    unsigned group_end;     /* what hides something here does so up to this layer only; 0: in all below */
};

/* A lower file with several names, one of which was copied up or removed. */
struct shared {
    uint64_t ino;           /* of the lower object */
    dev_t dev;
    uint64_t upper_ino;     /* 0: not copied up */
    unsigned left;          /* copied up: names that still only a lower has */
    unsigned removed;       /* not copied up: names that were removed */
    char *kernel_name;      /* the copy lies in <work>/index under this name; NULL: in <work>/links */
    struct shared *next_lower, *next_upper;
};

struct stacked;

#define WORK_NAME 32 /* bytes of a name in the work directory */

/* The directory that was changed last stays open: most changes are followed by another one there. */
struct last_dir {
    uint32_t d;             /* 0: none */
    int fd;                 /* O_PATH */
    uint64_t generation;    /* of the view: none of its directories has moved or gone since */
};

struct overlay {
    struct overlay *next_retired; /* relay.c */
    pto_view *view;         /* the base */
    char *mount;            /* canonical view path without a slash at the end: "" for "/" */
    size_t mount_length;
    unsigned flags;         /* PTO_* */
    struct layer *layers; /* [0]: the upper (fd -1 without one), [1…n_lowers]: lowers, topmost first; [WORK_LAYER] */
    unsigned n_lowers; /* those that are merged */
    unsigned n_layers; /* with the data-only ones, which only hold what metacopy files lack */
#define WORK_LAYER(ovl) ((ovl)->n_layers + 1) /* the work directory given; open while nothing may be changed */
    unsigned own; /* the lower whose root is the mount point itself, 0: none */
    struct last_dir last_dir;
    int work; /* descriptor of <work>/work, where objects are made */
    int locks[2]; /* upper and work directory, flock(2)ed */
    char *work_root; /* canonical path of the work directory given */
    char *work_path; /* of <work>/work */
    const char *prefix; /* "trusted.overlay." or "user.overlay.", with an escape for each view that this one is in */
    size_t root_prefix; /* length of it without escapes */
    struct stacked *stacked; /* stacked.c: of an overlay whose layers are in another view, else NULL */
    uint64_t sequence; /* names in the work directory */
    char aside[WORK_NAME]; /* … the one of the object that was put aside last, "": none */
    uint32_t root; /* index entry of the mount point */
    struct known_names root_names; /* of the lowers */
    struct shown_table shown;
    bool inherited; /* layers hold what an earlier run left on others, and not all of it was looked up */
    bool metacopies; /* some file has its data elsewhere */
    bool redirected; /* some directory merges lowers of another name */
    bool opened_linked; /* opened.c: a lower file of several names was opened */
    int links; /* <work>/links, -1: not there */
    int kernel_links; /* <work>/index, -1: not there or empty */
    struct shared **by_lower, **by_upper; /* links.c: chains */
    size_t chains, n_shared;
    dev_t dev; /* st_dev that the whole view shows */
    struct submount *submounts; /* mounts of the host below an own lower: they keep their st_dev */
    size_t n_submounts;
};

struct submount {
    char *path; /* canonical view path */
    size_t length;
    dev_t dev;
};

struct place {
    int kind; /* PTO_DIRECT… or 0: an overlay's mount point */
    char *path; /* canonical view path, "" for "/" */
    size_t length;
    struct overlay *overlay;
    bool inherited;         /* of the view around */
    /* PTO_DIRECT of another path of the host, which this is; of an overlay: what the place shows, by its path below the
     * overlay's own mount point; NULL: of its own */
    char *source;
    size_t source_length;
    bool mounted; /* by a mount(2): what is said of places around it does not hold in it … */
    bool read_only, fixed; /* … but this */
    unsigned order; /* … and the higher one is the newer one */
    const char *type; /* … of file system, static text; NULL: of what it shows */
    struct place *under; /* … and these lie below it and do not show any more; owned */
    size_t n_under;
};

struct dir_list;
struct copy_ahead;

/* What the uppers of a run may take (upper/quota.c).  The lock is taken inside of the view's. */
struct quota {
    struct lock lock;
    uint64_t limit; /* bytes; 0: there is none, and nothing is counted */
    int64_t used;
    char **tops; /* directories that they lie in, without a slash at the end; NULL: the last one */
    struct view_growth *growing; /* files that calls under way may make longer */
};

/* A file that was opened and has just been copied up (opened.c). */
struct copying {
    const struct overlay *ovl;
    uint32_t d; /* 0: none */
    dev_t dev; /* of the lower file */
    ino_t ino;
};

/* A view within another one (stacked.c) has overlays and places of its own; the lock, the index and all that is behind
 * `places` are the base's. */
struct pto_view {
    pto_view *base; /* itself, unless it is within another one */
    pto_view *outer; /* the view around, or NULL */
    bool mounts; /* it is a mount namespace of a program's: super/mounts.c … */
    pto_view *made_of; /* … made of this one, whose overlays may show in it; NULL: of the view around */
    unsigned last_mount; /* … order of the last place that was mounted */
    bool old_root; /* … the root that was put over the root by pivot_root(2) is still to be unmounted */
    char *mounts_dir; /* … where its file systems in memory lie, NULL: there are none */
    struct lock lock;
    struct index index;
    struct overlay **overlays;
    size_t n_overlays;
    struct place *places;
    size_t n_places;
    struct overlay *retired; /* got another in their place, and are still to be freed: relay.c */
    char *room; /* where all uppers and work directories lie that the first overlay may get, NULL: what it has */
    int writing; /* atomic: calls that are about to write what the view has told them */
    struct pto_stats stats;
    struct quota quota;
    uint64_t generation;
    uint64_t changes; /* atomic: view_changed() */
#define APPEARED 64u
    uint64_t appeared[APPEARED]; /* atomic; by directory: files came to be that a walk had not found there */
    uint32_t asked; /* entry of which the lowers were asked during the walk under way, 0: none */
    struct dir_list *lists; /* readdir.c */
    struct copy_ahead *ahead; /* copy_ahead.c */
    pthread_cond_t copied; /* one of them is ready */
    bool may_ask_again; /* who holds the lock answers -VIEW_AGAIN by walking anew */
    bool reports_copies; /* opened.c … */
    struct copying copying;
    struct copied_up *copies; /* … and what is to be reported */
    struct cred own; /* our own credentials */
    mode_t umask; /* of our process */
    bool faked; /* faked.c */
    view_busy_fn *busy; /* NULL: nothing is executed */
    void *busy_arg;
    const struct view_answers *answers; /* touch.c; NULL: nobody answers */
    struct watch *watches; /* watches.c */
    struct gone *gone; /* gone.c, the newest first */
    int protected_hardlinks, protected_symlinks, protected_regular, protected_fifos; /* fs.*, proc(5) */
};

static inline struct dentry *at(const struct overlay *ovl, uint32_t d) {
    return index_at(&ovl->view->index, d);
}
/* Who may say what an object of a layer is, by a private attribute: where these are trusted.* only root can have, else
 * its owner can.  What another user says is data: it gives no more than he could have done himself. */
static inline bool is_believed(const struct overlay *ovl, const struct layer *layer, const struct stat *st) {
    return layer->prefix[0] == 't' || st->st_uid == 0 || st->st_uid == ovl->view->own.fsuid;
}
/* Of a directory with a redirect: others would be shown, and given to commit, what they could not have read. */
static inline bool may_redirect(const struct overlay *ovl, const struct layer *layer, const struct stat *st) {
    return (ovl->flags & PTO_TRUST) || is_believed(ovl, layer, st);
}
/* From now on a path that could be passed may not be any more, or may lead elsewhere.  Not so when a file comes to be
 * where nothing was, or when one goes that only the upper has. */
static inline void view_changed(const struct overlay *ovl) {
    __atomic_add_fetch(&ovl->view->changes, 1, __ATOMIC_SEQ_CST);
}
/* touch.c: the entry's name is about to show otherwise than in the lower; that, of no name; who may search the
 * directory. */
void touch(struct overlay *ovl, uint32_t d);
/* … as it is copied up. */
void touch_copied(struct overlay *ovl, uint32_t d);
/* … of what the upper is found to have. */
void touch_found(struct overlay *ovl, uint32_t d);
void touch_going(struct overlay *ovl, uint32_t d); /* … as it goes away */
void touch_all(pto_view *view, unsigned what);
void touch_name(const pto_view *view, uint32_t directory, const char *name, size_t length, unsigned what);
/* odd.c: does what the upper has there show otherwise than it lies there?  Its private attributes have been read. */
bool odd_is(const struct overlay *ovl, uint32_t d);
/* touch() of it, in a directory that only the upper has. */
void odd_tell(const struct overlay *ovl, uint32_t d);
/* touch() as what the upper has at another entry comes there, or is linked there. */
void odd_put(struct overlay *ovl, uint32_t d, uint32_t source);
void touch_search(struct overlay *ovl, uint32_t d);
/* The names in the directory, whose path in the view this is, that lead to places. */
void touch_places(pto_view *view, uint32_t d, const char *path);
static inline uint64_t *appeared_in(pto_view *view, uint32_t directory) {
    return &view->appeared[directory % APPEARED];
}
static inline bool has_upper(const struct overlay *ovl) {
    return ovl->layers[0].fd >= 0;
}
static inline bool upper_exists(const struct dentry *dentry) {
    return dentry->upper != KIND_NONE && dentry->upper != KIND_WHITEOUT;
}
/* Something in a lower shows if the upper has nothing here. */
static inline bool lower_exists(const struct dentry *dentry) {
    return dentry->lower != KIND_NONE && dentry->lower != KIND_UNKNOWN && dentry->lower != KIND_WHITEOUT;
}
/* What the view shows: KIND_NONE, or a DT_* kind. */
static inline uint8_t shown_kind(const struct dentry *dentry) {
    if (dentry->upper == KIND_WHITEOUT)
        return KIND_NONE;
    if (dentry->upper != KIND_NONE)
        return dentry->upper;
    return dentry->lower == KIND_UNKNOWN || dentry->lower == KIND_WHITEOUT ? KIND_NONE : dentry->lower;
}
#define is_dir_kind(k) ((k) == DT_DIR)
static inline mode_t kind_type(uint8_t kind) {
    return (mode_t)kind << 12; /* IFTODT(3) backwards */
}
static inline bool is_merged(const struct dentry *dentry) {
    return is_dir_kind(dentry->upper) && is_dir_kind(dentry->lower);
}

#endif
