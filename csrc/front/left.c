/* left.c - tells what CMD leaves running.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "left.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../ptoverlay.h"
#include "text.h"

#define NAMED 3                    /* processes that a message names */
#define LONGEST 60                 /* characters of a command line in it */
#define NAME (LONGEST * 4 + 32)

/* Cuts it after `most` characters of UTF-8, the last of which is then an ellipsis. */
static void cut(char *text, size_t most) {
    size_t characters = 0, last = 0;
    for (size_t i = 0; text[i]; i++) {
        if (((unsigned char)text[i] & 0xc0) == 0x80)
            continue;
        if (++characters == most)
            last = i;
        else if (characters > most) {
            memcpy(text + last, "…", sizeof "…");
            return;
        }
    }
}

/* A process as a user knows it: its command line, or what is left of it in a line, and its id. */
static void name_of(int pid, char *name, size_t size) {
    char path[32], words[4096], shown[4096];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? 0 : read(fd, words, sizeof words - 1);
    if (fd >= 0)
        close(fd);
    while (length > 0 && !words[length - 1])
        length--;
    for (ssize_t i = 0; i < length; i++)
        words[i] = words[i] ? words[i] : ' ';
    words[length > 0 ? length : 0] = '\0';
    text_one_line(words, shown, sizeof shown - sizeof "…");
    cut(shown, LONGEST);
    snprintf(name, size, "%.*s%s(%d)", LONGEST * 4, shown, *shown ? " " : "", pid);
}

bool left_tell(const void *run, const char *command) {
    int found[NAMED];
    char names[(NAMED + 1) * (NAME + 8)] = "";
    int count = pto_left(run, found, NAMED);
    if (count <= 0)
        return false;
    int shown = count < NAMED ? count : NAMED, words = shown + (count > NAMED);
    size_t used = 0;
    for (int i = 0; i < words; i++) {
        char name[NAME];
        if (i < shown)
            name_of(found[i], name, sizeof name);
        else
            snprintf(name, sizeof name, "%d more", count - NAMED);
        const char *before = i == 0 ? "" : i == words - 1 ? " and " : ", ";
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", before, name);
    }
    text_report("%s: ended; %s %s still running (Ctrl-C ends %s, --kill-on-exit does so at once)", command, names,
                count == 1 ? "is" : "are", count == 1 ? "it" : "them");
    return true;
}
