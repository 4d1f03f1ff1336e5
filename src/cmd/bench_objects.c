/* bench_objects: arrays that double, and their text form. */
#include "cmd/bench_objects.h"

#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "cmd/bench_data.h"
#include "codec/uri.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 1024u
static const char *const state_names[] = {"live", "dead", "maybe"};

#define MAGIC "kitten-bench 1"

void objects_init(struct bench_objects *o, uint64_t seed, bool files)
{
    *o = (struct bench_objects){.seed = seed, .files = files};
}

void objects_done(struct bench_objects *o)
{
    for (uint64_t i = 0; o->names && i < o->n; i++)
        mem_free(o->names[i]);
    mem_free(o->items);
    mem_free(o->names);
    mem_free(o->state);
    mem_free(o->sigs);
    objects_init(o, o->seed, o->files);
}

static int grow(struct bench_objects *o)
{
    uint64_t cap = o->cap ? o->cap * 2 : 1024;
    if (o->n >= OBJECTS_MAX)
        return err_set(KT_ERR_LIMIT, "more than %" PRIu64 " objects", OBJECTS_MAX);
    o->items = mem_realloc(o->items, cap * sizeof(*o->items));
    o->state = mem_realloc(o->state, cap);
    if (o->files)
        o->names = mem_realloc(o->names, cap * sizeof(*o->names));
    o->cap = cap;
    return 0;
}

int objects_add(struct bench_objects *o, const struct bench_object *item, char *name)
{
    int rc = o->n == o->cap ? grow(o) : 0;
    if (rc < 0)
        return rc;
    o->items[o->n] = *item;
    o->state[o->n] = 0;
    if (o->files)
        o->names[o->n] = name;
    o->n++;
    return 0;
}

int objects_append(struct bench_objects *to, struct bench_objects *from)
{
    for (uint64_t i = 0; i < from->n; i++) {
        int rc = objects_add(to, &from->items[i], from->files ? TAKE(from->names[i]) : NULL);
        if (rc < 0)
            return rc;
        to->state[to->n - 1] = from->state[i];
    }
    return 0;
}

void objects_sign(struct bench_objects *o, const struct bench_target *t, enum target_op op)
{
    mem_free(o->sigs);
    o->sigs = mem_alloc((o->n + 1) * sizeof(*o->sigs));
    for (uint64_t i = 0; i < o->n; i++)
        target_sign(t, op, &o->items[i], o->sigs[i]);
    o->signed_n = o->n;
}

/* ---- the manifest ---- */

/* Splits at tabs; returns the number of parts. */
static int split(char *line, char **parts, int max)
{
    int n = 0;
    line[strcspn(line, "\n")] = 0;
    for (char *at = line; at && n < max; n++) {
        parts[n] = at;
        at = strchr(at, '\t');
        if (at)
            *at++ = 0;
    }
    return n;
}

static char *decode_name(const char *text)
{
    size_t len = strlen(text);
    char *name = mem_alloc(len + 1);
    ssize_t n = uri_decode(slice_of(text, len), false, name);
    if (n < 0) {
        mem_free(name);
        return NULL;
    }
    name[n] = 0;
    return name;
}

static bool load_line(char *line, struct bench_objects *o)
{
    char *part[6], *name = NULL;
    struct bench_object item = {0};
    uint64_t size, crc;
    if (split(line, part, 6) != 6)
        return false;
    uint8_t state = OBJECT_LIVE;
    while (state <= OBJECT_MAYBE && strcmp(part[0], state_names[state]) != 0)
        state++;
    bool has_id = strcmp(part[1], "-") != 0;
    if (state > OBJECT_MAYBE || (has_id && blobid_parse(slice_str(part[1]), &item.id) < 0) ||
        !hex_to_u64(slice_str(part[2]), &item.index) || !dec_to_u64(slice_str(part[3]), &size) ||
        !hex_to_u64(slice_str(part[4]), &crc) || size > UINT32_MAX || crc > UINT32_MAX)
        return false;
    item.size = (uint32_t)size;
    item.crc = (uint32_t)crc;
    if (o->files && (name = decode_name(part[5])) == NULL)
        return false;
    if (objects_add(o, &item, name) < 0) {
        mem_free(name);
        return false;
    }
    o->state[o->n - 1] = state;
    return true;
}

static int load_lines(FILE *f, const char *path, struct bench_objects *o)
{
    char line[NAME_MAX_BYTES * 3 + 256];
    char *part[4];
    uint64_t number = 1, seed, files;
    if (!fgets(line, sizeof(line), f) || split(line, part, 4) != 3 || strcmp(part[0], MAGIC) != 0 ||
        !dec_to_u64(slice_str(part[1]), &seed) || !dec_to_u64(slice_str(part[2]), &files))
        return err_set(KT_ERR_FORMAT, "%s is not a manifest of kitten bench", path);
    objects_init(o, seed, files != 0);
    while (fgets(line, sizeof(line), f)) {
        number++;
        if (!load_line(line, o))
            return err_set(KT_ERR_FORMAT, "%s: line %" PRIu64 " is malformed", path, number);
    }
    return ferror(f) ? err_sys(errno, "read %s", path) : 0;
}

int objects_load(const char *path, struct bench_objects *ret)
{
    struct bench_objects o = {0};
    FILE *f = fopen(path, "re");
    if (!f)
        return err_sys(errno, "open manifest %s", path);
    int rc = load_lines(f, path, &o);
    fclose(f);
    if (rc < 0)
        objects_done(&o);
    else
        *ret = o;
    return rc;
}

static void save_line(FILE *f, const struct bench_objects *o, uint64_t i)
{
    const struct bench_object *item = &o->items[i];
    char id[BLOBID_TEXT_MAX] = "-", name[URI_ENCODED_MAX(NAME_MAX_BYTES)];
    size_t id_len = item->id.vid ? blobid_format(&item->id, id) : 1, name_len = 0;
    uint32_t crc = o->files ? item->crc : data_crc(o->seed, item->index, item->size);
    if (o->files)
        name_len = uri_encode(slice_str(o->names[i]), true, name);
    fprintf(f, "%s\t%.*s\t%" PRIx64 "\t%u\t%x\t%.*s\n", state_names[o->state[i]], (int)id_len, id,
            item->index, item->size, crc, (int)name_len, name);
}

int objects_save(const char *path, const struct bench_objects *o)
{
    char tmp[4096];
    int len = snprintf(tmp, sizeof(tmp), "%s.tmp", path);
    if (len < 0 || (size_t)len >= sizeof(tmp))
        return err_set(KT_ERR_INVALID, "manifest path of more than %zu characters",
                       sizeof(tmp) - 5);
    FILE *f = fopen(tmp, "we");
    if (!f)
        return err_sys(errno, "create %s", tmp);
    fprintf(f, MAGIC "\t%" PRIu64 "\t%d\n", o->seed, o->files);
    for (uint64_t i = 0; i < o->n; i++)
        save_line(f, o, i);
    bool failed = ferror(f) != 0;
    if (fclose(f) != 0 || failed)
        return err_sys(errno ? errno : EIO, "write %s", tmp);
    if (rename(tmp, path) != 0)
        return err_sys(errno, "rename %s to %s", tmp, path);
    return 0;
}
