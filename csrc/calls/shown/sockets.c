/* sockets.c - what AF_UNIX sockets are called, where the kernel has another name for them.
 *
 * Rules: the kernel tells the name that was given to bind(2), which for a socket in an overlay is not the one that the
 * tracee gave; the last name wins; the table is bounded, and the oldest name is forgotten first.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../session.h"
#include "sockets.h"

#define NAMES_MAX 4096u

struct name {
    struct name *next;
    struct address bound;
    struct address asked;
};

struct sockets {
    struct name *names;     /* newest first */
    unsigned count;
};

static bool same_address(const struct address *a, const struct address *b) {
    return a->length == b->length && memcmp(&a->un, &b->un, a->length) == 0;
}

static struct name **find_name(struct sockets *sockets, const struct address *bound) {
    struct name **at = &sockets->names;
    while (*at && !same_address(&(*at)->bound, bound))
        at = &(*at)->next;
    return at;
}

static void forget_name(struct sockets *sockets, struct name **at) {
    struct name *name = *at;
    *at = name->next;
    free(name);
    sockets->count--;
}

static void forget_oldest(struct sockets *sockets) {
    struct name **at = &sockets->names;
    while ((*at)->next)
        at = &(*at)->next;
    forget_name(sockets, at);
}

int sockets_record(struct session *session, const struct address *bound, const struct address *asked) {
    struct name *name = malloc(sizeof *name);
    lock_take(&session->lock);
    if (!session->sockets)
        session->sockets = calloc(1, sizeof *session->sockets);
    struct sockets *sockets = session->sockets;
    if (name && sockets) {
        struct name **known = find_name(sockets, bound);
        if (*known)
            forget_name(sockets, known);
        if (sockets->count == NAMES_MAX)
            forget_oldest(sockets);
        *name = (struct name){sockets->names, *bound, *asked};
        sockets->names = name;
        sockets->count++;
        name = NULL;
    }
    lock_leave(&session->lock);
    free(name);
    return sockets ? 0 : -ENOMEM;
}

bool sockets_find(struct session *session, const struct address *bound, struct address *asked) {
    bool found = false;
    lock_take(&session->lock);
    if (session->sockets) {
        const struct name *name = *find_name(session->sockets, bound);
        found = name;
        if (found)
            *asked = name->asked;
    }
    lock_leave(&session->lock);
    return found;
}

bool sockets_any(struct session *session) {
    lock_take(&session->lock);
    bool any = session->sockets && session->sockets->names;
    lock_leave(&session->lock);
    return any;
}

void sockets_clear(struct session *session) {
    while (session->sockets && session->sockets->names)
        forget_name(session->sockets, &session->sockets->names);
    free(session->sockets);
    session->sockets = NULL;
}
