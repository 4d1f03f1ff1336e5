/* keys: who may use this server. Access keys with their secrets, kept in keys.json (0600) of the
 * first data directory.
 *
 * Model. The file is the truth; a server holds a copy and looks every few seconds whether the file
 * has changed (`kitten keys add` on the same machine is seen within KEYS_RELOAD_MS). A file that is
 * damaged or gone keeps the last good copy in use. SigV4 needs the secret itself, so it is stored,
 * readable by the owner only.
 *
 *     {"version": 1, "keys": [{"access": "KT...", "secret": "...", "name": "first", "created":
 * 1700000000}]}
 *
 * keys_find compares with every key in constant time and yields a random dummy for an unknown one,
 * so that the work after it is the same. Lists are plain values; struct keys may be used from any
 * loop; keys_find never yields, the file functions do. Secrets are wiped from memory when a list is
 * freed. Nothing here prints a secret.
 */
#ifndef KT_GATEWAY_KEYS_H
#define KT_GATEWAY_KEYS_H

#include "base/err.h"
#include "base/slice.h"
#include <stdint.h>

#define KEYS_FILE "keys.json"
#define KEYS_MAX 256
#define KEYS_RELOAD_MS 2000
#define KEY_ACCESS_LEN 20
#define KEY_SECRET_LEN 40
#define KEY_ACCESS_MAX 64
#define KEY_SECRET_MAX 64
#define KEY_NAME_MAX 64

struct key {
    char access[KEY_ACCESS_MAX + 1];
    char secret[KEY_SECRET_MAX + 1];
    char name[KEY_NAME_MAX + 1]; /* what for; unique in the list */
    int64_t created_s;           /* Unix seconds */
};

struct key_list {
    struct key *at; /* owned */
    int n;
};

/* ---- the file, for commands and start-up ---- */

void key_list_done(struct key_list *l); /* wipes and frees */
/* Reads the file. Errors: NOT_FOUND, FORMAT (damaged: says where), IO. */
int keys_load(int dir, struct key_list *ret) KT_MUST_CHECK KT_YIELDS;
int keys_save(int dir, const struct key_list *l) KT_MUST_CHECK KT_YIELDS;
/* Parses the file's text. Errors: FORMAT. Pure but for memory. */
int keys_parse(struct slice json, struct key_list *ret) KT_MUST_CHECK;
/* Appends a new random key. `name`: 1..KEY_NAME_MAX printable characters. Errors: INVALID, EXISTS,
 * LIMIT. */
int keys_make(struct key_list *l, const char *name, int64_t now_s) KT_MUST_CHECK;
/* Drops the key with this access key or name. Errors: NOT_FOUND. */
int keys_drop(struct key_list *l, const char *which) KT_MUST_CHECK;

/* ---- a server's copy ---- */

struct keys;

/* Loads the file of directory handle `dir` (borrowed until keys_close), or creates it with one key
 * called "first"; *ret_made then tells. Errors: those of keys_load and keys_save. */
int keys_open(int dir, struct keys **ret, bool *ret_made) KT_MUST_CHECK KT_YIELDS;
void keys_close(struct keys *k); /* NULL is fine; no other user may be left */
/* Reads the file again when its text has changed. Returns 1 when it had, 0 when not, FORMAT, IO,
 * NOT_FOUND (the old copy stays in use). One fiber at a time. */
int keys_reload(struct keys *k) KT_MUST_CHECK KT_YIELDS;
/* Copies the key out; for an unknown one fills *ret with a random dummy and returns false. Constant
 * time in the list's contents. */
bool keys_find(struct keys *k, struct slice access, struct key *ret);
/* The first key, for the banner; false when the list is empty. */
bool keys_first(struct keys *k, struct key *ret);
int keys_count(struct keys *k);
/* Changes with every reload: what was derived from an older list is stale. */
uint32_t keys_generation(const struct keys *k);

#endif
