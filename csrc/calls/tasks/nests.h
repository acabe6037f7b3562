/* nests.h - the nests of a session: for nest.c, and for who makes them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NESTS_H
#define PTOVERLAY_NESTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../view/view.h"

struct call;
struct session;

struct nest {
    struct nest *next;
    struct session *session;
    struct nest *parent; /* NULL: in the run's own view */
    pto_view *view; /* NULL: it is over */
    char *root; /* in the view, VIEW_PATH_MAX bytes; NULL: it is no root */
    unsigned id, flags;
    uint64_t mark;
    unsigned users; /* its owner, calls under way, in it or about it, nests in it */
    pid_t owner; /* a process */
    int pidfd; /* of it */
    int wake; /* the watcher is to end */
    bool watched;
    uint64_t begins_as; /* a mount namespace: the mark of its first member */
    bool begins; /* … atomic: nobody is in it yet … */
    bool empty; /* atomic: a mount namespace, which has no owner: it has ended with the last of its members */
    pthread_t watcher;
};
/* Under the session's lock; by id.  NULL: there is none, or it is over. */
struct nest *nests_find(struct session *session, unsigned id);
/* Under the session's lock; NULL is nothing. */
struct nest *nests_take(struct nest *nest);
void nests_put(struct nest *nest);

struct member_search {
    struct nest *nest;
    int signal; /* 0: the first one is enough */
    int count;
    pid_t found;
};
/* Who is in it, or in one that is in it; all of them get the signal. */
struct member_search nests_members(struct nest *nest, int signal);

/* 0: there are marks for new ones; -errno. */
int nests_choose_mark(struct session *session);
/* From here on it is the session's; the caller holds it. Its id. */
unsigned nests_enlist(struct nest *nest);
/* Frees those that are over. */
void nests_sweep(struct session *session);
/* It ends with its owner. 0, -errno. */
int nests_start_watching(struct nest *nest);
/* Ends the watcher: true if it has not given up the owner's part, which is then the caller's to give up. */
bool nests_stop_watching(struct nest *nest);
/* A root (chroot(2)) in the call's view, held by the caller; NULL: out of memory. */
struct nest *nests_new_root(struct call *call, struct nest *parent, const char *path);
/* The roots in a nest that is over, whose members have ended. */
void nests_put_roots(struct nest *nest);

#endif
