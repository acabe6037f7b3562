/* upper.h - how the upper comes to have an object, and loses it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_VIEW_UPPER_UPPER_H
#define PTOVERLAY_VIEW_UPPER_UPPER_H

#include "../layers/layers.h"

/* work.c: the work directory */
void work_name(struct overlay *ovl, char out[WORK_NAME]);
/* Settles what a killed run has noted: calls it for each name in the work directory with this ending, until it
 * fails. */
int work_notes(struct overlay *ovl, const char *ending, int (*settle)(struct overlay *ovl, const char *note));
/* Removes what is left in the work directory under this name, if anything. */
void work_remove(struct overlay *ovl, const char *name);
/* An object in the work directory that goes away unless it was put where it belongs. */
struct work_object {
    struct overlay *ovl;
    char name[WORK_NAME]; /* "": nothing to remove */
};
void work_object_drop(struct work_object *object);
#define WORK_OBJECT __attribute__((cleanup(work_object_drop))) struct work_object
void work_object_init(struct overlay *ovl, struct work_object *object);
/* Removes what name is, with all below it. */
int work_remove_tree(int dirfd, const char *name);
int work_remove_children(int dir);

/* loan.c: an ordinary user's own directory gets write permission for a moment. */
struct loan {
    const struct overlay *ovl;
    bool taken;
    int fd; /* the borrower's */
    mode_t mode; /* to give back */
    char note[WORK_NAME + 8]; /* in the work directory */
};
#define LOAN_NOTE ".lent"
/* fd: the directory; path: where in the upper it is, or will be when the loan ends. 0 when it needs none. */
int loan_take(const struct overlay *ovl, int fd, const char *path, struct loan *loan);
void loan_end(struct loan *loan);
/* Gives back what a killed run borrowed. */
int loan_settle(struct overlay *ovl, const char *note);
#define LOAN __attribute__((cleanup(loan_end))) struct loan

/* private_set.c: private attributes, of the upper. name is without the prefix. -errno. */
int private_set(const struct overlay *ovl, int fd, const char *name, const void *value, size_t size);
int private_remove(const struct overlay *ovl, int fd, const char *name);
/* All but private attributes, between descriptors (O_PATH will do). */
int private_copy(const struct overlay *ovl, int from, int to);
/* Puts it into the table and, where the file system can hold it, beside the object. */
/* Of a mode that is shown with an owner or a group that the upper's object cannot have, what that itself gets: nobody
 * of the host has more by it than he has in the view, and we can work with it. */
mode_t private_own_mode(int fd, const struct stat *st, const struct shown *shown);
int private_store_shown(struct overlay *ovl, int fd, const struct shown *shown);

/* base.c: the name is about to be the upper's; a text that the last lower shows there is kept, if it is to be. */
void base_keep(struct overlay *ovl, uint32_t d);

/* upper.c */
/* An upper directory that is being changed: quietly. */
struct upper_dir {
    struct overlay *ovl;
    uint32_t d;
    int fd; /* O_PATH; -1: not open */
    struct loan loan;
    struct quiet quiet;
};
int upper_dir_open(struct overlay *ovl, uint32_t d, struct upper_dir *dir);
void upper_dir_close(struct upper_dir *dir);
#define UPPER_DIR __attribute__((cleanup(upper_dir_close))) struct upper_dir
/* No directory stays open from the last change. */
void upper_last_close(struct overlay *ovl);
enum putting {
    PUT_NEW, /* the upper has nothing there */
    PUT_OVER, /* replaces a whiteout or a file with what is no directory */
    PUT_EXCHANGE, /* a directory, or what replaces one: what was there is removed afterwards */
};
/* Moves name in dirfd to the work directory, from where the object's scope removes it. */
int upper_take(struct work_object *object, int dirfd, const char *name);
/* Moves the object from the work directory to name in dirfd, and forgets it there. */
int upper_put(struct work_object *object, int dirfd, const char *name, enum putting putting);
void upper_keep_times(int dirfd, struct timespec times[2]);
void upper_restore_times(int dirfd, const struct timespec times[2]);
/* fsync(2), unless nobody will look at the upper after a crash. */
int upper_sync(const struct overlay *ovl, int fd);

/* whiteout.c */
/* Marks an upper directory. -errno. */
int whiteout_opaque(const struct overlay *ovl, int fd);
/* Before a whiteout is moved to a directory of the upper. */
int whiteout_expect(const struct overlay *ovl, int dirfd);
/* Whites out a name of an upper (or the work) directory that has nothing there. */
int whiteout_make(const struct overlay *ovl, int dirfd, const char *name);
/* Makes one in the work directory. */
int whiteout_in_work(struct overlay *ovl, struct work_object *object);
/* Takes an object of the upper away, and with `whiteout` hides the name in the same step. */
int whiteout_replace(struct overlay *ovl, int dirfd, const char *name, bool directory, bool whiteout);
/* After an object was put where a whiteout was: removes the whiteout if it stands beside it. */
int whiteout_drop_dot(const struct overlay *ovl, int dirfd, const char *name);
/* Removes the whiteouts that an upper directory, fd, still holds. */
int whiteout_clear(struct overlay *ovl, uint32_t d, int fd);
int whiteout_choose_form(struct overlay *ovl);
void whiteout_close(const struct overlay *ovl);

/* watches.c: calls on the upper that watches hear as what happens in the view */
#define BARE_NOTE ".bare"
/* Removes the object by one call that is heard; false: nobody watches, or it takes more. */
bool watches_take_away(const struct upper_dir *dir, const char *name, bool directory);
/* Removes a directory that shows nothing, and leaves a whiteout or not. */
int watches_remove_dir(const struct upper_dir *dir, const char *name, uint32_t d, bool whiteout);
/* The name in dir is gone from the view, unseen by those who watch; with `whiteout` it is one now. */
int watches_tell_removed(const struct upper_dir *dir, const char *name, bool directory, bool whiteout);
/* upper_put() of an object that is new in the view. */
int watches_put(struct work_object *object, const struct upper_dir *dir, const char *name, enum putting putting,
                bool directory);
/* Takes a whiteout away for a call that puts something there, which watches_bare_over() follows. */
int watches_bare(const struct upper_dir *dir, const char *name, char note[WORK_NAME + 8]);
void watches_bare_over(const struct upper_dir *dir, const char *note);
/* A name that a killed run left bare gets its whiteout. */
int watches_settle(struct overlay *ovl, const char *note);

/* quota.c: what the uppers may take */
/* What an object counts for. */
uint64_t quota_of(mode_t mode, uint64_t size);
/* Something comes to be in the upper, or grows: 0, or -ENOSPC, which is counted. */
int quota_take(const struct overlay *ovl, uint64_t bytes);
void quota_give(const struct overlay *ovl, uint64_t bytes);
/* A file of the upper is about to get another size.  0, or -ENOSPC. */
int quota_resize(const struct overlay *ovl, const struct stat *st, uint64_t size);
/* The last name of an object of the upper is gone. */
void quota_gone(const struct overlay *ovl, const struct statx *stx);
static inline bool quota_counts(const struct overlay *ovl) {
    return ovl->view->quota.limit != 0;
}
void quota_clear(pto_view *view);

/* data.c */
/* Moves data inside the kernel where that can be, holes stay, and sets the size. whole: a reflink will do. */
int data_copy(struct overlay *ovl, int in, int out, off_t size, bool whole);

/* copy_ahead.c: large files */
/* The filled copy of the open lower file, a descriptor without a name; -VIEW_AGAIN; -ENODATA: to be copied by the
 * caller. */
int copy_ahead_take(struct overlay *ovl, int in);
void copy_ahead_free(pto_view *view);
void copy_ahead_forget(const struct overlay *ovl);
/* Is somebody copying for it, without the lock? */
bool copy_ahead_fills(const struct overlay *ovl);

/* opened.c: descriptors of lower files */
/* Somebody is about to open it where the lower has it. */
void opened(struct overlay *ovl, uint32_t d);
/* Its data has been copied from the lower file, a descriptor of ours … */
void opened_copied(struct overlay *ovl, uint32_t d, int lower);
/* … and the copy has its name in the upper: from now on view_take_copies() has it, if the lower file was opened. */
void opened_put(struct overlay *ovl, uint32_t d);

/* metacopy.c: files without data of their own */
/* Gives an upper file its own data, or the first `keep` bytes of it. */
int metacopy_fill(struct overlay *ovl, uint32_t d, off_t keep);
/* Makes fd, the new copy of d, one. */
int metacopy_mark(struct overlay *ovl, uint32_t d, int fd, const struct statx *stx);
/* Before an upper file gets another name: says in a redirect where its data stays. */
int metacopy_pin(struct overlay *ovl, uint32_t d);

/* links.c: hard links of lower files */
/* Reads what an earlier run left. */
int links_open(struct overlay *ovl);
/* Before a lower file with more than one name is copied up. lower: what the lower has.  *left: the number of its names
 * that the view shows, 0 when it is to be copied as if it had one; else name (LINKED_NAME bytes) is where in ovl->links
 * it goes. */
int links_begin(struct overlay *ovl, const struct statx *lower, char *name, unsigned *left);
/* Puts that number on the copy, before it gets its name there. */
int links_mark(const struct overlay *ovl, int fd, unsigned left);
/* The copy has its name there; links_join() gives it the one in the upper. */
int links_copied(struct overlay *ovl, const struct statx *lower, const char *name, unsigned left);
/* The copy of a lower name, if another name of it was copied up; else NULL. */
int links_copy_of(struct overlay *ovl, uint32_t d, struct shared **copy);
/* Where nothing may be changed the copy is used where it is. */
int links_stand_for(struct overlay *ovl, uint32_t d);
/* Gives the name its upper object; its directory is in the upper. */
int links_join(struct overlay *ovl, uint32_t d, struct shared *copy);
/* Before a name that only a lower has is replaced, so that a crash loses no count. */
int links_removing(struct overlay *ovl, uint32_t d, const struct statx *lower);
/* A name went away; stx: from before. */
void links_removed(struct overlay *ovl, const struct statx *stx, bool upper);

/* closed.c */
/* Before a fake root reads what nothing is above of: what only root may look into gets an empty copy where nothing is
 * lost by that (a directory, of which nothing is known, and an empty file); else -EACCES. */
int closed_open(struct overlay *ovl, uint32_t d);

/* copy_up.c */
#define KEEP_ALL (-1)
#define KEEP_NONE_YET (-2) /* with metacopy: the data may stay below; else like KEEP_ALL */
/* Makes the object exist in the upper, with its data, or only its first `keep` bytes, or KEEP_*. */
int copy_up(struct overlay *ovl, uint32_t d, off_t keep);
/* Makes sure that a directory of the view exists in the upper. */
int copy_up_dir(struct overlay *ovl, uint32_t d);

/* entry.c */
/* lookup(), and a lower name whose file was copied up under another name is in the upper afterwards. */
int entry_lookup(struct overlay *ovl, uint32_t d, const char *name, size_t length, uint32_t *out);
/* The entry of the name that loc is about, existing or not, with the lowers asked once more. */
int entry_locate(const struct location *loc, uint32_t *d);

#endif
