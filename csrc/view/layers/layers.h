/* layers.h - what the layers hold, and where.  Nothing here changes a layer.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_LAYERS_LAYERS_H
#define PTOVERLAY_VIEW_LAYERS_LAYERS_H

#include <linux/limits.h>
#include <stdlib.h>

#include "overlay.h"

/* fd.c */
struct statx;
struct file_handle;
void fd_close(const int *fd);
#define CLOSE_FD __attribute__((cleanup(fd_close))) int
static inline void free_block(void *block) {
    free(*(void **)block);
}
#define FREE __attribute__((cleanup(free_block)))
/* O_PATH turned into what chmod, utimensat, setxattr accept: "/proc/self/fd/N". */
#define FD_PATH 32
void fd_path(int fd, char out[FD_PATH]);
/* Opens what the path names without following any symlink, below the layer. */
int fd_beneath(int dirfd, const char *path, int flags);
/* Calls on what a path below a directory names, itself; they take longer paths than the kernel does.  0, or -1 and
 * errno. */
int fd_lstat(int dirfd, const char *path, struct stat *st);
ssize_t fd_readlink(int dirfd, const char *path, char *out, size_t size);
int fd_handle(int dirfd, const char *path, struct file_handle *handle);
bool fd_exists(int dirfd, const char *path);
/* These return -errno. */
int fd_statx(int dirfd, const char *path, int flags, struct statx *stx);
ssize_t fd_getxattr_at(int dirfd, const char *path, const char *name, void *value, size_t size);
ssize_t fd_listxattr_at(int dirfd, const char *path, char *list, size_t size);

/* cred.c */
bool cred_in_group(const struct cred *cred, gid_t gid);
bool cred_may_give_group(const struct cred *cred, gid_t gid);
/* Our own, and what the machine asks of us. 0 or -ENOMEM. */
int cred_learn(pto_view *view);

/* ids.c: capabilities over an object, whose owner our user namespace may not map */
void ids_learn(void);
bool ids_all_mapped(void);
bool ids_capable_over(const struct statx *stx, const struct cred *cred, int cap);
bool ids_owner_or_capable(const struct statx *stx, const struct cred *cred);

/* faked.c: views of a fake root; the others are left as they are. */
/* What our user owns is root's. */
void faked_ids(const pto_view *view, struct statx *stx);
/* Is it enough that this object is our user's: with that mode he may do with it what root may, and it shows as root's
 * with nothing kept? */
bool faked_own(const pto_view *view, const struct stat *st, mode_t mode);
/* Only root may look into something of a lower, which an error of the kernel says: it is counted. */
bool faked_closed(const struct overlay *ovl, int error);
/* The private attribute in which one is kept that our user may not set; false: he may, or must not. */
#define FAKED_NAME "ptoverlay.root."
bool faked_name(const struct overlay *ovl, const char *name, char out[XATTR_NAME_MAX + 1]);
/* A device that is kept as an empty file. */
bool faked_is_device(const struct shown *shown, mode_t real);
/* The mark of an upper that was changed by a fake root. */
#define FAKED_MARK "ptoverlay.faked"

/* paths.c - all return the length, or -ENAMETOOLONG. */
int path_in_view(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]);  /* absolute, "/" for the root */
int path_in_upper(const struct overlay *ovl, uint32_t d,
                  char out[VIEW_PATH_MAX]); /* relative to the layer, "." for the root */
int path_in_lower(const struct overlay *ovl, uint32_t d, unsigned layer, char out[VIEW_PATH_MAX]);
int path_absolute(const struct layer *layer, const char *relative, char *out, size_t size);
/* out = directory/name, both relative to a layer; out may be directory. */
int path_join(char out[VIEW_PATH_MAX], const char *directory, size_t directory_length, const char *name, size_t length);
/* Where an object of the upper lies, relative to it, by a descriptor. 0; -ESTALE: not in the upper. */
int path_of_fd(const struct overlay *ovl, int fd, char out[PATH_MAX]);
/* True when path is top or lies below it; a top of "" is "/". */
bool path_below(const char *path, size_t path_length, const char *top, size_t top_length);
/* Of a canonical path as places hold it: "/" is "". */
size_t path_length(const char *path);

/* places.c */
/* Length of the path as a place holds it: "" for "/". */
static inline size_t place_size(const struct location *loc) {
    return loc->length == 1 ? 0 : loc->length;
}
int place_insert(pto_view *view, int kind, const char *path, struct overlay *overlay);
bool place_shows(const struct place *place);
/* In a mount namespace: is the object whose path is `real` where the place has it shown, and not below another one? */
bool place_reaches(const pto_view *view, const struct place *place, const char *real, size_t length);
/* The text whose first `from` bytes are exchanged for others, into out[VIEW_PATH_MAX]; -ENAMETOOLONG. */
int path_exchange_front(const char *text, size_t length, size_t from, const char *front, size_t front_length,
                        char *out);
/* Frees what it owns. */
void place_clear(struct place *place);
/* What is mounted at path covers the places inherited from the view around there. */
void places_cover(pto_view *view, const char *path, size_t length);
/* The place whose source the host's path is, or lies in; the longest one.  NULL: none. */
const struct place *place_from(const pto_view *view, const char *real, size_t length);
/* The host's path of one that lies in a place with a source, into out[VIEW_PATH_MAX]; -ENAMETOOLONG. */
int place_source(const struct place *place, const char *path, size_t length, char *out);
/* The innermost place that covers the canonical path, NULL: none (as on the host). PTO_PLACE_* ones are skipped: they
 * only say what may not be changed. */
struct place *place_of(const pto_view *view, const char *path, size_t length);
/* The place whose path is exactly this one, or NULL. */
struct place *place_at(const pto_view *view, const char *path, size_t length);
bool place_read_only(const pto_view *view, const char *path, size_t length);
bool place_fixed(const pto_view *view, const char *path, size_t length);
/* True when some place lies directly in this directory. */
bool place_in_dir(const pto_view *view, const char *path, size_t length);

/* hostmounts.c.  What is mounted below a lower that shows at its own place. */
int places_find_mounts(struct overlay *ovl);

/* lower.c */
/* The directories merged by d: count and copies into dirs (at most LOWERS_MAX). */
uint32_t lower_dirs(const struct overlay *ovl, uint32_t d, struct lower_dir *dirs);
/* The path, relative to its layer, of one of them. Returns the length or -ENAMETOOLONG. */
int lower_path(const struct overlay *ovl, uint32_t d, const struct lower_dir *dir, char out[VIEW_PATH_MAX]);
/* lstat of the topmost lower object. */
int lower_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
int lower_open(const struct overlay *ovl, uint32_t d, int flags);

/* gone.c. Before any directory goes from the view; after it went, when it has been put aside; view_gone() tells. */
void gone_note(const struct overlay *ovl, uint32_t d);
void gone_aside(const struct overlay *ovl, const char *shown);
/* After a directory was renamed, as paths of the view. */
void gone_moved(pto_view *base, const char *from, const char *to, bool exchanged);
void gone_clear(pto_view *base);

/* private.c: private attributes. name is without the prefix: "opaque". All return bytes or -errno. */
#define PRIVATE_SHOWN "ptoverlay.kept"
int private_name(const struct layer *layer, const char *name, char out[XATTR_NAME_MAX + 1]);
ssize_t private_get(const struct layer *layer, int fd, const char *name, void *value, size_t size);
ssize_t private_get_at(const struct layer *layer, const char *path, const char *name, void *value, size_t size);
/* What a result of these two, when it is negative, says: 0 that there is no such attribute, else -errno. */
int private_error(ssize_t length);
/* Whether an attribute is one of them. */
bool private_is_name(const struct overlay *ovl, const char *name);
/* What is stored beside the object comes into the table. */
int private_load_shown(struct overlay *ovl, int fd, const struct stat *st);
/* What an object of a lower shows that was an upper itself; st: what it is.  False where it says nothing. */
bool private_shown_below(const struct overlay *ovl, unsigned layer, const char *path, const struct stat *st,
                         struct shown *out);

/* marks.c: whiteouts and opaque directories */
#define DOT_PREFIX ".wh."
#define DOT_LENGTH 4u
#define DOT_OPAQUE DOT_PREFIX DOT_PREFIX ".opq"
/* True for a character device 0/0. */
bool marks_is_whiteout(const struct stat *st);
/* The other form of whiteouts: an empty file with overlay.whiteout in a directory whose overlay.opaque is "x". */
int marks_has_marked(const struct layer *layer, int fd);
int marks_is_marked(const struct layer *layer, int dirfd, const char *name);
/* The same by its path in a layer. */
int marks_is_marked_at(const struct layer *layer, const char *path, const struct stat *st);
/* ".wh." files: their names, and whether one stands beside a path in a layer of that form. */
bool marks_is_dot(const char *name);
int marks_dot_name(const char *name, char out[NAME_MAX + 1]);
bool marks_has_dot(const struct layer *layer, const char *path);
int marks_is_opaque(const struct layer *layer, const char *path);
void marks_find_form(struct layer *layer);

/* linked.c: hard links of lower files */
#define LINKED_NAME 64
/* The name of a copy in <work>/links, with a suffix. */
void linked_name(const struct shared *shared, const char *suffix, char out[LINKED_NAME]);
/* NULL: not in the table. */
struct shared *linked_find(const struct overlay *ovl, const struct statx *lower);
struct shared *linked_find_upper(const struct overlay *ovl, uint64_t upper_ino);
/* The entry of a lower object, made when there is none. NULL: out of memory. */
struct shared *linked_obtain(struct overlay *ovl, uint64_t ino, dev_t dev);
void linked_set_upper(struct overlay *ovl, struct shared *shared, uint64_t upper_ino);
void linked_drop(struct overlay *ovl, struct shared *shared);
/* Where the copy lies: its directory, and its name there. */
int linked_copy_at(const struct overlay *ovl, const struct shared *shared, char room[LINKED_NAME], const char **name);
/* Where a D_COPY is: a path in WORK_LAYER, which is returned; -errno. */
int linked_copy_path(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]);
/* st_nlink as the view shows it; stx: as the layer has it. */
uint32_t linked_count(const struct overlay *ovl, const struct statx *stx, bool upper);
/* The same for a lower object of which the view has removed the name by which it is known. */
uint32_t linked_left(const struct overlay *ovl, const struct statx *stx);
void linked_close(struct overlay *ovl);

/* backing.c */
/* Index in ovl->layers of what the upper has of it, or of the topmost object, and the path there. -ENAMETOOLONG. */
int backing_at_upper(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]);
int backing_at_top(const struct overlay *ovl, uint32_t d, char out[VIEW_PATH_MAX]);
/* Absolute host path of the topmost object: the length, or -errno. */
int backing_path(const struct overlay *ovl, uint32_t d, char *out, size_t size);
/* The descriptor of an upper directory that is still open from the last change, the overlay's; -1: none. */
int backing_last_dir(const struct overlay *ovl, uint32_t d);
int backing_upper_statx(const struct overlay *ovl, uint32_t d, struct statx *stx);
/* What the upper has, O_PATH and not following. */
int backing_open(const struct overlay *ovl, uint32_t d);
ssize_t backing_readlink(struct overlay *ovl, uint32_t d, char *out, size_t size);
/* Attributes of the topmost object, by their names on the layer. */
ssize_t backing_getxattr(const struct overlay *ovl, uint32_t d, const char *name, void *value, size_t size);
ssize_t backing_listxattr(const struct overlay *ovl, uint32_t d, char *list, size_t size);

/* redirect.c */
/* The length of an object's redirect, 0: there is none; -EINVAL: it is none that an overlay could have written. */
ssize_t redirect_read(const struct layer *layer, const char *path, char redirect[PATH_MAX]);
/* What a redirect of d is to hold: its path from the lowers' root on, as the upper has it.  The length, or
 * -ENAMETOOLONG.  ovl_get_redirect() in fs/overlayfs/dir.c. */
int redirect_path(const struct overlay *ovl, uint32_t d, char out[PATH_MAX]);

/* search.c */
#define LOWERS_MAX 512u
/* What is searched in the lowers: a name, in the parent's directories, or, from a slash on, a path from their roots. */
struct sought {
    size_t length;
    bool derived;                       /* that is the entry's own name */
    bool grouped;                       /* a path of the view that the layers are a group of: stacked.c */
    char name[PATH_MAX];
};
/* A search through the lowers of a directory, from the topmost on. */
struct search {
    struct overlay *ovl;
    uint32_t parent;
    const struct lower_dir *next, *end; /* of the parent's */
    struct sought sought;               /* in the next layer */
    bool saved;                         /* something was said in a group … */
    struct sought before;               /* … and this is sought again below it */
    struct lower_dir dirs[LOWERS_MAX];
};
int search_begin(struct search *search, struct overlay *ovl, uint32_t parent, const char *name, size_t length,
                 bool own_name);
/* names.c: the first layer that can have it, as far as it is known: 1, or the last one. */
unsigned search_first(struct search *search);
/* The length of the path that it has in this layer, 0: this layer lacks the way there; -EIO: a redirect to what is
 * outside of the layer.  *stop is set when something on the way hides what the layers below have. */
int search_path(struct search *search, unsigned layer, char path[VIEW_PATH_MAX], bool *stop);
/* Follows the redirect, if any, of what was found there: for the layers below. */
int search_redirect(struct search *search, unsigned layer, const char *path, bool *stop);
/* Done with this layer: what was said in a group of layers holds there only. */
void search_leave(struct search *search, unsigned layer);
/* The last layer in which what a layer hides is hidden. */
unsigned search_hidden(const struct overlay *ovl, unsigned layer);

/* metadata.c: files without data of their own */
#define METADATA_MARK "metacopy"
/* Looks whether the object at path in the layer is one (D_METACOPY), and where its data is (the entry's stack). */
int metadata_check(struct overlay *ovl, uint32_t d, unsigned layer, const char *path, const struct stat *st);
/* Another name of the same file may have got the data meanwhile. */
int metadata_recheck(struct overlay *ovl, uint32_t d);
/* Says in the entry where the data is. */
int metadata_set_data(struct overlay *ovl, uint32_t d, unsigned layer, const char *path);
/* The file has its own data now. */
void metadata_done(struct overlay *ovl, uint32_t d);
/* Opens the data, or says where it is; -EIO: it is nowhere. */
int metadata_open(const struct overlay *ovl, uint32_t d);
int metadata_path(const struct overlay *ovl, uint32_t d, char *out, size_t size);

/* quiet.c: nobody who watches an object, or the directory that a directory is in, hears of its names and attributes. */
struct quiet {
    pto_view *view; /* NULL: over */
    int fd, above; /* -1: none */
    bool watched; /* fd's object itself is */
    bool reading; /* nor of what reads */
};
void quiet_begin(struct overlay *ovl, int fd, struct quiet *quiet);
/* The same for a file. */
void quiet_begin_at(struct overlay *ovl, int dirfd, const char *name, struct quiet *quiet);
void quiet_end(struct quiet *quiet);
#define QUIET __attribute__((cleanup(quiet_end))) struct quiet
/* fd_beneath() of a directory for reading, unheard. */
int quiet_open(struct overlay *ovl, int layer, const char *path, struct quiet *quiet);
/* But of this call they do; errno stays. */
void quiet_lift(const struct quiet *quiet);
void quiet_return(const struct quiet *quiet);
/* Whether there is any watch; a new one, and no more of them. */
bool quiet_any(const pto_view *view);
int quiet_note(pto_view *view, int instance, int wd, uint32_t mask, const struct stat *st);
void quiet_clear(pto_view *view);

/* lookup.c */
/* The entry of name in directory d, with what each layer has looked up. 0 in *out never. */
int lookup(struct overlay *ovl, uint32_t d, const char *name, size_t length, uint32_t *out);
/* Looks below once more when nothing was there: the host may have made something since. */
int lookup_recheck(struct overlay *ovl, uint32_t d);
/* 1 when a lower has something under d's name that would show without an entry in the upper, else 0. */
int lookup_positive(struct overlay *ovl, uint32_t d);
/* What lowers would show under d's name without the upper, or under its redirect: kind, topmost layer, and its path
 * relative to that layer. */
int lookup_below(struct overlay *ovl, uint32_t d, uint8_t *kind, unsigned *layer, char path[VIEW_PATH_MAX]);
/* Reads the private attributes of an upper object once. */
int lookup_check_upper(struct overlay *ovl, uint32_t d);
/* Reads the names of an upper directory once. */
int lookup_load_upper(struct overlay *ovl, uint32_t d);

/* inode.c */
int inode_getattr(struct overlay *ovl, uint32_t d, struct statx *stx);
/* Owner, group and mode alone are right. */
int inode_owner(struct overlay *ovl, uint32_t d, struct statx *stx);
/* Puts in what the upper's file shows but does not have. */
void inode_show(const struct overlay *ovl, uint32_t d, struct statx *stx);

/* acl.c: POSIX ACLs, acl(5) */
bool acl_present(const struct overlay *ovl, uint32_t d);
bool acl_on_fd(int fd);
/* 0 or -EACCES; -ENODATA when the object has no ACL. The owner is the caller's to check. */
int acl_permission(struct overlay *ovl, uint32_t d, const struct cred *cred, unsigned mask);
/* What posix_acl_from_xattr() of fs/posix_acl.c says of a value: 0, -EINVAL, -EOPNOTSUPP. */
int acl_check(const void *value, size_t size);
/* True when an upper directory gives its new entries a default ACL. */
bool acl_has_default(struct overlay *ovl, uint32_t d);

/* permission.c */
/* mask: R_OK W_OK X_OK; -EACCES. */
int permission(struct overlay *ovl, uint32_t d, const struct cred *cred, int mask);
/* -EPERM or -EACCES when cred may not remove d from its directory (sticky(7)). */
int permission_delete(struct overlay *ovl, uint32_t parent, uint32_t d, const struct cred *cred);
/* -EEXIST, -EROFS, -EACCES as for every call that makes a name. */
int permission_create(struct overlay *ovl, const struct location *loc, const struct cred *cred);
bool permission_keep_setgid(const struct statx *stx, const struct cred *cred);

/* handle.c: the name that the kernel's overlayfs gives the copy of a lower file with several names, in <work>/index. */
#define HANDLE_NAME 299 /* (21 + MAX_HANDLE_SZ) bytes in hexadecimal, and a NUL */
int handle_name(const struct overlay *ovl, uint32_t d, char out[HANDLE_NAME]);

#endif
