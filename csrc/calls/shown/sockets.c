/* sockets.c - what AF_UNIX sockets are called, where the kernel has another name for them.
 *
 * Rules: the kernel tells the name that was given to bind(2), which for a socket in an overlay is not the one that the
 * tracee gave; the last name wins; the table is bounded, and the oldest name is forgotten first.  It is one for all
 * sessions of this process, since programs of several runs over one view connect to each other; what the kernel has is
 * a path of the host, so no two of them mean different sockets by it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../process/lock.h"
#include "sockets.h"

#define NAMES_MAX 4096u

struct name {
    struct name *next;
    struct address bound;
    struct address asked;
};

static struct lock lock = LOCK_INITIALIZER; /* of what follows */
static struct name *names;                  /* newest first */
static unsigned count;                      /* atomic */
static unsigned sessions;                   /* that are not over: any of them may have a peer of a name */

static bool same_address(const struct address *a, const struct address *b) {
    return a->length == b->length && memcmp(&a->un, &b->un, a->length) == 0;
}

static struct name **find_name(const struct address *bound) {
    HELD(&lock);
    struct name **at = &names;
    while (*at && !same_address(&(*at)->bound, bound))
        at = &(*at)->next;
    return at;
}

static void forget_name(struct name **at) {
    HELD(&lock);
    struct name *name = *at;
    *at = name->next;
    free(name);
    __atomic_sub_fetch(&count, 1, __ATOMIC_RELAXED);
}

static void forget_oldest(void) {
    struct name **at = &names;
    while ((*at)->next)
        at = &(*at)->next;
    forget_name(at);
}

int sockets_record(const struct address *bound, const struct address *asked) {
    struct name *name = malloc(sizeof *name);
    if (!name)
        return -ENOMEM;
    lock_take(&lock);
    struct name **known = find_name(bound);
    if (*known)
        forget_name(known);
    if (count == NAMES_MAX)
        forget_oldest();
    *name = (struct name){names, *bound, *asked};
    names = name;
    __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED);
    lock_leave(&lock);
    return 0;
}

bool sockets_find(const struct address *bound, struct address *asked) {
    lock_take(&lock);
    const struct name *name = *find_name(bound);
    if (name)
        *asked = name->asked;
    lock_leave(&lock);
    return name;
}

bool sockets_any(void) {
    return __atomic_load_n(&count, __ATOMIC_RELAXED);
}

void sockets_begin(void) {
    lock_take(&lock);
    sessions++;
    lock_leave(&lock);
}

void sockets_end(void) {
    lock_take(&lock);
    sessions--;
    while (!sessions && names)
        forget_name(&names);
    lock_leave(&lock);
}
