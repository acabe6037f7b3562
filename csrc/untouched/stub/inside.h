/* inside.h - the stub as its parts know it: the call, the memory, and what each part does for the others.
 *
 * Rules of all of them: no C library, general registers only, nothing written but the state, the notes and the little
 * stack that is used; a signal handler may leave by siglongjmp at any instruction.  What knows the machine's registers
 * is its own file and nothing else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_STUB_INSIDE_H
#define PTOVERLAY_UNTOUCHED_STUB_INSIDE_H

#include <asm/errno.h>
#include <asm/fcntl.h>
#include <asm/stat.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "../layout.h"

#define PATH_ROOM STUB_PATH

typedef unsigned long word;

/* As the entry has pushed it.  nr: what the call returns, once it is answered. */
struct frame {
    word nr, arg[6];
};

/* x86_64.c … */
long stub_pass(long nr, word a, word b, word c, word d, word e); /* the filter lets it pass */
long stub_ask(long nr, word a, word b, word c, word d, word e);  /* it is trapped */
long stub_map(word address, word size, word protection, word flags, long fd, word offset);

/* boot.c.  0, or not: then what was mapped here is gone again, and what the program has there is as it was. */
long stub_map_all(long table, long notes, long report);

/* A call in the form that has them all: newfstatat for stat.  out: what it writes to; mode: also what is asked for. */
struct request {
    word nr;
    int fd;
    const char *text;
    word out, size, flags, mode;
    const char *name; /* of an attribute */
    struct moved *moved;
    int is_moved;     /* text is of `moved` already */
};

/* Where the call's text leads, if the kernel does not come there by it. */
struct moved {
    const char *real, *name; /* real: NULL: not found */
    uint32_t real_length, name_length;
    word generation, touched; /* touched: of the name, 0: there is none */
    int shown; /* whose it is */
    int merged; /* the upper's part of a directory: what is not there may be, and directories show otherwise */
};

/* request.c.  0: it is none that is answered here. */
int request_of(const struct frame *frame, struct request *request);

/* calls.c.  1: frame->nr is what the call returns; 0: it is to be made, and trapped. */
long stub_decide(struct frame *frame);
/* 1: the call returns *value. */
int answer(struct request *request, long *value);

/* compare.c.  0: now it is the supervisor's to answer. */
int compare(const struct frame *frame, struct request *request, long *value);

/* inodes.c */
/* Can the view not show it otherwise?  Whiteouts of all forms, files of which another name was changed. */
int is_ordinary(const struct stat *st, int shown);
void note_seen(const struct stat *st, word inodes, int shown);
int was_seen(const struct stat *st, int shown);
/* The same of a directory and of all that leads to it. */
void note_way(const struct stat *st, word inodes, word generation);
int was_way(const struct stat *st, word generation);
/* It shows as it is, whatever it is. */
int was_taught(const struct stat *st);
int stat_descriptor(int fd, struct stat *st);
void note_opened(const struct stat *st);
void note_opened_bit(uint32_t bit);

/* copy.c */
/* Where the kernel is to write what the call tells: into the program's memory, or into room, from where copy_out()
 * brings it there.  0: not the whole of that can be written to. */
void *write_to(word to, void *room);
int copy_out(word to, const void *from, uint32_t size);
/* Does it lie whole on the page of our own stack that is in use? */
int is_on_page(word at, word size);
/* Can it be read, and ends it in the page that it begins in? */
int can_read(const char *text);

/* shown.c */
/* A call about a path, from before it is made. */
struct asked {
    const struct request *request;
    int fd;
    const char *text;
    word inodes;
    struct stub_cwd cwd;
    word name;  /* after may_show(): of the last name and the directory that it is in, 0: not known */
    word generation; /* … in which it was asked */
};
void asked_begin(struct asked *asked, const struct request *request);
/* Is what the call names, and the kernel has read, as it shows?  whole: it is a symlink that is followed.  NOT_SHOWN
 * too where request->moved then says where it is. */
enum { NOT_SHOWN, SHOWN_LOWER, SHOWN_OWN };
int may_show(struct asked *asked, int whole);
/* The same of a directory that the kernel has come to by a path without a symlink at its end: it has one name, so who
 * has come there by a descriptor and a name before need not ask what directory the descriptor is of. */
int may_show_directory(struct asked *asked, const struct stat *st);
/* Is the current directory called by the kernel as it shows? */
int may_show_current(const struct asked *asked);
/* The directory that only the upper has, if the table has it. */
const struct stub_entry *find_inode(const struct stat *st, word generation);
/* The same name was found to be no symlink, and ordinary; now it is. */
int is_plain(const struct asked *asked);
/* … a file of one name, and what note_opened_bit() takes of it; 0: it is not known to be one. */
word plain_file(const struct asked *asked);
void note_plain(const struct asked *asked, const struct stat *st);

#define TABLE ((const struct stub_table *)STUB_TABLE)
#define STATE ((struct stub_state *)STUB_STATE)
#define CWD ((const volatile struct stub_cwd *)STUB_CWD)
#define NOTES ((struct stub_notes *)STUB_NOTES)

static inline word load_word(const uint64_t *at) {
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

/* Where in what is used of an array that grows. */
static inline word place_in(const struct stub_growth *growth, word hash) {
    return hash & (((word)STUB_FIRST << __atomic_load_n(&growth->doubled, __ATOMIC_RELAXED)) - 1);
}

/* One more is noted there.  most: words of the array. */
static inline void grow(struct stub_growth *growth, word most) {
    uint32_t noted = __atomic_load_n(&growth->noted, __ATOMIC_RELAXED) + 1;
    uint32_t doubled = __atomic_load_n(&growth->doubled, __ATOMIC_RELAXED);
    word size = (word)STUB_FIRST << doubled;
    __atomic_store_n(&growth->noted, noted, __ATOMIC_RELAXED);
    if (noted > size / 2 && size < most)
        __atomic_store_n(&growth->doubled, doubled + 1, __ATOMIC_RELAXED);
}

static inline long close_again(long fd) {
    return stub_ask(__NR_close, (word)fd, 0, 0, 0, 0);
}

#endif
