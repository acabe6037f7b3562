/* files.h - the descriptor tables of tracees: who shares one (files_struct of the kernel, CLONE_FILES).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FILES_H
#define PTOVERLAY_FILES_H

#include <stdbool.h>

struct tracee;

struct files {
    unsigned users;
    unsigned look;              /* the look (replacing.c) that has seen it last … */
    unsigned stale;             /* … and how many stale descriptors it had then */
    bool counted;               /* … and in this look they have been */
    bool late;                  /* who was asked to replace them does not stop */
    struct tracee *candidate;   /* replacing.c: who might replace them, the best until now */
};

struct files *files_new(void);                  /* one user; NULL: no memory */
struct files *files_share(struct files *files); /* NULL is fine */
void files_drop(struct files *files);           /* one user less; NULL is fine */

#endif
