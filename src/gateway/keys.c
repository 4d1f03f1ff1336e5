/* keys: parse, save, and a copy that every loop may read.
 *
 * Happy path: keys_open reads and parses the file; each request copies one key out under a read
 * lock that is held for the time of a few comparisons. A reload builds the new list aside and swaps
 * it in.
 *
 * Failure modes: no file: one is made, with one random key (there is no default). A damaged file
 * stops the start, but not a running server.
 */
#include "gateway/keys.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/macros.h"
#include "gateway/statefile.h"
#include "rt/rt.h"
#include <jansson.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <string.h>

#define KEYS_TEXT_MAX KIB(256)

struct keys {
    int dir;
    pthread_rwlock_t lock; /* guards list */
    struct key_list list;
    struct key dummy; /* random; what an unknown access key finds */
    int text_rc;      /* what parsing it gave; the reloading fiber's */
    struct buf text;  /* the file as it was read last; the reloading fiber's */
    _Atomic uint32_t generation;
};

void key_list_done(struct key_list *l)
{
    if (l->at)
        OPENSSL_cleanse(l->at, sizeof(l->at[0]) * (size_t)l->n);
    mem_free(TAKE(l->at));
    l->n = 0;
}

/* ---- text ---- */

static bool printable(const char *s, size_t max)
{
    size_t len = strnlen(s, max + 1);
    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++)
        if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\' || s[i] == ':')
            return false;
    return true;
}

static int parse_key(json_t *j, struct key *ret)
{
    const char *access, *secret, *name;
    json_int_t created = 0;
    if (json_unpack(j, "{s:s, s:s, s:s, s?:I}", "access", &access, "secret", &secret, "name", &name,
                    "created", &created) != 0)
        return err_set(KT_ERR_FORMAT, KEYS_FILE ": a key must have access, secret and name");
    if (!printable(access, KEY_ACCESS_MAX) || !printable(secret, KEY_SECRET_MAX) ||
        !printable(name, KEY_NAME_MAX) || strlen(secret) < 16)
        return err_set(KT_ERR_FORMAT,
                       KEYS_FILE ": a key is empty, too long, too short or not printable");
    memset(ret, 0, sizeof(*ret));
    memcpy(ret->access, access, strlen(access));
    memcpy(ret->secret, secret, strlen(secret));
    memcpy(ret->name, name, strlen(name));
    ret->created_s = created;
    return 0;
}

static int parse_array(json_t *array, struct key_list *ret)
{
    size_t n = json_array_size(array);
    if (!json_is_array(array) || n > KEYS_MAX)
        return err_set(KT_ERR_FORMAT, KEYS_FILE ": no list of at most %d keys", KEYS_MAX);
    ret->at = mem_zalloc(sizeof(ret->at[0]) * (n + 1));
    for (size_t i = 0; i < n; i++) {
        struct key *k = &ret->at[ret->n];
        int rc = parse_key(json_array_get(array, i), k);
        if (rc < 0)
            return rc;
        for (int j = 0; j < ret->n; j++)
            if (strcmp(ret->at[j].access, k->access) == 0)
                return err_set(KT_ERR_FORMAT, KEYS_FILE ": an access key is there twice");
        ret->n++;
    }
    return 0;
}

int keys_parse(struct slice text, struct key_list *ret)
{
    json_error_t je;
    struct key_list l = {0};
    int rc;
    json_t *root = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &je);
    if (!root)
        return err_set(KT_ERR_FORMAT, KEYS_FILE " is not JSON at line %d", je.line);
    if (json_integer_value(json_object_get(root, "version")) != 1)
        rc = err_set(KT_ERR_FORMAT, KEYS_FILE " has a version that this program doesn't know");
    else
        rc = parse_array(json_object_get(root, "keys"), &l);
    json_decref(root);
    if (rc < 0) {
        key_list_done(&l);
        return rc;
    }
    *ret = l;
    return 0;
}

int keys_load(int dir, struct key_list *ret)
{
    struct buf text = BUF_INIT(KEYS_TEXT_MAX);
    int rc = statefile_read(dir, KEYS_FILE, &text);
    if (rc >= 0)
        rc = keys_parse(buf_slice(&text), ret);
    if (text.p)
        OPENSSL_cleanse(text.p, text.len);
    buf_done(&text);
    return rc;
}

int keys_save(int dir, const struct key_list *l)
{
    struct buf text = BUF_INIT(KEYS_TEXT_MAX);
    int rc = buf_add_str(&text, "{\"version\": 1, \"keys\": [");
    for (int i = 0; i < l->n && rc >= 0; i++) {
        const struct key *k = &l->at[i];
        rc = buf_addf(
            &text,
            "%s\n  {\"access\": \"%s\", \"secret\": \"%s\", \"name\": \"%s\", \"created\": %lld}",
            i ? "," : "", k->access, k->secret, k->name, (long long)k->created_s);
    }
    if (rc >= 0)
        rc = buf_add_str(&text, "\n]}\n");
    if (rc >= 0)
        rc = statefile_write(dir, KEYS_FILE, buf_slice(&text));
    if (text.p)
        OPENSSL_cleanse(text.p, text.len);
    buf_done(&text);
    return rc;
}

/* `len` characters of `alphabet` (its size divides 256). */
static void random_text(char *out, size_t len, const char *alphabet, unsigned size)
{
    uint8_t raw[KEY_SECRET_MAX];
    kt_assert(len <= sizeof(raw) && 256 % size == 0);
    rt_random(raw, len);
    for (size_t i = 0; i < len; i++)
        out[i] = alphabet[raw[i] % size];
    out[len] = 0;
    OPENSSL_cleanse(raw, sizeof(raw));
}

static void random_key(struct key *k)
{
    static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    memset(k, 0, sizeof(*k));
    memcpy(k->access, "KT", 2);
    random_text(k->access + 2, KEY_ACCESS_LEN - 2, base32, 32);
    random_text(k->secret, KEY_SECRET_LEN, base64, 64);
}

int keys_make(struct key_list *l, const char *name, int64_t now_s)
{
    if (!printable(name, KEY_NAME_MAX))
        return err_set(
            KT_ERR_INVALID,
            "a key's name has 1..%d printable characters without blanks, quotes or colons",
            KEY_NAME_MAX);
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->at[i].name, name) == 0)
            return err_set(KT_ERR_EXISTS, "a key called %s exists already", name);
    if (l->n >= KEYS_MAX)
        return err_set(KT_ERR_LIMIT, "there are %d keys already, the most there can be", KEYS_MAX);
    struct key *grown = mem_zalloc(sizeof(*grown) * (size_t)(l->n + 2));
    if (l->n)
        memcpy(grown, l->at, sizeof(*grown) * (size_t)l->n);
    int n = l->n;
    key_list_done(l);
    l->at = grown;
    l->n = n + 1;
    random_key(&grown[n]);
    memcpy(grown[n].name, name, strlen(name));
    grown[n].created_s = now_s;
    return 0;
}

int keys_drop(struct key_list *l, const char *which)
{
    for (int i = 0; i < l->n; i++) {
        if (strcmp(l->at[i].access, which) != 0 && strcmp(l->at[i].name, which) != 0)
            continue;
        memmove(&l->at[i], &l->at[i + 1], sizeof(l->at[0]) * (size_t)(l->n - i - 1));
        l->n--;
        OPENSSL_cleanse(&l->at[l->n], sizeof(l->at[0]));
        return 0;
    }
    return err_set(KT_ERR_NOT_FOUND, "no key has that access key or name; see: kitten keys ls");
}

/* ---- a server's copy ---- */

static int make_first(int dir, struct key_list *ret)
{
    struct key_list l = {0};
    int rc = keys_make(&l, "first", rt_wall_ns() / NS_PER_SEC);
    if (rc >= 0)
        rc = keys_save(dir, &l);
    if (rc < 0) {
        key_list_done(&l);
        return rc;
    }
    *ret = l;
    return 0;
}

int keys_open(int dir, struct keys **ret, bool *ret_made)
{
    struct key_list l = {0};
    bool made = false;
    int rc = keys_load(dir, &l);
    if (rc == -KT_ERR_NOT_FOUND) {
        rc = make_first(dir, &l);
        made = true;
    }
    if (rc < 0)
        return rc;
    struct keys *k = mem_zalloc(sizeof(*k));
    k->dir = dir;
    k->list = l;
    k->text = BUF_INIT(KEYS_TEXT_MAX);
    random_key(&k->dummy);
    kt_assert(pthread_rwlock_init(&k->lock, NULL) == 0);
    *ret = k;
    *ret_made = made;
    return 0;
}

void keys_close(struct keys *k)
{
    if (!k)
        return;
    key_list_done(&k->list);
    if (k->text.p)
        OPENSSL_cleanse(k->text.p, k->text.len);
    buf_done(&k->text);
    pthread_rwlock_destroy(&k->lock);
    OPENSSL_cleanse(k, sizeof(*k));
    mem_free(k);
}

static void swap_list(struct keys *k, struct key_list *l)
{
    rt_no_yield_begin();
    pthread_rwlock_wrlock(&k->lock);
    struct key_list old = k->list;
    k->list = *l;
    atomic_fetch_add(&k->generation, 1);
    pthread_rwlock_unlock(&k->lock);
    rt_no_yield_end();
    *l = old;
}

int keys_reload(struct keys *k)
{
    struct buf text = BUF_INIT(KEYS_TEXT_MAX);
    struct key_list l = {0};
    int rc = statefile_read(k->dir, KEYS_FILE, &text);
    bool same = rc >= 0 && slice_eq(buf_slice(&text), buf_slice(&k->text));
    if (rc >= 0 && !same) {
        struct buf old = k->text;
        k->text = text;
        text = old;
        rc = k->text_rc = keys_parse(buf_slice(&k->text), &l);
        if (rc >= 0) {
            swap_list(k, &l);
            rc = 1;
        }
    } else if (same && k->text_rc < 0) {
        rc = err_set(KT_ERR_FORMAT, KEYS_FILE " is still damaged");
    }
    key_list_done(&l);
    if (text.p)
        OPENSSL_cleanse(text.p, text.len);
    buf_done(&text);
    return rc;
}

bool keys_find(struct keys *k, struct slice access, struct key *ret)
{
    bool found = false;
    *ret = k->dummy;
    rt_no_yield_begin();
    pthread_rwlock_rdlock(&k->lock);
    for (int i = 0; i < k->list.n; i++) {
        bool eq = slice_eq_secret(slice_str(k->list.at[i].access), access);
        if (eq)
            *ret = k->list.at[i];
        found |= eq;
    }
    pthread_rwlock_unlock(&k->lock);
    rt_no_yield_end();
    return found;
}

bool keys_first(struct keys *k, struct key *ret)
{
    rt_no_yield_begin();
    pthread_rwlock_rdlock(&k->lock);
    bool any = k->list.n > 0;
    if (any)
        *ret = k->list.at[0];
    pthread_rwlock_unlock(&k->lock);
    rt_no_yield_end();
    return any;
}

int keys_count(struct keys *k)
{
    rt_no_yield_begin();
    pthread_rwlock_rdlock(&k->lock);
    int n = k->list.n;
    pthread_rwlock_unlock(&k->lock);
    rt_no_yield_end();
    return n;
}

uint32_t keys_generation(const struct keys *k)
{
    return atomic_load(&k->generation);
}
