/* view.h - the merged view: what the other parts of the core may ask of it.
 *
 * The view knows layers; it knows neither processes nor system calls of a tracee.  Paths given to it
 * are paths in the view.  Every function returns 0 (or a non-negative count) or -errno.
 *
 * Locking: the caller holds view_lock() around a walk and what it does with the location.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_H
#define PTOVERLAY_VIEW_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/types.h>

#include "../ptoverlay.h"

struct overlay;
struct place;

/* Bytes of a path of the view, or of a real one: more than one call takes, since a working directory may be as deep. */
#define VIEW_PATH_MAX (4 * PATH_MAX)

/* The ids of another user namespace and what they are in ours, as /proc/PID/uid_map tells (user_namespaces(7)). */
struct id_range {
    uint32_t inside, outside, count;
};
#define ID_RANGES 340 /* UID_GID_MAP_MAX_EXTENTS of include/linux/user_namespace.h */
struct id_map {
    unsigned n;
    struct id_range ranges[ID_RANGES];
};
struct id_maps {
    struct id_map uids, gids;
};
/* Of ours to theirs, and back; false: it has none there. */
bool view_id_inside(const struct id_map *map, uint32_t outside, uint32_t *inside);
bool view_id_outside(const struct id_map *map, uint32_t inside, uint32_t *outside);

/* Who asks: what the kernel's permission checks look at (credentials(7), capabilities(7)).  All ids are ours. */
struct cred {
    bool own;               /* the supervisor's own: what the kernel answers to us, it answers to them */
    uid_t fsuid;
    gid_t fsgid;
    uint64_t caps;          /* effective set, 1 << CAP_* */
    mode_t umask;
    size_t ngroups;
    const gid_t *groups;    /* supplementary groups */
    const struct id_maps *ids;  /* NULL: it is of our user namespace; else of a child of it, and its capabilities hold
                                 * over what belongs to ids of that one alone */
};

/* Has it a capability that holds everywhere: in our user namespace? */
bool cred_capable(const struct cred *cred, int cap);

/* Where a symlink below /proc leads. */
enum leads {
    LEADS_BY_TEXT,          /* an ordinary one, whose text is to be followed */
    LEADS_TO_PATH,
    LEADS_TO_OBJECT,        /* one without a path (pipe:[1], a deleted file), on which the walk then ends */
    LEADS_ELSEWHERE, /* as LEADS_TO_PATH, but the kernel, following it, arrives at another real path (the upper's) */
};

struct location;

/* What a walk needs from its caller, who knows processes. */
struct walker {
    const struct cred *cred;
    /* A symlink below /proc: `link` is its canonical host path.  Writes where it leads, as a path in the view, to
     * target (VIEW_PATH_MAX bytes) where it leads to one; enum leads, or -errno.  NULL: all are ordinary. */
    int (*magic)(void *arg, const char *link, char *target);
    /* An ordinary symlink is about to be followed: of the location path, overlay, type and upper are right.  NULL:
     * nobody wants to know. */
    void (*followed)(void *arg, const struct location *link);
    void *arg;
    const char *root; /* a canonical directory of the view, above which "..", "/" and absolute symlinks do not lead and
                       * nothing is passed; NULL: the view's own */
    bool any_length; /* the location may have a path of PATH_MAX bytes and more; else that is -ENAMETOOLONG */
};

enum last { LAST_NORM, LAST_ROOT, LAST_DOT, LAST_DOTDOT }; /* as fs/namei.c's LAST_* */

/* Where a walk ended. */
struct location {
    struct overlay *overlay; /* NULL: as on the host (uncovered, or a direct place) */
    uint32_t dentry; /* index entry of the object, 0 when there is none */
    uint32_t parent; /* index entry of the directory it is in (overlay != NULL) */
    mode_t type; /* S_IFMT bits, 0: the name does not exist */
    enum last last; /* what the last component was */
    bool pass; /* the kernel, given the same arguments, arrives at this very object and
                                * nothing above the lower is involved: a reading call may be passed.  Also
                                * meaningful after an error of the walk. */
    bool upper; /* the object is in the upper layer */
    bool read_only; /* every change here is EROFS */
    bool fixed; /* on the host: names and attributes are not to be changed */
    bool slash; /* the path ended in a slash */
    bool magic; /* a /proc magic link to an object without a path; path names the link */
    bool hidden; /* the name is hidden: it does not exist and cannot be made (EACCES) */
    bool way; /* the kernel takes the same steps, though what is there may be another object */
    bool inside; /* it ended in an overlay, and on the host went straight down to places alone (no link, no ".."),
                                * which no task can rename: other tasks get to the same place */
    uint32_t missing; /* … and ended in this directory, which has nothing of that name; 0: it has */
    uint64_t changes; /* view_changes() */
    bool detached; /* view_locate only: an open lower object that no name leads to any more */
    bool bound; /* in a place that shows another path of the host: path is that one, see view_name() */
    bool aside; /* … nor did its path: it has been put into the work directory first */
    const struct place *bind; /* … the place, as long as the lock is held */
    size_t length; /* of path */
    char path[VIEW_PATH_MAX]; /* canonical path in the view; a direct place has it on the host too */
};

#define WALK_FOLLOW 1u /* follow a symlink that is the last component */
#define WALK_START_PASS 2u /* the start directory's real path is its path in the view */
#define WALK_PARENT                                                                                                    \
    4u /* for a call that makes, removes or renames the name itself: a trailing slash follows no
                             * symlink and demands no directory (LOOKUP_PARENT in fs/namei.c); see loc->slash */
#define WALK_EXECUTES 8u /* to execute what is there: loc->pass whatever its number of links is */

/* From now on the view is one of a fake root: what our user owns, and nothing says otherwise of it, is root's; owners,
 * modes, devices and attributes that our user may not set are kept beside the objects.  mark: uppers say that they were
 * changed so.  With the lock not held; before anything runs. */
void view_fake_root(pto_view *view, bool mark);
/* Owner and group of something that no overlay covers, as such a view shows them. */
struct statx;
void view_fake_ids(const pto_view *view, struct statx *stx);

void view_lock(pto_view *view);
/* With the lock held: a change may let go of it for a while (to copy a large file up) and then returns -VIEW_AGAIN.
 * The caller must walk anew, since what it knows of entries may be stale, and ask again. */
void view_may_ask_again(pto_view *view);
#define VIEW_AGAIN ERESTART
void view_unlock(pto_view *view);

/* Resolves path, from the canonical view directory `start` unless it is absolute.  An absent last
 * component is not an error (type 0); an absent one before it is -ENOENT.  -ENOTDIR, -ELOOP (40
 * links), -EACCES, -ENAMETOOLONG.  An empty path is -ENOENT.  path_resolution(7). */
int view_walk(pto_view *view, const struct walker *walker, const char *start, const char *path, unsigned flags,
              struct location *loc);

/* From a real path, as /proc/PID/fd/N or /proc/PID/cwd shows it, to the location in the view.
 * loc->detached: no name leads to it any more.  loc->overlay NULL: it lies on the host.
 * loc->pass: real path and view path are the same. */
int view_locate(pto_view *view, const char *real, struct location *loc);

/* Of a location that is bound: path becomes the one in the view, where walks may start.  -ENAMETOOLONG. */
int view_name(pto_view *view, struct location *loc);

/* May the caller follow the symlink, which is the last component?  may_follow_link() in fs/namei.c: 0, or -EACCES. */
int view_may_follow(pto_view *view, const struct location *loc, const struct cred *cred);

/* The real path of the object (upper, else topmost lower) into out[size]; host places: loc->path. */
int view_real(pto_view *view, const struct location *loc, char *out, size_t size);

/* Opens an absolute real path without following any symlink, but for one at its end with O_PATH | O_NOFOLLOW; mode: of
 * O_TMPFILE. A descriptor, close-on-exec, or -errno; -ELOOP: it holds one. */
int view_open_exact(const char *path, int flags, mode_t mode);

/* Attributes as the view shows them: identity that copy-up does not change, owner and mode kept for
 * ordinary users.  stx->stx_mask as statx(2) gives it.  Host places too. */
struct statx;
int view_getattr(pto_view *view, const struct location *loc, struct statx *stx);
/* The path in the view that a removed directory had, which the kernel calls `real`; NULL: not known, or the same as
 * where the layer had it.  As long as the view's lock is held. */
const char *view_gone(const pto_view *view, const char *real, size_t length);
/* Puts the view's identity and kept owner into what stat of a real object (by descriptor) has said:
 * real is its real path. */
int view_fix_attr(pto_view *view, const char *real, struct statx *stx);
/* True while no object of any overlay shows other attributes than its real file has (fstat may be passed). */
bool view_attr_is_real(pto_view *view);

/* In a view of a fake root: what only root may look into, of a lower, gets a copy in which nothing is lost (a
 * directory, an empty file).  1: there is one above now; 0: it can be read, or never could; -errno. */
int view_open_closed(pto_view *view, struct location *loc);

/* MAY_* mask of R_OK W_OK X_OK for this caller; -EACCES, -EROFS. */
int view_permission(pto_view *view, const struct location *loc, const struct cred *cred, int mask);
int view_readlink(pto_view *view, const struct location *loc, char *out, size_t size);
int view_statfs(pto_view *view, const struct location *loc, struct statfs *out);

/* fsync(2) of an object that a descriptor leads to, real being where /proc says it is.  0: done, or not wanted
 * (volatile); VIEW_SYNC_REAL: the descriptor's own fsync is the right one; -errno. */
#define VIEW_SYNC_REAL 1
int view_sync(pto_view *view, const struct location *loc, const char *real);
/* inotify(7) watches of callers, which see what happens in the view.  Before one is set on an overlay place: changes
 * will then happen where it is.  Nothing for very large files.  0, -VIEW_AGAIN. */
int view_watch_ready(pto_view *view, const struct location *loc, uint32_t mask);
/* inotify_add_watch(2) by the instance, ours and the caller's, on the real object; it is known from then on. */
int view_watch(pto_view *view, const struct location *loc, int instance, uint32_t mask);
/* The watch, or all of the instance (-1), is to be forgotten.  False: none was known. */
bool view_unwatch(pto_view *view, int instance, int wd);

/* Who knows what is being executed.  Asked, with the view entered, about a file as the view shows it that somebody
 * wants to write and that view_executed() was told of: 0, or -ETXTBSY. */
typedef int view_busy_fn(void *arg, const struct statx *file);
void view_set_busy(pto_view *view, view_busy_fn *busy, void *arg);
void view_executed(pto_view *view, const struct location *loc);

/* How the caller is to open a file that view_open prepared. */
struct open_plan {
    char path[VIEW_PATH_MAX]; /* real path, free of symlinks */
    bool opens; /* given: the caller opens it by view_open_plan(), so what is made may be open already */
    int fd; /* that descriptor, -1: none; view_open_plan() or view_open_drop() takes it */
    int flags; /* O_CREAT, O_EXCL and O_TRUNC taken out where already done, O_NOFOLLOW set */
    int unasked; /* of these what F_GETFL is not to tell: who opens where no symlink is followed takes it out */
    bool fix_mode; /* after the open, view_open_done must be called */
    mode_t mode; /* what view_open_done sets; O_TMPFILE: the mode to open with */
};
/* Everything open(2) does before there is a descriptor: permission, creation, copy-up, truncation.
 * Overlay places only.  Errors as open(2). */
int view_open(pto_view *view, const struct location *loc, int flags, mode_t mode, const struct cred *cred,
              struct open_plan *plan);
/* The view need not be locked.  A descriptor of ours with `more` flags (O_CLOEXEC is always set), or -errno; -ELOOP:
 * names have changed since, and it is to be prepared anew. */
int view_open_plan(struct open_plan *plan, int more);
int view_open_done(pto_view *view, const struct open_plan *plan);
/* It will not be opened. */
void view_open_drop(struct open_plan *plan);

/* ---- descriptors of lower files (opened.c) ---- */
/* A lower file that had been opened got its data copied to the upper. */
struct copied_up {
    struct copied_up *next;
    dev_t dev; /* of the lower file */
    ino_t ino;
    int fd; /* the copy, O_RDONLY */
    bool given; /* for the caller: others share the description of fd */
};
/* Copies are reported from now on, or not (the default). */
void view_report_copies(pto_view *view, bool on);
/* A caller is let open the file for reading where it is; view_open() notes that by itself. */
void view_opened(pto_view *view, const struct location *loc);
/* The same for a descriptor that there was before, by its real path.  Takes the lock. */
void view_opened_before(pto_view *view, const char *real);
/* With the lock held: those that have not been taken yet, which are then the caller's; NULL: none. */
struct copied_up *view_take_copies(pto_view *view);
unsigned view_count_copies(const struct copied_up *copies);
void view_free_copies(struct copied_up *copies);
/* The same once more, for others; without memory or descriptors some are missing. */
struct copied_up *view_clone_copies(const struct copied_up *copies);

/* Changes.  Overlay places only (loc->overlay not NULL); each checks permission for cred, existence
 * and loc->read_only, loc->last, loc->slash as the system call of that name does. */
int view_mkdir(pto_view *view, const struct location *loc, mode_t mode, const struct cred *cred);
int view_mknod(pto_view *view, const struct location *loc, mode_t mode, dev_t dev, const struct cred *cred);
int view_symlink(pto_view *view, const char *target, const struct location *loc, const struct cred *cred);
int view_unlink(pto_view *view, const struct location *loc, const struct cred *cred);
int view_rmdir(pto_view *view, const struct location *loc, const struct cred *cred);
/* Both in one overlay, else -EXDEV. */
int view_link(pto_view *view, const struct location *from, const struct location *to, const struct cred *cred);
/* Gives an object without a name (O_TMPFILE) one: real is a path that leads to it, /proc/PID/fd/N. */
int view_link_real(pto_view *view, const char *real, const struct location *to, const struct cred *cred);
int view_rename(pto_view *view, const struct location *from, const struct location *to, unsigned flags,
                const struct cred *cred);
/* Before a caller makes a socket by bind(2): copies the parent up, removes nothing.  *real gets the path at
 * which to bind (in the work directory when a whiteout must be replaced), view_bind_done puts it in place. */
int view_bind(pto_view *view, const struct location *loc, const struct cred *cred, char *real);
int view_bind_done(pto_view *view, const struct location *loc, const char *real, const struct cred *cred);

#define ATTR_MODE 1u
#define ATTR_UID 2u
#define ATTR_GID 4u
#define ATTR_SIZE 8u
#define ATTR_ATIME 16u
#define ATTR_MTIME 32u
#define ATTR_TIMES_NOW 64u /* utimensat with NULL or UTIME_NOW for both: write permission is enough */
#define ATTR_FLAGS 128u /* FS_IOC_SETFLAGS */
#define ATTR_LEASED 1024u /* with ATTR_SIZE: somebody may have a lease on the file, and is not waited for: -EINTR */
#define ATTR_LIMIT 512u /* with ATTR_SIZE: a file grows to size_limit, else -EFBIG (RLIMIT_FSIZE) */
#define ATTR_OWNER 256u /* chown(2): even with neither id the ctime and set-id bits change */
struct attr_change {
    unsigned valid;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    off_t size;
    uint64_t size_limit;
    struct timespec atime, mtime; /* tv_nsec may be UTIME_NOW */
    unsigned fsflags;
};
int view_setattr(pto_view *view, const struct location *loc, const struct attr_change *change, const struct cred *cred);
/* truncate(2) of a real file; leased: as ATTR_LEASED, by an open, which inotify(7) hears. */
int view_cut(const char *path, off_t size, bool leased);

/* xattr(7); size 0 asks for the size; private attributes of the overlay are hidden. */
ssize_t view_getxattr(pto_view *view, const struct location *loc, const char *name, void *value, size_t size,
                      const struct cred *cred);
ssize_t view_listxattr(pto_view *view, const struct location *loc, char *list, size_t size, const struct cred *cred);
/* For an object of the location's overlay that has no name any more: what the attribute is called on it (out has
 * XATTR_NAME_MAX + 1 bytes; 0 or -errno), and in place what its list shows. */
int view_xattr_name(const struct location *loc, const char *name, char *out);
size_t view_xattr_names(const struct location *loc, char *list, size_t size);
int view_setxattr(pto_view *view, const struct location *loc, const char *name, const void *value, size_t size,
                  int flags, const struct cred *cred);
int view_removexattr(pto_view *view, const struct location *loc, const char *name, const struct cred *cred);

/* Where positions in a merged directory begin; the other ones where a file system does not let a directory be
 * positioned there (ext2, vfat, f2fs). */
#define VIEW_POSITIONS (1ull << 43)
#define VIEW_POSITIONS_NEAR (1ull << 30)
/* Reads a merged directory: from *pos (a file position: 0 or one of those two at the start, afterwards a value that
 * only view_iterate understands) into buf as struct linux_dirent64 (wide) or struct linux_dirent; returns bytes, 0 at
 * the end, -EINVAL when not even one entry fits, -ESTALE when *pos is not one of ours: the stream began on the real
 * directory and goes on there. */
ssize_t view_iterate(pto_view *view, const struct location *loc, uint64_t *pos, void *buf, size_t size, bool wide);

/* True when getdents of this directory may be passed to the real one: nothing above it, nothing hidden in it. */
bool view_dir_is_real(pto_view *view, const struct location *loc);

/* True when an overlay is what the view shows at this path. */
bool view_covers(const pto_view *view, const char *path);
/* True when an overlay covers all but direct places. */
bool view_covers_all(const pto_view *view);
/* True when an overlay or another place lies somewhere below: it would lose its path were this one renamed. */
bool view_place_below(const pto_view *view, const struct location *loc);
/* Where a tracee may have to write by itself: real paths of uppers, work directories and direct places. NULL after the
 * last.  names: whether it may make and remove names there, too. */
const char *view_writable(const pto_view *view, size_t i, bool *names);

/* pto_view_add_place() while others use the view. */
int view_add_place(pto_view *view, int kind, const char *path, char *message, size_t size);
/* Makes path, a directory or a file of the view or a name that a directory of it may have, a direct place that shows
 * the host's `source`, which no layer may show. 0, or -errno with a message. */
int view_add_bind(pto_view *view, const char *source, const char *path, char *message, size_t size);
/* A view within this one, as a new mount namespace begins: it shows the same until overlays are laid in it, with
 * layers, mount points and places that are paths of the view around.  That one must outlive it.  NULL: out of
 * memory. */
pto_view *view_within(pto_view *outer);
/* Lays an overlay in it.  -EXDEV: layers that cannot serve within another overlay; else as pto_view_add_overlay(). */
int view_within_add(pto_view *view, const struct pto_overlay *overlay, char *message, size_t size);

/* A mount namespace of a program's own (mounts.c): it begins as `around` is, which must outlive it, and shows what is
 * mounted in it.  locked: what was mounted before stays.  NULL: out of memory, or around is a view within another. */
pto_view *view_mounts(pto_view *around, bool locked);
bool view_has_mounts(const pto_view *view);
/* All with the lock held; locations are of that view.  type: of file system, static text, as mountinfo is to tell it.
 * What is at `from`, with all that is mounted in it, shows at `to`: -ENOENT, -ENOTDIR.  With a type `from` is a
 * location of the run's own view. */
int view_mount_bind(pto_view *view, const struct location *from, const struct location *to, const char *type);
/* An empty directory of this mode (tmpfs).  -EPERM: no layer of the run can be written to. */
int view_mount_memory(pto_view *view, const struct location *to, mode_t mode, const struct cred *cred,
                      const char *type);
/* MS_REMOUNT.  -EINVAL: nothing is mounted there. */
int view_mount_change(pto_view *view, const struct location *loc, bool read_only);
/* all: what is mounted below goes too (MNT_DETACH), else that is -EBUSY. -EINVAL: nothing that can be unmounted. */
int view_umount(pto_view *view, const struct location *loc, bool all);
/* pivot_root(2): -EINVAL, -EBUSY. */
int view_pivot(pto_view *view, const struct location *new_root, const struct location *put_old);
/* The i-th place of those that show something, from the root on; false: there are no more. */
struct view_mount {
    const char *path, *source; /* source: below what it is of */
    const char *host; /* the real path of what is the host's own; NULL: of an overlay */
    const char *type; /* NULL: it was there before */
    const struct overlay *overlay; /* NULL: of the host */
    bool read_only;
};
bool view_mount_told(const pto_view *view, size_t i, struct view_mount *mount);

/* An overlay gets another upper while the view is in use, and its own becomes the topmost lower (relay.c). */
struct view_relay;
/* All with the lock held.  spec: as the overlay is to be laid, its upper new and empty.  -EAGAIN: somebody is about to
 * write; -EBUSY: it cannot be now. */
int view_relay_begin(pto_view *view, const struct pto_overlay *spec, struct view_relay **out, char *message,
                     size_t size);
/* Somebody may be writing this object of the old upper: it goes on in the new one.  0, or -errno. */
int view_relay_hold(struct view_relay *relay, const char *real, dev_t dev, ino_t ino);
/* go: it is done, else all is as it was.  How many of the objects could not go along. */
int view_relay_end(struct view_relay *relay, bool go);
/* A call has been told what to write, or has done it (-1): no overlay gets another upper meanwhile. */
void view_writing(pto_view *view, int more);
/* A program that is being executed, by its real path.  Takes the lock. */
void view_executed_before(pto_view *view, const char *real);

/* Nothing is done in it any more: its uppers are free for other runs, though it is freed later. */
void view_within_end(pto_view *view);

/* Calls that tracees make themselves, in a run with a limit (upper/quota.c).  Does what the descriptor, of ours, is of
 * count?  *st: what it is. */
bool view_grows(pto_view *view, int fd, struct stat *st);
struct growing {
    uint64_t end; /* up to there it may become longer … */
    uint64_t more; /* … or by so much */
};
struct view_growth;
/* 0 and *out, which view_grown() takes when the call is over, with what how->more was; -ENOSPC. */
int view_grow(pto_view *view, int fd, const struct stat *st, const struct growing *how, struct view_growth **out);
void view_grown(pto_view *view, struct view_growth *growth, uint64_t more);
/* A call got ENOSPC by the limit. */
void view_no_room(pto_view *view);

/* Counters that the run reports. */
struct pto_stats *view_stats(pto_view *view);
/* Changes whenever a directory moved or went away: what was derived from a real path may be stale. */
uint64_t view_generation(pto_view *view);
/* Somebody answers calls about what only a lower has without asking (untouched/).  All are called with the lock held,
 * touch() before a change is done and for what there is already when it is set: the name in the directory, an index
 * entry, shows otherwise than in the lower, name NULL: none.  opened(): has the lower file been opened so? */
#define TOUCH_INODE 1u /* what the lower has there shows otherwise through descriptors, too */
#define TOUCH_WAY 2u /* paths that lead through it may lead elsewhere, or numbers of directories mean others */
#define TOUCH_LINKED 4u /* from now on files with several names may show otherwise whatever their name */
#define TOUCH_GONE 8u /* what the lower has there may be an error in the view */
#define TOUCH_KEPT 16u /* something that only the upper has begins to show otherwise than it lies there */
#define VIEW_ALONE 0x80000000u /* in a directory's number: it is the upper's, see view_find_alone() */
struct view_answers {
    void *arg;
    void (*touch)(void *arg, uint32_t directory, const char *name, size_t length, unsigned what);
    bool (*opened)(void *arg, dev_t dev, ino_t ino);
};
/* NULL: nobody any more.  Takes the lock. */
void view_set_answers(pto_view *view, const struct view_answers *answers);
/* Can anything be answered so?  Each overlay shows one lower, at its own place. */
bool view_is_plain(const pto_view *view);
/* The devices of what the host has in two places of the view, as by mount --bind: there an inode is in no one place.
 * How many, more than most: of any device that may be so. */
size_t view_shown_twice(const pto_view *view, dev_t *devs, size_t most);

/* What a text leads to, from a directory of the view, while nothing that touch() has said of TOUCH_WAY happens. */
struct view_way {
    uint32_t directory; /* the kernel comes there, and all names in it that are not touched are the lower's; 0: none */
    bool shown; /* the text is shown as the lower has it while this name in that directory is not touched */
    uint32_t parent;
    const char *name; /* in loc->path */
    size_t name_length;
};
/* With the lock held.  directory: the text names one, or nothing, and is followed by a slash for the kernel. False:
 * nothing is known. */
bool view_find_way(pto_view *view, const struct cred *cred, const char *start, const char *text, struct location *loc,
                   struct view_way *way);

/* A directory that only the upper has. */
struct view_alone {
    uint32_t directory; /* with VIEW_ALONE; names in it that are not touched show as they lie there */
    bool lists; /* and so does the list of them */
    dev_t dev;
    ino_t ino;
};
/* Of where a walk has ended, with the lock held; real: its path, of PATH_MAX bytes.  False: it is none, or not known.
 * Holds until touch() tells of TOUCH_WAY. */
bool view_find_alone(pto_view *view, const struct location *loc, struct view_alone *alone, char *real);
/* Of where a walk has ended, to which the kernel comes by the same text: a directory that upper and lower have
 * together, in its real path in the upper what the upper has, directories apart, shows as it lies there but for names
 * that are touched in its number with VIEW_ALONE.  Whether it is there at all is the view's to say.  Holds as above. */
bool view_find_merged(pto_view *view, const struct location *loc, char *real);
/* The next one in a directory of loc's overlay, after the one returned before, 0: the first.  0: there is none. */
uint32_t view_next_alone(pto_view *view, const struct location *loc, uint32_t directory, uint32_t previous,
                         struct view_alone *alone);

/* Needs no lock. As long as this number stays what it was in a walk with loc->pass and loc->inside (and without
 * WALK_PARENT), another walk of the same path would end with the same. */
uint64_t view_changes(const pto_view *view, uint32_t missing);

#endif
