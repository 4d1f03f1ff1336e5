/* bench_tree: an explicit stack of directory names instead of recursion. */
#include "cmd/bench_tree.h"

#include "base/err.h"
#include "cmd/bench_data.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_BYTES 2048u
#define NAME_BYTES 1024u

static void add_file(struct bench_tree *t, const char *name, const struct stat *st)
{
    if (!S_ISREG(st->st_mode) || st->st_size == 0 || (uint64_t)st->st_size > t->size_max ||
        strlen(name) > NAME_BYTES) {
        t->skipped++;
        return;
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 1024;
        t->files = mem_realloc(t->files, t->cap * sizeof(*t->files));
    }
    char *copy = mem_alloc(strlen(name) + 1);
    memcpy(copy, name, strlen(name) + 1);
    t->files[t->n++] = (struct bench_tree_file){copy, (uint32_t)st->st_size};
    t->bytes += (uint64_t)st->st_size;
}

/* Directories still to read, as names relative to the root, each ended by NUL. */
static int push_dir(struct buf *todo, const char *name)
{
    return buf_add(todo, name, strlen(name) + 1);
}

static void pop_dir(struct buf *todo, char *out)
{
    size_t start = todo->len - 1;
    while (start > 0 && todo->p[start - 1] != 0)
        start--;
    memcpy(out, todo->p + start, todo->len - start);
    todo->len = start;
}

static int read_dir(struct bench_tree *t, const char *dir, struct buf *todo)
{
    char path[PATH_BYTES], name[PATH_BYTES];
    struct stat st;
    int rc = 0;
    const struct dirent *entry;
    snprintf(path, sizeof(path), "%s/%s", t->root, dir);
    DIR *d = opendir(path);
    if (!d)
        return err_sys(errno, "open directory %s", path);
    while (rc == 0 && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int len = snprintf(name, sizeof(name), "%s%s%s", dir, *dir ? "/" : "", entry->d_name);
        if (len < 0 || (size_t)len >= sizeof(name) ||
            fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            t->skipped++;
        else if (S_ISDIR(st.st_mode))
            rc = push_dir(todo, name);
        else
            add_file(t, name, &st);
    }
    closedir(d);
    return rc;
}

static int by_name(const void *a, const void *b)
{
    const struct bench_tree_file *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static void cut(struct bench_tree *t, uint64_t limit)
{
    while (limit > 0 && t->n > limit) {
        t->n--;
        t->bytes -= t->files[t->n].size;
        mem_free(t->files[t->n].name);
    }
}

int tree_open(const char *root, uint64_t limit, uint64_t size_max, struct bench_tree *ret)
{
    struct buf todo = BUF_INIT(MIB(64));
    char dir[PATH_BYTES];
    struct bench_tree t = {.size_max = KT_MIN(size_max, DATA_SIZE_MAX)};
    t.root = mem_alloc(strlen(root) + 1);
    memcpy(t.root, root, strlen(root) + 1);
    int rc = push_dir(&todo, "");
    while (rc == 0 && todo.len > 0) {
        pop_dir(&todo, dir);
        rc = read_dir(&t, dir, &todo);
    }
    buf_done(&todo);
    if (rc == 0 && !t.files)
        rc = err_set(KT_ERR_NOT_FOUND, "%s holds no files that could be stored", root);
    if (rc < 0 || !t.files) {
        tree_close(&t);
        return rc;
    }
    qsort(t.files, t.n, sizeof(*t.files), by_name);
    cut(&t, limit);
    *ret = t;
    return 0;
}

void tree_close(struct bench_tree *t)
{
    for (uint64_t i = 0; t->files && i < t->n; i++)
        mem_free(t->files[i].name);
    mem_free(t->files);
    mem_free(t->root);
    *t = (struct bench_tree){0};
}

int tree_read(const struct bench_tree *t, uint64_t i, struct buf *out)
{
    char path[PATH_BYTES * 2];
    const struct bench_tree_file *file = &t->files[i];
    snprintf(path, sizeof(path), "%s/%s", t->root, file->name);
    out->len = 0;
    int rc = buf_reserve(out, (size_t)file->size + 1);
    if (rc < 0)
        return rc;
    FILE *f = fopen(path, "re");
    if (!f)
        return err_sys(errno, "open %s", path);
    setvbuf(f, NULL, _IONBF, 0);
    size_t n = fread(out->p, 1, (size_t)file->size + 1, f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed || n != file->size)
        return err_set(failed ? KT_ERR_IO : KT_ERR_CONFLICT, "%s changed or can't be read", path);
    out->len = n;
    return 0;
}
