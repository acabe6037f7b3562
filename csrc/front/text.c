/* text.c - lines for a person on standard error.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE
#include "text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE 4096u

/* Code points that are not shown, or that change how others are: controls, marks of direction, separators, surrogates,
 * what is private or no character (UnicodeData.txt, categories C and Z). */
static const struct {
    uint32_t first, last;
} hidden[] = {
    {0, 0x1f},        {0x7f, 0xa0},       {0xad, 0xad},     {0x600, 0x605},   {0x61c, 0x61c},   {0x6dd, 0x6dd},
    {0x70f, 0x70f},   {0x890, 0x891},     {0x8e2, 0x8e2},   {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f},
    {0x2028, 0x202f}, {0x205f, 0x206f},   {0x3000, 0x3000}, {0xd800, 0xf8ff}, {0xfeff, 0xfeff}, {0xfff0, 0xfffb},
    {0xfffe, 0xffff}, {0x1d173, 0x1d17a}, {0xe0000, ~0u},
};

static bool is_hidden(uint32_t point) {
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (point >= hidden[i].first && point <= hidden[i].last)
            return true;
    return false;
}

/* The code point at `text`, and how many bytes it takes; 1 byte that is no UTF-8 is hidden. */
static size_t decode(const unsigned char *text, uint32_t *point) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = *text < 0x80 ? 1 : *text >> 5 == 6 ? 2 : *text >> 4 == 14 ? 3 : *text >> 3 == 30 ? 4 : 0;
    uint32_t value = length > 1 ? *text & (0x7fu >> length) : *text;
    for (size_t i = 1; i < length; i++) {
        if (text[i] >> 6 != 2)
            length = 0;   /* and the loop ends; a NUL is no byte of this kind */
        else
            value = value << 6 | (text[i] & 0x3f);
    }
    if (!length || value < least[length]) {
        *point = 0;
        return 1;
    }
    *point = value;
    return length;
}

void text_one_line(const char *text, char *out, size_t size) {
    const unsigned char *in = (const unsigned char *)text;
    size_t used = 0;
    while (*in && used + sizeof "\\xff" + 4 < size) {
        uint32_t point;
        size_t length = decode(in, &point);
        if (!is_hidden(point)) {
            memcpy(out + used, in, length);
            used += length;
        } else {
            for (size_t i = 0; i < length && used + sizeof "\\xff" < size; i++)
                used += (size_t)snprintf(out + used, size - used, in[i] == '\n' ? "\\n" : "\\x%02x", in[i]);
        }
        in += length;
    }
    out[used] = '\0';
}

void text_report(const char *format, ...) {
    char line[LINE], shown[LINE], whole[LINE + sizeof "ptoverlay: \n"];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length < 0)
        return;
    text_one_line(line, shown, sizeof shown);
    length = snprintf(whole, sizeof whole, "ptoverlay: %s\n", shown);
    for (ssize_t done = 0, n; done < length; done += n) {
        n = write(STDERR_FILENO, whole + done, (size_t)(length - done));
        if (n < 0 && errno == EINTR)
            n = 0;
        if (n < 0)
            return;
    }
}
