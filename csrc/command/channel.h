/* channel.h - what a supervisor and the guest who starts CMD for it say to each other (join.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_CHANNEL_H
#define PTOVERLAY_CHANNEL_H

#include <stdint.h>

#include "../ptoverlay.h"
#include "filter.h"

enum join_kind { JOIN_STOP, JOIN_OFFER, JOIN_CMD, JOIN_END, JOIN_RESULT, JOIN_GO };

/* Not of JOIN_GO, which start_go() sends: that is one byte.  STOP: CMD will not go. */
struct join_head {
    uint32_t kind;
    int32_t value; /* OFFER: the supervisor's process id; CMD: its id; END: its wait status; RESULT: 0 or -errno */
};

struct join_offer {
    struct join_head head;
    uint32_t flags;
    uint8_t listens, has_landlock;
    struct filter filter;
};

struct join_answer {
    struct join_head head;
    int32_t stage, error; /* END: why it never was the command */
    char message[1024];
};

struct join_result {
    struct join_head head;
    struct pto_result result;
};

union join_message {
    struct join_head head;
    struct join_offer offer;
    struct join_answer answer;
    struct join_result result;
};

/* fd: goes along, -1: none.  0, or -errno. */
int channel_send(int channel, const void *message, size_t size, int fd);
/* The kind of the next message, or -errno; -EPIPE: the peer is gone.  *fd: what came along, -1: nothing. */
int channel_receive(int channel, union join_message *message, int *fd);

#endif
