/* upper.h - how the upper comes to have an object, and loses it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_UPPER_UPPER_H
#define PTOVERLAY_VIEW_UPPER_UPPER_H

#include "../overlay.h"

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
int fd_beneath(int dirfd, const char *path, int flags);
/* The topmost object of an entry, O_PATH and not following. */
int backing_open(const struct overlay *ovl, uint32_t d);
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
/* fd_beneath() of a directory for reading, unheard. */
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
int backing_last_dir(const struct overlay *ovl, uint32_t d);
void last_dir_close(struct overlay *ovl);
void upper_dir_close(struct upper_dir *dir);
#define UPPER_DIR __attribute__((cleanup(upper_dir_close))) struct upper_dir
void work_name(struct overlay *ovl, char out[WORK_NAME]);
/* Settles what a killed run has noted: calls it for each name in the work directory with this ending, until it fails. */
int work_notes(struct overlay *ovl, const char *ending, int (*settle)(struct overlay *ovl, const char *note));
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
void keep_times(int dirfd, struct timespec times[2]);
void restore_times(int dirfd, const struct timespec times[2]);
/* fsync(2), unless nobody will look at the upper after a crash. */
int sync_object(const struct overlay *ovl, int fd);
void fd_close(const int *fd);
#define CLOSE_FD __attribute__((cleanup(fd_close))) int

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

#endif
