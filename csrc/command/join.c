/* join.c - a CMD that another process starts and brings into a run of ours: the supervisor's end of the channel.
 *
 * Rule: a guest that is gone has taken CMD with it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../process/descriptor.h"
#include "channel.h"
#include "inherited.h"
#include "record.h"

static int lost(struct run *run, int error) {
    return record_failure(run, PTO_STAGE_SETUP, error < 0 ? -error : EPROTO, "joining", NULL);
}

static int offer(struct run *run, const struct filter *filter, unsigned flags, bool listens) {
    struct join_offer *made = calloc(1, sizeof *made);
    if (!made)
        return -ENOMEM;
    *made = (struct join_offer){.head = {.kind = JOIN_OFFER, .value = getpid()},
                                .flags = flags,
                                .listens = listens,
                                .has_landlock = run->landlock >= 0};
    memcpy(&made->filter, filter, sizeof *filter);
    int error = channel_send(run->channel, made, sizeof *made, run->landlock);
    free(made);
    return error;
}

int join_start(struct run *run, const struct filter *filter, unsigned filter_flags, bool listens, struct start *start) {
    int fd = -1;
    *start = (struct start){.go = -1, .report = -1, .report_in = -1};
    join_wait(run);   /* of a trap that was tried before */
    int error = offer(run, filter, filter_flags, listens);
    union join_message *message = error ? NULL : malloc(sizeof *message);
    int kind = error ? error : message ? channel_receive(run->channel, message, &fd) : -ENOMEM;
    pid_t pid = kind == JOIN_CMD ? message->head.value : 0;
    struct join_answer answer = kind == JOIN_CMD ? message->answer : (struct join_answer){.stage = 0};
    free(message);
    bool good = pid > 0 && !answer.stage && listens == (fd >= 0);
    if (!good) {
        descriptor_close(&fd);
        return answer.stage ? record_failure(run, answer.stage, answer.error, "seccomp filter", NULL) : lost(run, kind);
    }
    run->awaited = true;
    start->pid = pid;
    inherited_note(run->view, pid);
    if (listens)
        return fd;
    start->go = fcntl(run->channel, F_DUPFD_CLOEXEC, 0);
    return start->go < 0 ? lost(run, -errno) : 0;
}

/* Of a CMD that was not let go the guest hears now, if it waits for that. */
void join_wait(struct run *run) {
    static const struct join_head stop = {.kind = JOIN_STOP};
    if (!run->awaited)
        return;
    run->awaited = false;
    int fd = -1;
    if (run->result->stage == PTO_STAGE_SETUP)
        (void)channel_send(run->channel, &stop, sizeof stop, -1);
    union join_message *message = malloc(sizeof *message);
    int kind = message ? channel_receive(run->channel, message, &fd) : -ENOMEM;
    if (kind == JOIN_END)
        run->result->status = message->head.value;
    else
        run->result->status = SIGKILL;   /* so does a guest that is gone end */
    if (kind == JOIN_END && message->answer.stage) {
        struct join_answer *answer = &message->answer;
        answer->message[sizeof answer->message - 1] = '\0';
        run->result->stage = answer->stage;
        run->result->error = answer->error;
        memcpy(run->result->message, answer->message, sizeof answer->message);
    }
    descriptor_close(&fd);
    free(message);
}

void join_result(struct run *run, int error) {
    struct join_result *message = calloc(1, sizeof *message);
    if (!message)
        return;   /* the guest finds the channel closed */
    *message = (struct join_result){.head = {.kind = JOIN_RESULT, .value = error}, .result = *run->result};
    (void)channel_send(run->channel, message, sizeof *message, -1);
    free(message);
}
