/* texts.c - files of /proc and /sys that tell of the machine, and what they tell a build.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../view/view.h"
#include "../call.h"
#include "../scratch.h"
#include "../session.h"
#include "../shown/maps.h"
#include "fixed.h"
#include "machine.h"
#include "random.h"
#include "texts.h"

#define UUID_SIZE 38

static const struct {
    const char *path;
    unsigned needs;     /* PTO_BUILD_* */
    const char *text;   /* NULL: a number that never comes again (RFC 9562) */
} texts[] = {
    {"/proc/sys/kernel/random/uuid", PTO_BUILD_RANDOM, NULL},
    {"/proc/sys/kernel/random/boot_id", PTO_BUILD_RANDOM, "00000000-0000-4000-8000-000000000000\n"},
    {"/proc/cpuinfo", PTO_BUILD_MACHINE,
     "processor\t: 0\nvendor_id\t: unknown\nmodel name\t: unknown\ncpu cores\t: 1\nflags\t\t:\n\n"},
    {"/proc/meminfo", PTO_BUILD_MACHINE,
     "MemTotal:        4194304 kB\nMemFree:         2097152 kB\nMemAvailable:    2097152 kB\n"
     "Buffers:               0 kB\n"
     "Cached:                0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n"},
    {"/proc/uptime", PTO_BUILD_CLOCK, "1.00 1.00\n"},
    {"/proc/loadavg", PTO_BUILD_MACHINE, "0.00 0.00 0.00 1/1 1\n"},
    {"/proc/stat", PTO_BUILD_MACHINE, "cpu  0 0 0 100 0 0 0 0 0 0\ncpu0 0 0 0 100 0 0 0 0 0 0\nbtime 0\nprocesses 1\n"},
    {"/proc/version", PTO_BUILD_MACHINE, "Linux version " MACHINE_KERNEL " " MACHINE_VERSION "\n"},
    {"/proc/sys/kernel/hostname", PTO_BUILD_OTHER_HOST, MACHINE_OTHER_NAME "\n"},
    {"/proc/sys/kernel/hostname", PTO_BUILD_MACHINE, MACHINE_NAME "\n"},
    {"/proc/sys/kernel/osrelease", PTO_BUILD_MACHINE, MACHINE_KERNEL "\n"},
    {"/proc/sys/kernel/version", PTO_BUILD_MACHINE, MACHINE_VERSION "\n"},
    {"/sys/devices/system/cpu/online", PTO_BUILD_MACHINE, "0\n"},
    {"/sys/devices/system/cpu/possible", PTO_BUILD_MACHINE, "0\n"},
    {"/sys/devices/system/cpu/present", PTO_BUILD_MACHINE, "0\n"},
    {"/etc/hostname", PTO_BUILD_OTHER_HOST, MACHINE_OTHER_NAME "\n"},
    {"/etc/hostname", PTO_BUILD_MACHINE, MACHINE_NAME "\n"},
    {"/etc/machine-id", PTO_BUILD_MACHINE, "00000000000040008000000000000000\n"},
};

static size_t make_uuid(struct call *call, char out[UUID_SIZE]) {
    unsigned char b[16];
    random_take(call, b, sizeof b);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);   /* version 4 … */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);   /* … of RFC 9562's variant */
    return (size_t)snprintf(out, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x\n",
                            b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
                            b[14], b[15]);
}

bool texts_plan(struct call *call, int flags) {
    char uuid[UUID_SIZE];
    const struct fixed *fixed = call->session->fixed;
    const struct location *loc = &call->scratch->loc[0];
    if (!fixed || loc->type != S_IFREG || loc->upper || loc->hidden || loc->slash)
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(loc->path, texts[i].path) != 0 || !(fixed->switches & texts[i].needs))
            continue;
        const char *text = texts[i].text ? texts[i].text : uuid;
        size_t length = texts[i].text ? strlen(text) : make_uuid(call, uuid);
        return maps_plan_text(call, text, length, flags);
    }
    return false;
}
