/* The blob API over a store in memory: every route, its refusals, and what must not be stored. */
#include "tests/lib/unit.h"

#include "ask.h"
#include "base/enc.h"
#include "base/macros.h"
#include "codec/tar.h"
#include "gateway/auth.h"
#include "obs/log.h"
#include "obs/metric.h"
#include <stdio.h>
#include <stdlib.h>

static const struct slice none = {0};

static int run(int (*fn)(void *arg))
{
    struct rt_options o = {.loops = 1, .workers = 2};
    return rt_run(&o, fn, NULL);
}
#define IN_WORLD(name)                                                                             \
    static void name##_body(struct world *w);                                                      \
    static int name##_fiber(void *arg)                                                             \
    {                                                                                              \
        struct world *w = mem_zalloc(sizeof(*w));                                                  \
        (void)arg;                                                                                 \
        world_open(w);                                                                             \
        name##_body(w);                                                                            \
        world_close(w);                                                                            \
        mem_free(w);                                                                               \
        return 0;                                                                                  \
    }                                                                                              \
    static void name(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        assert_int_equal(run(name##_fiber), 0);                                                    \
    }                                                                                              \
    static void name##_body(struct world *w)

/* Stores `data` and leaves its id in `id`. */
static void put(struct world *w, struct slice data, char id[64])
{
    struct answer *a = ask_key(w, "POST /blob?bucket=photos", data);
    EXPECT(a->status == 201);
    body_text(a, "id", id, 64);
}

static struct answer *on_blob(struct world *w, const char *method, const char *id, const char *rest,
                              const char *fields)
{
    char line[512];
    snprintf(line, sizeof(line), "%s /blob/%s%s", method, id, rest);
    return ask(w, line, fields, none);
}

static struct answer *on_blob_key(struct world *w, const char *method, const char *id,
                                  const char *rest)
{
    char line[512];
    snprintf(line, sizeof(line), "%s /blob/%s%s", method, id, rest);
    return ask_key(w, line, none);
}

IN_WORLD(test_put_get_head_delete)
{
    char id[64];
    struct answer *a = ask_key(w, "POST /blob?bucket=photos", SLICE_LIT("hello kitten"));
    EXPECT(a->status == 201 && body_has(a, "\"size\":12"));
    body_text(a, "id", id, sizeof(id));
    char location[80];
    snprintf(location, sizeof(location), "/blob/%s", id);
    EXPECT(slice_eq(answer_field(a, "location"), slice_str(location)));
    char etag[64];
    struct slice e = answer_field(a, "etag");
    snprintf(etag, sizeof(etag), "%.*s", SLICE_ARG(e));
    EXPECT(etag[0] == '"' && strlen(etag) == 8 + 1 + 1 + 2);

    a = on_blob(w, "GET", id, "", "");
    EXPECT(a->status == 200 && slice_eq(a->body, SLICE_LIT("hello kitten")));
    EXPECT(slice_eq(answer_field(a, "etag"), slice_str(etag)));
    EXPECT(slice_eq(answer_field(a, "content-type"), SLICE_LIT("application/octet-stream")));
    EXPECT(slice_eq(answer_field(a, "accept-ranges"), SLICE_LIT("bytes")));
    EXPECT(slice_eq(answer_field(a, "x-content-type-options"), SLICE_LIT("nosniff")));
    EXPECT(answer_field(a, "last-modified").len == 29 && answer_field(a, "cache-control").len);

    a = on_blob(w, "HEAD", id, "", "");
    EXPECT(a->status == 200 && a->body.len == 0);
    EXPECT(slice_eq(answer_field(a, "content-length"), SLICE_LIT("12")));

    EXPECT(on_blob(w, "DELETE", id, "", "")->status == 401);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 200);
    EXPECT(on_blob_key(w, "DELETE", id, "")->status == 204);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 404);
    EXPECT(on_blob_key(w, "DELETE", id, "")->status == 404);
    EXPECT(on_blob_key(w, "POST", id, "")->status == 400);
    a = on_blob_key(w, "POST", id, "?undelete");
    EXPECT(a->status == 200 && body_has(a, id));
    EXPECT(on_blob_key(w, "POST", id, "?undelete")->status == 409);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 200);
}

IN_WORLD(test_undelete_window)
{
    char id[64];
    struct blobid b;
    put(w, SLICE_LIT("x"), id);
    EXPECT(on_blob_key(w, "DELETE", id, "")->status == 204);
    EXPECT(blobid_parse(slice_str(id), &b) == 0);
    mem_store_find(&w->store, &b)->undelete_passed = true;
    EXPECT(on_blob_key(w, "POST", id, "?undelete")->status == 404);
}

/* Wrong cookie, unknown seq, unknown volume and deleted: one answer but for the request id. */
IN_WORLD(test_same_404)
{
    char id[64], text[4][600];
    put(w, SLICE_LIT("secret"), id);
    char wrong[4][64];
    struct blobid b;
    EXPECT(blobid_parse(slice_str(id), &b) == 0);
    snprintf(wrong[0], 64, "%x,%x-%016llx", b.vid, b.seq, (unsigned long long)b.cookie ^ 1);
    snprintf(wrong[1], 64, "%x,%x-%016llx", b.vid, b.seq + 1000, (unsigned long long)b.cookie);
    snprintf(wrong[2], 64, "%x,%x-%016llx", b.vid + 1, b.seq, (unsigned long long)b.cookie);
    snprintf(wrong[3], 64, "%s", id);
    EXPECT(on_blob_key(w, "DELETE", id, "")->status == 204);
    for (int i = 0; i < 4; i++) {
        struct answer *a = on_blob(w, "GET", wrong[i], "", "");
        EXPECT(a->status == 404);
        struct slice rid = answer_field(a, "x-request-id"), date = answer_field(a, "date");
        EXPECT(rid.len == 16);
        char rid_text[17];
        snprintf(rid_text, sizeof(rid_text), "%.16s", (const char *)rid.p);
        memset((void *)(uintptr_t)date.p, 'd', date.len);
        for (uint8_t *at; (at = memmem(a->all.p, a->all.len, rid_text, 16)) != NULL;)
            memset(at, 'r', 16);
        snprintf(text[i], sizeof(text[i]), "%.*s", SLICE_ARG(buf_slice(&a->all)));
        EXPECT(i == 0 || strcmp(text[i], text[0]) == 0);
    }
}

IN_WORLD(test_ranges_and_conditions)
{
    char id[64], fields[128];
    uint8_t data[5000];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7);
    put(w, slice_of(data, sizeof(data)), id);
    struct answer *a = on_blob(w, "GET", id, "", "");
    EXPECT(a->status == 200 && slice_eq(a->body, slice_of(data, sizeof(data))));
    struct slice e = answer_field(a, "etag"), lm = answer_field(a, "last-modified");
    char etag[64], date[64];
    snprintf(etag, sizeof(etag), "%.*s", SLICE_ARG(e));
    snprintf(date, sizeof(date), "%.*s", SLICE_ARG(lm));

    a = on_blob(w, "GET", id, "", "Range: bytes=1000-2999\r\n");
    EXPECT(a->status == 206 && slice_eq(a->body, slice_of(data + 1000, 2000)));
    EXPECT(slice_eq(answer_field(a, "content-range"), SLICE_LIT("bytes 1000-2999/5000")));
    a = on_blob(w, "GET", id, "", "Range: bytes=-1\r\n");
    EXPECT(a->status == 206 && slice_eq(a->body, slice_of(data + 4999, 1)));
    a = on_blob(w, "GET", id, "", "Range: bytes=5000-\r\n");
    EXPECT(a->status == 416 &&
           slice_eq(answer_field(a, "content-range"), SLICE_LIT("bytes */5000")));
    EXPECT(on_blob(w, "GET", id, "", "Range: bytes=0-1,5-6\r\n")->status == 200);
    EXPECT(on_blob(w, "GET", id, "", "Range: lines=0-1\r\n")->status == 200);

    snprintf(fields, sizeof(fields), "If-None-Match: %s\r\n", etag);
    a = on_blob(w, "GET", id, "", fields);
    EXPECT(a->status == 304 && a->body.len == 0 && answer_field(a, "etag").len);
    EXPECT(answer_field(a, "content-type").len == 0);
    EXPECT(on_blob(w, "GET", id, "", "If-None-Match: \"other\"\r\n")->status == 200);
    EXPECT(on_blob(w, "GET", id, "", "If-Match: \"other\"\r\n")->status == 412);
    snprintf(fields, sizeof(fields), "If-Modified-Since: %s\r\n", date);
    EXPECT(on_blob(w, "GET", id, "", fields)->status == 304);
    snprintf(fields, sizeof(fields), "If-Range: %s\r\nRange: bytes=0-0\r\n", etag);
    EXPECT(on_blob(w, "GET", id, "", fields)->status == 206);
    EXPECT(on_blob(w, "GET", id, "", "If-Range: \"x\"\r\nRange: bytes=0-0\r\n")->status == 200);
    a = on_blob(w, "HEAD", id, "", "Range: bytes=0-9\r\n");
    EXPECT(a->status == 206 && slice_eq(answer_field(a, "content-length"), SLICE_LIT("10")));
}

IN_WORLD(test_empty_blob)
{
    char id[64];
    put(w, SLICE_LIT(""), id);
    struct answer *a = on_blob(w, "GET", id, "", "");
    EXPECT(a->status == 200 && a->body.len == 0);
    EXPECT(slice_eq(answer_field(a, "content-length"), SLICE_LIT("0")));
    EXPECT(on_blob(w, "GET", id, "", "Range: bytes=0-0\r\n")->status == 416);
}

static struct answer *put_with(struct world *w, const char *line, const char *fields,
                               struct slice body)
{
    char all[1024];
    snprintf(all, sizeof(all), "Authorization: Bearer %s:%s\r\n%s", w->key.access, w->key.secret,
             fields);
    return ask(w, line, all, body);
}

IN_WORLD(test_content_type)
{
    static const char *const kept[] = {"image/png", "text/html; charset=utf-8"};
    char id[64], fields[128];
    for (size_t i = 0; i < KT_ARRAY_LEN(kept); i++) {
        snprintf(fields, sizeof(fields), "Content-Type: %s\r\n", kept[i]);
        struct answer *a = put_with(w, "PUT /blob?bucket=photos", fields, SLICE_LIT("<script>"));
        EXPECT(a->status == 201);
        body_text(a, "id", id, sizeof(id));
        a = on_blob(w, "GET", id, "", "");
        EXPECT(slice_eq(answer_field(a, "content-type"), slice_str(kept[i])));
        EXPECT((answer_field(a, "content-security-policy").len > 0) == (i == 1));
    }
    struct answer *a =
        put_with(w, "PUT /blob?bucket=photos",
                 "Content-Type: application/x-www-form-urlencoded\r\n", SLICE_LIT("x"));
    body_text(a, "id", id, sizeof(id));
    a = on_blob(w, "GET", id, "", "");
    EXPECT(slice_eq(answer_field(a, "content-type"), SLICE_LIT("application/octet-stream")));
}

IN_WORLD(test_digests)
{
    struct slice body = SLICE_LIT("123456789");
    const char *line = "PUT /blob?bucket=photos";
    EXPECT(put_with(w, line, "x-kitten-crc32c: e3069283\r\n", body)->status == 201);
    EXPECT(put_with(w, line, "Content-MD5: JfnnlDI7RTiF9RgfG2JNCw==\r\n", body)->status == 201);
    uint32_t n = w->store.n;
    struct answer *a = put_with(w, line, "x-kitten-crc32c: e3069284\r\n", body);
    EXPECT(a->status == err_http_status(KT_ERR_CHECKSUM) && body_has(a, "\"checksum\""));
    EXPECT(put_with(w, line, "x-kitten-crc32c: zz\r\n", body)->status == 400);
    EXPECT(put_with(w, line, "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA==\r\n", body)->status == 400);
    EXPECT(put_with(w, line, "Content-MD5: AAAA\r\n", body)->status == 400);
    EXPECT(put_with(w, line, "Content-Encoding: gzip\r\n", body)->status == 400);
    EXPECT(put_with(w, line, "Content-Range: bytes 0-8/9\r\n", body)->status == 400);
    EXPECT(w->store.n == n);
}

/* Each is refused with its status, and nothing is stored. */
IN_WORLD(test_refusals)
{
    static const struct {
        const char *line;
        int status;
    } cases[] = {
        {"GET /", 404},
        {"GET /nothing", 404},
        {"GET /blob/", 404},
        {"GET /blob/1,2-0000000000000000/x", 404},
        {"GET /blob", 405},
        {"GET /blob/x", 400},
        {"GET /blob/1,2-000000000000000", 400},
        {"GET /blob/01,2-0000000000000000", 400},
        {"GET /blob/1,2-000000000000000G", 400},
        {"GET /blob/1,2-ABCDEFABCDEFABCD", 400},
        {"GET /blob/%zz", 400},
        {"GET /blob/..%2f..%2fetc%2fpasswd", 400},
        {"GET /blob/1,2-0000000000000000?x=1", 400},
        {"PUT /blob/1,2-0000000000000000", 405},
        {"POST /blob", 400},
        {"POST /blob?bucket=", 400},
        {"POST /blob?bucket=nope", 404},
        {"POST /blob?bucket=photos&bucket=photos", 400},
        {"POST /blob?bucket=photos&ttl=0", 400},
        {"POST /blob?bucket=photos&ttl=-1", 400},
        {"POST /blob?bucket=photos&ttl=99999999999999999999", 400},
        {"POST /blob?bucket=photos&tt=1", 400},
        {"PUT /bucket/ab", 400},
        {"PUT /bucket/Photos", 400},
        {"PUT /bucket/192.168.0.1", 400},
        {"PUT /bucket/status", 400},
        {"PUT /bucket/a..b", 400},
        {"PUT /bucket/-ab", 400},
        {"PUT /bucket/xn--abc", 400},
        {"PUT /bucket/..%2f..%2fx", 400},
        {"PUT /bucket/abc%00", 400},
        {"GET /bucket/nope", 404},
        {"DELETE /bucket/nope", 404},
        {"POST /sign", 400},
        {"POST /sign?id=x&ttl=1", 400},
        {"POST /sign?id=1,2-0000000000000000", 400},
        {"POST /sign?id=1,2-0000000000000000&ttl=1&expires=1", 400},
        {"POST /sign?id=1,2-0000000000000000&expires=1", 400},
        {"POST /sign?id=1,2-0000000000000000&ttl=999999999", 400},
        {"OPTIONS /blob", 405},
    };
    uint32_t n = w->store.n;
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct answer *a = ask_key(w, cases[i].line, SLICE_LIT("body"));
        if (a->status != cases[i].status)
            printf("# %s: %d\n", cases[i].line, a->status);
        EXPECT(a->status == cases[i].status);
        EXPECT(slice_eq(answer_field(a, "content-type"), SLICE_LIT("application/json")));
        EXPECT(body_has(a, "{\"error\":{\"code\":\"") && body_has(a, "\"request_id\":\""));
    }
    EXPECT(w->store.n == n);
}

IN_WORLD(test_too_large)
{
    uint32_t n = w->store.n;
    uint8_t *big = mem_zalloc(MIB(1) + 1);
    /* Refused by its declared length, before the client sends it. */
    struct answer *a = put_with(w, "POST /blob?bucket=photos",
                                "Content-Length: 1048577\r\nExpect: 100-continue\r\n", none);
    EXPECT(a->status == 413 && memmem(a->all.p, a->all.len, "100 Continue", 12) == NULL);
    a = ask_key(w, "POST /blob?bucket=photos", slice_of(big, MIB(1)));
    EXPECT(a->status == 201);
    EXPECT(w->store.n == n + 1);
    mem_free(big);
}

IN_WORLD(test_store_errors_pass_through)
{
    char id[64];
    struct blobid b;
    put(w, SLICE_LIT("fine"), id);
    EXPECT(blobid_parse(slice_str(id), &b) == 0);
    mem_store_find(&w->store, &b)->corrupt = true;
    struct answer *a = on_blob(w, "GET", id, "", "");
    EXPECT(a->status == 500 && body_has(a, "\"code\":\"corrupt\"") && !body_has(a, "fine"));
    w->store.fail_put = KT_ERR_NO_SPACE;
    EXPECT(ask_key(w, "POST /blob?bucket=photos", SLICE_LIT("x"))->status == 507);
    w->store.fail_put = KT_ERR_FENCED;
    a = ask_key(w, "POST /blob?bucket=photos", SLICE_LIT("x"));
    EXPECT(a->status == 503 && answer_field(a, "retry-after").len);
    EXPECT(ask_key(w, "PUT /bucket/other", none)->status == 503);
    w->store.fail_put = 0;
    EXPECT(ask_key(w, "GET /bucket/other", none)->status == 404);
    EXPECT(ask_key(w, "PUT /bucket/other", none)->status == 201);
}

IN_WORLD(test_ttl)
{
    char id[64], line[128];
    struct blobid b;
    struct slice expires;
    struct answer *a = ask_key(w, "POST /blob?bucket=photos&ttl=100", SLICE_LIT("x"));
    EXPECT(a->status == 201);
    body_text(a, "id", id, sizeof(id));
    EXPECT(blobid_parse(slice_str(id), &b) == 0);
    struct mem_needle *m = mem_store_find(&w->store, &b);
    EXPECT(needle_meta_find(slice_of(m->meta, m->info.meta_len), TAG_EXPIRES, &expires));
    int64_t left = (int64_t)load_u32le(expires.p) - rt_wall_ns() / NS_PER_SEC;
    EXPECT(left > 90 && left <= 100);
    memset((void *)(uintptr_t)expires.p, 1, 4);
    snprintf(line, sizeof(line), "GET /blob/%s", id);
    EXPECT(ask(w, line, "", none)->status == 404);
}

/* ---- buckets ---- */

IN_WORLD(test_buckets)
{
    char id[64];
    struct answer *a = ask_key(w, "GET /bucket", none);
    EXPECT(a->status == 200 && body_has(a, "\"name\":\"photos\""));
    EXPECT(ask_key(w, "PUT /bucket/icons", SLICE_LIT("{\"quota_bytes\":10}"))->status == 201);
    EXPECT(ask_key(w, "PUT /bucket/icons", SLICE_LIT("{\"ttl_s\":5,\"x\":1}"))->status == 400);
    EXPECT(ask_key(w, "PUT /bucket/icons", SLICE_LIT("[]"))->status == 400);
    EXPECT(ask_key(w, "PUT /bucket/icons", SLICE_LIT("{\"quota_bytes\":-1}"))->status == 400);
    EXPECT(ask_key(w, "PUT /bucket/icons", SLICE_LIT("{\"quota_bytes\":1,\"quota_bytes\":2}"))
               ->status == 400);
    a = ask_key(w, "GET /bucket/icons", none);
    EXPECT(a->status == 200 && body_has(a, "\"quota_bytes\":10") && body_has(a, "\"ttl_s\":0"));
    EXPECT(ask_key(w, "POST /blob?bucket=icons", SLICE_LIT("12345678"))->status == 201);
    body_text(&w->last, "id", id, sizeof(id));
    EXPECT(ask_key(w, "POST /blob?bucket=icons", SLICE_LIT("12345678"))->status == 507);
    a = ask_key(w, "GET /bucket/icons", none);
    EXPECT(body_has(a, "\"used_bytes\":8") && body_has(a, "\"blobs\":1"));
    EXPECT(ask_key(w, "DELETE /bucket/icons", none)->status == 409);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 200);
    EXPECT(ask_key(w, "DELETE /bucket/icons?with_contents", none)->status == 204);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 404);
    EXPECT(on_blob_key(w, "DELETE", id, "")->status == 404);
    EXPECT(w->store.dropped_bucket == 2);
    EXPECT(ask_key(w, "POST /blob?bucket=icons", SLICE_LIT("x"))->status == 404);
    /* The same name again is another bucket: old blobs stay gone. */
    EXPECT(ask_key(w, "PUT /bucket/icons", none)->status == 201);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 404);
    EXPECT(buckets_find(gateway_buckets(w->gw), SLICE_LIT("icons"))->id == 3);
}

/* A removal that got no answer may be found by the next start: a write that was acknowledged after
 * it would be gone then. */
IN_WORLD(test_unsure_removal_refuses_writes)
{
    struct slice body = SLICE_LIT("x");
    char id[64];
    EXPECT(ask_key(w, "PUT /bucket/icons", none)->status == 201);
    EXPECT(ask_key(w, "POST /blob?bucket=icons", body)->status == 201);
    body_text(&w->last, "id", id, sizeof(id));
    w->store.fail_put = KT_ERR_IO;
    EXPECT(ask_key(w, "DELETE /bucket/icons?with_contents", none)->status == 500);
    w->store.fail_put = 0;
    EXPECT(ask_key(w, "POST /blob?bucket=icons", body)->status == 503);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 200);
    EXPECT(ask_key(w, "PUT /bucket/icons", none)->status == 200);
    EXPECT(ask_key(w, "POST /blob?bucket=icons", body)->status == 201);
}

static void check_after_restart(struct world *w, const char *id)
{
    struct answer *a = ask_key(w, "GET /bucket/icons", none);
    EXPECT(a->status == 200 && body_has(a, "\"signed_urls\":true") && body_has(a, "\"ttl_s\":77"));
    a = ask_key(w, "GET /bucket/photos", none);
    EXPECT(body_has(a, "\"used_bytes\":3") && body_has(a, "\"blobs\":1"));
    EXPECT(ask_key(w, "GET /bucket/gone", none)->status == 404);
    EXPECT(on_blob(w, "GET", id, "", "")->status == 200);
    EXPECT(!w->new_key);
}

/* From the cache, from the log when the cache is lost, and from the log when a change was cut
 * short. */
IN_WORLD(test_buckets_survive)
{
    char id[64], access[KEY_ACCESS_MAX + 1];
    put(w, SLICE_LIT("abc"), id);
    EXPECT(w->new_key);
    memcpy(access, w->key.access, sizeof(access));
    EXPECT(ask_key(w, "PUT /bucket/icons", SLICE_LIT("{\"ttl_s\":5}"))->status == 201);
    EXPECT(
        ask_key(w, "PUT /bucket/icons", SLICE_LIT("{\"ttl_s\":77,\"signed_urls\":true}"))->status ==
        200);
    EXPECT(ask_key(w, "PUT /bucket/gone", none)->status == 201);
    EXPECT(ask_key(w, "DELETE /bucket/gone", none)->status == 204);
    world_restart(w);
    EXPECT(strcmp(access, w->key.access) == 0);
    check_after_restart(w, id);
    world_unlink(w, BUCKETS_FILE);
    world_restart(w);
    check_after_restart(w, id);
    /* A change that fails at the store leaves the cache dirty: the next start looks into the log.
     */
    w->store.fail_put = KT_ERR_IO;
    EXPECT(ask_key(w, "PUT /bucket/late", none)->status == 500);
    w->store.fail_put = 0;
    world_restart(w);
    check_after_restart(w, id);
    EXPECT(ask_key(w, "PUT /bucket/late", none)->status == 201);
    /* Numbers are not used twice: 1 photos, 2 icons, 3 gone, 4 failed. */
    EXPECT(buckets_find(gateway_buckets(w->gw), SLICE_LIT("late"))->id == 5);
}

/* ---- signed URLs ---- */

IN_WORLD(test_signed_urls)
{
    char id[64], url[256], line[400];
    EXPECT(ask_key(w, "PUT /bucket/secret", SLICE_LIT("{\"signed_urls\":true}"))->status == 201);
    struct answer *a = ask_key(w, "POST /blob?bucket=secret", SLICE_LIT("hidden"));
    body_text(a, "id", id, sizeof(id));
    EXPECT(on_blob(w, "GET", id, "", "")->status == 403);
    EXPECT(on_blob_key(w, "GET", id, "")->status == 200);
    snprintf(line, sizeof(line), "POST /sign?id=%s&ttl=60", id);
    EXPECT(ask(w, line, "", none)->status == 401);
    a = ask_key(w, line, none);
    EXPECT(a->status == 200);
    body_text(a, "url", url, sizeof(url));
    snprintf(line, sizeof(line), "GET %s", url);
    a = ask(w, line, "", none);
    EXPECT(a->status == 200 && slice_eq(a->body, SLICE_LIT("hidden")));
    EXPECT(slice_eq(answer_field(a, "cache-control"), SLICE_LIT("private, max-age=60")));
    snprintf(line, sizeof(line), "HEAD %s", url);
    EXPECT(ask(w, line, "", none)->status == 200);
    snprintf(line, sizeof(line), "DELETE %s", url);
    EXPECT(ask(w, line, "", none)->status == 403);
    /* Both a key and a signed URL: ambiguous. */
    snprintf(line, sizeof(line), "GET %s", url);
    EXPECT(ask_key(w, line, none)->status == 400);
    url[strlen(url) - 1] ^= 1;
    snprintf(line, sizeof(line), "GET %s", url);
    EXPECT(ask(w, line, "", none)->status == 403);
    /* Of another blob, and expired. */
    char sig[AUTH_SIG_HEX];
    struct blobid b;
    EXPECT(blobid_parse(slice_str(id), &b) == 0);
    auth_sign_url(&w->key, "GET", &b, 1000, sig);
    snprintf(line, sizeof(line), "GET /blob/%s?key=%s&expires=1000&sig=%.64s", id, w->key.access,
             sig);
    a = ask(w, line, "", none);
    EXPECT(a->status == 403 && body_has(a, "expired"));
    b.seq++;
    auth_sign_url(&w->key, "GET", &b, 99999999999, sig);
    snprintf(line, sizeof(line), "GET /blob/%s?key=%s&expires=99999999999&sig=%.64s", id,
             w->key.access, sig);
    EXPECT(ask(w, line, "", none)->status == 403);
    snprintf(line, sizeof(line), "GET /blob/%s?expires=99999999999", id);
    EXPECT(ask(w, line, "", none)->status == 400);
}

/* ---- batches ---- */

static void add_file(struct buf *ar, const char *name, struct slice data)
{
    static const uint8_t zeros[TAR_BLOCK];
    EXPECT(tar_write_header(ar, slice_str(name), data.len, 1700000000) == 0);
    EXPECT(buf_add_slice(ar, data) == 0);
    EXPECT(buf_add(ar, zeros, tar_padding(data.len)) == 0);
}

/* 17 of "d/17.png". */
static uint64_t file_number(const char *name)
{
    struct slice digits = slice_str(name + 2);
    uint64_t n = UINT64_MAX;
    digits.len -= 4;
    EXPECT(dec_to_u64(digits, &n));
    return n;
}

IN_WORLD(test_batch_both_ways)
{
    struct buf ar = BUF_INIT(MIB(8)), list = BUF_INIT(MIB(1));
    char name[32];
    uint8_t data[700];
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "d/%d.png", i);
        memset(data, i, sizeof(data));
        add_file(&ar, name, slice_of(data, (size_t)(i % 700)));
    }
    EXPECT(tar_write_end(&ar) == 0);
    uint32_t many = w->store.put_manys;
    struct answer *a = ask_key(w, "PUT /batch?bucket=photos", buf_slice(&ar));
    EXPECT(a->status == 200);
    EXPECT(body_has(a, "{\"summary\":{\"stored\":1500,\"failed\":0,\"skipped\":0,"));
    EXPECT(body_has(a, "\"complete\":true}}\n"));
    EXPECT(w->store.put_manys - many == 2); /* 1,024 files fill a gathering */
    struct slice rest = a->body;
    for (int i = 0; i < 1500; i++) {
        struct answer line = {.body = slice_sub(rest, 0, (size_t)slice_find(rest, '\n'))};
        char id[64];
        rest = slice_sub(rest, line.body.len + 1, rest.len);
        body_text(&line, "name", name, sizeof(name));
        EXPECT(file_number(name) == (uint64_t)i);
        body_text(&line, "id", id, sizeof(id));
        EXPECT(buf_addf(&list, i % 2 ? "%s\n" : "%s renamed\r\n", id) == 0);
    }
    EXPECT(buf_add_str(&list, "7,0-0000000000000000\nnonsense\n") == 0);
    a = ask_key(w, "POST /batch/get", buf_slice(&list));
    EXPECT(a->status == 200);
    struct tar_reader *r = tar_reader_new();
    struct slice in = a->body, run;
    uint64_t files = 0, bytes = 0, renamed = 0, errors = 0;
    for (int ev = TAR_MORE; ev != TAR_END;) {
        size_t used;
        ev = tar_reader_next(r, in, &used, &run);
        EXPECT(ev > TAR_MORE);
        in = slice_sub(in, used, in.len);
        const struct tar_entry *e = tar_reader_entry(r);
        files += ev == TAR_ENTRY;
        renamed += ev == TAR_ENTRY && strcmp(e->name, "renamed") == 0;
        errors += ev == TAR_ENTRY && strcmp(e->name, "kitten-errors.jsonl") == 0;
        for (size_t i = 0; ev == TAR_DATA && e->name[0] == 'd' && i < run.len; i++)
            EXPECT(run.p[i] == (uint8_t)file_number(e->name));
        bytes += ev == TAR_DATA && e->name[0] == 'd' ? run.len : 0;
    }
    EXPECT(files == 1501 && renamed == 750 && errors == 1 && bytes > 0);
    tar_reader_free(r);
    buf_done(&ar);
    buf_done(&list);
}

IN_WORLD(test_batch_failures)
{
    struct buf ar = BUF_INIT(MIB(8));
    uint8_t *big = mem_zalloc(MIB(1) + 1);
    add_file(&ar, "a", SLICE_LIT("1"));
    add_file(&ar, "big", slice_of(big, MIB(1) + 1));
    add_file(&ar, "<b>\xff", SLICE_LIT("2"));
    EXPECT(tar_write_end(&ar) == 0);
    struct answer *a = ask_key(w, "PUT /batch?bucket=photos", buf_slice(&ar));
    EXPECT(a->status == 200 && body_has(a, "\"stored\":2,\"failed\":1"));
    EXPECT(body_has(a, "{\"name\":\"big\",\"error\":{\"code\":\"too_large\""));
    EXPECT(body_has(a, "\\u003cb\\u003e\\ufffd") && !body_has(a, "<b>"));

    /* Nothing is stored of what is no tar, of a cut archive's last gathering, or into no bucket. */
    uint32_t n = w->store.n;
    EXPECT(ask_key(w, "PUT /batch?bucket=nope", buf_slice(&ar))->status == 404);
    EXPECT(ask(w, "PUT /batch?bucket=photos", "", buf_slice(&ar))->status == 401);
    memset(big, 'x', 2048);
    EXPECT(ask_key(w, "PUT /batch?bucket=photos", slice_of(big, 2048))->status == 400);
    EXPECT(ask_key(w, "PUT /batch?bucket=photos", slice_sub(buf_slice(&ar), 0, 512))->status ==
           400);
    EXPECT(ask_key(w, "PUT /batch?bucket=photos", SLICE_LIT(""))->status == 200);
    EXPECT(w->store.n == n);

    w->store.fail_put = KT_ERR_NO_SPACE;
    a = ask_key(w, "PUT /batch?bucket=photos", slice_sub(buf_slice(&ar), 0, 1024));
    EXPECT(a->status == 507 && body_has(a, "\"stored\":0,\"failed\":1"));
    w->store.fail_at = w->store.puts + 2;
    a = ask_key(w, "PUT /batch?bucket=photos", buf_slice(&ar));
    EXPECT(a->status == 200 && body_has(a, "\"stored\":1,\"failed\":2"));
    mem_free(big);
    buf_done(&ar);
}

/* ---- the rest ---- */

IN_WORLD(test_status_health_metrics)
{
    struct answer *a = ask(w, "GET /health/live", "", none);
    EXPECT(a->status == 200);
    EXPECT(ask(w, "GET /health/ready", "", none)->status == 200);
    EXPECT(ask(w, "GET /status", "", none)->status == 401);
    EXPECT(ask(w, "GET /metrics", "", none)->status == 401);
    a = ask_key(w, "GET /status", none);
    EXPECT(a->status == 200 && body_has(a, "\"state\":\"healthy\"") && body_has(a, "\"disks\":["));
    w->store.disk_state = STORE_DISK_FULL;
    a = ask_key(w, "GET /status", none);
    EXPECT(body_has(a, "\"state\":\"degraded\"") && body_has(a, "full disk memory"));
    w->store.disk_state = STORE_DISK_FAILED;
    a = ask_key(w, "GET /status", none);
    EXPECT(body_has(a, "\"state\":\"failed\""));
    EXPECT(ask(w, "GET /health/ready", "", none)->status == 503);
    w->store.disk_state = STORE_DISK_OK;
    gateway_set_draining(w->gw);
    EXPECT(ask(w, "GET /health/ready", "", none)->status == 503);
    a = ask_key(w, "GET /metrics", none);
    EXPECT(a->status == 200 && body_has(a, "kitten_http_requests_total{api=\"status\""));
    static const char *const samples[] = {
        ("\nkitten_build_info{version=\"" KITTEN_VERSION "\"} 1\n"),
        "\nkitten_start_time_seconds ",
        "\nkitten_http_bytes_total{dir=\"out\"",
        "\nkitten_disk_state{disk=",
        "\nkitten_volumes{state=\"open\"} ",
        "\nkitten_offload_queue ",
        "\nkitten_stack_high_water_bytes "};
    for (size_t i = 0; i < KT_ARRAY_LEN(samples); i++)
        EXPECT(body_has(a, samples[i]));
    uint8_t status_api = metric_label(DIM_API, SLICE_LIT("status"));
    EXPECT(metric_value(METRIC_HTTP_REQUEST_TIME, METRIC_L(status_api)) > 0);
    EXPECT(!body_has(a, w->key.secret));
}

IN_WORLD(test_metrics_of_the_server)
{
    EXPECT(ask(w, "GET /health/live", "Transfer-Encoding: x\r\n", none)->status == 501);
    EXPECT(ask_key(w, "GET /status", none)->status == 200);
    struct answer *a = ask_key(w, "GET /metrics", none);
    /* The request that is being answered is the only one. */
    static const char *const samples[] = {
        "\nkitten_http_inflight{api=\"metrics\"} 1\n",
        "\nkitten_http_inflight{api=\"status\"} 0\n",
        "\nkitten_http_ttfb_seconds_count{api=\"status\"} ",
        "\nkitten_http_rejected_total{reason=\"framing\"} 1\n",
        "\nkitten_http_connections{state=\"active\"} 1\n",
        "\nkitten_http_body_budget_bytes 0\n",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(samples); i++)
        EXPECT(body_has(a, samples[i]));
    uint8_t status_api = metric_label(DIM_API, SLICE_LIT("status"));
    EXPECT(metric_value(METRIC_HTTP_TTFB, METRIC_L(status_api)) ==
           metric_value(METRIC_HTTP_REQUEST_TIME, METRIC_L(status_api)));
}

/* Another second than that of the tests before, whose lines may have used up the burst. */
static int64_t an_hour_later(void)
{
    return rt_wall_ns() + 3600 * NS_PER_SEC;
}

/* A 5xx that a handler writes itself is logged with its reason, as any other. */
IN_WORLD(test_log_says_why)
{
    char path[128], text[4096] = "";
    snprintf(path, sizeof(path), "%s/log", w->dir);
    struct log_options o = {.level = LOG_INFO, .format = LOG_LOGFMT, .path = path};
    int64_t (*clock)(void) = log_clock_ns;
    log_clock_ns = an_hour_later;
    EXPECT(log_start(&o) == 0);
    w->store.disk_state = STORE_DISK_FAILED;
    EXPECT(ask(w, "GET /health/ready", "", none)->status == 503);
    w->store.disk_state = STORE_DISK_OK;
    w->store.fail_put = KT_ERR_NO_SPACE;
    struct buf tar = BUF_INIT(65536);
    add_file(&tar, "a.txt", SLICE_LIT("x"));
    EXPECT(tar_write_end(&tar) == 0);
    EXPECT(ask_key(w, "PUT /batch?bucket=photos", buf_slice(&tar))->status == 507);
    w->store.fail_put = KT_ERR_UNAVAILABLE;
    EXPECT(ask_key(w, "PUT /blob?bucket=photos", SLICE_LIT("x"))->status == 503);
    log_stop();
    log_clock_ns = clock;
    FILE *f = fopen(path, "r");
    EXPECT(f && fread(text, 1, sizeof(text) - 1, f) > 0);
    fclose(f);
    world_unlink(w, "log");
    EXPECT(strstr(text, "api=health status=503 err=UNAVAILABLE why=\"no disk works\""));
    EXPECT(strstr(text, "api=batch_put status=507 err=NO_SPACE"));
    EXPECT(strstr(text, "api=put status=503 err=UNAVAILABLE"));
    EXPECT(!strstr(text, "err=OK"));
    buf_done(&tar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_head_delete),
        cmocka_unit_test(test_undelete_window),
        cmocka_unit_test(test_same_404),
        cmocka_unit_test(test_ranges_and_conditions),
        cmocka_unit_test(test_empty_blob),
        cmocka_unit_test(test_content_type),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_store_errors_pass_through),
        cmocka_unit_test(test_ttl),
        cmocka_unit_test(test_buckets),
        cmocka_unit_test(test_unsure_removal_refuses_writes),
        cmocka_unit_test(test_buckets_survive),
        cmocka_unit_test(test_signed_urls),
        cmocka_unit_test(test_batch_both_ways),
        cmocka_unit_test(test_batch_failures),
        cmocka_unit_test(test_status_health_metrics),
        cmocka_unit_test(test_metrics_of_the_server),
        cmocka_unit_test(test_log_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
