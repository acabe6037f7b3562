/* watches.h - instances of inotify(7).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef PTOVERLAY_WATCHES_H
#define PTOVERLAY_WATCHES_H

struct session;

void watches_clear(struct session *session);

#endif
