/* nest_request.h - what a ptoverlay that runs inside a run asks the supervisor of that run: to serve its CMD as well.
 *
 * It asks by prctl(NEST_PRCTL, op, struct nest_request *, 0, 0), which is EINVAL where nobody traps it.  A process is a
 * member of a nest, and all that it starts, from NEST_ENTER on.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_NEST_REQUEST_H
#define PTOVERLAY_NEST_REQUEST_H

#include <stdint.h>

#define NEST_PRCTL 0x70746f76   /* "ptov"; no option of prctl(2) */

/* All return a value of 0 or more, or -errno, which a line of message explains where there is something to say. */
enum nest_op {
    NEST_PROBE,     /* 0: there is a supervisor that does all this */
    NEST_NEW,       /* a new nest: its id; who asks is its owner, and with him it ends */
    NEST_OVERLAY,   /* lays an overlay in it; data: struct nest_overlay and its strings; -EAGAIN: a layer is in use,
                     * perhaps by a nest whose owner has been killed, and will be free */
    NEST_PLACE,     /* makes data, a path, a place of `kind` (PTO_DIRECT …) */
    NEST_ENTER,     /* a child of the owner becomes a member; kind: PTO_STRICT or 0 */
    NEST_MEMBER,    /* the process id of a member that lives; 0: there is none */
    NEST_KILL,      /* SIGKILL to all members: how many there were */
    NEST_END,       /* the nest is no more; -EBUSY: it has members */
    NEST_OPS,
};

struct nest_request {
    uint32_t id;                /* of the nest */
    uint32_t kind;
    uint64_t data, size;        /* address and bytes of what the op takes */
    uint64_t message, room;     /* address and bytes for "what: why", 0: none */
};

/* As struct pto_overlay.  Strings, each ended by a NUL: the lowers, mount, upper and work. */
struct nest_overlay {
    uint32_t flags, n_lowers, n_data;
    uint32_t has_upper, has_work;
};
#define NEST_DATA_MAX (1u << 20)    /* bytes */

#endif
