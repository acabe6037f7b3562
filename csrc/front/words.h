/* words.h - the command lines of a plain run.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_FRONT_WORDS_H
#define PTOVERLAY_FRONT_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#define PLACES 32
#define LOWERS 32

/* NULL, n_lowers 0: not given.  lowers: in lower_text; argv: CMD's words, ended by NULL. */
struct words {
    const char *lowers[LOWERS], *upper, *work, *mount, *chdir;
    size_t n_lowers;
    char lower_text[4096];
    bool quiet;
    int trap;
    unsigned flags;                /* PTO_KILL_ON_EXIT … */
    struct {
        int kind;
        const char *path;
    } places[PLACES];
    size_t n_places;
    char *const *argv;
};

/* Reads a command line; false when it asks for more than a plain run, or is wrong. */
bool words_read(char *const *argv, struct words *words);

#endif
