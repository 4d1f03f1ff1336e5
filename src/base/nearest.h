/* nearest: which known word did the user mean?
 *
 * For error messages that name an unknown command, option or key together with the closest one that
 * exists. Pure, any thread, no allocation; words longer than NEAREST_WORD_MAX are never suggested.
 *
 *     struct nearest n = nearest_start("concurency");
 *     for (i = 0; i < nkeys; i++)
 *         nearest_offer(&n, keys[i]);
 *     if (n.word) err_set(KT_ERR_INVALID, "unknown key; did you mean %s?", n.word);
 */
#ifndef KT_BASE_NEAREST_H
#define KT_BASE_NEAREST_H

#include <stddef.h>

#define NEAREST_WORD_MAX 48

struct nearest {
    const char *wanted; /* what the user wrote, borrowed */
    const char *word;   /* the best candidate so far that is close enough, or NULL; borrowed */
    size_t distance;    /* its distance */
};

struct nearest nearest_start(const char *wanted);
/* Takes `word` when it is closer than all before; close enough means at most a third of the letters
 * (at least one) differ, or the wanted text is the beginning of the word. */
void nearest_offer(struct nearest *n, const char *word);

/* Edits (insert, delete, replace, swap neighbours; optimal string alignment) that make `b` of `a`;
 * NEAREST_WORD_MAX when either is longer than that. */
size_t nearest_distance(const char *a, const char *b);

#endif
