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

#include <dirent.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "index/index.h"
#include "view.h"

struct layer {
    int fd;                 /* the root directory, O_PATH; -1: none */
    char *root;             /* canonical host path without a slash at the end: "" for "/" */
    size_t length;
    dev_t dev;
    bool dot_form;          /* marks.c: whiteouts are ".wh." files */
    bool marked_form;       /* marks.c: whiteouts are marked files (an upper only) */
    const char *prefix;     /* of the private attributes that are marks here */
    size_t base;            /* bytes of root before the path that redirects said here begin with: within.c */
    unsigned group_end;     /* what hides something here does so up to this layer only; 0: in all below */
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
    bool foreign;           /* said by somebody else: counts for a directory that the lower has so */
};
struct kept_table {
    struct kept *slots;
    size_t size, count;     /* size: a power of two */
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

struct within;

/* The directory that was changed last stays open: most changes are followed by another one there. */
struct last_dir {
    uint32_t d;             /* 0: none */
    int fd;                 /* O_PATH */
    uint64_t generation;    /* of the view: none of its directories has moved or gone since */
};

struct overlay {
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
    struct within *within; /* within.c: of an overlay whose layers are in another view, else NULL */
    uint64_t sequence; /* names in the work directory */
    uint32_t root; /* index entry of the mount point */
    struct kept_table kept;
    bool dirs_changed; /* some directory of the upper shows other attributes than its own */
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
};

struct dir_list;
struct ahead;

/* A file that was opened and has just been copied up (opened.c). */
struct copying {
    const struct overlay *ovl;
    uint32_t d;             /* 0: none */
    dev_t dev;              /* of the lower file */
    ino_t ino;
};

/* A view within another one (within.c) has overlays and places of its own; the lock, the index and all that is behind
 * `places` are the base's. */
struct pto_view {
    pto_view *base;         /* itself, unless it is within another one */
    pto_view *outer;        /* the view around, or NULL */
    pthread_mutex_t lock;
    struct index index;
    struct overlay **overlays;
    size_t n_overlays;
    struct place *places;
    size_t n_places;
    struct pto_stats stats;
    uint64_t generation;
    uint64_t changes; /* atomic: view_changed() */
#define APPEARED 64u
    uint64_t appeared[APPEARED]; /* atomic; by directory: files came to be that a walk had not found there */
    uint32_t asked; /* entry of which the lowers were asked during the walk under way, 0: none */
    struct dir_list *lists; /* readdir.c */
    struct ahead *ahead; /* ahead.c */
    pthread_cond_t copied; /* one of them is ready */
    bool may_ask_again; /* who holds the lock answers -VIEW_AGAIN by walking anew */
    bool reports_copies; /* opened.c … */
    struct copying copying;
    struct copied_up *copies; /* … and what is to be reported */
    struct cred own; /* our own credentials */
    mode_t umask; /* of our process */
    view_busy_fn *busy; /* NULL: nothing is executed */
    void *busy_arg;
    struct watch *watches; /* watches.c */
    int protected_hardlinks, protected_symlinks, protected_regular, protected_fifos;   /* fs.*, proc(5) */
};

#define WORK_NAME 32 /* bytes of a name in the work directory */

static inline struct dentry *at(const struct overlay *ovl, uint32_t d) {
    return index_at(&ovl->view->index, d);
}
/* Who may say what an object of a layer is, by a private attribute: where these are trusted.* only root can have, else its owner
 * can.  What another user says is data: it gives no more than he could have done himself. */
static inline bool is_believed(const struct overlay *ovl, const struct layer *layer, const struct stat *st) {
    return layer->prefix[0] == 't' || st->st_uid == 0 || st->st_uid == ovl->view->own.fsuid;
}
/* From now on a path that could be passed may not be any more, or may lead elsewhere.  Not so when a file comes to be where
 * nothing was, or when one goes that only the upper has. */
static inline void view_changed(const struct overlay *ovl) {
    __atomic_add_fetch(&ovl->view->changes, 1, __ATOMIC_SEQ_CST);
}
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
#define is_dir_kind(k) ((k) == DT_DIR)

/* super.c */
/* Makes an overlay of the view by overlay_open(); within: what it then owns, or NULL. */
int overlay_add(pto_view *view, const struct pto_overlay *spec, struct within *within, char *message, size_t size);
/* Writes one line "what: why" for the user; returns error. */
int fail(char *message, size_t size, int error, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* places.c */
/* Of a canonical path as places hold it: "/" is "". */
size_t place_length(const char *path);
int place_insert(pto_view *view, int kind, const char *path, struct overlay *overlay);
/* What is mounted at path covers the places inherited from the view around there. */
void places_cover(pto_view *view, const char *path, size_t length);
/* What is mounted below a lower that shows at its own place. */
int find_submounts(struct overlay *ovl);
/* The innermost place that covers the canonical path, NULL: none (as on the host). PTO_PLACE_* ones are skipped: they
 * only say what may not be changed. */
struct place *place_of(const pto_view *view, const char *path, size_t length);
/* The place whose path is exactly this one, or NULL. */
struct place *place_at(const pto_view *view, const char *path, size_t length);
bool place_read_only(const pto_view *view, const char *path, size_t length);
bool place_fixed(const pto_view *view, const char *path, size_t length);
/* True when some place lies directly in this directory. */
bool place_in_dir(const pto_view *view, const char *path, size_t length);
/* True when path is top or lies below it; a top of "" is "/". */
bool path_below(const char *path, size_t path_length, const char *top, size_t top_length);

/* paths.c - the path of an entry.  All return the length, or -ENAMETOOLONG. */
int path_in_view(const struct overlay *ovl, uint32_t d, char *out); /* absolute, "/" for the root */
int path_in_upper(const struct overlay *ovl, uint32_t d, char *out); /* relative to the layer, "." for the root */
int path_in_lower(const struct overlay *ovl, uint32_t d, unsigned layer, char *out);
int path_real(const struct overlay *ovl, uint32_t d, char *out); /* absolute host path of the topmost object */
/* Index in ovl->layers of what the upper has of it, or of the topmost object, and the path there. -ENAMETOOLONG. */
int path_at_upper(const struct overlay *ovl, uint32_t d, char *out);
int path_at_top(const struct overlay *ovl, uint32_t d, char *out);
int path_absolute(const struct layer *layer, const char *relative, char *out);

/* lookup.c */
/* The entry of name in directory d, with what each layer has looked up. 0 in *out never. */
int lookup(struct overlay *ovl, uint32_t d, const char *name, size_t length, uint32_t *out);
/* Looks below again when nothing was there: the host may have made something since. */
int lookup_again(struct overlay *ovl, uint32_t d);
/* 1 when a lower has something under d's name that would show without an entry in the upper, else 0. */
int lower_positive(struct overlay *ovl, uint32_t d);
/* What lowers would show under d's name without the upper, or under its redirect: kind, topmost layer, and its path
 * relative to that layer (PATH_MAX bytes). */
int probe_below(struct overlay *ovl, uint32_t d, uint8_t *kind, unsigned *layer, char *path);
/* Reads the private attributes of an upper object once. */
int check_upper(struct overlay *ovl, uint32_t d);
int load_upper(struct overlay *ovl, uint32_t d);
/* What the view shows: KIND_NONE, or a DT_* kind. */
uint8_t shown_kind(const struct dentry *dentry);
static inline mode_t kind_type(uint8_t kind) {
    return (mode_t)kind << 12; /* IFTODT(3) backwards */
}
static inline bool is_merged(const struct dentry *dentry) {
    return is_dir_kind(dentry->upper) && is_dir_kind(dentry->lower);
}
#define LOWERS_MAX 512u
/* The directories merged by d: count and copies into dirs (at most LOWERS_MAX). */
uint32_t lower_dirs(const struct overlay *ovl, uint32_t d, struct lower_dir *dirs);
/* The path, relative to its layer, of one of them. Returns the length or -ENAMETOOLONG. */
int lower_dir_path(const struct overlay *ovl, uint32_t d, const struct lower_dir *dir, char *out);

/* redirect.c */
/* out = directory/name, both relative to a layer; out may be directory. Returns the length or -ENAMETOOLONG. */
int path_join(char *out, const char *directory, size_t directory_length, const char *name, size_t length);
/* What is searched in the lowers: a name, in the parent's directories, or, from a slash on, a path from their roots. */
struct sought {
    size_t length;
    bool derived;                       /* that is the entry's own name */
    bool grouped;                       /* a path of the view that the layers are a group of: within.c */
    char name[PATH_MAX];
};
/* A search through the lowers of a directory, from the topmost on. */
struct search {
    struct overlay *ovl;
    uint32_t parent;
    const struct lower_dir *next, *end; /* of the parent's */
    struct sought sought;               /* in the next layer */
    bool kept;                          /* something was said in a group … */
    struct sought before;               /* … and this is sought again below it */
    struct lower_dir dirs[LOWERS_MAX];
};
int search_begin(struct search *search, struct overlay *ovl, uint32_t parent, const char *name, size_t length,
                 bool own_name);
/* The length of the path that it has in this layer, 0: this layer lacks the way there; -EIO: a redirect to what is
 * outside of the layer.  *stop is set when something on the way hides what the layers below have. */
int search_path(struct search *search, unsigned layer, char *path, bool *stop);
/* Follows the redirect, if any, of what was found there: for the layers below. */
int search_redirect(struct search *search, unsigned layer, const char *path, bool *stop);
/* Done with this layer: what was said in a group of layers holds there only. */
void search_leave(struct search *search, unsigned layer);
/* The last layer in which what a layer hides is hidden. */
unsigned search_hidden(const struct overlay *ovl, unsigned layer);
/* The length of an object's redirect, 0: there is none; -EINVAL: it is none that an overlay could have written. */
ssize_t redirect_read(const struct layer *layer, const char *path, char redirect[PATH_MAX]);
/* What a redirect of d is to hold: its path from the lowers' root on, as the upper has it.  The length, or
 * -ENAMETOOLONG.  ovl_get_redirect() in fs/overlayfs/dir.c. */
int path_in_lowers(const struct overlay *ovl, uint32_t d, char out[PATH_MAX]);

/* marks.c: whiteouts and opaque directories */
#define DOT_PREFIX ".wh."
#define DOT_LENGTH 4u
/* True for a character device 0/0. */
bool is_whiteout(const struct stat *st);
/* The other form of whiteouts: an empty file with overlay.whiteout in a directory whose overlay.opaque is "x". */
int has_marked_whiteouts(const struct layer *layer, int fd);
int is_marked_whiteout(const struct layer *layer, int dirfd, const char *name);
/* The same by its path in a lower layer. */
int is_marked_at(const struct layer *layer, const char *path, const struct stat *st);
/* ".wh." files: their names, and whether one stands beside a path in a layer of that form. */
bool is_dot_name(const char *name);
bool has_dot_whiteout(const struct layer *layer, const char *path);
int is_opaque(const struct layer *layer, const char *path);
/* Marks an upper directory. -errno. */
int mark_opaque(const struct overlay *ovl, int fd);
/* Before a whiteout is moved to a directory of the upper. */
int expect_whiteout(const struct overlay *ovl, int dirfd);
/* Whites out a name of an upper (or the work) directory that has nothing there. */
int make_whiteout(const struct overlay *ovl, int dirfd, const char *name);
/* Makes one in the work directory. */
struct work_object;
int work_whiteout(struct overlay *ovl, struct work_object *object);
void marks_close(const struct overlay *ovl);
/* Takes an object of the upper away, and with `whiteout` hides the name in the same step. */
int replace_by_whiteout(struct overlay *ovl, int dirfd, const char *name, bool directory, bool whiteout);
/* After an object was put where a whiteout was: removes the whiteout if it stands beside it. */
int drop_dot_whiteout(const struct overlay *ovl, int dirfd, const char *name);
void find_form(struct layer *layer);
int choose_form(struct overlay *ovl);

/* namei.c */
void fill_location(const pto_view *view, struct overlay *ovl, uint32_t parent, uint32_t d, struct location *loc);

/* inode.c */
struct statx;
/* lstat of the object as its topmost lower, or its upper, has it. */
int lower_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
int upper_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
/* mask: R_OK W_OK X_OK; -EACCES. */
int permission(struct overlay *ovl, uint32_t d, const struct cred *cred, int mask);
int dentry_getattr(struct overlay *ovl, uint32_t d, struct statx *stx);
/* Owner, group and mode alone are right. */
int dentry_owner(struct overlay *ovl, uint32_t d, struct statx *stx);
ssize_t dentry_readlink(struct overlay *ovl, uint32_t d, char *out, size_t size);
/* -EPERM or -EACCES when cred may not remove d from its directory (sticky(7)). */
int may_delete(struct overlay *ovl, uint32_t parent, uint32_t d, const struct cred *cred);
/* -EEXIST, -EROFS, -EACCES as for every call that makes a name. */
int may_create(struct overlay *ovl, const struct location *loc, const struct cred *cred);
bool capable(const struct cred *cred, int cap);
bool may_keep_setgid(const struct statx *stx, const struct cred *cred);
bool may_give_group(const struct cred *cred, gid_t gid);

/* ids.c: capabilities over an object, whose owner our user namespace may not map */
void ids_learn(void);
bool ids_all_mapped(void);
bool capable_over(const struct statx *stx, const struct cred *cred, int cap);
bool owner_or_capable(const struct statx *stx, const struct cred *cred);

/* acl.c: POSIX ACLs, acl(5) */
bool has_acl(const struct overlay *ovl, uint32_t d);
bool fd_has_acl(int fd);
/* 0 or -EACCES; -ENODATA when the object has no ACL. The owner is the caller's to check. */
int acl_permission(struct overlay *ovl, uint32_t d, const struct cred *cred, unsigned mask);
/* What posix_acl_from_xattr() of fs/posix_acl.c says of a value: 0, -EINVAL, -EOPNOTSUPP. */
int acl_check(const void *value, size_t size);
/* True when an upper directory gives its new entries a default ACL. */
bool has_default_acl(struct overlay *ovl, uint32_t d);

/* attr.c */
/* Before the data of an upper file is changed by cred: file_remove_privs() in fs/inode.c, for bits that it shows but does not
 * have, and, where the change is ours to make (a truncation), for all. */
int drop_set_id(struct overlay *ovl, uint32_t d, const struct cred *cred, bool ours);

/* After cred has set an access ACL: the mode follows, posix_acl_update_mode() in fs/posix_acl.c, where we may more than cred or
 * the file does not have the mode that it shows. */
int mode_of_acl(struct overlay *ovl, uint32_t d, int fd, const struct cred *cred);

/* busy.c */
/* Before a regular file is opened for writing or truncated: 0, or -ETXTBSY. */
int write_access(struct overlay *ovl, uint32_t d);

/* within.c */
void within_free(struct within *within);
/* How marks are read and written in the layers, as the view around has them; after the overlay's own way was chosen. */
void within_set_layers(struct overlay *ovl);
/* The names in the upper and the work directory have changed behind the back of the view around. */
void within_changed(const struct overlay *ovl);

/* kept.c */
const struct kept *kept_find(const struct overlay *ovl, uint64_t upper_ino);
int kept_set(struct overlay *ovl, const struct kept *kept);
void kept_drop(struct overlay *ovl, uint64_t upper_ino);

/* xattrs.c: private attributes. name is without the prefix: "opaque". All return bytes or -errno. */
ssize_t private_get(const struct layer *layer, int fd, const char *name, void *value, size_t size);
/* What a result of these two, when it is negative, says: 0 that there is no such attribute, else -errno. */
int attribute_error(ssize_t length);
ssize_t private_get_at(const struct layer *layer, const char *path, const char *name, void *value, size_t size);
int private_set(const struct overlay *ovl, int fd, const char *name, const void *value, size_t size);
int private_remove(const struct overlay *ovl, int fd, const char *name);
/* An attribute of the topmost object, by its name on the layer. */
ssize_t real_getxattr(const struct overlay *ovl, uint32_t d, const char *name, void *value, size_t size);
/* All but private attributes, between descriptors (O_PATH will do). */
int copy_xattrs(const struct overlay *ovl, int from, int to);
/* Puts kept into the table and, where the file system can hold it, beside the object. */
int kept_store(struct overlay *ovl, int fd, const struct kept *kept);
int kept_load(struct overlay *ovl, int fd, const struct stat *st);

/* upper.c: changing the upper */
/* Opens what the path names without following any symlink, below the layer. */
int open_beneath(int dirfd, const char *path, int flags);
/* The topmost object of an entry, O_PATH and not following. */
int open_upper_object(const struct overlay *ovl, uint32_t d);
/* O_PATH turned into what chmod, utimensat, setxattr accept: "/proc/self/fd/N". */
#define FD_PATH 32
void fd_path(int fd, char out[FD_PATH]);
/* loan.c: an ordinary user's own directory gets write permission for a moment. */
struct loan {
    const struct overlay *ovl;
    bool taken;
    int fd; /* the borrower's */
    mode_t mode; /* to give back */
    char note[WORK_NAME + 8]; /* in the work directory */
};
/* fd: the directory; path: where in the upper it is, or will be when the loan ends. 0 when it needs none. */
int loan_take(const struct overlay *ovl, int fd, const char *path, struct loan *loan);
void loan_end(struct loan *loan);
/* Where an object of the upper lies, relative to it, by a descriptor. -ESTALE: not in the upper. */
int path_of_fd(const struct overlay *ovl, int fd, char out[PATH_MAX]);
/* At the start: gives back what a killed run borrowed. */
int loans_settle(struct overlay *ovl);
#define LOAN __attribute__((cleanup(loan_end))) struct loan

/* watches.c: nobody who watches an object, or the directory that a directory is in, hears of its names and attributes. */
struct quiet {
    pto_view *view; /* NULL: over */
    int fd, above; /* -1: none */
    bool watched; /* fd's object itself is */
    bool reading; /* nor of what reads */
};
void quiet_begin(struct overlay *ovl, int fd, struct quiet *quiet);
void quiet_end(struct quiet *quiet);
#define QUIET __attribute__((cleanup(quiet_end))) struct quiet
bool watches_any(const pto_view *view);
/* open_beneath() of a directory for reading, unheard. */
int open_unheard(struct overlay *ovl, int layer, const char *path, struct quiet *quiet);
/* But of this call they do; errno stays. */
void loud_begin(const struct quiet *quiet);
void loud_end(const struct quiet *quiet);
/* At the start: names that a killed run left bare. */
int bare_settle(struct overlay *ovl);

/* An upper directory that is being changed: quietly. */
struct upper_dir {
    struct overlay *ovl;
    uint32_t d;
    int fd; /* O_PATH; -1: not open */
    struct loan loan;
    struct quiet quiet;
};
int upper_dir_open(struct overlay *ovl, uint32_t d, struct upper_dir *dir);
/* The descriptor that is kept of an upper directory, still the overlay's; -1: none. */
int upper_dir_kept(const struct overlay *ovl, uint32_t d);
void last_dir_close(struct overlay *ovl);
void upper_dir_close(struct upper_dir *dir);
#define UPPER_DIR __attribute__((cleanup(upper_dir_close))) struct upper_dir
void work_name(struct overlay *ovl, char out[WORK_NAME]);
/* Removes what is left in the work directory under this name, if anything. */
void work_remove(struct overlay *ovl, const char *name);
/* An object in the work directory that goes away unless it was put in place. */
struct work_object {
    struct overlay *ovl;
    char name[WORK_NAME]; /* "": nothing to remove */
};
void work_object_drop(struct work_object *object);
#define WORK_OBJECT __attribute__((cleanup(work_object_drop))) struct work_object
void work_object_init(struct overlay *ovl, struct work_object *object);
/* Removes what name is, with all below it. */
int remove_tree(int dirfd, const char *name);
int remove_children(int dir);
enum placing {
    PLACE_NEW, /* the upper has nothing there */
    PLACE_OVER, /* replaces a whiteout or a file with what is no directory */
    PLACE_EXCHANGE, /* a directory, or what replaces one: what was there is removed afterwards */
};
/* Moves name in dirfd to the work directory, from where the object's scope removes it. */
int work_take(struct work_object *object, int dirfd, const char *name);
/* Moves the object from the work directory to name in dirfd, and forgets it there. */
int work_place(struct work_object *object, int dirfd, const char *name, enum placing placing);
/* watches.c: removes the object by one call that is heard; false: nobody watches, or it takes more. */
bool take_away_loudly(const struct upper_dir *dir, const char *name, bool directory);
/* Removes a directory that shows nothing, and leaves a whiteout or not. */
int remove_watched_dir(const struct upper_dir *dir, const char *name, uint32_t d, bool whiteout);
/* rename.c: the whiteouts that an upper directory, fd, still holds. */
int clear_whiteouts(struct overlay *ovl, uint32_t d, int fd);
/* The name in dir is gone from the view, unseen by those who watch; with `whiteout` it is one now. */
int tell_removed(const struct upper_dir *dir, const char *name, bool directory, bool whiteout);
/* work_place() of an object that is new in the view. */
int place_made(struct work_object *object, const struct upper_dir *dir, const char *name, enum placing placing,
               bool directory);
/* Takes a whiteout away for a call that puts something there, which bare_over() follows. */
int bare_name(const struct upper_dir *dir, const char *name, char note[WORK_NAME + 8]);
void bare_over(const struct upper_dir *dir, const char *note);
void watches_clear(pto_view *view);
/* A copy of the entry's name, ended by a NUL. */
void entry_name(const struct overlay *ovl, uint32_t d, char out[NAME_MAX + 1]);
void keep_times(int dirfd, struct timespec times[2]);
void restore_times(int dirfd, const struct timespec times[2]);
/* fsync(2), unless nobody will look at the upper after a crash. */
int sync_object(const struct overlay *ovl, int fd);
void close_fd(const int *fd);
#define CLOSE_FD __attribute__((cleanup(close_fd))) int

/* stream.c */
/* A stream of its own over the directory: 0 or -errno. */
int open_stream(int dir, DIR **stream);
/* *entry is NULL at the end.  0 or -errno. */
int read_stream(DIR *stream, const struct dirent **entry);
void close_stream(DIR **stream);
#define STREAM __attribute__((cleanup(close_stream))) DIR

/* copy_up.c */
#define KEEP_ALL (-1)
#define KEEP_NONE_YET (-2) /* with metacopy: the data may stay below; else like KEEP_ALL */
/* Moves data inside the kernel where that can be, holes kept, and sets the size. whole: a reflink will do. */
int copy_data(struct overlay *ovl, int in, int out, off_t size, bool whole);
/* Makes the object exist in the upper, with its data, or only its first `keep` bytes, or KEEP_*. */
int copy_up(struct overlay *ovl, uint32_t d, off_t keep);
/* Makes sure that a directory of the view exists in the upper. */
int copy_up_dir(struct overlay *ovl, uint32_t d);

/* ahead.c: large files */
/* The filled copy of the open lower file, a descriptor without a name; -VIEW_AGAIN; -ENODATA: to be copied by the caller. */
int ahead_take(struct overlay *ovl, int in);
void ahead_free(pto_view *view);
void ahead_forget(const struct overlay *ovl);

/* opened.c: descriptors of lower files */
/* Somebody is about to open it where the lower has it. */
void opened(struct overlay *ovl, uint32_t d);
/* Its data has been copied from the lower file, a descriptor of ours … */
void opened_copied(struct overlay *ovl, uint32_t d, int lower);
/* … and the copy has its name in the upper: from now on view_take_copies() has it, if the lower file was opened. */
void opened_placed(struct overlay *ovl, uint32_t d);

/* metacopy.c: files without data of their own */
/* Looks whether the object at path in the layer is one (D_METACOPY), and where its data is (the entry's stack). */
int metacopy_check(struct overlay *ovl, uint32_t d, unsigned layer, const char *path, const struct stat *st);
/* Another name of the same file may have got the data meanwhile. */
int metacopy_again(struct overlay *ovl, uint32_t d);
/* The file has its own data now. */
void metacopy_done(struct overlay *ovl, uint32_t d);
/* Opens the data, or says where it is; -EIO: it is nowhere. */
int metacopy_open(const struct overlay *ovl, uint32_t d);
int metacopy_real(const struct overlay *ovl, uint32_t d, char *out);
/* Gives an upper file its own data, or the first `keep` bytes of it. */
int metacopy_fill(struct overlay *ovl, uint32_t d, off_t keep);
/* Makes fd, the new copy of d, one. */
int metacopy_mark(struct overlay *ovl, uint32_t d, int fd, const struct statx *stx);
/* Before an upper file gets another name: says in a redirect where its data stays. */
int metacopy_pin(struct overlay *ovl, uint32_t d);

/* links.c: hard links of lower files */
/* Reads what an earlier run left. */
int links_open(struct overlay *ovl);
void links_close(struct overlay *ovl);
/* handle.c: the name that the kernel's overlayfs gives the copy of a lower file with several names, in <work>/index. */
#define KERNEL_INDEX_NAME 299 /* (21 + MAX_HANDLE_SZ) bytes in hexadecimal, and a NUL */
int kernel_index_name(const struct overlay *ovl, uint32_t d, char out[KERNEL_INDEX_NAME]);

/* Before a lower file with more than one name is copied up. lower: what the lower has.  *left: the number of its names that
 * the view shows, 0 when it is to be copied as if it had one; else name (LINKS_NAME bytes) is where in ovl->links it goes. */
#define LINKS_NAME 64
int links_begin(struct overlay *ovl, const struct statx *lower, char *name, unsigned *left);
/* Puts that number on the copy, before it gets its name there. */
int links_mark(const struct overlay *ovl, int fd, unsigned left);
/* The copy has its name there; links_join() gives it the one in the upper. */
int links_copied(struct overlay *ovl, const struct statx *lower, const char *name, unsigned left);
/* Gives a lower name its upper object if another name of it was copied up. */
int links_join(struct overlay *ovl, uint32_t d);
struct shared *links_find(const struct overlay *ovl, const struct statx *lower);
/* st_nlink as the view shows it; stx: as the layer has it. */
uint32_t links_count(const struct overlay *ovl, const struct statx *stx, bool upper);
/* The same for a lower object of which the view has removed the name by which it is known. */
uint32_t links_left(const struct overlay *ovl, const struct statx *stx);
/* Where a D_COPY is: a path in WORK_LAYER, which is returned; -errno. */
int links_copy_path(const struct overlay *ovl, uint32_t d, char out[PATH_MAX]);
/* Before a name that only a lower has is replaced, so that a crash loses no count. */
int links_removing(struct overlay *ovl, uint32_t d, const struct statx *lower);
/* A name went away; stx: from before. */
void links_removed(struct overlay *ovl, const struct statx *stx, bool upper);

/* readdir.c */
void lists_free(pto_view *view);
void lists_forget(const struct overlay *ovl);
/* 0 when the directory shows nothing but "." and "..", else -ENOTEMPTY. */
int dir_is_empty(struct overlay *ovl, uint32_t d);
/* The names of a directory changed; the other one says so to view_changed(), too. */
void dir_names_changed(const struct overlay *ovl, uint32_t d);
void dir_changed(struct overlay *ovl, uint32_t d);

/* create.c: objects that come to be */
struct creation {
    mode_t mode; /* with the type */
    dev_t dev;
    const char *target; /* of a symlink */
    int open_flags; /* of a file that is opened as it is made; *fd: its descriptor, or left as it is */
    int *fd; /* NULL: it is only made */
};
/* Gives a new object of the upper its owner (uid, gid), or keeps uid, gid, mode and rdev beside it. */
int give_owner(struct overlay *ovl, int dirfd, const char *name, const struct kept *owner);
int create(const struct location *loc, const struct creation *creation, const struct cred *cred, uint32_t *made);
/* The entry of the name that loc is about, existing or not, with the lowers asked once more. */
int locate_entry(const struct location *loc, uint32_t *d);

/* remove.c */
/* 1 when a whiteout must take the entry's place, else 0. */
int needs_whiteout(struct overlay *ovl, uint32_t d);
/* A name is about to go, and has gone: what is kept for an object goes with its last name. */
struct last_look {
    bool seen; /* there is something to forget */
    bool upper;
    struct statx stx; /* as the layer has it */
};
int look_at(struct overlay *ovl, uint32_t d, struct last_look *look);
void forget_name(struct overlay *ovl, const struct last_look *look);

#endif
