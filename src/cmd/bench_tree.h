/* bench_tree: the files of a directory tree, as something to store.
 *
 * Walks the tree once, without following links, and keeps relative names and sizes of regular
 * files; empty files and files above the size limit are kept out and counted. Reading a file blocks
 * the calling thread for as long as the page cache needs: meant for trees that fit it. Uses stdio
 * and dirent (a listed exemption of src/cmd).
 */
#ifndef KT_CMD_BENCH_TREE_H
#define KT_CMD_BENCH_TREE_H

#include "base/buf.h"
#include "base/macros.h"
#include <stdint.h>

struct bench_tree_file {
    char *name; /* relative to the root, owned */
    uint32_t size;
};

struct bench_tree {
    char *root; /* owned */
    struct bench_tree_file *files;
    uint64_t n, cap;
    uint64_t bytes;
    uint64_t size_max;
    uint64_t skipped; /* links, devices, empty, too large or with names too long */
};

/* `limit`: at most that many files, 0: all; files above `size_max` bytes are left out. Sorted by
 * name. Errors: those of reading directories.
 */
int tree_open(const char *root, uint64_t limit, uint64_t size_max,
              struct bench_tree *ret) KT_MUST_CHECK;
void tree_close(struct bench_tree *t);
/* Reads one file into `out`, replacing what it holds. Errors: IO, NOT_FOUND, TOO_LARGE (it grew).
 */
int tree_read(const struct bench_tree *t, uint64_t i, struct buf *out) KT_MUST_CHECK;

#endif
