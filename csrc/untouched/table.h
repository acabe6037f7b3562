/* table.h - what stubs in tracees may answer: the memory that they read, and that the supervisor writes.
 *
 * Rules: whoever writes holds the view's lock; whoever looks whether something is there already need not.  What has no
 * room is not there, and is slow.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_UNTOUCHED_TABLE_H
#define PTOVERLAY_UNTOUCHED_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "layout.h"

struct table {
    struct stub_table *shared;
    struct stub_notes *notes;
    int image;              /* the code, and behind it the table: for tracees, who can only read it */
    int notes_image;        /* the notes: tracees write them */
    uint64_t learnt;        /* counts what was written that a stub did not know before */
    uint32_t questions;    /* questions that are noted in the table */
};

/* 0, or -errno.  Tracees must be able to read the code from address STUB_BASE on. */
int table_open(struct table *table, uint64_t options);
void table_close(struct table *table);
/* Of view_shown_twice(), before anybody has the table. */
void table_set_twice(struct table *table, const dev_t *devs, size_t count);

/* The name in the directory is about to show otherwise than the lower has it, or does. */
void table_touch(struct table *table, uint32_t directory, const char *name, size_t length);
/* No entry counts any more. */
void table_forget(struct table *table);
/* No inode that was seen counts any more. */
void table_forget_inodes(struct table *table);
void table_set_option(struct table *table, uint64_t option);

/* NULL: there is none that counts. */
const struct stub_entry *table_find(const struct table *table, uint32_t base, const char *text, size_t length);
const struct stub_entry *table_find_inode(const struct table *table, uint64_t dev, uint64_t ino);
/* need: of table_need(), or 0. */
void table_insert(struct table *table, uint32_t base, const char *text, size_t length, uint32_t directory,
                  uint64_t need);
/* The inode, no directory, shows as it is until table_forget_inodes(). */
void table_teach(struct table *table, uint64_t dev, uint64_t ino);
/* A directory that only the upper has, by a text and, if that does not lead there, its real path. */
void table_insert_own(struct table *table, uint32_t base, const char *text, size_t length, uint32_t directory,
                      const char *real);
/* … that upper and lower have together: the upper's part, of what is, or is going to be, in the table. */
void table_insert_merged(struct table *table, uint32_t base, const char *text, size_t length, uint32_t directory,
                         const char *real);
/* … by what it is; lists: the list of it may be shown, too. */
void table_insert_inode(struct table *table, uint64_t dev, uint64_t ino, uint32_t directory, bool lists);
/* A directory that the lower has, by what its part is that the kernel has come to: the lower's, or else the upper's,
 * and then the lower's path. */
void table_insert_part(struct table *table, uint64_t dev, uint64_t ino, uint32_t directory, const char *real);
uint64_t table_need(uint32_t directory, const char *name, size_t length);

/* A question of stub_question() has been recorded: stubs may answer it from now on. */
void table_note(struct table *table, uint64_t question);

/* Has a stub opened this file, or is about to? */
bool table_opened(const struct table *table, uint64_t dev, uint64_t ino);
/* Calls that were answered inside, with STUB_COUNTS. */
uint64_t table_answered(const struct table *table, int nr);

#endif
