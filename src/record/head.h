/* The head record: for each kind, what the set of all its live records adds up to.
 *
 * The sum of HMAC-SHA-256(sum key, u16 kind ‖ id ‖ u64 version ‖ SHA-256(blob)), as 256-bit numbers, over the
 * records of a kind decides whether the set is the one last committed: a keyed set hash
 * (docs/decisions/0002-freshness-accumulator.md). The other fields only find the culprit where the set
 * differs by one record; nothing rests on them. */
#ifndef LH_RECORD_HEAD_H
#define LH_RECORD_HEAD_H

#include "crypto/hash.h"
#include "record/blob.h"

#define LH_HEAD_FORMAT 1
#define LH_HEAD_MAX 4096 /* bytes of the encoding */

typedef struct {
    uint64_t count;
    uint8_t sum[LH_SHA256_SIZE];      /* big-endian, modulo 2^256 */
    uint8_t id_xor[LH_STORE_ID_SIZE]; /* of all ids: names one that is missing or too many */
    uint64_t tag_sum;                 /* of tags (the first 8 bytes of SHA-256(blob)) … */
    uint64_t tag_sum_weighted;        /* … and of tag * weight of id: their differences name one replaced */
} lh_head_cell;

typedef struct {
    uint64_t sequence; /* of committed groups; the head's own version */
    uint64_t writes;   /* of records; the last version given out */
    lh_head_cell cells[LH_RECORD_KIND_END];
} lh_head;

/* One record's part in its kind's cell. */
typedef struct {
    uint8_t sum[LH_SHA256_SIZE];
    lh_record_place place;
    uint64_t tag;
} lh_head_element;

/* digest: SHA-256 of the blob. */
LH_MUST lh_err lh_head_element_make(lh_crypto *crypto, const lh_secret *sum_key, const lh_record_place *place,
    const uint8_t digest[LH_SHA256_SIZE], lh_head_element *ret);
void lh_head_add(lh_head *head, const lh_head_element *element);
void lh_head_remove(lh_head *head, const lh_head_element *element);

bool lh_head_cell_equal(const lh_head_cell *a, const lh_head_cell *b);
/* Whether the one difference between two cells of as many records can be that this id's record was replaced.
 */
bool lh_head_cell_blames(const lh_head_cell *expected, const lh_head_cell *found, const lh_record_id *id);

void lh_head_encode(const lh_head *head, lh_buf *out);
LH_MUST lh_err lh_head_decode(lh_bytes bytes, lh_head *ret);

#endif
