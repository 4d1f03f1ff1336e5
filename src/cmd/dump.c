/* dump: `kitten dump VID DIR...`: shows what a volume file holds: superblock, state slots, and
 * every needle. Reads only; a server may be running (its newest needles may then be missing).
 */
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "cmd/json.h"
#include "cmd/table.h"
#include "volume/offline.h"
#include "volume/scan.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct dump {
    const struct cmd_args *args;
    vid_t vid;
    struct json json;
    struct offline_volume vol;
    struct dead_mark *marks;
    uint32_t nmarks;
};

static const char *state_name(uint8_t state)
{
    return state == VOLUME_OPEN ? "open" : state == VOLUME_SEALED ? "sealed" : "fenced";
}

static const char *kind_name(uint8_t kind)
{
    static const char *const names[] = {"?",    "data",   "part",   "manifest", "name-delete",
                                        "meta", "bucket", "upload", "mark"};
    return kind < KT_ARRAY_LEN(names) ? names[kind] : "?";
}

static void hex_text(const uint8_t *p, size_t len, char *out)
{
    hex_encode(p, len, out);
    out[2 * len] = 0;
}

/* ---- the head ---- */

static void head_json(struct dump *d)
{
    const struct superblock *s = &d->vol.super;
    const struct state_slot *t = &d->vol.slot;
    char uuid[33], cell[33], vid[16];
    hex_text(s->uuid, UUID_BYTES, uuid);
    hex_text(s->cell, UUID_BYTES, cell);
    snprintf(vid, sizeof(vid), "%08x", s->vid);
    json_text(&d->json, "vid", vid);
    json_text(&d->json, "uuid", uuid);
    json_text(&d->json, "cell", cell);
    json_u64(&d->json, "policy", s->policy);
    json_u64(&d->json, "expiry_class", s->expiry_class);
    json_u64(&d->json, "limit_bytes", s->limit_bytes);
    json_u64(&d->json, "created_ms", s->created_ms);
    json_text(&d->json, "slot", d->vol.slot_index ? "B" : "A");
    json_u64(&d->json, "slot_counter", t->counter);
    json_text(&d->json, "state", state_name(t->state));
    json_u64(&d->json, "epoch", t->epoch);
    json_u64(&d->json, "generation", t->generation);
    json_u64(&d->json, "sealed_length", t->sealed_length);
    json_u64(&d->json, "changed_ms", t->changed_ms);
    json_text(&d->json, "reason", t->reason);
    json_u64(&d->json, "file_bytes", d->vol.size);
    json_open(&d->json, "needles", '[');
}

static void head_text(struct dump *d)
{
    const struct superblock *s = &d->vol.super;
    const struct state_slot *t = &d->vol.slot;
    char uuid[33], cell[33];
    hex_text(s->uuid, UUID_BYTES, uuid);
    hex_text(s->cell, UUID_BYTES, cell);
    printf("volume %08x  uuid %s  cell %s\n", s->vid, uuid, cell);
    printf("policy %u  expiry class %u  limit %" PRIu64 "  created %" PRIu64 " ms\n", s->policy,
           s->expiry_class, s->limit_bytes, s->created_ms);
    printf("slot %c  counter %" PRIu64 "  %s  epoch %u  generation %u  sealed length %" PRIu64
           "  %s\n",
           d->vol.slot_index ? 'B' : 'A', t->counter, state_name(t->state), t->epoch, t->generation,
           t->sealed_length, t->reason);
    if (d->vol.bad_slots)
        printf("slot %c holds no valid state\n", d->vol.slot_index ? 'A' : 'B');
    for (uint32_t i = 0; i < t->nhistory; i++)
        printf("epoch %u from offset %" PRIu64 "\n", t->history[i].epoch, t->history[i].start);
    printf("file of %" PRIu64 " bytes\n\n%-28s %10s %10s %-11s %5s %6s %s\n", d->vol.size, "id",
           "offset", "bytes", "kind", "flags", "bucket", "name");
}

/* ---- needles ---- */

static int by_seq(const void *a, const void *b)
{
    const struct dead_mark *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static bool is_dead(const struct dump *d, seq_t seq)
{
    const struct dead_mark key = {.seq = seq}, *m = NULL;
    if (d->nmarks)
        m = bsearch(&key, d->marks, d->nmarks, sizeof(key), by_seq);
    return m && m->counter % 2 != 0;
}

/* Names are whatever a client sent: nothing but printable ASCII reaches the terminal. */
static void print_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        putchar(name.p[i] >= 0x20 && name.p[i] < 0x7f ? name.p[i] : '?');
}

static void needle_text(const struct dump *d, const struct needle_info *n, struct slice meta,
                        const char *id)
{
    struct slice name;
    printf("%-28s %10" PRIu64 " %10u %-11s %c%c    %6u ", id, n->offset, n->data_len,
           kind_name(n->kind), n->flags & NEEDLE_F_FIRST ? 'F' : '-',
           n->kind != NEEDLE_MARK && is_dead(d, n->seq) ? 'D' : '-', n->bucket);
    if (needle_meta_find(meta, TAG_NAME, &name))
        print_name(name);
    putchar('\n');
}

static void needle_json(struct dump *d, const struct needle_info *n, struct slice meta,
                        const char *id)
{
    struct slice name;
    char text[1025];
    json_open(&d->json, NULL, '{');
    json_text(&d->json, "id", n->kind == NEEDLE_MARK ? NULL : id);
    json_text(&d->json, "kind", kind_name(n->kind));
    json_u64(&d->json, "offset", n->offset);
    json_u64(&d->json, "data_bytes", n->data_len);
    json_u64(&d->json, "meta_bytes", n->meta_len);
    json_u64(&d->json, "epoch", n->epoch);
    json_u64(&d->json, "durable", n->durable);
    json_u64(&d->json, "bucket", n->bucket);
    json_u64(&d->json, "version", n->version);
    json_bool(&d->json, "first", (n->flags & NEEDLE_F_FIRST) != 0);
    json_bool(&d->json, "dead", n->kind != NEEDLE_MARK && is_dead(d, n->seq));
    if (needle_meta_find(meta, TAG_NAME, &name) && name.len < sizeof(text)) {
        memcpy(text, name.p, name.len);
        text[name.len] = 0;
        json_text(&d->json, "name", text);
    }
    json_close(&d->json);
}

static int list_needles(struct dump *d)
{
    struct scanner s;
    struct needle_info n;
    struct slice bytes;
    int rc = scan_open(&s, d->vol.file, &d->vol.place, VOLUME_LOG_START, d->vol.end, 0);
    while (rc >= 0 && (rc = scan_next(&s, &n, &bytes)) > 0) {
        struct blobid id = {d->vid, n.seq, n.cookie};
        char text[BLOBID_TEXT_MAX + 1] = "-";
        if (n.kind != NEEDLE_MARK)
            text[blobid_format(&id, text)] = 0;
        struct slice meta = slice_sub(bytes, NEEDLE_HEADER, n.meta_len);
        if (d->args->json)
            needle_json(d, &n, meta, text);
        else
            needle_text(d, &n, meta, text);
    }
    if (rc == -KT_ERR_CORRUPT && d->vol.slot.state == VOLUME_OPEN && !d->args->json) {
        printf("the log ends at offset %" PRIu64 "\n", s.at);
        rc = 0;
    }
    scan_done(&s);
    return rc;
}

/* ---- the command ---- */

static int dump_volume(struct dump *d, const struct offline *dir)
{
    int rc = offline_volume_open(dir, d->vid, &d->vol);
    if (rc < 0)
        return err_wrap(rc, "volume %08x in %s", d->vid, dir->path);
    rc = offline_dead_marks(dir, &d->vol, &d->marks, &d->nmarks);
    if (rc == 0) {
        if (d->args->json) {
            d->json = json_start(stdout);
            json_open(&d->json, NULL, '{');
            head_json(d);
        } else {
            head_text(d);
        }
        rc = list_needles(d);
    }
    if (d->args->json && d->json.depth > 0) {
        json_close(&d->json);
        json_text(&d->json, "error", rc < 0 ? err_text(rc) : NULL);
        json_close(&d->json);
    }
    mem_free(d->marks);
    offline_volume_close(&d->vol);
    return rc;
}

static int dump_main(void *arg)
{
    struct dump *d = arg;
    char name[OFFLINE_NAME_MAX];
    offline_name(d->vid, "vol", name);
    for (int i = 1; i < d->args->nwords; i++) {
        struct offline dir;
        int rc = offline_open(d->args->words[i], false, &dir);
        if (rc < 0)
            return rc;
        bool here = offline_has(&dir, name);
        if (here)
            rc = dump_volume(d, &dir);
        struct diag kept = *diag_get();
        offline_close(&dir);
        *diag_get() = kept;
        if (here)
            return rc;
    }
    return err_set(KT_ERR_NOT_FOUND, "none of these directories has volume %08x", d->vid);
}

static int dump_run(const struct cmd_args *args)
{
    struct dump d = {.args = args};
    uint64_t vid;
    if (!hex_to_u64(slice_str(args->words[0]), &vid) || vid == 0 || vid > UINT32_MAX)
        return err_set(KT_ERR_INVALID,
                       "\"%s\" is no volume id: 1 to 8 hex digits, as in the name of its file",
                       args->words[0]);
    d.vid = (vid_t)vid;
    struct rt_options o = {.loops = 1, .workers = 2};
    return rt_run(&o, dump_main, &d);
}

static const struct cmd_example examples[] = {
    {"kitten dump 1f3a09c2 ./data", "List what volume 1f3a09c2 holds"}, {0}};

const struct command cmd_dump = {
    .name = "dump",
    .operands = "VID DIR...",
    .summary = "show what a volume file holds",
    .text = "Prints superblock, state, and one line for each needle: its id, place, size and name. "
            "Flags: F begins a group, D is "
            "deleted. The ids contain the cookies, with which anyone can read the blobs.",
    .examples = examples,
    .words_min = 2,
    .words_max = -1,
    .json = true,
    .run = dump_run,
};
