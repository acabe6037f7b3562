/* guest.c - CMD is started here and brought into a run of another process's: the guest's end of the channel.
 *
 * Rules: we are CMD's parent, and so the one who waits for it; when the supervisor is gone we give up, and CMD with us.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../process/descriptor.h"
#include "channel.h"
#include "join.h"
#include "record.h"
#include "slot.h"
#include "stop.h"

/* While it is stopped so are we. */
static int wait_for_cmd(pid_t cmd) {
    int status;
    for (;;) {
        pid_t pid = waitpid(cmd, &status, WUNTRACED | __WALL);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return SIGKILL;
        if (!WIFSTOPPED(status))
            return status;
        if (WSTOPSIG(status) != SIGSTOP)
            stop_with_cmd(cmd, WSTOPSIG(status), WEXITED | WCONTINUED);
    }
}

struct guest {
    struct run *run;
    struct start start;
    union join_message *message;    /* the last one */
    int fd;                         /* what came along with it */
    int kind;
};

static int next_message(struct guest *guest) {
    descriptor_close(&guest->fd);
    guest->fd = -1;
    return guest->kind = channel_receive(guest->run->channel, guest->message, &guest->fd);
}

/* Tells of CMD; false: the supervisor is gone. */
static bool tell_cmd(const struct guest *guest, int listener) {
    struct join_answer answer = {.head = {.kind = JOIN_CMD, .value = guest->start.pid},
                                 .stage = guest->run->result->stage,
                                 .error = guest->run->result->error};
    return channel_send(guest->run->channel, &answer, sizeof answer, listener) == 0;
}

enum beginning { BEGAN, BEGAN_NOT, WAS_STOPPED };  /* STOPPED: there is one, of which the end is to be told */

static enum beginning start_listener(struct guest *guest) {
    const struct join_offer *offer = &guest->message->offer;
    int listener = start_listening(guest->run, &offer->filter, offer->flags, &guest->start);
    bool told = tell_cmd(guest, listener);
    if (listener >= 0)
        close(listener);
    return listener < 0 ? BEGAN_NOT : told ? BEGAN : WAS_STOPPED;
}

static enum beginning start_tracee(struct guest *guest) {
    const struct join_offer *offer = &guest->message->offer;
    const struct start_filter entered = {.filter = &offer->filter, .flags = offer->flags, .report = -1};
    bool made = start_fork(guest->run, start_enter_filter, &entered, &guest->start) == 0;
    if (!tell_cmd(guest, -1) || !made)
        return made ? WAS_STOPPED : BEGAN_NOT;
    return next_message(guest) == JOIN_GO && start_go(&guest->start) == 0 ? BEGAN : WAS_STOPPED;
}

static void tell_end(struct guest *guest, int status) {
    const struct pto_result *result = guest->run->result;
    struct join_answer answer = {
        .head = {.kind = JOIN_END, .value = status}, .stage = result->stage, .error = result->error};
    memcpy(answer.message, result->message, sizeof answer.message);
    (void)channel_send(guest->run->channel, &answer, sizeof answer, -1);
}

static enum beginning begin_cmd(struct guest *guest) {
    struct run *run = guest->run;
    const struct join_offer *offer = &guest->message->offer;
    run->host = offer->head.value;
    run->landlock = offer->has_landlock ? guest->fd : -1;
    guest->fd = -1;
    enum beginning began = offer->listens ? start_listener(guest) : start_tracee(guest);
    if (run->landlock >= 0)
        close(run->landlock);
    run->landlock = -1;
    return began;
}

/* One offer: CMD from its fork to its end. */
static void serve_offer(struct guest *guest) {
    struct run *run = guest->run;
    memset(run->result, 0, sizeof *run->result);
    enum beginning began = begin_cmd(guest);
    if (began == BEGAN && slot_announce(run->slot, &guest->start) < 0)
        began = WAS_STOPPED;
    if (began != BEGAN && guest->start.pid)
        (void)kill(guest->start.pid, SIGKILL);
    int status = guest->start.pid ? wait_for_cmd(guest->start.pid) : 0;
    if (began == BEGAN) {
        slot_cmd_ended(run->slot, 0, NULL, 0);
        (void)start_outcome(run, &guest->start);
    }
    if (began != BEGAN_NOT)
        tell_end(guest, status);
    start_close(&guest->start);
}

static int take_result(struct guest *guest) {
    struct run *run = guest->run;
    *run->result = guest->message->result.result;
    run->result->message[sizeof run->result->message - 1] = '\0';
    return guest->message->head.value;
}

static int talk(struct guest *guest) {
    while (next_message(guest) == JOIN_OFFER || guest->kind == JOIN_STOP)
        if (guest->kind == JOIN_OFFER)
            serve_offer(guest);
    if (guest->kind == JOIN_RESULT)
        return take_result(guest);
    return record_failure(guest->run, PTO_STAGE_SETUP, guest->kind < 0 ? -guest->kind : EPROTO,
                          "the sandbox's supervisor", "it has ended");
}

int join_guest(struct run *run) {
    struct guest guest = {.run = run, .start = {.go = -1, .report = -1, .report_in = -1}, .fd = -1};
    guest.message = malloc(sizeof *guest.message);
    if (!guest.message)
        return record_failure(run, PTO_STAGE_SETUP, ENOMEM, "joining", NULL);
    int error = talk(&guest);
    descriptor_close(&guest.fd);
    slot_forget_left(run->slot);
    free(guest.message);
    return error;
}
