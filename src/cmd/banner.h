/* banner: what `kitten mini` says when it is up: where it is, how to get in, and lines to paste
 * that work.
 *
 * The secret is printed only when it was made just now; later the lines fetch it by `kitten keys
 * show`, from the file that only its owner can read. Written to standard output and flushed.
 * Start-up code.
 */
#ifndef KT_CMD_BANNER_H
#define KT_CMD_BANNER_H

#include "gateway/keys.h"
#include "rt/rt.h"

struct banner {
    const char *dir; /* first data directory */
    int ndirs;
    const struct rt_addr *addrs;
    int naddrs;
    const char *bucket;
    const struct key *key; /* NULL: there is none */
    bool show_secret;
    int64_t started_in_ms;
};

void banner_print(const struct banner *b);

#endif
